//! Requests that wait for answers, and when to stop waiting (API §3).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Open requests by id. Unlike stock's, the table has no null entry: an empty id is an id (API §3
/// R3), and an id that is in use is refused instead of replaced (R2).
#[derive(Debug)]
pub struct Requests<S> {
    open: BTreeMap<String, Open<S>>,
    /// The same, as they expire: thousands may be open, and the next deadline is asked for after
    /// whatever happens.
    due: BTreeSet<(Instant, String)>,
}

#[derive(Debug)]
struct Open<S> {
    deadline: Instant,
    state: S,
}

impl<S> Default for Requests<S> {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }
}

impl<S> Requests<S> {
    /// Opens a request; gives the state back if the id is in use.
    ///
    /// # Errors
    /// If the id is in use.
    pub fn open(&mut self, id: &str, deadline: Instant, state: S) -> Result<(), S> {
        if self.open.contains_key(id) {
            return Err(state);
        }
        self.open.insert(id.to_owned(), Open { deadline, state });
        self.due.insert((deadline, id.to_owned()));
        Ok(())
    }

    /// The state of an open request.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut S> {
        self.open.get_mut(id).map(|open| &mut open.state)
    }

    /// Ends a request.
    pub fn finish(&mut self, id: &str) -> Option<S> {
        let (id, open) = self.open.remove_entry(id)?;
        self.due.remove(&(open.deadline, id));
        Some(open.state)
    }

    /// How many requests are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no request is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When the next request expires.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    /// Ends the request that expired first, if any has.
    pub fn pop_expired(&mut self, now: Instant) -> Option<(String, S)> {
        self.next_deadline().filter(|due| *due <= now)?;
        let (_, id) = self.due.pop_first()?;
        let open = self.open.remove(&id)?;
        Some((id, open.state))
    }

    /// Open requests, by id.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut S)> {
        self.open
            .iter_mut()
            .map(|(id, open)| (id.as_str(), &mut open.state))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn requests_expire_in_deadline_order() {
        let t0 = start();
        let mut requests = Requests::default();
        requests
            .open("a", t0 + Duration::from_secs(5), 'a')
            .unwrap();
        requests
            .open("b", t0 + Duration::from_secs(3), 'b')
            .unwrap();
        assert_eq!(requests.next_deadline(), Some(t0 + Duration::from_secs(3)));
        let late = t0 + Duration::from_secs(9);
        assert_eq!(requests.pop_expired(t0), None);
        assert_eq!(requests.pop_expired(late), Some(("b".into(), 'b')));
        assert_eq!(requests.pop_expired(late), Some(("a".into(), 'a')));
        assert_eq!(requests.pop_expired(late), None);
    }

    #[test]
    fn finished_requests_do_not_expire_and_their_ids_are_free() {
        let t0 = start();
        let at = |secs| t0 + Duration::from_secs(secs);
        let mut requests = Requests::default();
        requests.open("a", at(1), 1).unwrap();
        requests.open("b", at(2), 2).unwrap();
        requests.open("c", at(2), 3).unwrap();
        assert_eq!(requests.finish("a"), Some(1));
        assert_eq!(requests.next_deadline(), Some(at(2)));
        requests.open("a", at(3), 4).unwrap();
        let mut expired = Vec::new();
        while let Some((id, state)) = requests.pop_expired(at(2)) {
            expired.push((id, state));
        }
        assert_eq!(expired, [("b".into(), 2), ("c".into(), 3)]);
        assert_eq!(requests.next_deadline(), Some(at(3)));
        assert_eq!(requests.finish("a"), Some(4));
        assert_eq!(requests.next_deadline(), None);
        assert!(requests.is_empty());
    }

    #[test]
    fn an_id_in_use_is_refused_and_the_first_request_stays() {
        let t0 = start();
        let mut requests = Requests::default();
        requests.open("a", t0, 1).unwrap();
        assert_eq!(requests.open("a", t0, 2), Err(2));
        assert_eq!(requests.finish("a"), Some(1));
        assert_eq!(requests.finish("a"), None);
    }

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn start() -> Instant {
        Instant::now()
    }
}
