//! What went wrong between two endpoints that are not set alike, in the operator's words.
//!
//! Both libraries report the same few faults in their own ways; here they become one text each.

use std::io;

use openssl::error::ErrorStack;
use openssl::ssl;
use openssl::x509::X509VerifyResult;
use tokio_rustls::rustls;
use tokio_rustls::rustls::CertificateError;

/// What is wrong with a certificate; reads after "the peer's certificate" or "it".
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("has expired")]
    Expired,
    #[error("is not valid yet")]
    NotYetValid,
    #[error("is not from a CA that is trusted here")]
    Untrusted,
    #[error("is not meant for this role (extended key usage)")]
    Purpose,
    #[error("is for another name{0}")]
    Name(String),
    #[error("is X.509 version 1, which rustls refuses (issue it again as version 3)")]
    Version1,
    #[error("is that of a CA, which rustls refuses (issue one for the endpoint)")]
    CaAsPeer,
    #[error("is refused: {0}")]
    Other(String),
}

impl Flaw {
    pub(super) fn from_rustls(error: &rustls::Error) -> Self {
        if let rustls::Error::InvalidCertificate(error) = error {
            return Self::from_webpki(error);
        }
        Self::Other(error.to_string())
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "another crate's enum that may grow"
    )]
    fn from_webpki(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::UnknownIssuer => Self::Untrusted,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Purpose
            }
            CertificateError::NotValidForName => Self::Name(String::new()),
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => Self::Name(format!(
                ", not for {} (but for {})",
                expected.to_str(),
                presented.join(", ")
            )),
            other => {
                // The names of webpki's own errors, which rustls wraps.
                let name = format!("{other:?}");
                if name.contains("UnsupportedCertVersion") {
                    Self::Version1
                } else if name.contains("CaUsedAsEndEntity") {
                    Self::CaAsPeer
                } else {
                    Self::Other(other.to_string())
                }
            }
        }
    }

    fn from_openssl(result: X509VerifyResult) -> Self {
        // Numbers: OpenSSL, x509_vfy.h.
        match result.as_raw() {
            9 => Self::NotYetValid,
            10 => Self::Expired,
            18..=21 => Self::Untrusted,
            26 => Self::Purpose,
            62 | 64 => Self::Name(String::new()),
            _ => Self::Other(result.error_string().to_owned()),
        }
    }
}

/// Why there is no TLS with this peer.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Fault {
    NotTls,
    NoCertificate,
    Certificate(Flaw),
    /// The peer's alert, by its number (RFC 8446, 6.2).
    Alert(u8),
    Closed,
    Other(String),
}

impl Fault {
    fn from_rustls(error: &rustls::Error) -> Self {
        use rustls::{Error, InvalidMessage};
        if let Error::AlertReceived(alert) = error {
            return Self::Alert((*alert).into());
        }
        if let Error::InvalidCertificate(_) = error {
            return Self::Certificate(Flaw::from_rustls(error));
        }
        if *error == Error::NoCertificatesPresented {
            return Self::NoCertificate;
        }
        if *error == Error::InvalidMessage(InvalidMessage::InvalidContentType) {
            return Self::NotTls;
        }
        Self::Other(error.to_string())
    }

    fn from_openssl(stack: &ErrorStack, verified: X509VerifyResult) -> Self {
        for error in stack.errors() {
            let fault = match error.reason_code() {
                PEER_DID_NOT_RETURN_A_CERTIFICATE => Self::NoCertificate,
                CERTIFICATE_VERIFY_FAILED if verified != X509VerifyResult::OK => {
                    Self::Certificate(Flaw::from_openssl(verified))
                }
                // What it says if the answer is no TLS record, like the probe of a Broker.
                HTTP_REQUEST | UNKNOWN_PROTOCOL | WRONG_VERSION_NUMBER => Self::NotTls,
                alert => match u8::try_from(alert - ALERT_OFFSET) {
                    Ok(alert) => Self::Alert(alert),
                    Err(_) => continue,
                },
            };
            return fault;
        }
        Self::Other(stack.to_string())
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::NoCertificate | Self::Certificate(_) => io::ErrorKind::PermissionDenied,
            Self::Alert(alert) if (42..=49).contains(alert) || *alert == CERTIFICATE_REQUIRED => {
                io::ErrorKind::PermissionDenied
            }
            Self::Closed => io::ErrorKind::UnexpectedEof,
            Self::NotTls | Self::Alert(_) | Self::Other(_) => io::ErrorKind::InvalidData,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::NotTls => "the peer does not speak TLS (TLS is on here, is it off there?)".into(),
            Self::NoCertificate => "the peer shows no certificate, which is required here \
                 (are Broker's ssl options set there?)"
                .into(),
            Self::Certificate(flaw) => format!("the peer's certificate {flaw}"),
            Self::Alert(alert) => alert_text(*alert),
            Self::Closed => "the peer closed the connection during the TLS handshake".into(),
            Self::Other(text) => format!("TLS handshake failed: {text}"),
        }
    }

    fn into_error(self) -> io::Error {
        io::Error::new(self.kind(), self.text())
    }
}

/// A handshake of rustls that failed.
pub(super) fn rustls_handshake(error: io::Error) -> io::Error {
    match rustls_error(&error) {
        Some(error) => Fault::from_rustls(error).into_error(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Fault::Closed.into_error(),
        None => io::Error::new(error.kind(), format!("TLS handshake failed: {error}")),
    }
}

/// Whether rustls's handshake may have failed because the peer has nothing in common with it: it
/// said so, or left.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    match rustls_error(error) {
        Some(error) => matches!(error, rustls::Error::AlertReceived(_)),
        None => matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
        ),
    }
}

/// A handshake of OpenSSL that failed, and what it thought of the peer's certificate.
pub(super) fn openssl_handshake(error: ssl::Error, verified: X509VerifyResult) -> io::Error {
    if let Some(stack) = error.ssl_error() {
        return Fault::from_openssl(stack, verified).into_error();
    }
    match error.into_io_error() {
        Ok(error) => io::Error::new(error.kind(), format!("TLS handshake failed: {error}")),
        Err(_) => Fault::Closed.into_error(),
    }
}

/// An error of an open stream. In TLS 1.3 an acceptor's verdict on our certificate comes after the
/// handshake is over for us, and is the first thing we read.
pub(super) fn read_failure(error: io::Error) -> io::Error {
    let fault = if let Some(error) = rustls_error(&error) {
        Fault::from_rustls(error)
    } else if let Some(stack) = openssl_errors(&error) {
        Fault::from_openssl(stack, X509VerifyResult::OK)
    } else {
        return error;
    };
    match fault {
        Fault::Alert(_) => fault.into_error(),
        Fault::NotTls
        | Fault::NoCertificate
        | Fault::Certificate(_)
        | Fault::Closed
        | Fault::Other(_) => error,
    }
}

/// A peer in cleartext where only certificates count.
pub(super) fn cleartext_refused() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the peer does not speak TLS, and certificates are required here (is TLS off there?)",
    )
}

/// A client in cleartext where the port has a certificate.
pub(super) fn cleartext_client_refused() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the client does not speak TLS, and this port has a certificate (is TLS off there?)",
    )
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn openssl_errors(error: &io::Error) -> Option<&ErrorStack> {
    let inner = error.get_ref()?;
    let stack = || inner.downcast_ref::<ssl::Error>()?.ssl_error();
    inner.downcast_ref::<ErrorStack>().or_else(stack)
}

fn alert_text(alert: u8) -> String {
    let text = match alert {
        40 => {
            "the peer and this side have no cipher in common, or it wants a certificate \
             (are certificates set on one side only?)"
        }
        41 | CERTIFICATE_REQUIRED => {
            "the peer requires a certificate, and none is set here \
             (Broker::ssl_certificate)"
        }
        42 | 43 | 46 => "the peer refuses our certificate",
        44 => "the peer refuses our certificate as revoked",
        45 => "the peer refuses our certificate as expired",
        48 => "the peer does not trust the CA of our certificate",
        49 => "the peer denies access to our certificate",
        70 => "the peer has no TLS version in common with this side",
        80 => "the peer failed with an internal error during TLS",
        _ => return format!("the peer ended TLS with alert {alert}"),
    };
    format!("{text} (alert {alert})")
}

/// RFC 8446, 6.2.
const CERTIFICATE_REQUIRED: u8 = 116;

// OpenSSL, sslerr.h and ssl.h.
const CERTIFICATE_VERIFY_FAILED: i32 = 134;
const HTTP_REQUEST: i32 = 156;
const PEER_DID_NOT_RETURN_A_CERTIFICATE: i32 = 199;
const UNKNOWN_PROTOCOL: i32 = 252;
const WRONG_VERSION_NUMBER: i32 = 267;
/// Alerts that were received are reported as this plus their number.
const ALERT_OFFSET: i32 = 1000;
