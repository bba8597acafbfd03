//! One log file: written line by line, rotated when its time comes, never overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use broker_proto::Timestamp;
use tracing::{info, warn};
use tz::TimeZone;

use crate::log::ascii::{self, LocalTime};
use crate::log::{Format, LogRole, LogSettings, Record};

const SECOND: i64 = 1_000_000_000;

/// Names of files that exist are not used again; this many later ones are tried.
const MAX_RENAMES: i64 = 1000;

/// The host's time zone.
#[derive(Clone, Debug)]
pub(super) struct Zone(TimeZone);

impl Zone {
    /// As `TZ` or `/etc/localtime` say; UTC if they cannot be read.
    pub(super) fn local() -> Self {
        let zone = match std::env::var("TZ") {
            Ok(text) => TimeZone::from_posix_tz(&text),
            Err(_) => TimeZone::local(),
        };
        Self(zone.unwrap_or_else(|_| TimeZone::utc()))
    }

    fn at(&self, secs: i64) -> LocalTime {
        let kind = self.0.find_local_time_type(secs);
        let offset = kind.map_or(0, |kind| kind.ut_offset());
        LocalTime { secs, offset }
    }
}

/// The log of one node.
#[derive(Debug)]
pub(super) struct LogFile {
    dir: PathBuf,
    /// File name without its extension.
    path: String,
    node: String,
    role: LogRole,
    settings: LogSettings,
    zone: Zone,
    file: Option<Open>,
    /// When the period began that the next rotation will end.
    since: i64,
    next_rotation: Option<i64>,
    trouble: Option<Trouble>,
    /// Messages that never came here.
    lost: u64,
}

/// A file with its header.
#[derive(Debug)]
struct Open {
    file: File,
    /// Whole lines so far, in bytes.
    len: u64,
}

/// The file cannot be written.
#[derive(Debug)]
struct Trouble {
    /// When it was tried last.
    tried: i64,
    /// Messages lost since it began.
    lost: u64,
    reason: String,
}

impl LogFile {
    /// Puts away what a former process left. The file itself comes with the first record, as
    /// Zeek's.
    pub(super) fn new(
        dir: PathBuf,
        node: &str,
        role: LogRole,
        settings: LogSettings,
        zone: Zone,
        now: Timestamp,
    ) -> Self {
        let since = secs(now);
        let mut log = Self {
            dir,
            path: ascii::log_path(node),
            node: node.to_owned(),
            role,
            settings,
            zone,
            file: None,
            since,
            next_rotation: None,
            trouble: None,
            lost: 0,
        };
        log.next_rotation = log.rotation_after(since);
        if let Err(error) = fs::create_dir_all(&log.dir) {
            warn!(path = %log.dir.display(), %error, "cannot create the log's directory");
        }
        log.put_away_leftover();
        log
    }

    /// When [`Self::rotate_if_due`] has something to do.
    pub(super) fn next_rotation(&self) -> Option<Timestamp> {
        self.next_rotation
            .map(|at| Timestamp(at.saturating_mul(SECOND)))
    }

    /// Counts messages that were lost on the way here.
    pub(super) fn add_lost(&mut self, count: u64) {
        self.lost += count;
    }

    /// Adds a line. While the disk refuses, lines are lost; it is asked again every second.
    pub(super) fn write(&mut self, now: Timestamp, record: &Record) {
        if let Some(trouble) = &mut self.trouble
            && trouble.tried == secs(now)
        {
            trouble.lost += 1;
            return;
        }
        let told = self.tell_of_loss(now);
        let line = self.line(now, record);
        if let Err(error) = told.and_then(|()| self.append(now, &line)) {
            self.fail(now, &error);
        }
    }

    /// Ends a file whose time is over.
    pub(super) fn rotate_if_due(&mut self, now: Timestamp) {
        if self.next_rotation.is_some_and(|at| at <= secs(now)) {
            self.rotate(secs(now));
        }
    }

    /// Ends the log. As Zeek, a log that is rotated at all is rotated at the end, too.
    pub(super) fn finish(mut self, now: Timestamp) {
        if let Err(error) = self.tell_of_loss(now) {
            self.fail(now, &error);
        }
        if let Some(trouble) = &self.trouble {
            let (lost, path) = (trouble.lost, self.file_path());
            warn!(lost, path = %path.display(), "messages of the management log were lost");
        }
        if self.settings.rotation.is_some() {
            return self.rotate(secs(now));
        }
        self.close(secs(now));
    }

    fn file_path(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.path))
    }

    /// What Zeek's own writer would look for after a crash of ours, and we after one of Zeek's: a
    /// log with such a file beside it was not ended.
    fn shadow_path(&self) -> PathBuf {
        self.dir.join(format!(".shadow.{}.log", self.path))
    }

    /// The next multiple of the interval (Zeek: `calc_next_rotate` without base time).
    fn rotation_after(&self, now: i64) -> Option<i64> {
        let interval = self.settings.rotation?.as_secs().max(1);
        let interval = i64::try_from(interval).ok()?;
        now.div_euclid(interval)
            .checked_add(1)?
            .checked_mul(interval)
    }

    fn line(&self, at: Timestamp, record: &Record) -> Vec<u8> {
        match self.settings.format {
            Format::Ascii => ascii::line(at, &self.node, self.role, record),
            Format::Json => ascii::json_line(at, &self.node, self.role, record),
        }
    }

    fn append(&mut self, now: Timestamp, line: &[u8]) -> io::Result<()> {
        let mut open = match self.file.take() {
            Some(open) => open,
            None => self.open(secs(now))?,
        };
        put(&mut open, line)?;
        self.file = Some(open);
        Ok(())
    }

    fn open(&self, now: i64) -> io::Result<Open> {
        if self.settings.rotation.is_some() {
            // Extension and postprocessor; that one is Zeek's default.
            fs::write(self.shadow_path(), ".log\n\n")?;
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(self.file_path())?;
        let len = file.metadata()?.len();
        let mut open = Open { file, len };
        // A file that could not be written for a while has its header.
        if len == 0 && self.settings.format == Format::Ascii {
            put(&mut open, &ascii::header(&self.path, self.zone.at(now)))?;
        }
        Ok(open)
    }

    /// The first line after a loss tells of it.
    fn tell_of_loss(&mut self, now: Timestamp) -> io::Result<()> {
        let reason = match &self.trouble {
            Some(trouble) => trouble.reason.clone(),
            None if self.lost > 0 => "the disk was too slow".to_owned(),
            None => return Ok(()),
        };
        let lost = self.lost + self.trouble.as_ref().map_or(0, |trouble| trouble.lost);
        let text = format!("{lost} messages were lost here: {reason}");
        let line = self.line(now, &Record::warning(text));
        self.append(now, &line)?;
        let path = self.file_path();
        info!(path = %path.display(), lost, "the management log is written again");
        self.trouble = None;
        self.lost = 0;
        Ok(())
    }

    fn fail(&mut self, now: Timestamp, error: &io::Error) {
        let path = self.file_path();
        let tried = secs(now);
        if let Some(trouble) = &mut self.trouble {
            trouble.tried = tried;
            trouble.lost += 1;
            return;
        }
        warn!(path = %path.display(), %error, "cannot write the management log");
        self.trouble = Some(Trouble {
            tried,
            lost: 1,
            reason: error.to_string(),
        });
    }

    /// Writes the last line. It is no loss if there is no room for that.
    fn close(&mut self, now: i64) {
        if let Some(mut open) = self.file.take() {
            if self.settings.format == Format::Ascii {
                let _ = put(&mut open, &ascii::footer(self.zone.at(now)));
            }
            let _ = open.file.sync_all();
        }
    }

    fn rotate(&mut self, now: i64) {
        let (open, close) = (self.since, now);
        self.since = now;
        self.next_rotation = self.rotation_after(now);
        if self.file.is_none() && self.trouble.is_none() {
            return;
        }
        self.close(now);
        if self.file_path().exists() {
            self.put_away(open, close);
        }
    }

    /// Rotates the log of a process that could not do it any more. Its period began with its
    /// shadow, which Zeek writes first, and ended with its last line (Zeek: `RotateLeftoverLogs`;
    /// Zeek overwrites a log that has no shadow).
    fn put_away_leftover(&mut self) {
        let Some(close) = modified(&self.file_path()) else {
            // A shadow alone is the rest of a rotation that came that far.
            let _ = fs::remove_file(self.shadow_path());
            return;
        };
        let open = modified(&self.shadow_path()).unwrap_or(close).min(close);
        self.put_away(open, close);
    }

    /// Moves the file to where rotated ones go, else aside in its own directory. A file that stays
    /// is continued.
    fn put_away(&self, open: i64, close: i64) {
        let target = self.dir.join(&self.settings.rotation_dir);
        let moved = fs::create_dir_all(&target).and_then(|()| self.move_to(&target, open, close));
        let moved = moved.or_else(|error| {
            warn!(path = %target.display(), %error, "cannot rotate the management log to there");
            self.move_to(&self.dir, open, close)
        });
        match moved {
            Ok(()) => _ = fs::remove_file(self.shadow_path()),
            Err(error) => {
                let path = self.file_path();
                warn!(path = %path.display(), %error, "cannot rotate the management log");
            }
        }
    }

    fn move_to(&self, dir: &Path, open: i64, close: i64) -> io::Result<()> {
        let open = self.zone.at(open);
        let names = (close..close.saturating_add(MAX_RENAMES)).map(|close| {
            let name = ascii::rotated_name(&self.path, open, self.zone.at(close));
            dir.join(format!("{name}.log"))
        });
        let free = names.into_iter().find(|path| !path.exists());
        let to = free.ok_or_else(|| io::Error::from(ErrorKind::AlreadyExists))?;
        let from = self.file_path();
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => move_by_copy(&from, &to),
            done => done,
        }
    }
}

/// Adds whole lines or nothing.
fn put(open: &mut Open, bytes: &[u8]) -> io::Result<()> {
    if let Err(error) = open.file.write_all(bytes) {
        // Else a later line would continue half of this one.
        let _ = open.file.set_len(open.len);
        return Err(error);
    }
    open.len += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok(())
}

/// Under its own name the copy is whole.
fn move_by_copy(from: &Path, to: &Path) -> io::Result<()> {
    let part = to.with_extension("part");
    let copied = fs::copy(from, &part)
        .and_then(|_| File::open(&part)?.sync_all())
        .and_then(|()| fs::rename(&part, to));
    if copied.is_err() {
        let _ = fs::remove_file(&part);
        return copied;
    }
    fs::remove_file(from)
}

fn modified(path: &Path) -> Option<i64> {
    let modified = fs::metadata(path).and_then(|data| data.modified()).ok()?;
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

fn secs(at: Timestamp) -> i64 {
    at.0.div_euclid(SECOND)
}

#[cfg(test)]
mod tests;
