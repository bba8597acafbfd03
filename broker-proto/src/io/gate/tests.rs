//! Strangers and honest peers on real sockets; 127.0.0.2 and so on are sources of their own.

use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, channel};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::io::listen::{self, Accepted};
use crate::io::tls::Acceptor;
use crate::peering::PeerAddr;

const HONEST: u8 = 1;
const HOSTILE: u8 = 2;

#[tokio::test]
async fn an_honest_peer_gets_in_while_silent_strangers_hold_all_they_can() {
    let mut rig = Rig::new(Capacity::default()).await;
    let mut silent = Vec::new();
    for _ in 0..Capacity::default().strangers_per_source + 10 {
        silent.push(rig.connect(HOSTILE).await);
    }
    for source in [HONEST, HOSTILE] {
        let (_honest, accepted) = rig.come_in(source).await;
        accepted.pass.known().settle();
    }
    for oldest in silent.iter_mut().take(11) {
        assert_ended(oldest).await;
    }
    assert_eq!(rig.gate.counters().pushed_out, 11);
    let refused = rig.refused.try_recv().unwrap();
    assert_eq!(refused.remote.ip(), Ipv4Addr::new(127, 0, 0, HOSTILE));
    assert_eq!(refused.reason, "pushed out by others that came later");
}

#[tokio::test]
async fn a_source_that_has_its_share_of_links_is_refused_before_a_byte_is_read() {
    let capacity = Capacity {
        links_per_source: 2,
        ..Capacity::default()
    };
    let mut rig = Rig::new(capacity).await;
    let first = rig.come_in(HOSTILE).await;
    let second = rig.come_in(HOSTILE).await;
    first.1.pass.known().settle();
    second.1.pass.known().settle();
    assert_ended(&mut rig.connect(HOSTILE).await).await;
    let refused = rig.refused.recv_timeout(LONG).unwrap();
    assert_eq!(refused.reason, "there are too many links from this address");
    assert_eq!(rig.gate.counters().full, 1);
    rig.come_in(HONEST).await;
    drop(first);
    rig.come_in(HOSTILE).await;
}

#[tokio::test]
async fn a_link_that_leaves_gives_its_place_back() {
    let capacity = Capacity {
        links: 1,
        ..Capacity::default()
    };
    let mut rig = Rig::new(capacity).await;
    for _ in 0..3 {
        let (client, accepted) = rig.come_in(HONEST).await;
        accepted.pass.known().settle();
        assert_eq!(rig.gate.links(), 1);
        drop((client, accepted));
    }
    assert_eq!((rig.gate.links(), rig.gate.counters().entered), (0, 3));
}

#[tokio::test]
async fn a_link_that_lost_its_place_is_not_settled_and_ends() {
    let capacity = Capacity {
        strangers_per_source: 1,
        ..Capacity::default()
    };
    let mut rig = Rig::new(capacity).await;
    let (_first, mut pushed_out) = rig.come_in(HOSTILE).await;
    let (_second, stays) = rig.come_in(HOSTILE).await;
    let known = pushed_out.pass.known();
    assert!(!known.settle() && !known.is_known());
    timeout(LONG, pushed_out.pass.pushed_out()).await.unwrap();
    let known = stays.pass.known();
    assert!(known.settle() && known.is_known());
    assert_eq!((rig.gate.links(), rig.gate.counters().pushed_out), (1, 1));
}

#[tokio::test]
async fn who_takes_too_long_over_tls_is_ended_counted_and_told_of() {
    let rig = Rig::with_timeout(Capacity::default(), Duration::from_millis(10)).await;
    let mut slow = rig.connect(HOSTILE).await;
    // As a ClientHello begins.
    slow.write_all(&[0x16, 3, 1]).await.unwrap();
    assert_ended(&mut slow).await;
    let refused = rig.refused.recv_timeout(LONG).unwrap();
    assert_eq!(refused.reason, "nothing usable came within 0.01 s");
    assert_eq!(rig.gate.counters().late, 1);
}

#[tokio::test]
async fn a_failed_tls_handshake_is_counted_and_told_of() {
    let rig = Rig::new(Capacity::default()).await;
    let mut garbled = rig.connect(HOSTILE).await;
    garbled.write_all(&[0x16, 9, 9, 0, 1, 0]).await.unwrap();
    garbled.shutdown().await.unwrap();
    assert_ended(&mut garbled).await;
    let told = timeout(LONG, async {
        loop {
            match rig.refused.try_recv() {
                Ok(refused) => return refused,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(told.await.unwrap().remote, garbled.local_addr().unwrap());
    assert_eq!(rig.gate.counters().failed, 1);
}

/// A listener and what came through its gate.
struct Rig {
    gate: Gate,
    port: u16,
    accepted: mpsc::Receiver<Accepted>,
    refused: Receiver<Refused>,
    _tasks: JoinSet<()>,
}

impl Rig {
    async fn new(capacity: Capacity) -> Self {
        Self::with_timeout(capacity, LONG).await
    }

    async fn with_timeout(capacity: Capacity, limit: Duration) -> Self {
        let (tell, refused) = channel();
        let gate = Gate::new(capacity, limit).watched(move |refused| {
            let _ = tell.send(refused);
        });
        let host = "127.0.0.1".to_owned();
        let listener = listen::bind(&PeerAddr { host, port: 0 }).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, accepted) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        let acceptor = Acceptor::self_signed();
        tasks.spawn(listen::accept(listener, acceptor, gate.clone(), sender));
        Self {
            gate,
            port,
            accepted,
            refused,
            _tasks: tasks,
        }
    }

    async fn connect(&self, source: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        let from = Ipv4Addr::new(127, 0, 0, source);
        socket.bind((from, 0).into()).unwrap();
        let to = (Ipv4Addr::LOCALHOST, self.port).into();
        timeout(LONG, socket.connect(to)).await.unwrap().unwrap()
    }

    /// Opens a link that says something at once.
    async fn come_in(&mut self, source: u8) -> (TcpStream, Accepted) {
        let mut client = self.connect(source).await;
        client.write_all(b"x").await.unwrap();
        let accepted = timeout(LONG, self.accepted.recv()).await.unwrap().unwrap();
        assert_eq!(accepted.remote, client.local_addr().unwrap());
        (client, accepted)
    }
}

async fn assert_ended(client: &mut TcpStream) {
    let ended = timeout(LONG, client.read(&mut [0; 64])).await.unwrap();
    // An alert may come first.
    match ended {
        Ok(0) | Err(_) => {}
        Ok(_) => {
            let rest = timeout(LONG, client.read(&mut [0; 64])).await.unwrap();
            assert!(matches!(rest, Ok(0) | Err(_)), "{rest:?}");
        }
    }
}

const LONG: Duration = Duration::from_secs(60);
