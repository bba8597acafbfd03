//! How the links of an endpoint are protected, as its operator sets it (WIRE §7).
//!
//! There is no negotiation between Broker endpoints: both sides of a link must be set alike.
//! `io::tls` turns these options into sockets.

use std::fmt;
use std::path::PathBuf;

/// One endpoint's protection, for all its links and both roles.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Tls {
    /// Dial in cleartext (`Broker::disable_ssl=T`); accept both cleartext and anonymous TLS.
    Off,
    /// Dial with TLS that verifies nobody, which is stock's default (WIRE §7.1); accept both.
    #[default]
    Anonymous,
    /// Dial and accept only with certificates on both sides (WIRE §7.2).
    Certificates(Certificates),
}

/// Files for [`Tls::Certificates`], all of them PEM.
///
/// Stock uses certificates as soon as one of the five options is set, and then fails link by link
/// if another is missing. `io::tls` refuses at start instead, so all but the passphrase and one of
/// the two CA options are needed in the end.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Certificates {
    /// Own certificate, then the intermediates up to the CA (`Broker::ssl_certificate`).
    pub certificate: Option<PathBuf>,
    /// Its private key (`Broker::ssl_keyfile`).
    pub keyfile: Option<PathBuf>,
    /// For an encrypted key (`Broker::ssl_passphrase`).
    pub passphrase: Option<Passphrase>,
    /// The CAs whose certificates are taken from peers (`Broker::ssl_cafile`).
    pub cafile: Option<PathBuf>,
    /// A directory with more of them (`Broker::ssl_capath`): files named as `openssl rehash` does,
    /// `*.pem`, `*.crt` and `*.cer`. Stock reads only the first kind.
    pub capath: Option<PathBuf>,
    /// Whether a dialed peer must be who it was dialed as.
    pub name_check: NameCheck,
}

/// A port for clients that are no Broker peers, such as WebSocket clients: TLS and nothing else,
/// with this certificate. All files are PEM (CLIENT §B2, `Cluster::WebSocketTLSOptions`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientPort {
    /// The certificate, then the intermediates up to the CA (`cert_file`).
    pub certificate: PathBuf,
    /// Its private key (`key_file`).
    pub keyfile: PathBuf,
    /// Who is let in (`enable_peer_verification`, `ca_file`).
    pub admission: Admission,
    /// OpenSSL's list of ciphers for TLS 1.2 and older (`ciphers`).
    pub ciphers: Option<String>,
}

/// Which clients a [`ClientPort`] takes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Admission {
    /// All; they are not asked for a certificate.
    #[default]
    Anyone,
    /// Those with a certificate of a CA in this file.
    Certified(PathBuf),
    /// Those with a certificate of a CA that the system trusts.
    CertifiedBySystem,
}

/// Whether the certificate of a dialed peer must have the host name or address that was dialed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NameCheck {
    /// Any certificate of a trusted CA will do, as in stock.
    #[default]
    Off,
    /// Its subject alternative names must have what was dialed. Stock has no such option.
    On,
}

/// A secret that does not show up in logs.
#[derive(Clone, Eq, PartialEq)]
pub struct Passphrase(String);

impl Passphrase {
    /// From its text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// As OpenSSL wants it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passphrase_is_not_shown_by_debug_output() {
        let certificates = Certificates {
            passphrase: Some(Passphrase::new("open sesame".into())),
            ..Certificates::default()
        };
        assert!(!format!("{certificates:?}").contains("sesame"));
    }
}
