//! The state file while it is written: open from the first save on, with SQLite's write-ahead log
//! beside it.
//!
//! A commit is then one synced write to the log, two if that was empty. A rollback journal takes five
//! syncs one after the other, and a client waits for all of them. When nothing is to be saved, what is in the log is
//! brought into the file ([`Writing::settle`]) and the log is empty, so that a copy of the file is
//! whole. When the controller ends, the file is alone again and looks as stock left it. After a crash
//! the log belongs to the file; whoever opens it next with SQLite, stock too, finds everything.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use tracing::warn;

use super::Trace;
use super::database::{BUSY_LIMIT, Tables, open, tables, text};
use crate::controller::configs::rows::Slot;

/// What Broker's SQLite backend creates, letter by letter.
const SCHEMA: [&str; 2] = [
    "CREATE TABLE meta(key text primary key, value text)",
    "CREATE TABLE store(key blob primary key, value blob, expiry integer)",
];

/// The Broker whose layout this is; each writes its own version when it opens the file.
const BROKER_VERSION: &str = "2.8.0";

/// A state file that is open for writing.
#[derive(Debug)]
pub(super) struct Writing {
    db: Connection,
    path: PathBuf,
    /// What the file looked like when this wrote it last.
    trace: Option<Trace>,
    /// Of the tables that were looked at.
    schema: Option<i64>,
}

impl Writing {
    /// Opens the file, and creates it if need be.
    ///
    /// # Errors
    /// As [`Writing::save`].
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let mut writing = Self {
            db: connect(path).map_err(|error| text(&error))?,
            path: path.to_owned(),
            trace: None,
            schema: None,
        };
        // The journal is chosen in the file itself, and a foreign one is not written.
        let tables = tables(&writing.db).map_err(|error| text(&error))?;
        tables.map_err(foreign)?;
        writing.choose_journal().map_err(|error| text(&error))?;
        writing.trace = trace_of(&writing.path);
        Ok(writing)
    }

    fn choose_journal(&mut self) -> rusqlite::Result<()> {
        match self.open_log() {
            Ok(()) => {}
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                return Err(error);
            }
            Err(error) => {
                let error = text(&error);
                warn!(error, "no log for the state file, saves take longer");
                self.do_without_log()?;
            }
        }
        // The log is synced after each commit. With a rollback journal, files are synced before and
        // after each step, and the directory when the journal comes and goes: that decides which
        // state counts.
        self.db.pragma_update(None, "synchronous", "EXTRA")
    }

    fn open_log(&self) -> rusqlite::Result<()> {
        self.set_journal("WAL")?;
        // Only who reads or writes opens it.
        self.db.execute_batch("BEGIN IMMEDIATE; COMMIT")
    }

    /// For some network file systems: with a log, those who have a file open share memory.
    fn do_without_log(&mut self) -> rusqlite::Result<()> {
        self.db = connect(&self.path)?;
        // Who has the file to itself shares nothing, and can close a log that others cannot open.
        self.db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        self.set_journal("DELETE")?;
        self.db.pragma_update(None, "locking_mode", "NORMAL")
    }

    fn set_journal(&self, mode: &str) -> rusqlite::Result<()> {
        let name = "journal_mode";
        self.db
            .pragma_update_and_check(None, name, mode, |_| Ok(()))
    }

    /// Whether the file is still the one that is open, and nobody else has written it.
    pub(super) fn is_current(&self) -> bool {
        self.trace.is_some() && self.trace == trace_of(&self.path)
    }

    /// Makes these the rows of the file. They are on the disk when this returns.
    ///
    /// # Errors
    /// A text for people. Then the file holds what it held before.
    pub(super) fn save(&mut self, rows: &[Slot]) -> Result<(), String> {
        let saved = self.try_save(rows).map_err(|error| text(&error))?;
        self.trace = trace_of(&self.path);
        saved.map_err(foreign)
    }

    fn try_save(&mut self, rows: &[Slot]) -> rusqlite::Result<Result<(), String>> {
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let schema = tx.pragma_query_value(None, "schema_version", |row| row.get(0))?;
        if self.schema != Some(schema) {
            match tables(&tx)? {
                Ok(Tables::Ours) => {}
                Ok(Tables::None) => create_tables(&tx)?,
                Err(text) => return Ok(Err(text)),
            }
        }
        replace(&tx, rows)?;
        tx.commit()?;
        self.schema = Some(schema);
        Ok(Ok(()))
    }

    /// Brings what was saved from the log into the file. Tells whether that is done; it is not as long
    /// as somebody reads. Does not wait for that.
    ///
    /// # Errors
    /// A text for people. What was saved stays in the log.
    pub(super) fn settle(&mut self) -> Result<bool, String> {
        let settled = self.try_settle().map_err(|error| text(&error));
        self.trace = trace_of(&self.path);
        settled
    }

    fn try_settle(&self) -> rusqlite::Result<bool> {
        self.db.busy_timeout(Duration::ZERO)?;
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let is_busy: rusqlite::Result<bool> = self.db.query_row(sql, [], |row| row.get(0));
        self.db.busy_timeout(BUSY_LIMIT)?;
        is_busy.map(|is_busy| !is_busy)
    }
}

impl Drop for Writing {
    /// Leaves the file alone, as it was found, unless somebody else has written it or something else
    /// has its name.
    fn drop(&mut self) {
        if !self.is_current() {
            return;
        }
        if let Err(error) = self.set_journal("DELETE") {
            warn!(error = text(&error), "the state file keeps its log");
        }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    open(path, flags)
}

fn create_tables(db: &Connection) -> rusqlite::Result<()> {
    for table in SCHEMA {
        let sql = table.replacen("TABLE", "TABLE IF NOT EXISTS", 1);
        db.execute(&sql, [])?;
    }
    let sql = "INSERT OR REPLACE INTO meta(key, value) VALUES('broker_version', ?1)";
    db.execute(sql, [BROKER_VERSION]).map(drop)
}

fn replace(db: &Connection, rows: &[Slot]) -> rusqlite::Result<()> {
    let mut set = db.prepare(
        "INSERT INTO store(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE \
         SET value = excluded.value, expiry = NULL WHERE value IS NOT excluded.value",
    )?;
    let mut remove = db.prepare("DELETE FROM store WHERE key = ?1")?;
    for Slot { key, value } in rows {
        match value {
            Some(value) => set.execute((key, value))?,
            None => remove.execute([key])?,
        };
    }
    Ok(())
}

fn trace_of(path: &Path) -> Option<Trace> {
    fs::metadata(path).ok().map(|found| Trace::of(&found))
}

fn foreign(text: String) -> String {
    format!("it is not a controller's: {text}")
}

#[cfg(test)]
mod tests;
