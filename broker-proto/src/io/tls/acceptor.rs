//! The accepting side.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use openssl::ssl::{Ssl, SslContext};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::backend::Backend;
use super::clients::Speaker;
use super::{Inner, Stream, TlsErrors, certificate, explain};
use crate::tls::ClientPort;

/// Turns accepted sockets into [`Stream`]s: TLS or not as the client chooses, or only TLS with
/// certificates on both sides.
///
/// Clones share the certificate. A self-signed one is made when the first client asks for TLS.
#[derive(Clone)]
pub struct Acceptor {
    mode: Arc<RwLock<Mode>>,
}

#[derive(Clone)]
enum Mode {
    /// Cleartext, and TLS with a certificate that means nothing.
    Anyone(Lazily),
    /// Only TLS, and only peers with a certificate of a trusted CA.
    Certified(Backend),
    /// Only TLS, for clients that are no Broker peers.
    Clients {
        speaker: Speaker,
        to_cleartext: &'static [u8],
    },
}

/// What a self-signed acceptor needs for TLS, made at its first use.
#[derive(Clone, Default)]
struct Lazily {
    config: Arc<OnceLock<Arc<ServerConfig>>>,
}

impl Acceptor {
    /// An acceptor for TLS 1.2 and 1.3 with a certificate of its own making, and for cleartext.
    ///
    /// Stock dialers without certificates accept any certificate (WIRE §7.1, §7.3). Clients are not
    /// asked for one. Sessions are not resumed, and no application protocol is negotiated.
    #[must_use]
    pub fn self_signed() -> Self {
        Self::new(Mode::Anyone(Lazily::default()))
    }

    /// An acceptor that takes only TLS peers with a certificate of a trusted CA (WIRE §7.2).
    pub(super) fn with_certificates(backend: Backend) -> Self {
        Self::new(Mode::Certified(backend))
    }

    /// An acceptor for clients that are no Broker peers, with the operator's certificate. Who does
    /// not speak TLS is sent `to_cleartext` and let go.
    ///
    /// # Errors
    /// If a file does not read or does not fit the others.
    pub fn for_clients(port: &ClientPort, to_cleartext: &'static [u8]) -> Result<Self, TlsErrors> {
        let speaker = Speaker::choose(port)?;
        Ok(Self::new(Mode::Clients {
            speaker,
            to_cleartext,
        }))
    }

    fn new(mode: Mode) -> Self {
        Self {
            mode: Arc::new(RwLock::new(mode)),
        }
    }

    /// Has this one and its clones do what `other` does, from the next socket on. What is accepted
    /// stays as it is.
    pub fn replace(&self, other: &Self) {
        let mode = other.mode();
        *self.mode.write().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    fn mode(&self) -> Mode {
        let mode = self.mode.read().unwrap_or_else(PoisonError::into_inner);
        mode.clone()
    }

    /// Waits for the client's first byte, then does the TLS handshake if it asks for one.
    ///
    /// Nothing is written before that byte. Sets TCP_NODELAY (API D73). A client has `limit` for
    /// all of it, so that a silent one holds nothing for ever (WIRE §4.6; stock has no limit).
    ///
    /// # Errors
    /// If the client leaves, is too slow or fails the TLS handshake. With certificates also if it
    /// shows none, one that is not trusted or no longer valid, or speaks no TLS at all; the kind is
    /// `PermissionDenied` then, and the text says what is missing.
    pub async fn accept(&self, tcp: TcpStream, limit: Duration) -> io::Result<Stream> {
        tokio::time::timeout(limit, self.greet(tcp))
            .await
            .unwrap_or_else(|_| {
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("nothing usable came within {} s", limit.as_secs_f64()),
                ))
            })
    }

    async fn greet(&self, mut tcp: TcpStream) -> io::Result<Stream> {
        tcp.set_nodelay(true)?;
        let mut first = [0];
        if tcp.peek(&mut first).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "end of stream before the first byte",
            ));
        }
        // A cleartext Broker frame would have to be over 350 MB to begin like this.
        let is_tls = first == [TLS_HANDSHAKE];
        match &self.mode() {
            Mode::Anyone(_) if !is_tls => Ok(Inner::Clear(tcp).into()),
            Mode::Certified(_) if !is_tls => Err(explain::cleartext_refused()),
            Mode::Anyone(lazily) => with_rustls(&lazily.tls()?, tcp).await,
            Mode::Certified(Backend::Rustls { accepting, .. }) => {
                let tls = TlsAcceptor::from(accepting.clone());
                with_rustls(&tls, tcp).await.map(Stream::verified)
            }
            Mode::Certified(Backend::OpenSsl(context)) => {
                with_openssl(context, tcp).await.map(Stream::verified)
            }
            Mode::Clients { to_cleartext, .. } if !is_tls => {
                // Whether it can be told or not, it is refused.
                let _ = tcp.write_all(to_cleartext).await;
                part(&mut tcp).await;
                Err(explain::cleartext_client_refused())
            }
            Mode::Clients { speaker, .. } => {
                let stream = match speaker {
                    Speaker::Rustls(config) => {
                        with_rustls(&TlsAcceptor::from(config.clone()), tcp).await
                    }
                    Speaker::OpenSsl(context) => with_openssl(context, tcp).await,
                };
                // Where nobody is verified, nobody is asked, and what is not asked for is not sent.
                stream.map(Stream::verified)
            }
        }
    }
}

impl Lazily {
    /// # Errors
    /// If the system has no randomness, or rustls refuses what was made; not expected.
    fn tls(&self) -> io::Result<TlsAcceptor> {
        if let Some(config) = self.config.get() {
            return Ok(TlsAcceptor::from(Arc::clone(config)));
        }
        let made = self_signed_config()?;
        // If two made one at the same time, the first counts for both.
        let config = self.config.get_or_init(|| Arc::new(made));
        Ok(TlsAcceptor::from(Arc::clone(config)))
    }
}

fn self_signed_config() -> io::Result<ServerConfig> {
    let identity = certificate::self_signed().map_err(io::Error::other)?;
    // Named here, because a process-wide default would depend on who comes first.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate], identity.key.into())
        .map_err(io::Error::other)?;
    // Broker's dialers never resume.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

async fn with_rustls(tls: &TlsAcceptor, tcp: TcpStream) -> io::Result<Stream> {
    match tls.accept(tcp).into_fallible().await {
        Ok(tls) => Ok(Inner::Rustls(Box::new(TlsStream::Server(tls))).into()),
        Err((error, mut tcp)) => {
            part(&mut tcp).await;
            Err(explain::rustls_handshake(error))
        }
    }
}

async fn with_openssl(context: &SslContext, tcp: TcpStream) -> io::Result<Stream> {
    let mut tls = SslStream::new(Ssl::new(context)?, tcp)?;
    if let Err(error) = Pin::new(&mut tls).accept().await {
        part(tls.get_mut()).await;
        return Err(explain::openssl_handshake(error, tls.ssl().verify_result()));
    }
    Ok(Inner::OpenSsl(Box::new(tls)).into())
}

/// Lets the peer read why it was refused: closing a socket with unread bytes would reset the
/// connection, which can cost the peer our alert. It may have begun to talk already.
async fn part(tcp: &mut TcpStream) {
    let ended = async {
        tcp.shutdown().await?;
        tokio::io::copy(&mut tcp.take(PARTING_BYTES), &mut tokio::io::sink()).await
    };
    // However it ends, the link is over.
    let _ = tokio::time::timeout(PARTING_LIMIT, ended).await;
}

/// How long, and for how many bytes, a refused peer is listened to.
const PARTING_LIMIT: Duration = Duration::from_secs(1);
const PARTING_BYTES: u64 = 64 * 1024;

/// The record type that a ClientHello comes in.
const TLS_HANDSHAKE: u8 = 0x16;
