//! The management log on disk, written by a thread of its own.

mod file;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use broker_proto::Timestamp;

use self::file::{LogFile, Zone};
use super::writer::{self, Finished, Next, Queue, Writer};
use crate::log::{LogRole, LogSettings, Record};

/// What a record takes besides its text.
const RECORD_SIZE: usize = 64;
/// How long the thread sleeps if there is nothing to do: any time.
const IDLE: Duration = Duration::from_secs(3600);

/// Takes records, and has them written.
#[derive(Debug)]
pub struct Log {
    settings: LogSettings,
    records: Writer<(Timestamp, Record)>,
    finished: Finished,
}

impl Log {
    /// The log of this node in this directory, which is created if need be. What a former process
    /// left there is put away. Nothing of that can fail the program: what goes wrong is told on
    /// standard error.
    pub fn start(dir: PathBuf, node: &str, role: LogRole, settings: LogSettings) -> Self {
        let (node, thread_settings) = (node.to_owned(), settings.clone());
        let (records, finished) = writer::start("log", move |queue| {
            let (zone, opened) = (Zone::local(), now());
            let file = LogFile::new(dir, &node, role, thread_settings, zone, opened);
            keep(file, &queue);
        });
        Self {
            settings,
            records,
            finished,
        }
    }

    /// Adds a record, unless its level is too low.
    pub fn write(&self, record: Record) {
        if record.level >= self.settings.level {
            let size = record.message.len() + RECORD_SIZE;
            self.records.write(size, (now(), record));
        }
    }

    /// Waits until everything is written, but not for long.
    pub fn finish(self) {
        drop(self.records);
        self.finished.wait();
    }
}

/// Writes and rotates until nobody has records any more.
fn keep(mut file: LogFile, queue: &Queue<(Timestamp, Record)>) {
    loop {
        let next = queue.ready().map(Next::Item).unwrap_or_else(|| {
            let next = file.next_rotation();
            let wait = next.map_or(IDLE, |at| duration(at.0.saturating_sub(now().0)));
            queue.next(wait)
        });
        match next {
            Next::Item((at, record)) => {
                file.rotate_if_due(at);
                file.add_lost(queue.lost());
                file.write(at, &record);
            }
            Next::Due => file.rotate_if_due(now()),
            Next::End => {
                file.add_lost(queue.lost());
                return file.finish(now());
            }
        }
    }
}

pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX))
}

fn duration(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
