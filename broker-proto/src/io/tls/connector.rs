//! The dialing side.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{
    self, Ssl, SslContext, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_openssl::SslStream;

use super::{Inner, Stream, TlsError};
use crate::peering::PeerAddr;

/// Dials peers, in cleartext or with TLS. There is no negotiation: it must fit the peer (WIRE §7).
#[derive(Clone, Debug)]
pub struct Connector {
    mode: Mode,
}

#[derive(Clone, Debug)]
enum Mode {
    Cleartext,
    Anonymous(SslContext),
}

impl Connector {
    /// For peers that run with `Broker::disable_ssl=T`, and for our own acceptors.
    #[must_use]
    pub fn cleartext() -> Self {
        Self {
            mode: Mode::Cleartext,
        }
    }

    /// For peers with Broker's default settings: TLS without certificates (WIRE §7.1).
    ///
    /// Offers what stock's dialer offers, so the outcome is TLS 1.2 with anonymous ECDH against
    /// stock and TLS 1.3 against a peer that has a certificate, whichever it is. Never resumes a
    /// session. Protects against passive listeners only.
    ///
    /// # Errors
    /// If the OpenSSL in use was built without the anonymous suites.
    pub fn anonymous() -> Result<Self, TlsError> {
        let context = anonymous_context().map_err(TlsError::Dial)?;
        Ok(Self {
            mode: Mode::Anonymous(context),
        })
    }

    /// Connects to the first address of `addr` that answers, TLS handshake included.
    ///
    /// Looking the name up may take 5 s, TCP 5 s for each address, TLS 10 s. Stock allows TCP one
    /// second, because its dials hold up one another; these do not, and a second is too short for
    /// a lost SYN, which is repeated after one. Sets TCP_NODELAY (API D73) and TCP keepalive.
    ///
    /// # Errors
    /// If no address can be reached or agrees on TLS. The text names `addr` and every reason.
    pub async fn connect(&self, addr: &PeerAddr) -> io::Result<(Stream, SocketAddr)> {
        let lookup = lookup_host((addr.host.as_str(), addr.port));
        let remotes = within(LOOKUP_LIMIT, "looking up the name", lookup)
            .await
            .map_err(|error| failed(addr, error.kind(), &error.to_string()))?;
        let mut kind = io::ErrorKind::NotFound;
        let mut reasons = Vec::new();
        for remote in remotes {
            match self.connect_to(remote).await {
                Ok(stream) => return Ok((stream, remote)),
                Err(error) if remote.to_string() == addr.to_string() => {
                    kind = error.kind();
                    reasons.push(error.to_string());
                }
                Err(error) => {
                    kind = error.kind();
                    reasons.push(format!("{remote}: {error}"));
                }
            }
        }
        if reasons.is_empty() {
            return Err(failed(addr, kind, "the name has no address"));
        }
        Err(failed(addr, kind, &reasons.join("; ")))
    }

    async fn connect_to(&self, remote: SocketAddr) -> io::Result<Stream> {
        let tcp = within(CONNECT_LIMIT, "connecting", open(remote)).await?;
        match &self.mode {
            Mode::Cleartext => Ok(Inner::Clear(tcp).into()),
            Mode::Anonymous(context) => {
                let handshake = handshake(context, tcp);
                within(HANDSHAKE_LIMIT, "the TLS handshake", handshake).await
            }
        }
    }
}

/// Stock: connector.cc, `ssl_context_from_cfg`.
fn anonymous_context() -> Result<SslContext, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_cipher_list("AECDH-AES256-SHA@SECLEVEL=0")?;
    builder.set_groups_list("P-384")?;
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_options(SslOptions::IGNORE_UNEXPECTED_EOF);
    Ok(builder.build())
}

async fn open(remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_keepalive(true)?;
    let tcp = socket.connect(remote).await?;
    // Dialing a free port of this machine again and again, TCP sooner or later picks that very port
    // for this end, and connects the socket to itself.
    if tcp.local_addr()? == remote {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn handshake(context: &SslContext, tcp: TcpStream) -> io::Result<Stream> {
    let ssl = Ssl::new(context)?;
    let mut tls = SslStream::new(ssl, tcp)?;
    Pin::new(&mut tls).connect().await.map_err(explain)?;
    Ok(Inner::Dialed(Box::new(tls)).into())
}

/// Tells a peer without TLS apart from one whose TLS does not fit.
fn explain(error: ssl::Error) -> io::Error {
    let stack = error.ssl_error().map_or(&[][..], ErrorStack::errors);
    // What OpenSSL says if the answer is no TLS record, like the probe of a cleartext Broker.
    if stack
        .iter()
        .any(|error| error.reason() == Some("wrong version number"))
    {
        return io::Error::new(
            io::ErrorKind::InvalidData,
            "the peer does not speak TLS (TLS is on here, is it off there?)",
        );
    }
    if stack.is_empty() && error.io_error().is_none() {
        return io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the peer closed the connection during the TLS handshake",
        );
    }
    match error.into_io_error() {
        Ok(error) => io::Error::new(error.kind(), format!("TLS handshake failed: {error}")),
        Err(error) => io::Error::new(
            io::ErrorKind::InvalidData,
            format!("TLS handshake failed: {error}"),
        ),
    }
}

fn failed(addr: &PeerAddr, kind: io::ErrorKind, reason: &str) -> io::Error {
    io::Error::new(kind, format!("cannot connect to {addr}: {reason}"))
}

async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{what} took more than {} s", limit.as_secs()),
        ))
    })
}

const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
