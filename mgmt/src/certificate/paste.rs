//! The settings that name one host's certificate, to be pasted.

use std::path::{Path, PathBuf};

/// One host's three files, by absolute paths.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Files {
    /// The CA's certificate.
    pub authority: PathBuf,
    /// The host's.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Files {
    /// Those of this name in a directory.
    #[must_use]
    pub fn of(name: &str, dir: &Path) -> Self {
        Self {
            authority: dir.join("ca.pem"),
            certificate: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}.key")),
        }
    }

    /// For Zeek scripts: stock's processes, and ours by `--redef`.
    #[must_use]
    pub fn zeek(&self) -> String {
        let Self {
            authority,
            certificate,
            key,
        } = self;
        let (ca, certificate, key) = (quoted(authority), quoted(certificate), quoted(key));
        format!(
            "redef Broker::ssl_cafile = {ca};\n\
             redef Broker::ssl_certificate = {certificate};\n\
             redef Broker::ssl_keyfile = {key};\n"
        )
    }

    /// The same for the controller's WebSocket port, which Zeek has since 8.0.3 (CLIENT §B2).
    #[must_use]
    pub fn zeek_websocket(&self) -> String {
        let Self {
            authority,
            certificate,
            key,
        } = self;
        let (ca, certificate, key) = (quoted(authority), quoted(certificate), quoted(key));
        format!(
            "redef Management::Controller::tls_options_websocket = Cluster::WebSocketTLSOptions(\n    \
             $cert_file={certificate}, $key_file={key},\n    \
             $enable_peer_verification=T, $ca_file={ca});\n"
        )
    }

    /// Arguments for zeek-mgmt, which hands them on to nodes.
    #[must_use]
    pub fn arguments(&self) -> String {
        let settings = [
            ("cafile", &self.authority),
            ("certificate", &self.certificate),
            ("keyfile", &self.key),
        ];
        let word = |(option, path): (&str, &PathBuf)| {
            shell_word(&format!("Broker::ssl_{option}={}", path.display()))
        };
        settings.map(word).join(" \\\n    ")
    }

    /// A section of zeek-client's configuration (CLIENT §C1).
    #[must_use]
    pub fn client(&self) -> String {
        format!(
            "[ssl]\nenable = true\ncafile = {}\ncertificate = {}\nkeyfile = {}\n",
            self.authority.display(),
            self.certificate.display(),
            self.key.display()
        )
    }
}

/// A Zeek string.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// One word for the shell.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@".contains(c);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_path_needs_no_quotes() {
        let files = Files::of("a", Path::new("/etc/zeek"));
        let word = "Broker::ssl_keyfile=/etc/zeek/a.key";
        let arguments = files.arguments();
        let mut words = arguments.split_whitespace();
        assert!(words.any(|it| it == word), "{arguments}");
    }

    #[test]
    fn paths_with_odd_characters_stay_one_word() {
        let files = Files::of("a", Path::new("/o'dd \"dir\\"));
        assert!(
            files
                .arguments()
                .contains(r#"'Broker::ssl_keyfile=/o'\''dd "dir\/a.key'"#),
            "{}",
            files.arguments()
        );
        let zeek = files.zeek();
        assert!(
            zeek.contains(r#"ssl_keyfile = "/o'dd \"dir\\/a.key";"#),
            "{zeek}"
        );
    }
}
