//! The state file as SQLite sees it: Broker's layout, read with suspicion (API §4.9 P2).

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, OptionalExtension};

use crate::controller::configs::Saved;
use crate::controller::configs::rows::{Layout, MAX_VALUE, Row, RowError};

/// Longest wait for another program that writes the file.
pub(super) const BUSY_LIMIT: Duration = Duration::from_secs(2);

/// Largest file that is looked into: three configurations of [`MAX_VALUE`] and free pages.
const MAX_FILE: u64 = 512 << 20;

/// Bytes of a row, as SQLite takes them.
const MAX_ROW: i32 = (64 << 20) + 4096;
const _: () = assert!(MAX_VALUE < (64 << 20) + 4096);

/// Most rows of a controller, one for each of the three configurations.
const MAX_ROWS: usize = 3;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// It is no SQLite file, or one that lost its order.
    #[error("damaged: {0}")]
    Damaged(String),
    /// A row of it does not read.
    #[error("damaged: {}", chain(.0))]
    Row(RowError),
    /// It is another program's.
    #[error("not a controller's: {0}")]
    Foreign(String),
}

/// Why nothing was read.
#[derive(Debug)]
pub(super) enum LoadError {
    /// Somebody is writing.
    Locked,
    /// The file must not stay where it is.
    Flaw(Flaw),
    /// The system is in the way.
    Unreadable(Error),
}

/// Whose tables a file has.
pub(super) enum Tables {
    /// None, or only the one that Broker creates first.
    None,
    /// Broker's.
    Ours,
}

impl Flaw {
    /// One word, for the new name.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Damaged(_) | Self::Row(_) => "damaged",
            Self::Foreign(_) => "foreign",
        }
    }
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TooBig) => {
                Self::Flaw(Flaw::Damaged(text(&error)))
            }
            Some(_) | None => Self::Unreadable(error),
        }
    }
}

/// Reads a file that exists.
pub(super) fn load(path: &Path) -> Result<(Saved, Layout), LoadError> {
    if let Some(flaw) = too_large(fs::metadata(path).map_or(0, |found| found.len())) {
        return Err(LoadError::Flaw(flaw));
    }
    // Not read-only, because what a crash left in the journal must be undone.
    let mut db = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    read(&mut db)
}

/// Reads a file that exists without a trace: no lock, no journal. If somebody writes meanwhile,
/// what was read may be neither the old nor the new.
pub(super) fn look(path: &Path) -> Result<(Saved, Layout), LoadError> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            _ if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let mut db = open(Path::new(&uri), flags)?;
    read(&mut db)
}

fn read(db: &mut Connection) -> Result<(Saved, Layout), LoadError> {
    let tx = db.transaction()?;
    let check: String = tx.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(LoadError::Flaw(Flaw::Damaged(check.replace('\n', ": "))));
    }
    let rows = match tables(&tx)? {
        Ok(Tables::Ours) => rows(&tx)?.map_err(LoadError::Flaw)?,
        Ok(Tables::None) => Vec::new(),
        Err(text) => return Err(LoadError::Flaw(Flaw::Foreign(text))),
    };
    Saved::from_rows(rows).map_err(|error| LoadError::Flaw(Flaw::Row(error)))
}

/// What is wrong with a file of so many bytes.
pub(super) fn too_large(size: u64) -> Option<Flaw> {
    let text = || format!("it has {size} bytes, more than a controller writes");
    (size > MAX_FILE).then(|| Flaw::Foreign(text()))
}

/// A connection for which what the file holds is only data.
pub(super) fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_LIMIT)?;
    db.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_ROW)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    Ok(db)
}

/// Whose tables there are, or why they are not Broker's. Tables beside Broker's disturb nobody.
pub(super) fn tables(db: &Connection) -> rusqlite::Result<Result<Tables, String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
               AND name <> 'meta' LIMIT 1";
    let meta = columns(db, "meta")?;
    let store = columns(db, "store")?;
    let is_meta = meta.is_empty() || meta == ["key", "value"];
    if is_meta && store == ["key", "value", "expiry"] {
        return Ok(Ok(Tables::Ours));
    }
    let other: Option<String> = db.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(match other {
        None if is_meta => Ok(Tables::None),
        None => Err("its table meta is another one".to_owned()),
        Some(name) if name == "store" => Err("its table store is another one".to_owned()),
        Some(name) => Err(format!("it has a table {name} and no table store")),
    })
}

/// The columns of an ordinary table; none if there is no such table.
fn columns(db: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT c.name FROM sqlite_schema AS s, pragma_table_info(s.name) AS c \
               WHERE s.name = ?1 AND s.type = 'table' AND s.rootpage > 0 LIMIT 8";
    let mut statement = db.prepare(sql)?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

fn rows(db: &Connection) -> rusqlite::Result<Result<Vec<Row>, Flaw>> {
    let mut statement = db.prepare("SELECT key, value FROM store LIMIT 4")?;
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let (ValueRef::Blob(key), ValueRef::Blob(value)) = (row.get_ref(0)?, row.get_ref(1)?)
        else {
            return Ok(Err(Flaw::Damaged("a row is no blob".to_owned())));
        };
        if value.len() > MAX_VALUE || rows.len() == MAX_ROWS {
            let text = "it has more in it than a controller has".to_owned();
            return Ok(Err(Flaw::Foreign(text)));
        }
        rows.push(Row {
            key: key.to_vec(),
            value: value.to_vec(),
        });
    }
    Ok(Ok(rows))
}

/// SQLite's words, without rusqlite's around them.
pub(super) fn text(error: &Error) -> String {
    if let Error::SqliteFailure(code, Some(text)) = error {
        return format!("{text} (SQLite {})", code.extended_code);
    }
    error.to_string()
}

fn chain(error: &RowError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
