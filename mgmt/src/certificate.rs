//! Certificates as operators see them: what one says, what is wrong with it, how long it holds, and
//! the settings that name it. Nothing here reads files or the clock.

pub mod expiry;
pub mod findings;
pub mod paste;

/// What a certificate says, as far as its holder's peers look at it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// Whose it is: the common name, or the whole name if there is none.
    pub subject: String,
    /// Who signed it, alike.
    pub issuer: String,
    /// The version of X.509: 1 or 3.
    pub version: u32,
    /// Host names and addresses.
    pub names: Vec<String>,
    /// Whether it is for signing others.
    pub kind: Kind,
    /// What it may be used for.
    pub usage: Usage,
    /// Seconds since 1970; not valid before.
    pub not_before: i64,
    /// Seconds since 1970; not valid after.
    pub not_after: i64,
    /// SHA-256 of the whole, in hexadecimal with colons, as OpenSSL prints it.
    pub fingerprint: String,
    /// Key and signature.
    pub algorithm: Algorithm,
}

/// Who has a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A CA: version 3 with `CA:TRUE`, or of version 1 and signed by itself.
    Authority,
    /// A process that dials and listens.
    Peer,
}

/// What a certificate may be used for; without an extension that says so, everything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Usage {
    /// By who listens (extended key usage: serverAuth).
    pub serve: bool,
    /// By who dials (extended key usage: clientAuth).
    pub dial: bool,
    /// To sign certificates (key usage: keyCertSign).
    pub sign: bool,
}

impl Usage {
    /// No extension limits it.
    pub const ANY: Self = Self {
        serve: true,
        dial: true,
        sign: true,
    };
}

/// What key and signature are made with, by object identifiers (RFC 5280, 4.1.1.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Algorithm {
    /// Of the signature.
    pub signature: String,
    /// Of the key; for elliptic curves the curve's.
    pub key: String,
    /// The key's length, for RSA.
    pub bits: usize,
}

impl Algorithm {
    /// What rustls lacks of it, if anything: rustls with ring, as our programs use it.
    #[must_use]
    pub fn unknown_to_rustls(&self) -> Option<String> {
        let Self {
            signature,
            key,
            bits,
        } = self;
        let is_known = |known: &[&str], id: &str| known.contains(&id);
        if !is_known(&RUSTLS_SIGNATURES, signature) {
            return Some(format!("signatures by {}", named(signature)));
        }
        if key == RSA && *bits < RUSTLS_RSA_BITS {
            return Some(format!("RSA keys of {bits} bits"));
        }
        let fits = key == RSA || is_known(&RUSTLS_KEYS, key);
        (!fits).then(|| format!("keys of {}", named(key)))
    }
}

/// Its usual name; the identifier if it is not among what operators meet.
fn named(id: &str) -> &str {
    match id {
        "1.2.840.113549.1.1.4" => "MD5 with RSA",
        "1.2.840.113549.1.1.5" => "SHA-1 with RSA",
        "1.2.840.10045.4.1" => "SHA-1 with ECDSA",
        "1.2.840.10045.4.3.4" => "SHA-512 with ECDSA",
        "1.3.132.0.35" => "the curve P-521",
        "1.3.132.0.10" => "the curve secp256k1",
        "1.3.101.113" => "Ed448",
        "1.2.840.10040.4.1" => "DSA",
        id => id,
    }
}

/// RSA with SHA-256, SHA-384, SHA-512 and PSS; ECDSA with SHA-256 and SHA-384; Ed25519.
const RUSTLS_SIGNATURES: [&str; 7] = [
    "1.2.840.113549.1.1.11",
    "1.2.840.113549.1.1.12",
    "1.2.840.113549.1.1.13",
    "1.2.840.113549.1.1.10",
    "1.2.840.10045.4.3.2",
    "1.2.840.10045.4.3.3",
    "1.3.101.112",
];

/// P-256, P-384, Ed25519.
const RUSTLS_KEYS: [&str; 3] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.101.112"];

const RSA: &str = "1.2.840.113549.1.1.1";
const RUSTLS_RSA_BITS: usize = 2048;
