//! A bounded queue from the endpoint's task to one reader.
//!
//! Both sides move many messages at a time: the task adds what one wake-up brought, the reader
//! takes all there is. A message costs neither of them a lock of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Overflow;

/// The task's end.
#[derive(Debug)]
pub(super) struct Writer<T> {
    shared: Arc<Shared<T>>,
    limit: usize,
    overflow: Overflow,
    /// Not yet added.
    batch: Vec<T>,
    reported: u64,
}

/// The reader's end.
#[derive(Debug)]
pub(super) struct Reader<T> {
    shared: Arc<Shared<T>>,
    taken: VecDeque<T>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// Something was added, or the queue ended.
    added: Notify,
    /// Something was taken; all queues of an endpoint share it.
    taken: Arc<Notify>,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    lost: u64,
    is_ended: bool,
}

/// A queue for `limit` items; `taken` is told whenever there is room again.
pub(super) fn queue<T>(
    limit: usize,
    overflow: Overflow,
    taken: Arc<Notify>,
) -> (Writer<T>, Reader<T>) {
    let state = State {
        items: VecDeque::new(),
        lost: 0,
        is_ended: false,
    };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        added: Notify::new(),
        taken,
    });
    let reader = Reader {
        shared: Arc::clone(&shared),
        taken: VecDeque::new(),
    };
    let writer = Writer {
        shared,
        limit,
        overflow,
        batch: Vec::new(),
        reported: 0,
    };
    (writer, reader)
}

impl<T> Writer<T> {
    /// Adds one item with the next [`Self::flush`].
    pub(super) fn add(&mut self, item: T) {
        self.batch.push(item);
    }

    /// Lets the reader see what was added. Returns how many items are lost by now if that has at
    /// least doubled since it last did.
    pub(super) fn flush(&mut self) -> Option<u64> {
        if self.batch.is_empty() {
            return None;
        }
        let mut state = self.shared.state();
        state.items.extend(self.batch.drain(..));
        let surplus = match self.overflow {
            Overflow::DropOldest => state.items.len().saturating_sub(self.limit),
            Overflow::Wait => 0,
        };
        state.items.drain(..surplus);
        state.lost += u64::try_from(surplus).unwrap_or(u64::MAX);
        let lost = state.lost;
        drop(state);
        self.shared.added.notify_one();
        if surplus == 0 || lost / 2 < self.reported {
            return None;
        }
        self.reported = lost;
        Some(lost)
    }

    /// Whether nothing more may come until the reader has read.
    pub(super) fn is_holding(&self) -> bool {
        match self.overflow {
            Overflow::DropOldest => false,
            Overflow::Wait => !self.is_abandoned() && self.shared.state().items.len() >= self.limit,
        }
    }

    /// Whether there is no reader any more.
    pub(super) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        self.flush();
        self.shared.state().is_ended = true;
        self.shared.added.notify_one();
    }
}

impl<T> Reader<T> {
    /// The next item; `None` when the writer is gone and all is read. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.taken.pop_front() {
                return Some(item);
            }
            let is_ended = {
                let mut state = self.shared.state();
                std::mem::swap(&mut state.items, &mut self.taken);
                state.is_ended
            };
            if !self.taken.is_empty() {
                self.shared.taken.notify_one();
            } else if is_ended {
                return None;
            } else {
                self.shared.added.notified().await;
            }
        }
    }

    pub(super) fn lost(&self) -> u64 {
        self.shared.state().lost
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        // The writer may wait for room that nobody will make.
        self.shared.taken.notify_one();
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_goes_and_is_counted() {
        let (mut writer, mut reader) = queue(2, Overflow::DropOldest, Arc::default());
        writer.add(1);
        assert_eq!(writer.flush(), None);
        (2..=4).for_each(|n| writer.add(n));
        assert_eq!(writer.flush(), Some(2));
        assert_eq!(reader.lost(), 2);
        drop(writer);
        assert_eq!(reader.next().await, Some(3));
        assert_eq!(reader.next().await, Some(4));
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn a_full_queue_holds_until_it_is_read_or_dropped() {
        let taken = Arc::new(Notify::new());
        let (mut writer, mut reader) = queue(1, Overflow::Wait, Arc::clone(&taken));
        assert!(!writer.is_holding());
        (1..=3).for_each(|n| writer.add(n));
        assert_eq!(writer.flush(), None);
        assert!(writer.is_holding());
        assert_eq!(reader.next().await, Some(1));
        taken.notified().await;
        assert!(!writer.is_holding());
        writer.add(4);
        writer.flush();
        assert!(writer.is_holding());
        drop(reader);
        taken.notified().await;
        assert!(writer.is_abandoned() && !writer.is_holding());
    }
}
