//! Whose certificate is at the other end of a link, as TLS has verified it.

use std::fmt;
use std::net::IpAddr;

/// What of a peer's certificate matters to a program that decides who may do what.
///
/// There is one only where a CA of the operator's choice vouches for it; what a peer shows without
/// being asked, or where nobody verifies it, is nobody's. `io::tls` reads it.
#[derive(Clone, Eq, PartialEq)]
pub struct PeerCertificate {
    /// The common name of its subject; `None` if it has none, or more than one.
    pub name: Option<String>,
    /// The DNS names it is for, as written.
    pub dns: Vec<String>,
    /// The addresses it is for.
    pub addresses: Vec<IpAddr>,
    /// The last second of its validity, in seconds since 1970, UTC.
    pub not_after: i64,
    /// SHA-256 of all of it.
    pub fingerprint: [u8; 32],
}

impl PeerCertificate {
    /// All names that somebody may be known by: the common name and the DNS names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.name.iter().chain(&self.dns).map(String::as_str)
    }
}

/// The first of its names, or the fingerprint.
impl fmt::Display for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names().next() {
            Some(name) => write!(f, "{}", name.escape_debug()),
            None => Fingerprint(&self.fingerprint).fmt(f),
        }
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificate")
            .field("name", &self.name)
            .field("dns", &self.dns)
            .field("addresses", &self.addresses)
            .field("not_after", &self.not_after)
            .field("fingerprint", &Fingerprint(&self.fingerprint))
            .finish()
    }
}

/// A fingerprint as openssl and browsers write it, without the colons.
struct Fingerprint<'a>(&'a [u8; 32]);

impl fmt::Display for Fingerprint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
