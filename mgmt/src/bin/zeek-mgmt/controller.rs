//! What a controller is told that stock's controller has no setting for.

use std::path::Path;

use clap::Args;
use mgmt::io::guard::AuditTo;
use mgmt::io::run::ControllerChoices;

use crate::settings::{AccessArgs, SettingArgs};

#[derive(Debug, Args)]
pub(crate) struct ControllerArgs {
    #[command(flatten)]
    pub(crate) controller: ControllerOptions,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

/// What stock's controller has no setting for.
#[derive(Debug, Args)]
pub(crate) struct ControllerOptions {
    /// Where the controller writes who asked it what, and with what outcome; default: `audit.log` in
    /// its directory.
    #[arg(long, value_name = "FILE|off")]
    audit_log: Option<String>,
}

impl ControllerOptions {
    pub(crate) fn choices(&self) -> ControllerChoices {
        let audit = self.audit_log.as_deref().map(AuditTo::named);
        ControllerChoices {
            audit: audit.unwrap_or_default(),
        }
    }

    /// As it reads them itself, for one that runs elsewhere.
    pub(crate) fn arguments(&self, here: &Path) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(text) = &self.audit_log {
            let file = match AuditTo::named(text) {
                AuditTo::File(path) => here.join(path).display().to_string(),
                AuditTo::Usual | AuditTo::Off => text.clone(),
            };
            words.extend(["--audit-log".to_owned(), file]);
        }
        words
    }
}
