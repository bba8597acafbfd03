//! Cleartext and TLS behind one stream type (WIRE §7).
//!
//! [`connector_and_acceptor`] makes both sides of an endpoint from its operator's options. An
//! [`Acceptor`] without certificates serves cleartext and TLS on one port: a TLS client speaks first
//! and its first byte tells. Its certificate is self-signed and made for the first of them, which is all
//! that Broker's certificate-less dialers ask for. With certificates it takes nobody without one.
//! A [`Connector`] dials as the operator set it: in cleartext, with certificates, or as stock Broker
//! does without certificates, with anonymous ECDH.
//!
//! rustls speaks TLS wherever it can. OpenSSL dials anonymously, because rustls has no such suite
//! (but for peers on the own machine as long as these are ours, which have a certificate to show),
//! and takes over where rustls refuses the own certificate, key or CAs; which, is logged at start.
//!
//! What no file is needed for is set up when it is first used: a library costs a program memory from
//! its first call on, two megabytes in OpenSSL's case, and most programs never call it.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use tokio_rustls::TlsStream;

use crate::certificate::PeerCertificate;
use crate::tls::Tls;

mod acceptor;
mod backend;
mod certificate;
mod clients;
mod connector;
mod explain;
mod identity;
mod load;
#[cfg(test)]
mod tests;
mod verify;

pub use acceptor::Acceptor;
pub use connector::Connector;

/// Why TLS cannot be set up at all. Whatever the peer does wrong is an [`io::Error`] instead.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Certificates are wanted, but not all that it takes is given.
    #[error("TLS with certificates needs {option}")]
    Missing {
        /// Stock's name of what is not set.
        option: &'static str,
    },
    /// A file or directory that an option names cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is no PEM, or what is in it no certificate.
    #[error("cannot read the certificates in {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What OpenSSL says.
        #[source]
        source: openssl::error::ErrorStack,
    },
    /// A file has no certificate in it.
    #[error("there is no certificate in {}", path.display())]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// No chain could ever end at one of the CAs given.
    #[error("Broker::ssl_cafile and Broker::ssl_capath have no self-signed CA certificate")]
    NoRoot,
    /// The key is encrypted and no passphrase is set.
    #[error("the key in {} is encrypted and Broker::ssl_passphrase is not set", path.display())]
    Encrypted {
        /// Where.
        path: PathBuf,
    },
    /// The key does not read, perhaps because the passphrase is another.
    #[error("cannot read the private key in {} (is Broker::ssl_passphrase right?)", path.display())]
    Key {
        /// Where.
        path: PathBuf,
        /// What OpenSSL says.
        #[source]
        source: openssl::error::ErrorStack,
    },
    /// Certificate and key do not belong together.
    #[error("the key in {} is not that of the certificate in {}", keyfile.display(), certificate.display())]
    KeyMismatch {
        /// Where the key is.
        keyfile: PathBuf,
        /// Where the certificate is.
        certificate: PathBuf,
    },
    /// OpenSSL does not take certificate, key or CAs either.
    #[error("cannot set up TLS with certificates")]
    OpenSsl(#[source] openssl::error::ErrorStack),
}

/// Both sides of an endpoint, as its operator wants it. Reads the files that the options name.
///
/// # Errors
/// If certificates are wanted and a file is missing, does not read or does not fit the others.
pub fn connector_and_acceptor(options: &Tls) -> Result<(Connector, Acceptor), TlsError> {
    match options {
        Tls::Off => Ok((Connector::cleartext(), Acceptor::self_signed())),
        Tls::Anonymous => Ok((Connector::anonymous(), Acceptor::self_signed())),
        Tls::Certificates(certificates) => {
            let backend = backend::Backend::choose(certificates)?;
            let connector = Connector::with_certificates(backend.clone(), certificates.name_check);
            Ok((connector, Acceptor::with_certificates(backend)))
        }
    }
}

/// One open connection, TLS handshake included.
///
/// Broker ends TLS streams without a close_notify (WIRE §7), so a missing one is an ordinary end of
/// stream here.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
    certificate: Option<Arc<PeerCertificate>>,
}

#[derive(Debug)]
enum Inner {
    Clear(TcpStream),
    Rustls(Box<TlsStream<TcpStream>>),
    OpenSsl(Box<SslStream<TcpStream>>),
}

impl Stream {
    /// Whether it is TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        match self.inner {
            Inner::Clear(_) => false,
            Inner::Rustls(_) | Inner::OpenSsl(_) => true,
        }
    }

    /// The peer's certificate, if one was asked for and a trusted CA vouches for it.
    #[must_use]
    pub fn certificate(&self) -> Option<&Arc<PeerCertificate>> {
        self.certificate.as_ref()
    }

    /// Notes whose the other end is. For connections that verify their peers only.
    fn verified(self) -> Self {
        let certificate = match &self.inner {
            Inner::Clear(_) => None,
            Inner::Rustls(stream) => identity::by_rustls(stream.get_ref().1),
            Inner::OpenSsl(stream) => identity::by_openssl(stream.ssl()),
        };
        Self {
            certificate,
            ..self
        }
    }
}

impl From<Inner> for Stream {
    fn from(inner: Inner) -> Self {
        Self {
            inner,
            certificate: None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = match &mut self.get_mut().inner {
            Inner::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::Rustls(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::OpenSsl(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        // How rustls reports a missing close_notify. OpenSSL is told to ignore it.
        match read {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(explain::read_failure(error))),
            Poll::Ready(_) | Poll::Pending => read,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Clear(stream) => Pin::new(stream).poll_write(cx, buf),
            Inner::Rustls(stream) => Pin::new(stream).poll_write(cx, buf),
            Inner::OpenSsl(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Inner::Rustls(stream) => Pin::new(stream).poll_flush(cx),
            Inner::OpenSsl(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Rustls(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::OpenSsl(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
