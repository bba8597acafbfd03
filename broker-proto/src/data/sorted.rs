//! Sets and tables: their contents in Broker's order, side by side in memory (WIRE §3.8).

use std::collections::{BTreeMap, BTreeSet};
use std::{array, fmt, mem, slice, vec};

use super::Data;

/// Distinct values in Broker's order.
///
/// Values nearly always arrive in order and are read more often than changed, so they are kept
/// in one sorted piece: building and walking it is as fast as for a vector, finding takes a binary
/// search, and only [`Set::insert`] in the middle is slow. Collect many unsorted values at once.
#[derive(Clone, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Set(Vec<Data>);

/// Values by distinct keys, in Broker's order of the keys; kept like a [`Set`].
#[derive(Clone, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Table {
    /// Each key, followed by its value: a decoder appends both where they stay.
    flat: Vec<Data>,
}

impl Set {
    /// No values.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `item` is one of them.
    pub fn contains(&self, item: &Data) -> bool {
        self.0.binary_search(item).is_ok()
    }

    /// Adds a value; says whether it was not there yet. Moves all values after it.
    pub fn insert(&mut self, item: Data) -> bool {
        let Err(at) = self.0.binary_search(&item) else {
            return false;
        };
        self.0.insert(at, item);
        true
    }

    /// The values in order.
    pub fn iter(&self) -> slice::Iter<'_, Data> {
        self.0.iter()
    }

    /// The values in order, in one piece.
    pub(crate) fn as_slice(&self) -> &[Data] {
        &self.0
    }

    /// From values that are distinct and in order already.
    pub(crate) fn from_ascending(items: Vec<Data>) -> Self {
        debug_assert!(items.is_sorted_by(|a, b| a < b), "values out of order");
        Self(items)
    }
}

impl Table {
    /// No entries.
    pub const fn new() -> Self {
        Self { flat: Vec::new() }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.flat.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.flat.is_empty()
    }

    /// Whether there is an entry for `key`.
    pub fn contains_key(&self, key: &Data) -> bool {
        self.find(key).is_ok()
    }

    /// The value of `key`, if there is one.
    pub fn get(&self, key: &Data) -> Option<&Data> {
        self.flat.get(self.find(key).ok()? * 2 + 1)
    }

    /// Sets the value of `key` and returns the one it had. Moves all entries after a new one.
    pub fn insert(&mut self, key: Data, value: Data) -> Option<Data> {
        match self.find(&key) {
            Ok(at) => {
                let old = self.flat.get_mut(at * 2 + 1)?;
                Some(mem::replace(old, value))
            }
            Err(at) => {
                self.flat.splice(at * 2..at * 2, [key, value]);
                None
            }
        }
    }

    /// The entries in order.
    pub fn iter(&self) -> Entries<'_> {
        Entries(self.pairs().iter())
    }

    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Data> {
        self.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Data> {
        self.iter().map(|(_, value)| value)
    }

    /// The keys in order, each followed by its value.
    pub(crate) fn as_slice(&self) -> &[Data] {
        &self.flat
    }

    fn pairs(&self) -> &[[Data; 2]] {
        self.flat.as_chunks().0
    }

    fn find(&self, key: &Data) -> Result<usize, usize> {
        self.pairs().binary_search_by(|[other, _]| other.cmp(key))
    }

    /// From keys, each followed by its value, that are distinct and in order already.
    pub(crate) fn from_ascending(flat: Vec<Data>) -> Self {
        let table = Self { flat };
        debug_assert!(
            table.pairs().is_sorted_by(|[a, _], [b, _]| a < b),
            "keys out of order"
        );
        table
    }
}

/// The entries of a [`Table`], in the order of the keys.
#[derive(Clone, Debug)]
pub struct Entries<'a>(slice::Iter<'a, [Data; 2]>);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a Data, &'a Data);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|[key, value]| (key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Entries<'_> {}

/// The entries of a [`Table`] that is no longer needed, in the order of the keys.
#[derive(Clone, Debug)]
pub struct IntoEntries(vec::IntoIter<Data>);

impl Iterator for IntoEntries {
    type Item = (Data, Data);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, self.0.next()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.len() / 2;
        (left, Some(left))
    }
}

impl ExactSizeIterator for IntoEntries {}

impl FromIterator<Data> for Set {
    fn from_iter<I: IntoIterator<Item = Data>>(items: I) -> Self {
        let mut items: Vec<Data> = items.into_iter().collect();
        if !items.is_sorted_by(|a, b| a < b) {
            items.sort();
            items.dedup();
        }
        Self(items)
    }
}

impl FromIterator<(Data, Data)> for Table {
    /// Of several values for a key, the last one stays.
    fn from_iter<I: IntoIterator<Item = (Data, Data)>>(entries: I) -> Self {
        let mut entries: Vec<(Data, Data)> = entries.into_iter().collect();
        if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    mem::swap(later, earlier);
                }
                same
            });
        }
        Self::from_ascending(flat(entries))
    }
}

fn flat(entries: impl IntoIterator<Item = (Data, Data)>) -> Vec<Data> {
    let entries = entries.into_iter();
    entries.flat_map(|(key, value)| [key, value]).collect()
}

impl From<BTreeSet<Data>> for Set {
    fn from(items: BTreeSet<Data>) -> Self {
        Self::from_ascending(items.into_iter().collect())
    }
}

impl From<BTreeMap<Data, Data>> for Table {
    fn from(entries: BTreeMap<Data, Data>) -> Self {
        Self::from_ascending(flat(entries))
    }
}

impl<const N: usize> From<[Data; N]> for Set {
    fn from(items: [Data; N]) -> Self {
        let items: array::IntoIter<Data, N> = items.into_iter();
        items.collect()
    }
}

impl<const N: usize> From<[(Data, Data); N]> for Table {
    fn from(entries: [(Data, Data); N]) -> Self {
        let entries: array::IntoIter<(Data, Data), N> = entries.into_iter();
        entries.collect()
    }
}

impl IntoIterator for Set {
    type Item = Data;
    type IntoIter = vec::IntoIter<Data>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Set {
    type Item = &'a Data;
    type IntoIter = slice::Iter<'a, Data>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Table {
    type Item = (Data, Data);
    type IntoIter = IntoEntries;

    fn into_iter(self) -> Self::IntoIter {
        IntoEntries(self.flat.into_iter())
    }
}

impl<'a> IntoIterator for &'a Table {
    type Item = (&'a Data, &'a Data);
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collected_values_are_sorted_and_distinct() {
        let items = [3, 1, 2, 3, 1].map(Data::Count);
        let set = Set::from(items);
        assert_eq!(set, [1, 2, 3].map(Data::Count).into());
        assert!(set.contains(&Data::Count(2)) && !set.contains(&Data::Count(4)));
        assert_eq!(set.len(), 3);
    }

    #[test]
    fn inserting_keeps_the_order() {
        let mut set = Set::new();
        assert!(set.insert(Data::Count(2)) && set.insert(Data::Count(1)));
        assert!(!set.insert(Data::Count(2)));
        assert_eq!(set, [1, 2].map(Data::Count).into());
    }

    #[test]
    fn the_last_value_of_a_key_stays() {
        let mut table = Table::from([(2, "b"), (1, "a"), (2, "c")].map(entry));
        assert_eq!(table, Table::from([(1, "a"), (2, "c")].map(entry)));
        assert_eq!(table.get(&Data::Count(2)), Some(&Data::string("c")));
        let old = table.insert(Data::Count(2), Data::string("d"));
        assert_eq!(old, Some(Data::string("c")));
        assert_eq!(table.insert(Data::Count(0), Data::None), None);
        assert!(table.keys().eq(&[0, 1, 2].map(Data::Count)));
        assert_eq!(table.values().len(), 3);
        assert!(!table.contains_key(&Data::Count(3)));
    }

    fn entry((key, value): (u64, &str)) -> (Data, Data) {
        (Data::Count(key), Data::string(value))
    }
}
