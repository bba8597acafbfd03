//! The dialing side.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslMethod, SslMode, SslOptions, SslRef, SslSessionCacheMode, SslVerifyMode,
    SslVersion,
};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_openssl::SslStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};
use tokio_rustls::{TlsConnector, TlsStream, client};
use tracing::debug;

use super::backend::Backend;
use super::verify::AnyCertificate;
use super::{Inner, Stream, explain};
use crate::io::keepalive::keep_alive;
use crate::peering::PeerAddr;
use crate::tls::NameCheck;

/// Dials peers, in cleartext or with TLS. There is no negotiation: it must fit the peer (WIRE §7).
#[derive(Clone, Debug)]
pub struct Connector {
    mode: Arc<RwLock<Mode>>,
    names: Names,
}

/// Who says where a name leads. Asked for every dial: peers move.
#[derive(Clone, Debug)]
enum Names {
    System,
    /// Each answer in its turn.
    #[cfg(test)]
    Told(Arc<std::sync::Mutex<std::collections::VecDeque<SocketAddr>>>),
}

#[derive(Clone)]
enum Mode {
    Cleartext,
    Anonymous(Arc<Anonymous>),
    Certificates(Backend, NameCheck),
}

/// Each library is set up when it is first used.
#[derive(Default)]
struct Anonymous {
    rustls: OnceLock<Arc<ClientConfig>>,
    openssl: OnceLock<SslContext>,
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cleartext => "Cleartext",
            Self::Anonymous(_) => "Anonymous",
            Self::Certificates(..) => "Certificates",
        })
    }
}

impl Connector {
    /// For peers that run with `Broker::disable_ssl=T`, and for our own acceptors.
    #[must_use]
    pub fn cleartext() -> Self {
        Self::new(Mode::Cleartext)
    }

    /// For peers with Broker's default settings: TLS without certificates (WIRE §7.1).
    ///
    /// Offers what stock's dialer offers, so the outcome is TLS 1.2 with anonymous ECDH against
    /// stock and TLS 1.3 against a peer that has a certificate, whichever it is. Never resumes a
    /// session. Protects against passive listeners only.
    ///
    /// On the own machine, where peers of ours are that all have a certificate, rustls dials as long
    /// as nobody refuses it, which spares a program OpenSSL's memory. The first peer that does,
    /// which is to say stock, is dialed a second time.
    ///
    /// An OpenSSL that was built without the anonymous suites fails every dial.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(Mode::Anonymous(Arc::default()))
    }

    /// For peers with certificates of a trusted CA (WIRE §7.2).
    pub(super) fn with_certificates(backend: Backend, name_check: NameCheck) -> Self {
        Self::new(Mode::Certificates(backend, name_check))
    }

    /// The same, with these answers to where a name leads.
    #[cfg(test)]
    pub(in crate::io) fn with_names(mut self, answers: Vec<SocketAddr>) -> Self {
        self.names = Names::Told(Arc::new(std::sync::Mutex::new(answers.into())));
        self
    }

    fn new(mode: Mode) -> Self {
        Self {
            mode: Arc::new(RwLock::new(mode)),
            names: Names::System,
        }
    }

    /// Has this one and its clones dial as `other` does, from the next dial on. What is connected
    /// stays as it is.
    pub fn replace(&self, other: &Self) {
        let mode = other.mode();
        *self.mode.write().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    fn mode(&self) -> Mode {
        let mode = self.mode.read().unwrap_or_else(PoisonError::into_inner);
        mode.clone()
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
        let lookup = self.names.look_up(addr);
        let remotes = within(LOOKUP_LIMIT, "looking up the name", lookup)
            .await
            .map_err(|error| failed(addr, error.kind(), &error.to_string()))?;
        let mut kind = io::ErrorKind::NotFound;
        let mut reasons = Vec::new();
        for remote in remotes {
            match self.connect_to(&addr.host, remote).await {
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

    async fn connect_to(&self, host: &str, remote: SocketAddr) -> io::Result<Stream> {
        let tcp = within(CONNECT_LIMIT, "connecting", open(remote)).await?;
        let what = "the TLS handshake";
        match &self.mode() {
            Mode::Cleartext => Ok(Inner::Clear(tcp).into()),
            Mode::Anonymous(libraries) => libraries.connect(remote, tcp).await,
            Mode::Certificates(Backend::Rustls { dialing, .. }, check) => {
                let name = server_name(host, remote, *check)?;
                let handshake = with_rustls(dialing.clone(), name, tcp);
                let stream = within(HANDSHAKE_LIMIT, what, handshake).await?;
                Ok(stream.verified())
            }
            Mode::Certificates(Backend::OpenSsl(context), check) => {
                let mut ssl = Ssl::new(context)?;
                match check {
                    NameCheck::Off => {}
                    NameCheck::On => expect_name(&mut ssl, host)?,
                }
                let stream = within(HANDSHAKE_LIMIT, what, with_openssl(ssl, tcp)).await?;
                Ok(stream.verified())
            }
        }
    }
}

impl Names {
    async fn look_up(&self, addr: &PeerAddr) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System => {
                let found = lookup_host((addr.host.as_str(), addr.port)).await?;
                Ok(found.collect())
            }
            #[cfg(test)]
            Self::Told(answers) => {
                let next = answers.lock().unwrap().pop_front();
                Ok(next.into_iter().collect())
            }
        }
    }
}

/// rustls wants a name even if nobody looks at it; it is not sent.
fn server_name(
    host: &str,
    remote: SocketAddr,
    check: NameCheck,
) -> io::Result<ServerName<'static>> {
    match (ServerName::try_from(host.to_owned()), check) {
        (Ok(name), _) => Ok(name),
        (Err(_), NameCheck::Off) => Ok(ServerName::from(remote.ip())),
        (Err(_), NameCheck::On) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "no certificate can have this name",
        )),
    }
}

fn expect_name(ssl: &mut SslRef, host: &str) -> Result<(), ErrorStack> {
    match host.parse::<IpAddr>() {
        Ok(ip) => ssl.param_mut().set_ip(ip),
        Err(_) => ssl.param_mut().set_host(host),
    }
}

impl Anonymous {
    async fn connect(&self, remote: SocketAddr, tcp: TcpStream) -> io::Result<Stream> {
        let what = "the TLS handshake";
        let mut tcp = tcp;
        if remote.ip().to_canonical().is_loopback() && self.openssl.get().is_none() {
            let name = ServerName::from(remote.ip());
            let handshake = with_rustls_unless_refused(self.rustls()?, name, tcp);
            if let Some(stream) = within(HANDSHAKE_LIMIT, what, handshake).await? {
                return Ok(stream);
            }
            debug!(%remote, "the peer refuses rustls; dialed again with OpenSSL");
            tcp = within(CONNECT_LIMIT, "connecting", open(remote)).await?;
        }
        within(HANDSHAKE_LIMIT, what, with_openssl(self.openssl()?, tcp)).await
    }

    fn rustls(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.rustls.get() {
            return Ok(config.clone());
        }
        let made =
            any_certificate().map_err(|error| io::Error::other(format!("no TLS here: {error}")))?;
        // If two made one at the same time, the first counts for both.
        Ok(self.rustls.get_or_init(|| made).clone())
    }

    fn openssl(&self) -> io::Result<Ssl> {
        let context = match self.openssl.get() {
            Some(context) => context,
            None => {
                let made = anonymous_context()
                    .map_err(|error| io::Error::other(format!("no anonymous TLS here: {error}")))?;
                self.openssl.get_or_init(|| made)
            }
        };
        Ok(Ssl::new(context)?)
    }
}

fn any_certificate() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = AnyCertificate::new(&provider);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Stock: connector.cc, `ssl_context_from_cfg`.
fn anonymous_context() -> Result<SslContext, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls())?;
    // What waits to be written may move in memory meanwhile.
    builder.set_mode(SslMode::ACCEPT_MOVING_WRITE_BUFFER);
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
    keep_alive(&socket)?;
    let tcp = socket.connect(remote).await?;
    // Dialing a free port of this machine again and again, TCP sooner or later picks that very port
    // for this end, and connects the socket to itself.
    if tcp.local_addr()? == remote {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn with_openssl(ssl: Ssl, tcp: TcpStream) -> io::Result<Stream> {
    let mut tls = SslStream::new(ssl, tcp)?;
    if let Err(error) = Pin::new(&mut tls).connect().await {
        return Err(explain::openssl_handshake(error, tls.ssl().verify_result()));
    }
    Ok(Inner::OpenSsl(Box::new(tls)).into())
}

async fn with_rustls(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    tcp: TcpStream,
) -> io::Result<Stream> {
    let tls = TlsConnector::from(config).connect(name, tcp).await;
    tls.map(client_stream).map_err(explain::rustls_handshake)
}

/// The same; `None` if the peer speaks TLS, but not as rustls does.
async fn with_rustls_unless_refused(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    tcp: TcpStream,
) -> io::Result<Option<Stream>> {
    match TlsConnector::from(config).connect(name, tcp).await {
        Ok(tls) => Ok(Some(client_stream(tls))),
        Err(error) if explain::is_refusal(&error) => Ok(None),
        Err(error) => Err(explain::rustls_handshake(error)),
    }
}

fn client_stream(tls: client::TlsStream<TcpStream>) -> Stream {
    Inner::Rustls(Box::new(TlsStream::Client(tls))).into()
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
