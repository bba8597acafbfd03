//! Who wants what, of all peers together (WIRE §6.2).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::LinkId;
use super::interest::Interest;
use crate::topic::Topic;

/// The prefixes in all peers' filters. Finding the peers that want a topic takes time by how many
/// prefixes of it are wanted, not by how many peers there are.
#[derive(Debug, Default)]
pub(super) struct Routes {
    prefixes: BTreeMap<Vec<u8>, BTreeSet<LinkId>>,
    /// The last answer: messages on one topic often come in a row.
    last: Option<(Topic, Arc<[LinkId]>)>,
}

impl Routes {
    /// A peer wants this; it wants nothing yet.
    pub(super) fn add(&mut self, link: LinkId, interest: &Interest) {
        self.last = None;
        for topic in interest.topics() {
            let prefix = topic.as_bytes().to_vec();
            self.prefixes.entry(prefix).or_default().insert(link);
        }
    }

    /// A peer wants this no more.
    pub(super) fn remove(&mut self, link: LinkId, interest: &Interest) {
        self.last = None;
        for topic in interest.topics() {
            let prefix = topic.as_bytes();
            let Some(links) = self.prefixes.get_mut(prefix) else {
                continue;
            };
            links.remove(&link);
            if links.is_empty() {
                self.prefixes.remove(prefix);
            }
        }
    }

    /// The links of all peers that want `topic`, each once: no interest holds two prefixes of it.
    pub(super) fn matching(&mut self, topic: &Topic) -> Arc<[LinkId]> {
        if let Some((last, links)) = &self.last
            && last == topic
        {
            return Arc::clone(links);
        }
        let links: Arc<[LinkId]> = self.find(topic).into();
        self.last = Some((topic.clone(), Arc::clone(&links)));
        links
    }

    fn find(&self, topic: &Topic) -> Vec<LinkId> {
        let mut found = Vec::new();
        let mut rest = topic.as_bytes();
        loop {
            let below = (Bound::Unbounded, Bound::Included(rest));
            let Some((entry, links)) = self.prefixes.range::<[u8], _>(below).next_back() else {
                break;
            };
            // Every prefix of `rest` that is wanted sorts at or before `entry`, so it is a prefix of
            // `entry` too, and no longer than what the two share.
            let shared = shared_len(entry, rest);
            let next = if shared == entry.len() {
                found.extend(links);
                shared.checked_sub(1)
            } else {
                Some(shared)
            };
            let Some(shorter) = next.and_then(|len| rest.get(..len)) else {
                break;
            };
            rest = shorter;
        }
        found.sort_unstable();
        found
    }
}

fn shared_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Filter;

    #[test]
    fn routes_find_what_the_filters_match() {
        let names = ["", "/", "/a", "/a/b", "/a/b/c", "/a0", "/ab", "/b", "zeek"];
        let topics = names.map(Topic::from_static);
        let filter = |chosen: u64| {
            let picked = (0..names.len()).filter(|i| chosen >> i & 1 == 1);
            Filter::from_wire(picked.map(|i| topics[i].clone()).collect())
        };
        // Peers whose filters are all subsets of the topics, of which every third leaves again.
        let mut routes = Routes::default();
        for n in 0..1 << names.len() {
            routes.add(LinkId::Accepted(n), &Interest::from(filter(n)));
        }
        for n in (0..1 << names.len()).step_by(3) {
            routes.remove(LinkId::Accepted(n), &Interest::from(filter(n)));
        }
        let others = ["/a/b/d", "/a/bc", "/abc", "/c", "a", "zee", "zeeks", "0"];
        for topic in topics.iter().chain(&others.map(Topic::from_static)) {
            let wants = |n: &u64| !n.is_multiple_of(3) && filter(*n).matches(topic);
            let expected = (0..1 << names.len()).filter(wants).map(LinkId::Accepted);
            assert_eq!(
                *routes.matching(topic),
                *expected.collect::<Vec<_>>(),
                "{topic}"
            );
        }
    }

    #[test]
    fn who_comes_or_leaves_between_two_messages_is_noticed() {
        let topic = Topic::from_static("/a/b");
        let interest = Interest::from(Filter::from_wire(vec![Topic::from_static("/a")]));
        let [first, second] = [0, 1].map(LinkId::Accepted);
        let mut routes = Routes::default();
        assert_eq!(*routes.matching(&topic), []);
        routes.add(first, &interest);
        assert_eq!(*routes.matching(&topic), [first]);
        routes.add(second, &interest);
        assert_eq!(*routes.matching(&topic), [first, second]);
        routes.remove(first, &interest);
        assert_eq!(*routes.matching(&topic), [second]);
        assert_eq!(*routes.matching(&Topic::from_static("/b")), []);
    }

    #[test]
    fn nothing_is_left_of_those_who_left() {
        let interest = Interest::from(Filter::from_wire(vec![Topic::from_static("/a")]));
        let mut routes = Routes::default();
        routes.add(LinkId::Accepted(0), &interest);
        routes.remove(LinkId::Accepted(0), &interest);
        assert!(routes.prefixes.is_empty());
    }
}
