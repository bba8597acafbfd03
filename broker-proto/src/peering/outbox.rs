//! What waits to be written to one peer (WIRE §6.8).

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Options, OverflowPolicy};

/// How many bytes the caller holds at a time, and always one frame. Enough to fill a socket buffer,
/// few enough that the overflow policy decides about nearly everything that waits.
const WINDOW: usize = 512 << 10;

/// A bounded queue of frames. Answers to pings and the own filter travel beside it, so that neither
/// a slow peer nor a flood of messages loses or delays them.
#[derive(Debug)]
pub(super) struct Outbox {
    policy: OverflowPolicy,
    max_messages: usize,
    max_bytes: usize,
    max_pongs: usize,
    /// Sizes of what the caller holds.
    in_flight: VecDeque<usize>,
    in_flight_bytes: usize,
    pongs: VecDeque<Bytes>,
    update: Option<Bytes>,
    queue: VecDeque<Entry>,
    /// What is left of a frame whose start the caller has: nothing may come between.
    begun: VecDeque<Bytes>,
    /// What the policy may drop of the queue: how many, and how many bytes.
    messages: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    frame: Frame,
    kept: bool,
}

/// One frame, in one piece or in several that others may share.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    first: Bytes,
    /// In their order.
    others: Vec<Bytes>,
}

impl Frame {
    /// In pieces, of which this is the first.
    pub(super) fn in_parts(first: Bytes, others: Vec<Bytes>) -> Self {
        Self { first, others }
    }

    /// In bytes.
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.others.iter().map(Bytes::len).sum::<usize>()
    }
}

impl<B: Into<Bytes>> From<B> for Frame {
    fn from(bytes: B) -> Self {
        Self::in_parts(bytes.into(), Vec::new())
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pushed {
    /// It waits.
    Queued,
    /// So many were dropped, itself perhaps among them.
    Dropped(u64),
    /// It does not fit, and the policy is to cut the link.
    Full,
}

impl Outbox {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            policy: options.overflow,
            max_messages: options.outbox,
            max_bytes: options.outbox_bytes,
            max_pongs: options.pongs.max(1),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            pongs: VecDeque::new(),
            update: None,
            queue: VecDeque::new(),
            begun: VecDeque::new(),
            messages: 0,
            bytes: 0,
        }
    }

    /// Adds a message, which the overflow policy may drop.
    pub(super) fn push(&mut self, frame: impl Into<Frame>) -> Pushed {
        let frame = frame.into();
        if !self.overflows(frame.len()) {
            self.append(frame);
            return Pushed::Queued;
        }
        match self.policy {
            OverflowPolicy::DropNewest => Pushed::Dropped(1),
            OverflowPolicy::Disconnect => Pushed::Full,
            OverflowPolicy::DropOldest => {
                let mut dropped = 0;
                while self.overflows(frame.len()) && self.drop_oldest() {
                    dropped += 1;
                }
                self.append(frame);
                Pushed::Dropped(dropped)
            }
        }
    }

    /// Adds a frame that is never dropped, behind everything that waits: a handshake message, or a
    /// ping of our own. There are at most a handful of them.
    pub(super) fn push_kept(&mut self, frame: Bytes) {
        let frame = frame.into();
        self.queue.push_back(Entry { frame, kept: true });
    }

    /// Adds the answer to a ping, before the messages. Returns whether an older one had to go.
    pub(super) fn push_pong(&mut self, frame: Bytes) -> bool {
        self.pongs.push_back(frame);
        self.pongs.len() > self.max_pongs && self.pongs.pop_front().is_some()
    }

    /// Adds our filter, before the messages, in place of one that still waits.
    pub(super) fn push_update(&mut self, frame: Bytes) {
        self.update = Some(frame);
    }

    /// The next frame, or part of one, to hand to the caller, if it may hold one more.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.is_window_full() {
            return None;
        }
        let begun = self.begun.pop_front();
        let control = || self.update.take().or_else(|| self.pongs.pop_front());
        let bytes = begun.or_else(control).or_else(|| self.pop_queue())?;
        self.in_flight.push_back(bytes.len());
        self.in_flight_bytes += bytes.len();
        Some(bytes)
    }

    /// How many wait, not counting those handed to the caller.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The caller has written this many.
    pub(super) fn sent(&mut self, messages: usize) {
        for size in self.in_flight.drain(..messages.min(self.in_flight.len())) {
            self.in_flight_bytes -= size;
        }
    }

    /// The queue is bounded only while the caller cannot take more anyway.
    fn overflows(&self, size: usize) -> bool {
        let is_full = self.messages >= self.max_messages
            || (self.messages > 0 && self.bytes + size > self.max_bytes);
        is_full && self.is_window_full()
    }

    fn is_window_full(&self) -> bool {
        self.in_flight_bytes >= WINDOW
    }

    fn append(&mut self, frame: Frame) {
        self.messages += 1;
        self.bytes += frame.len();
        self.queue.push_back(Entry { frame, kept: false });
    }

    fn pop_queue(&mut self) -> Option<Bytes> {
        let Entry { frame, kept } = self.queue.pop_front()?;
        if !kept {
            self.forget(frame.len());
        }
        self.begun.extend(frame.others);
        Some(frame.first)
    }

    fn drop_oldest(&mut self) -> bool {
        let oldest = self.queue.iter().position(|entry| !entry.kept);
        let Some(entry) = oldest.and_then(|at| self.queue.remove(at)) else {
            return false;
        };
        self.forget(entry.frame.len());
        true
    }

    fn forget(&mut self, size: usize) {
        self.messages -= 1;
        self.bytes -= size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_the_peer_does_not_read() {
        let mut outbox = full(OverflowPolicy::DropOldest);
        assert_eq!(outbox.push("c"), Pushed::Dropped(1));
        outbox.sent(1);
        assert_eq!(drain(&mut outbox), ["b", "c"]);
    }

    #[test]
    fn the_newest_goes_if_that_is_the_policy() {
        let mut outbox = full(OverflowPolicy::DropNewest);
        assert_eq!(outbox.push("c"), Pushed::Dropped(1));
        outbox.sent(1);
        assert_eq!(drain(&mut outbox), ["a", "b"]);
    }

    #[test]
    fn nothing_goes_if_the_link_shall_be_cut() {
        let mut outbox = full(OverflowPolicy::Disconnect);
        assert_eq!(outbox.push("c"), Pushed::Full);
        outbox.sent(1);
        assert_eq!(drain(&mut outbox), ["a", "b"]);
    }

    #[test]
    fn large_messages_fill_it_before_their_number_does() {
        let mut outbox = full(OverflowPolicy::DropOldest);
        assert_eq!(outbox.push("four"), Pushed::Dropped(1));
        assert_eq!(outbox.push("many more"), Pushed::Dropped(2));
        outbox.sent(1);
        assert_eq!(drain(&mut outbox), ["many more"]);
    }

    #[test]
    fn control_frames_are_neither_dropped_nor_held_up() {
        let mut outbox = full(OverflowPolicy::DropOldest);
        outbox.push_kept("bye".into());
        outbox.push_update("old filter".into());
        outbox.push_update("filter".into());
        assert!(!outbox.push_pong("1".into()));
        assert!(!outbox.push_pong("2".into()));
        assert!(outbox.push_pong("3".into()));
        assert_eq!(outbox.push("c"), Pushed::Dropped(1));
        assert_eq!(outbox.push("d"), Pushed::Dropped(1));
        assert_eq!(outbox.push("e"), Pushed::Dropped(1));
        outbox.sent(1);
        assert_eq!(drain(&mut outbox), ["filter", "2", "3", "bye", "d", "e"]);
    }

    #[test]
    fn a_queue_for_none_has_room_for_the_newest() {
        let mut outbox = Outbox::new(&Options {
            outbox: 0,
            overflow: OverflowPolicy::DropOldest,
            ..Options::default()
        });
        outbox.push(vec![0; WINDOW]);
        assert!(outbox.pop().is_some());
        outbox.push_kept("bye".into());
        assert_eq!(outbox.push(Bytes::from("a")), Pushed::Dropped(0));
        assert_eq!(outbox.push(Bytes::from("b")), Pushed::Dropped(1));
        outbox.sent(1);
        assert_eq!(drain(&mut outbox), ["bye", "b"]);
    }

    #[test]
    fn nothing_comes_between_the_parts_of_a_frame_and_all_of_them_count() {
        let mut outbox = full(OverflowPolicy::DropOldest);
        let parts = ["rts", "!"].map(Bytes::from).to_vec();
        assert_eq!(
            outbox.push(Frame::in_parts("pa".into(), parts)),
            Pushed::Dropped(1)
        );
        outbox.sent(1);
        assert_eq!(outbox.pop(), Some("b".into()));
        assert_eq!(outbox.pop(), Some("pa".into()));
        outbox.push_pong("pong".into());
        // What it has begun is no message that could be dropped any more.
        assert_eq!(outbox.push(vec![0; WINDOW]), Pushed::Queued);
        assert_eq!(outbox.pop(), Some("rts".into()));
        assert_eq!(outbox.pop(), Some("!".into()));
        assert_eq!(outbox.pop(), Some("pong".into()));
        assert_eq!(outbox.in_flight_bytes, "bparts!pong".len());
    }

    #[test]
    fn reports_of_more_than_was_handed_out_do_no_harm() {
        let mut outbox = full(OverflowPolicy::DropOldest);
        outbox.sent(usize::MAX);
        assert_eq!(drain(&mut outbox), ["a", "b"]);
    }

    /// The caller has all it may hold, and two messages wait in a queue for two.
    fn full(overflow: OverflowPolicy) -> Outbox {
        let options = Options {
            outbox: 2,
            outbox_bytes: 8,
            overflow,
            pongs: 2,
            ..Options::default()
        };
        let mut outbox = Outbox::new(&options);
        assert_eq!(outbox.push(vec![0; WINDOW]), Pushed::Queued);
        assert!(outbox.pop().is_some());
        assert_eq!(outbox.push("a"), Pushed::Queued);
        assert_eq!(outbox.push("b"), Pushed::Queued);
        assert_eq!(outbox.pop(), None);
        outbox
    }

    fn drain(outbox: &mut Outbox) -> Vec<Bytes> {
        std::iter::from_fn(|| outbox.pop()).collect()
    }
}
