//! Listening sockets, for Broker and for any other server of the program.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, info, warn};

use crate::io::tls::{Acceptor, Stream};
use crate::peering::PeerAddr;

/// Listens at the first address that `addr` stands for and that can be bound.
///
/// An empty host means every interface, both address families where the system has them. Port 0
/// lets the system choose. Accepted sockets have TCP keepalive on (WIRE §6.5).
///
/// # Errors
/// If the name has no address or none of its addresses can be bound.
pub async fn bind(addr: &PeerAddr) -> io::Result<TcpListener> {
    // Broker takes "" for every interface.
    let hosts = if addr.host.is_empty() {
        vec!["::", "0.0.0.0"]
    } else {
        vec![addr.host.as_str()]
    };
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for host in hosts {
        for local in lookup_host((host, addr.port)).await? {
            match bind_one(local) {
                Ok(listener) => return Ok(listener),
                Err(error) => failure = error,
            }
        }
    }
    Err(failure)
}

/// Accepts for ever: hands every link to `accepted` once its TLS handshake is over.
///
/// Links that fail before that are logged and gone. At most [`PENDING`] may be on their way; one
/// more ends the oldest of them, so that silent peers cannot keep others out. If `accepted` is
/// full, links wait in front of it and count as on their way. Returns when the receiver of
/// `accepted` is gone.
pub async fn accept(
    listener: TcpListener,
    acceptor: Acceptor,
    accepted: mpsc::Sender<(Stream, SocketAddr)>,
) {
    let mut handshakes = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let next = tokio::select! {
            next = listener.accept() => next,
            Some(_) = handshakes.join_next() => continue,
            () = accepted.closed() => return,
        };
        let (tcp, remote) = match next {
            Ok(next) => next,
            Err(error) => {
                // Mostly too many open files; that passes.
                warn!(%error, "cannot accept a link");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        oldest_first.retain(|handshake| !handshake.is_finished());
        if oldest_first.len() >= PENDING
            && let Some(oldest) = oldest_first.pop_front()
        {
            debug!("too many unfinished links, dropping the oldest");
            oldest.abort();
        }
        // A socket for both families shows IPv4 peers as ::ffff:a.b.c.d.
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        oldest_first.push_back(handshakes.spawn(greet(
            tcp,
            remote,
            acceptor.clone(),
            accepted.clone(),
        )));
    }
}

/// How many links of one listener may be between accept and the end of the TLS handshake.
pub const PENDING: usize = 128;

async fn greet(
    tcp: TcpStream,
    remote: SocketAddr,
    acceptor: Acceptor,
    accepted: mpsc::Sender<(Stream, SocketAddr)>,
) {
    match acceptor.accept(tcp).await {
        // The receiver is only gone when everything ends.
        Ok(stream) => drop(accepted.send((stream, remote)).await),
        // Port scans and health checks do that.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            debug!(%remote, %error, "an incoming link ended before it was open");
        }
        // Both sides must be set alike, so somebody has to act.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            warn!(%remote, %error, "an incoming link was refused");
        }
        Err(error) => info!(%remote, %error, "an incoming link failed before it was open"),
    }
}

fn bind_one(local: SocketAddr) -> io::Result<TcpListener> {
    let socket = if local.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it.
    socket.set_keepalive(true)?;
    socket.bind(local)?;
    socket.listen(BACKLOG)
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const BACKLOG: u32 = 1024;
