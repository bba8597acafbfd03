//! The management log on disk.
//!
//! A thread of its own writes it, so that a slow or hanging disk holds up nobody. What waits for
//! it is bounded; beyond that, messages are lost and counted.

mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, SystemTime};

use broker_proto::Timestamp;
use tracing::{error, warn};

use self::file::{LogFile, Zone};
use crate::log::{LogRole, LogSettings, Record};

/// How many bytes may wait to be written.
const MAX_QUEUED: usize = 16 << 20;
/// What a record takes besides its text.
const RECORD_SIZE: usize = 64;
/// How long the end of the program may wait for the disk.
const FINISH_LIMIT: Duration = Duration::from_secs(2);
/// How long the thread sleeps if there is nothing to do: any time.
const IDLE: Duration = Duration::from_secs(3600);
/// Of the thread.
const STACK_SIZE: usize = 256 << 10;

/// Takes records, and has them written.
#[derive(Debug)]
pub struct Log {
    settings: LogSettings,
    /// `None` if there is no thread.
    records: Option<Sender<(Timestamp, Record)>>,
    finished: Receiver<()>,
    shared: Arc<Shared>,
}

/// What the thread and those who write have in common.
#[derive(Debug, Default)]
struct Shared {
    queued: AtomicUsize,
    lost: AtomicU64,
}

impl Log {
    /// The log of this node in this directory, which is created if need be. What a former process
    /// left there is put away. Nothing of that can fail the program: what goes wrong is told on
    /// standard error.
    pub fn start(dir: PathBuf, node: &str, role: LogRole, settings: LogSettings) -> Self {
        let (records, queue) = mpsc::channel();
        let (end, finished) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let (node, thread_shared) = (node.to_owned(), Arc::clone(&shared));
        let thread_settings = settings.clone();
        let started = thread::Builder::new()
            .name("log".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || {
                let (zone, opened) = (Zone::local(), now());
                let file = LogFile::new(dir, &node, role, thread_settings, zone, opened);
                keep(file, &queue, &thread_shared);
                // Nobody may be waiting any more.
                let _ = end.send(());
            });
        if let Err(error) = &started {
            error!(%error, "cannot start the thread that writes the management log");
        }
        Self {
            settings,
            records: started.is_ok().then_some(records),
            finished,
            shared,
        }
    }

    /// Adds a record, unless its level is too low.
    pub fn write(&self, record: Record) {
        let Some(records) = &self.records else {
            return;
        };
        if record.level < self.settings.level {
            return;
        }
        let size = record.message.len() + RECORD_SIZE;
        let queued = self.shared.queued.fetch_add(size, Ordering::Relaxed);
        if queued + size > MAX_QUEUED || records.send((now(), record)).is_err() {
            self.shared.queued.fetch_sub(size, Ordering::Relaxed);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything is written, but not for long.
    pub fn finish(mut self) {
        if self.records.take().is_some() && self.finished.recv_timeout(FINISH_LIMIT).is_err() {
            warn!("the end of the management log could not be written in time");
        }
    }
}

/// Writes and rotates until nobody has records any more.
fn keep(mut file: LogFile, queue: &Receiver<(Timestamp, Record)>, shared: &Shared) {
    loop {
        let next = file.next_rotation();
        let wait = next.map_or(IDLE, |at| duration(at.0.saturating_sub(now().0)));
        match queue.recv_timeout(wait) {
            Ok((at, record)) => {
                file.rotate_if_due(at);
                let lost = shared.lost.swap(0, Ordering::Relaxed);
                file.add_lost(lost);
                file.write(at, &record);
                let size = record.message.len() + RECORD_SIZE;
                shared.queued.fetch_sub(size, Ordering::Relaxed);
            }
            Err(RecvTimeoutError::Timeout) => file.rotate_if_due(now()),
            Err(RecvTimeoutError::Disconnected) => {
                file.add_lost(shared.lost.swap(0, Ordering::Relaxed));
                return file.finish(now());
            }
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX))
}

fn duration(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
