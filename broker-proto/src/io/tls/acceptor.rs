//! The accepting side.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::NoServerSessionStorage;

use super::{Inner, Stream, TlsError, certificate};

/// Turns accepted sockets into [`Stream`]s, TLS or not as the client chooses.
///
/// Clones share the certificate.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
}

impl Acceptor {
    /// An acceptor for TLS 1.2 and 1.3 with a certificate of its own making, and for cleartext.
    ///
    /// Stock dialers without certificates accept any certificate (WIRE §7.1, §7.3). Clients are not
    /// asked for one. Sessions are not resumed, and no application protocol is negotiated.
    ///
    /// # Errors
    /// If the libraries fail; not expected.
    pub fn self_signed() -> Result<Self, TlsError> {
        let identity = certificate::self_signed().map_err(TlsError::Certificate)?;
        // Named here, because a process-wide default would depend on who comes first.
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Accept)?
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate], identity.key.into())
            .map_err(TlsError::Accept)?;
        // Broker's dialers never resume.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let tls = TlsAcceptor::from(Arc::new(config));
        Ok(Self { tls })
    }

    /// Waits for the client's first byte, then does the TLS handshake if it asks for one.
    ///
    /// Nothing is written before that byte. Sets TCP_NODELAY (API D73). A client has 10 s for all
    /// of it, so that a silent one holds nothing for ever.
    ///
    /// # Errors
    /// If the client leaves, is too slow or fails the TLS handshake.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<Stream> {
        tokio::time::timeout(ACCEPT_LIMIT, self.greet(tcp))
            .await
            .unwrap_or_else(|_| {
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("nothing usable came within {} s", ACCEPT_LIMIT.as_secs()),
                ))
            })
    }

    async fn greet(&self, tcp: TcpStream) -> io::Result<Stream> {
        tcp.set_nodelay(true)?;
        let mut first = [0];
        if tcp.peek(&mut first).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "end of stream before the first byte",
            ));
        }
        // A cleartext Broker frame would have to be over 350 MB to begin like this.
        if first == [TLS_HANDSHAKE] {
            let tls = self.tls.accept(tcp).await.map_err(explain)?;
            return Ok(Inner::Accepted(Box::new(tls)).into());
        }
        Ok(Inner::Clear(tcp).into())
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

fn explain(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("TLS handshake failed: {error}"))
}

/// From accept to the end of the TLS handshake (WIRE §4.6; stock has no limit).
pub(super) const ACCEPT_LIMIT: Duration = Duration::from_secs(10);

/// The record type that a ClientHello comes in.
const TLS_HANDSHAKE: u8 = 0x16;
