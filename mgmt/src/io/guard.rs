//! Limits as the sockets know them, and how the audit log hears of those they keep out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use broker_proto::io::gate::{Gate, Refused};
use zeek_client_compat::io::server;

use super::audit::{self, AuditLog};
use super::run::RunError;
use crate::audit::Entry;
use crate::limits::Limits;

/// Where a controller keeps its audit log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum AuditTo {
    /// In `audit.log` in its directory.
    #[default]
    Usual,
    /// In this file.
    File(PathBuf),
    /// Nowhere.
    Off,
}

impl AuditTo {
    /// As the option says it: a file, or `off`.
    pub fn named(text: &str) -> Self {
        match text {
            "off" => Self::Off,
            file => Self::File(file.into()),
        }
    }

    /// Whether a controller can keep it there: a file that is named has to open, and is made.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn check(&self) -> Result<(), RunError> {
        match self {
            Self::Usual | Self::Off => Ok(()),
            Self::File(path) => audit::check(path).map_err(|source| RunError::Audit {
                path: path.clone(),
                source,
            }),
        }
    }

    pub(super) fn start(&self, dir: &Path) -> Result<AuditLog, RunError> {
        let path = match self {
            // As with the state, a directory that is not to be had yet stops nobody.
            Self::Usual => return Ok(AuditLog::start_anyway(dir.join("audit.log"))),
            Self::File(path) => path.clone(),
            Self::Off => return Ok(AuditLog::off()),
        };
        let started = AuditLog::start(path.clone());
        started.map_err(|source| RunError::Audit { path, source })
    }
}

/// The gate of the Broker port.
pub(super) fn broker(limits: &Limits, audit: &AuditLog) -> Gate {
    watched(Gate::new(limits.capacity(), limits.tls()), "broker", audit)
}

/// The gate of the WebSocket port.
pub(super) fn websocket(limits: &server::Limits, audit: &AuditLog) -> Gate {
    watched(limits.gate(), "websocket", audit)
}

fn watched(gate: Gate, listener: &'static str, audit: &AuditLog) -> Gate {
    let Some(writer) = audit.writer() else {
        return gate;
    };
    gate.watched(move |Refused { remote, reason }| {
        writer.write(Entry::Stranger {
            listener,
            remote,
            reason,
        });
    })
}

/// Those of the WebSocket port.
pub(super) fn server(limits: &Limits) -> server::Limits {
    let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    server::Limits {
        clients: size(limits.clients),
        clients_per_source: size(limits.clients_per_address),
        strangers: size(limits.client_strangers),
        strangers_per_source: size(limits.client_strangers_per_address),
        stranger_bytes: size(limits.stranger_bytes),
        greeting: limits.tls(),
        message: size(limits.message_bytes),
        skipped: size(limits.skipped_bytes),
        outbox_messages: size(limits.client_outbox_messages),
        outbox_bytes: size(limits.client_outbox_bytes),
        all_outboxes_bytes: size(limits.all_outboxes_bytes),
        upgrade: Duration::from_secs(limits.upgrade_secs),
        silence: Duration::from_secs(limits.silence_secs),
        patience: Duration::from_secs(limits.patience_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_limits_are_the_servers_own() {
        assert_eq!(server(&Limits::default()), server::Limits::default());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_known_before_anything_starts() {
        let there = std::env::current_exe().unwrap();
        let below_a_file = AuditTo::File(there.join("audit.log"));
        let error = below_a_file.check().unwrap_err();
        assert!(matches!(error, RunError::Audit { .. }), "{error}");
        let folder = AuditTo::File(there.parent().unwrap().to_owned());
        assert!(folder.check().is_err());
        assert!(AuditTo::Usual.check().is_ok() && AuditTo::Off.check().is_ok());
    }

    #[test]
    fn off_is_no_file() {
        assert_eq!(AuditTo::named("off"), AuditTo::Off);
        assert_eq!(AuditTo::named("./off"), AuditTo::File("./off".into()));
    }
}
