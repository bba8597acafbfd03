//! Cleartext and TLS behind one stream type (WIRE §7).
//!
//! [`Acceptor`] serves both on one port: a TLS client speaks first and its first byte tells. Its
//! certificate is self-signed and made at start, which is all that Broker's certificate-less
//! dialers ask for. [`Connector`] dials as the operator set it: in cleartext, or as stock Broker
//! does without certificates, with anonymous ECDH. rustls knows no anonymous suites, so that one
//! direction uses OpenSSL.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use tokio_rustls::{rustls, server};

mod acceptor;
mod certificate;
mod connector;
#[cfg(test)]
mod tests;

pub use acceptor::Acceptor;
pub use connector::Connector;

/// Why TLS cannot be set up at all. Whatever the peer does wrong is an [`io::Error`] instead.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// OpenSSL could not make the key or the certificate.
    #[error("cannot make a self-signed certificate")]
    Certificate(#[source] openssl::error::ErrorStack),
    /// rustls does not take the certificate.
    #[error("cannot set up TLS for accepting")]
    Accept(#[source] rustls::Error),
    /// OpenSSL lacks what anonymous TLS needs.
    #[error("cannot set up anonymous TLS for dialing")]
    Dial(#[source] openssl::error::ErrorStack),
}

/// One open connection, TLS handshake included.
///
/// Broker ends TLS streams without a close_notify (WIRE §7), so a missing one is an ordinary end of
/// stream here.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Clear(TcpStream),
    Accepted(Box<server::TlsStream<TcpStream>>),
    Dialed(Box<SslStream<TcpStream>>),
}

impl Stream {
    /// Whether it is TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        match self.inner {
            Inner::Clear(_) => false,
            Inner::Accepted(_) | Inner::Dialed(_) => true,
        }
    }
}

impl From<Inner> for Stream {
    fn from(inner: Inner) -> Self {
        Self { inner }
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
            Inner::Accepted(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::Dialed(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        // How rustls reports a missing close_notify. OpenSSL is told to ignore it.
        match read {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Ok(()))
            }
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
            Inner::Accepted(stream) => Pin::new(stream).poll_write(cx, buf),
            Inner::Dialed(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Inner::Accepted(stream) => Pin::new(stream).poll_flush(cx),
            Inner::Dialed(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Accepted(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Dialed(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
