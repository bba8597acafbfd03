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
//! Files are read when a connector or an acceptor is made. To have a running endpoint use others,
//! make both again and give them to [`Connector::replace`] and [`Acceptor::replace`].
//!
//! What no file is needed for is set up when it is first used: a library costs a program memory from
//! its first call on, two megabytes in OpenSSL's case, and most programs never call it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use openssl::error::ErrorStack;
use rustix::net::sockopt;
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

/// One reason why TLS cannot be set up. Whatever the peer does wrong is an [`io::Error`] instead.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Certificates are wanted, but not all that it takes is given.
    #[error("{option}: not set, and TLS with certificates needs it")]
    Missing {
        /// Stock's name of what is not set.
        option: &'static str,
    },
    /// A file or directory that an option names cannot be read.
    #[error("{option}: {}", path.display())]
    Read {
        /// Stock's name of the option.
        option: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is no PEM, or what is in it no certificate.
    #[error("{option}: {}: not certificates in PEM", path.display())]
    Unreadable {
        /// Stock's name of the option.
        option: &'static str,
        /// Which.
        path: PathBuf,
        /// What OpenSSL says.
        #[source]
        source: ErrorStack,
    },
    /// A file has no certificate in it.
    #[error("{option}: {}: there is no certificate in it", path.display())]
    NoCertificate {
        /// Stock's name of the option.
        option: &'static str,
        /// Which.
        path: PathBuf,
    },
    /// No chain could ever end at one of the CAs given.
    #[error("{option}: no self-signed CA certificate")]
    NoRoot {
        /// Stock's name of the option.
        option: &'static str,
    },
    /// The key is encrypted and no passphrase is set.
    #[error("{option}: {}: encrypted, and Broker::ssl_passphrase is not set", path.display())]
    Encrypted {
        /// Stock's name of the option.
        option: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The key does not read, perhaps because the passphrase is another.
    #[error("{option}: {}: not a private key in PEM (is Broker::ssl_passphrase right?)", path.display())]
    Key {
        /// Stock's name of the option.
        option: &'static str,
        /// Where.
        path: PathBuf,
        /// What OpenSSL says.
        #[source]
        source: ErrorStack,
    },
    /// Certificate and key do not belong together.
    #[error("{option}: {}: not the key of the certificate in {}", keyfile.display(), certificate.display())]
    KeyMismatch {
        /// Stock's name of the option.
        option: &'static str,
        /// Where the key is.
        keyfile: PathBuf,
        /// Where the certificate is.
        certificate: PathBuf,
    },
    /// OpenSSL does not take certificate, key or CAs either.
    #[error("cannot set up TLS with certificates")]
    OpenSsl(#[source] ErrorStack),
}

/// Everything that keeps TLS from being set up, each with the option and the file it is about.
#[derive(Debug)]
pub struct TlsErrors(pub Vec<TlsError>);

/// A line for each, with its reasons.
impl fmt::Display for TlsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
            let mut source = error.source();
            while let Some(cause) = source {
                write!(f, ": {cause}")?;
                source = cause.source();
            }
        }
        Ok(())
    }
}

impl Error for TlsErrors {}

impl From<TlsError> for TlsErrors {
    fn from(error: TlsError) -> Self {
        Self(vec![error])
    }
}

/// Both sides of an endpoint, as its operator wants it. Reads the files that the options name.
///
/// # Errors
/// If certificates are wanted and a file is missing, does not read or does not fit the others. All
/// that is wrong is told.
pub fn connector_and_acceptor(options: &Tls) -> Result<(Connector, Acceptor), TlsErrors> {
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

impl Inner {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Rustls(stream) => stream.get_ref().0,
            Self::OpenSsl(stream) => stream.get_ref(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let inner = &mut self.get_mut().inner;
        let before = buf.filled().len();
        let read = match inner {
            Inner::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::Rustls(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::OpenSsl(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        // Where the room was filled, more is there already, and nobody waits.
        if buf.filled().len() > before && buf.remaining() > 0 {
            acknowledge(inner.tcp());
        }
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

/// Has the system acknowledge now what came, instead of 40 ms later.
///
/// Stock sends no two small messages in a row before the first one is acknowledged, because Broker
/// leaves Nagle's algorithm on (API §12.2, D73): without this a node's hello is 40 ms late, and so is
/// what a stock agent answers. Linux forgets the wish as soon as this side sends something.
fn acknowledge(tcp: &TcpStream) {
    // Where the system does not do that, the peer waits as it always did.
    let _ = sockopt::set_tcp_quickack(tcp, true);
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
