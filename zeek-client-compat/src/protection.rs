//! How a client protects its session: zeek-client's `[ssl]` settings (CLIENT §B2, §C1).

use std::path::PathBuf;

/// TLS as zeek-client does it: without a certificate of its own, it takes any server; with one, the
/// server has to have one of the right CA and for the right name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Protection {
    /// The client's certificate, with those between it and its CA.
    pub certificate: Option<PathBuf>,
    /// The certificate's key.
    pub keyfile: Option<PathBuf>,
    /// CAs that servers may have their certificates from.
    pub cafile: Option<PathBuf>,
    /// The same as a directory; the system's CAs if there is neither.
    pub capath: Option<PathBuf>,
    /// What the key is encrypted with.
    pub passphrase: Option<String>,
}
