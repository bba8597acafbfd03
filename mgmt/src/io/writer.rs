//! A thread that writes, so that a slow or hanging disk holds up nobody. What waits for it is
//! bounded; beyond that, things are lost and counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tracing::{error, warn};

/// How many bytes may wait to be written.
const MAX_QUEUED: usize = 16 << 20;
/// How long the end of the program may wait for the disk.
const FINISH_LIMIT: Duration = Duration::from_secs(2);
/// How long the thread sleeps with its eyes shut once it has nothing to do.
const NAP: Duration = Duration::from_millis(1);
/// Of the thread.
const STACK_SIZE: usize = 256 << 10;

/// Takes things, and has them written. Clones share the thread.
#[derive(Debug)]
pub(super) struct Writer<T> {
    /// `None` if there is no thread.
    items: Option<Sender<(usize, T)>>,
    shared: Arc<Shared>,
}

/// Tells when the thread has ended.
#[derive(Debug)]
pub(super) struct Finished {
    name: &'static str,
    ended: Receiver<()>,
}

/// The thread's end.
#[derive(Debug)]
pub(super) struct Queue<T> {
    items: Receiver<(usize, T)>,
    shared: Arc<Shared>,
}

/// What came next.
#[derive(Debug)]
pub(super) enum Next<T> {
    Item(T),
    /// It is time.
    Due,
    /// Nobody has anything any more.
    End,
}

#[derive(Debug, Default)]
struct Shared {
    queued: AtomicUsize,
    lost: AtomicU64,
}

/// Starts a thread that runs `keep` until nobody has a [`Writer`] any more.
pub(super) fn start<T: Send + 'static>(
    name: &'static str,
    keep: impl FnOnce(Queue<T>) + Send + 'static,
) -> (Writer<T>, Finished) {
    let (items, queued) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let shared = Arc::new(Shared::default());
    let queue = Queue {
        items: queued,
        shared: Arc::clone(&shared),
    };
    let started: io::Result<_> = thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_SIZE)
        .spawn(move || {
            keep(queue);
            // Nobody may be waiting any more.
            let _ = end.send(());
        });
    if let Err(error) = &started {
        error!(%error, name, "cannot start the thread that writes");
    }
    let items = started.is_ok().then_some(items);
    (Writer { items, shared }, Finished { name, ended })
}

impl<T> Writer<T> {
    /// Adds something of this size, in bytes. Never waits.
    pub(super) fn write(&self, size: usize, item: T) {
        let Some(items) = &self.items else {
            return;
        };
        let queued = self.shared.queued.fetch_add(size, Ordering::Relaxed);
        if queued + size > MAX_QUEUED || items.send((size, item)).is_err() {
            self.shared.queued.fetch_sub(size, Ordering::Relaxed);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<T> Clone for Writer<T> {
    fn clone(&self) -> Self {
        Self {
            items: self.items.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Finished {
    /// Waits until the thread has ended, but not for long. It has to know that it shall: all writers
    /// are gone, or somebody told it.
    pub(super) fn wait(self) {
        if self.ended.recv_timeout(FINISH_LIMIT) == Err(RecvTimeoutError::Timeout) {
            warn!(name = self.name, "the end could not be written in time");
        }
    }
}

impl<T> Queue<T> {
    /// Waits for the next thing for so long, a moment at least.
    ///
    /// Waking a thread costs whoever adds something more than adding it does. So this one takes a nap
    /// before it can be woken: what comes close behind other things waits until its end.
    pub(super) fn next(&self, wait: Duration) -> Next<T> {
        thread::sleep(NAP);
        match self.items.recv_timeout(wait) {
            Ok(queued) => Next::Item(self.take(queued)),
            Err(RecvTimeoutError::Timeout) => Next::Due,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// The next thing, if it is there already.
    pub(super) fn ready(&self) -> Option<T> {
        let queued = self.items.try_recv().ok()?;
        Some(self.take(queued))
    }

    fn take(&self, (size, item): (usize, T)) -> T {
        self.shared.queued.fetch_sub(size, Ordering::Relaxed);
        item
    }

    /// How many things were lost since this was asked last.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.swap(0, Ordering::Relaxed)
    }
}
