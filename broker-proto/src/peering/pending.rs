//! Links of strangers: accepted, and still in their handshake (WIRE §11).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use tracing::debug;

use super::link::{Link, LinkState};
use super::retry::Ended;
use super::{Endpoint, LinkId};
use crate::source::Source;

impl Endpoint {
    /// Has room for one more link from there: the oldest that is still in its handshake goes, of
    /// the same source if that has its share, so that those who dawdle do not keep out those who do
    /// not.
    pub(super) fn make_room(&mut self, now: Instant, remote: SocketAddr) {
        let source = Source::of(remote.ip());
        let mut pending: BTreeMap<Source, Vec<LinkId>> = BTreeMap::new();
        // Links are in the order in which they came.
        for (id, link) in self.links.iter().filter(|(_, link)| is_pending(link)) {
            let source = Source::of(link.remote.ip());
            pending.entry(source).or_default().push(*id);
        }
        let of_source = pending.get(&source);
        let all = pending.values().map(Vec::len).sum::<usize>();
        let refused = &mut self.counters.refused;
        let oldest = if of_source.map_or(0, Vec::len) >= self.options.pending_links_per_source {
            refused.pending_from_source += 1;
            of_source.and_then(|links| links.first())
        } else if all >= self.options.pending_links {
            refused.pending += 1;
            let largest = |links: &&Vec<LinkId>| (links.len(), Reverse(links.first().copied()));
            pending
                .values()
                .max_by_key(largest)
                .and_then(|links| links.first())
        } else {
            None
        };
        if let Some(oldest) = oldest.copied() {
            debug!(link = %oldest, "too many links are in their handshake, the oldest goes");
            self.end(now, oldest, "too many pending links", Ended::Failed);
        }
    }
}

fn is_pending(link: &Link) -> bool {
    match link.state {
        LinkState::Handshake(_) | LinkState::Parked { .. } => link.dialed.is_none(),
        LinkState::Dialing | LinkState::Peered(_) | LinkState::Closing => false,
    }
}
