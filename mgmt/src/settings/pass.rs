//! Handing settings on to programs that run elsewhere.

use std::path::{Path, PathBuf};

use super::given::{Found, Given, Origin};
use super::options::{Fallback, OPTIONS, Program, Readers};
use super::value::Value;

/// Options that name a file or directory, which a program in another directory would not find.
const PATHS: [&str; 5] = [
    "Broker::ssl_cafile",
    "Broker::ssl_capath",
    "Broker::ssl_certificate",
    "Broker::ssl_keyfile",
    "Management::state_dir",
];

/// Fields of [`WEBSOCKET_TLS`] that do.
const PATH_FIELDS: [&str; 3] = ["ca_file", "cert_file", "key_file"];

const WEBSOCKET_TLS: &str = "Management::Controller::tls_options_websocket";
const PASSPHRASE: &str = "Broker::ssl_passphrase";

impl Given {
    /// Arguments with which a program of ours has the same settings in another directory, if it
    /// has the same environment. `base` is the directory we are in.
    ///
    /// A passphrase that a script sets is not among them, for all users of the host can see them:
    /// the program is told to read the script again.
    #[must_use]
    pub fn arguments(&self, program: Program, base: &Path) -> Vec<String> {
        let mut arguments = Vec::new();
        for option in OPTIONS {
            let reads = match option.readers {
                Readers::Programs(readers) => readers.contains(&program),
                Readers::Nobody(_) => false,
            };
            if !reads {
                continue;
            }
            let Found { origin, .. } = self.found(option);
            let said = self.last_said(option.name);
            let value = match (option.name, origin, said) {
                (PASSPHRASE, Origin::Script { file, .. }, _) => {
                    arguments.insert(0, "--redef".to_owned());
                    arguments.insert(1, base.join(file).display().to_string());
                    continue;
                }
                // It may take another Zeek installation for its own.
                _ if matches!(option.fallback, Fallback::Installation(_)) => {
                    Some(self.value(option.name))
                }
                (_, _, said) => said.cloned(),
            };
            if let Some(value) = value {
                let value = absolute(option.name, value, base);
                arguments.push(format!("{}={value}", option.name));
            }
        }
        arguments
    }
}

fn absolute(name: &str, value: Value, base: &Path) -> Value {
    if PATHS.contains(&name) {
        return join(base, value);
    }
    if let (Value::Record(fields), WEBSOCKET_TLS) = (&value, name) {
        let fields = fields.iter().cloned();
        let fields = fields.map(|(field, value)| {
            let is_path = PATH_FIELDS.contains(&field.as_str());
            let value = if is_path { join(base, value) } else { value };
            (field, value)
        });
        return Value::Record(fields.collect());
    }
    value
}

/// Empty means not set, and `NONE` is no file.
fn join(base: &Path, path: Value) -> Value {
    let text = path.shown();
    if text.is_empty() || text == "NONE" {
        return path;
    }
    let path: PathBuf = base.join(text).components().collect();
    Value::Text(path.display().to_string())
}
