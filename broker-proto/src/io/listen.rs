//! Listening sockets, for Broker and for any other server of the program.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::io::gate::{Count, Gate, LeftOut, Pass};
use crate::io::keepalive::keep_alive;
use crate::io::tls::{Acceptor, Stream};
use crate::peering::PeerAddr;

/// Listens at the first address that `addr` stands for and that can be bound.
///
/// An empty host means every interface, both address families where the system has them. Port 0
/// lets the system choose. Accepted sockets have TCP keepalive on: a silent one ends a minute after
/// its other end is gone, one with bytes on their way when TCP gives them up (WIRE §14).
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

/// A link whose TLS handshake is over.
#[derive(Debug)]
pub struct Accepted {
    /// The link.
    pub stream: Stream,
    /// Its other end.
    pub remote: SocketAddr,
    /// Its place, which it has for as long as this is kept.
    pub pass: Pass,
}

/// Accepts for ever: hands every link to `accepted` once its TLS handshake is over.
///
/// Links that the gate has no place for are closed at once, before anything is read; links that
/// fail later are logged and gone. If `accepted` is full, links wait in front of it, still as
/// strangers: whoever takes them tells the gate when they are known. Returns when the receiver of
/// `accepted` is gone.
pub async fn accept(
    listener: TcpListener,
    acceptor: Acceptor,
    gate: Gate,
    accepted: mpsc::Sender<Accepted>,
) {
    let mut handshakes = JoinSet::new();
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
        // A socket for both families shows IPv4 peers as ::ffff:a.b.c.d.
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        match gate.enter(remote) {
            Ok(pass) => {
                let (acceptor, gate) = (acceptor.clone(), gate.clone());
                handshakes.spawn(greet(tcp, remote, acceptor, gate, pass, accepted.clone()));
            }
            // Told to the gate's watch; a flood would fill the log.
            Err(full) => debug!(%remote, %full, "an incoming link was closed at once"),
        }
    }
}

async fn greet(
    tcp: TcpStream,
    remote: SocketAddr,
    acceptor: Acceptor,
    gate: Gate,
    mut pass: Pass,
    accepted: mpsc::Sender<Accepted>,
) {
    let handshake = acceptor.accept(tcp, gate.timeout());
    let ended = tokio::select! {
        ended = handshake => ended,
        () = pass.pushed_out() => return on_pushed_out(&gate, remote),
    };
    let error = match ended {
        Ok(stream) => {
            let place = tokio::select! {
                place = accepted.reserve() => place,
                () = pass.pushed_out() => return on_pushed_out(&gate, remote),
            };
            // The receiver is only gone when everything ends.
            if let Ok(place) = place {
                place.send(Accepted {
                    stream,
                    remote,
                    pass,
                });
            }
            return;
        }
        Err(error) => error,
    };
    let kind = error.kind();
    gate.count(if kind == io::ErrorKind::TimedOut {
        Count::Late
    } else {
        Count::Failed
    });
    gate.tell(remote, || error.to_string());
    if kind == io::ErrorKind::UnexpectedEof {
        // Port scans and health checks do that.
        debug!(%remote, %error, "an incoming link ended before it was open");
        return;
    }
    match gate.line() {
        Err(LeftOut) => debug!(%remote, %error, "an incoming link failed, as many others"),
        // Both sides must be set alike, so somebody has to act.
        Ok(left_out) if kind == io::ErrorKind::PermissionDenied => {
            warn!(%remote, %error, left_out, "an incoming link was refused");
        }
        Ok(left_out) => {
            info!(%remote, %error, left_out, "an incoming link failed before it was open");
        }
    }
}

/// The gate has counted it already.
pub(crate) fn on_pushed_out(gate: &Gate, remote: SocketAddr) {
    gate.tell(remote, || "pushed out by others that came later".to_owned());
    debug!(%remote, "too many strangers, one of the oldest had to go");
}

fn bind_one(local: SocketAddr) -> io::Result<TcpListener> {
    let socket = if local.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it.
    keep_alive(&socket)?;
    socket.bind(local)?;
    socket.listen(BACKLOG)
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const BACKLOG: u32 = 1024;
