//! What waits to be written to one peer (WIRE §6.8).

use std::collections::VecDeque;

use bytes::Bytes;

/// How many messages the caller holds at a time. Enough to fill a socket buffer, few enough that
/// the overflow policy decides about nearly everything that waits.
const WINDOW: usize = 128;

/// A bounded queue of frames: when it is full the oldest is dropped, as Zeek 7.2 and later do.
#[derive(Debug)]
pub(super) struct Outbox {
    limit: usize,
    in_flight: usize,
    queue: VecDeque<Bytes>,
    dropped: u64,
}

impl Outbox {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            in_flight: 0,
            queue: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Adds a frame. Returns how many were dropped so far if this one pushed another out.
    pub(super) fn push(&mut self, frame: Bytes) -> Option<u64> {
        self.queue.push_back(frame);
        if self.in_flight < WINDOW || self.queue.len() <= self.limit {
            return None;
        }
        self.queue.pop_front();
        self.dropped += 1;
        Some(self.dropped)
    }

    /// The next frame to hand to the caller, if it may hold one more.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.in_flight >= WINDOW {
            return None;
        }
        let frame = self.queue.pop_front()?;
        self.in_flight += 1;
        Some(frame)
    }

    /// The caller has written this many.
    pub(super) fn sent(&mut self, messages: usize) {
        self.in_flight = self.in_flight.saturating_sub(messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_the_peer_does_not_read() {
        let mut outbox = Outbox::new(2);
        for i in 0..WINDOW {
            assert_eq!(
                outbox.push(Bytes::from(vec![u8::try_from(i).unwrap()])),
                None
            );
            assert!(outbox.pop().is_some());
        }
        assert_eq!(outbox.push("a".into()), None);
        assert_eq!(outbox.push("b".into()), None);
        assert_eq!(outbox.pop(), None);
        assert_eq!(outbox.push("c".into()), Some(1));
        outbox.sent(2);
        assert_eq!(outbox.pop(), Some("b".into()));
        assert_eq!(outbox.pop(), Some("c".into()));
        assert_eq!(outbox.pop(), None);
    }
}
