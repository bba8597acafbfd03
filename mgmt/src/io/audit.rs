//! The audit log on disk, written by a thread of its own (API §17).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use broker_proto::Timestamp;
use tracing::{info, warn};

use super::log::now;
use super::writer::{self, Finished, Next, Queue, Writer};
use crate::audit::hush::{Hush, Verdict};
use crate::audit::{self, Entry};

#[cfg(test)]
mod tests;

/// Takes entries, and has them written.
#[derive(Debug)]
pub struct AuditLog {
    /// `None` for one that is off.
    kept: Option<(AuditWriter, Finished)>,
}

/// Where entries go; for those who have some to add.
#[derive(Clone, Debug)]
pub struct AuditWriter(Writer<Order>);

#[derive(Debug)]
enum Order {
    Write(Timestamp, Box<Entry>),
    Reopen,
    /// The program ends, whoever may still have a writer.
    End,
}

impl AuditLog {
    /// A log that keeps nothing.
    pub fn off() -> Self {
        Self { kept: None }
    }

    /// A log in this file. What is there already stays, and the directory is made if need be.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn start(path: PathBuf) -> io::Result<Self> {
        let file = open(&path)?;
        Ok(Self::on(LogFile::new(path, Some(file))))
    }

    /// The same, but a file that cannot be opened is only told of. It is tried again with the next
    /// entry.
    pub fn start_anyway(path: PathBuf) -> Self {
        let file = open(&path);
        if let Err(error) = &file {
            warn!(path = %path.display(), %error, "cannot open the audit log");
        }
        Self::on(LogFile::new(path, file.ok()))
    }

    fn on(log: LogFile) -> Self {
        let (writer, finished) = writer::start("audit", move |queue| log.keep(&queue));
        Self {
            kept: Some((AuditWriter(writer), finished)),
        }
    }

    /// For others who have entries; `None` if the log is off.
    pub fn writer(&self) -> Option<AuditWriter> {
        self.kept.as_ref().map(|(writer, _)| writer.clone())
    }

    /// Adds an entry.
    pub fn write(&self, entry: Entry) {
        if let Some((writer, _)) = &self.kept {
            writer.write(entry);
        }
    }

    /// Goes on in the file of that name as it is now: another one, if somebody has moved the old.
    pub fn reopen(&self) {
        if let Some((writer, _)) = &self.kept {
            writer.0.write(ENTRY_SIZE, Order::Reopen);
        }
    }

    /// Waits until everything is written, but not for long. What other writers add later is lost.
    pub fn finish(self) {
        if let Some((writer, finished)) = self.kept {
            writer.0.write(0, Order::End);
            drop(writer);
            finished.wait();
        }
    }
}

impl AuditWriter {
    /// Adds an entry. Never waits.
    pub fn write(&self, entry: Entry) {
        self.0
            .write(ENTRY_SIZE, Order::Write(now(), Box::new(entry)));
    }
}

/// The thread's side.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: Option<File>,
    /// Lines to be written at once, and how many.
    pending: (Vec<u8>, u64),
    hush: Hush,
    /// Lines that nobody will read, and that no line has told of.
    lost: u64,
    trouble: Option<Trouble>,
}

/// The file cannot be written.
#[derive(Debug)]
struct Trouble {
    tried: Instant,
    reason: String,
}

impl LogFile {
    fn new(path: PathBuf, file: Option<File>) -> Self {
        Self {
            path,
            file,
            pending: (Vec::new(), 0),
            hush: Hush::default(),
            lost: 0,
            trouble: None,
        }
    }

    fn keep(mut self, queue: &Queue<Order>) {
        loop {
            let next = queue.ready().map(Next::Item).unwrap_or_else(|| {
                self.flush();
                queue.next(QUIET)
            });
            match next {
                Next::Item(Order::Write(at, entry)) => {
                    self.count_lost(queue);
                    self.add(at, &entry);
                }
                Next::Item(Order::Reopen) => {
                    self.flush();
                    self.file = None;
                    self.trouble = None;
                    info!(path = %self.path.display(), "the audit log is opened anew");
                    // It shall be there at once, for whoever waits for it.
                    self.append(&[], 0);
                }
                Next::Due => {
                    let quiet = self.hush.quiet(Instant::now());
                    self.add_left_out(quiet);
                }
                Next::Item(Order::End) | Next::End => {
                    self.count_lost(queue);
                    let all = self.hush.all();
                    return self.end(all);
                }
            }
        }
    }

    fn add(&mut self, at: Timestamp, entry: &Entry) {
        let verdict = match entry.hushed() {
            Some(source) => self.hush.line(Instant::now(), source),
            None => Verdict::Write(0),
        };
        if let Verdict::Write(left_out) = verdict {
            self.push(&entry.line(at, left_out));
        }
    }

    /// A line is written with those that are there behind it, or soon if there are none.
    fn push(&mut self, line: &[u8]) {
        let (text, lines) = &mut self.pending;
        text.extend_from_slice(line);
        *lines += 1;
        if text.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let (text, lines) = mem::take(&mut self.pending);
        if lines > 0 {
            self.append(&text, lines);
        }
    }

    /// What was lost in the queue was lost behind what is pending.
    fn count_lost(&mut self, queue: &Queue<Order>) {
        let lost = queue.lost();
        if lost > 0 {
            self.flush();
            self.lost += lost;
        }
    }

    fn add_left_out(&mut self, sources: Vec<(String, u64)>) {
        for (source, count) in sources {
            self.push(&audit::left_out_line(now(), &source, count));
        }
        self.flush();
    }

    fn end(mut self, sources: Vec<(String, u64)>) {
        self.trouble = None;
        self.add_left_out(sources);
        self.append(&[], 0);
        if let Some(file) = &self.file {
            let _ = file.sync_all();
        }
        if self.lost > 0 {
            warn!(lost = self.lost, path = %self.path.display(), "lines of the audit log were lost");
        }
    }

    /// Adds so many lines, and one before them if others were lost. While the disk refuses, lines are
    /// lost and counted; it is asked again every second.
    fn append(&mut self, added: &[u8], lines: u64) {
        if let Some(trouble) = &self.trouble
            && trouble.tried.elapsed() < RETRY
        {
            self.lost += lines;
            return;
        }
        let mut text = Vec::new();
        if self.lost > 0 {
            let reason = match &self.trouble {
                Some(trouble) => &trouble.reason,
                None => "the disk was too slow",
            };
            text = audit::lost_line(now(), self.lost, reason);
        }
        text.extend_from_slice(added);
        match self.put(&text) {
            Ok(()) => {
                self.lost = 0;
                self.trouble = None;
            }
            Err(error) => {
                self.lost += lines;
                if self.trouble.is_none() {
                    warn!(path = %self.path.display(), %error, "cannot write the audit log");
                }
                let reason = error.to_string();
                let tried = Instant::now();
                self.trouble = Some(Trouble { tried, reason });
            }
        }
    }

    /// Whole lines or nothing: what a full disk took of a line is taken back.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        let len = file.metadata()?.len();
        let written = file.write_all(bytes);
        if written.is_err() {
            // If that fails too, the next line goes on where this one broke off.
            let _ = file.set_len(len);
        }
        self.file = Some(file);
        written
    }
}

/// Whether a log can be kept in this file.
pub(super) fn check(path: &Path) -> io::Result<()> {
    open(path).map(drop)
}

/// Readable for the group, for who collects logs; requests are nobody else's business.
fn open(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640).open(path)
}

/// What an entry takes while it waits, about, in bytes.
const ENTRY_SIZE: usize = 1024;

/// How often addresses are looked for that have fallen silent.
const QUIET: Duration = Duration::from_secs(30);

/// How much is written at once, about, in bytes.
const BATCH: usize = 64 << 10;

/// Between attempts to write where it failed.
const RETRY: Duration = Duration::from_secs(1);
