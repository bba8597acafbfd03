use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::Transport;
use crate::io::gate::Gate;
use crate::io::listen;
use crate::io::tls::{Acceptor, Connector};
use crate::peering::{Endpoint, Input, LinkId, Options, Output, PeerAddr};
use crate::places::Capacity;
use crate::{EndpointId, IdGen};

const DIALED: LinkId = LinkId::Dialed(7);
const ACCEPTED: LinkId = LinkId::Accepted(0);

#[tokio::test]
async fn bytes_arrive_in_order_and_small_frames_share_writes() {
    for connector in [Connector::cleartext(), Connector::anonymous()] {
        let (mut dialer, mut acceptor) = linked(connector).await;
        let mut expected = BytesMut::new();
        for n in 0..2000_u32 {
            // Some empty, most small, a few beyond one write.
            let length = if n % 500 == 499 { 200_000 } else { n % 100 };
            let frame = Bytes::from(vec![n.to_be_bytes()[3]; length as usize]);
            expected.extend_from_slice(&frame);
            send(&mut dialer, DIALED, frame);
        }

        let (mut got, mut reports, mut frames) = (BytesMut::new(), 0, 0);
        while got.len() < expected.len() || frames < 2000 {
            let input = either(&mut dialer, &mut acceptor).await;
            if let Input::Bytes { chunk, .. } = input {
                got.extend_from_slice(&chunk);
            } else if let Input::Sent { messages, .. } = input {
                reports += 1;
                frames += messages;
            } else {
                panic!("{input:?}");
            }
        }
        assert!(got == expected);
        assert_eq!(frames, 2000);
        assert!(reports < 50, "{reports} writes");
    }
}

#[tokio::test]
async fn what_is_sent_while_a_write_is_stuck_goes_out_after_it() {
    for connector in [Connector::cleartext(), Connector::anonymous()] {
        let (mut dialer, mut acceptor) = linked(connector).await;
        let frame = Bytes::from(vec![1; 60_000]);
        let mut frames = 1;
        send(&mut dialer, DIALED, frame.clone());
        while !is_quiet(&mut dialer).await {
            send(&mut dialer, DIALED, frame.clone());
            frames += 1;
        }
        for _ in 0..3 {
            send(&mut dialer, DIALED, Bytes::from_static(b"small"));
            assert!(is_quiet(&mut dialer).await);
        }
        let (mut got, mut reported) = (0, 0);
        while got < frames * frame.len() + 3 * 5 {
            let input = either(&mut dialer, &mut acceptor).await;
            if let Input::Bytes { chunk, .. } = input {
                got += chunk.len();
            } else if let Input::Sent { messages, .. } = input {
                reported += messages;
            } else {
                panic!("{input:?}");
            }
        }
        assert_eq!(got, frames * frame.len() + 3 * 5);
        assert_eq!(reported, 4);
    }
}

#[tokio::test]
async fn accepted_links_are_counted_and_answer() {
    let mut server = transport(Connector::cleartext());
    let addr = listening(&mut server).await;
    for n in 0..3 {
        let mut client = TcpStream::connect(addr.to_string()).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let link = LinkId::Accepted(n);
        let remote = client.local_addr().unwrap();
        assert_eq!(
            within(server.next()).await,
            Input::Opened {
                link,
                remote,
                certificate: None
            }
        );
        assert_eq!(
            within(server.next()).await,
            Input::Bytes {
                link,
                chunk: Bytes::from_static(b"x")
            }
        );
        send(&mut server, link, Bytes::from_static(b"y"));
        assert_eq!(
            within(server.next()).await,
            Input::Sent { link, messages: 1 }
        );
        assert_eq!(within(client.read_u8()).await.unwrap(), b'y');
        drop(client);
        assert_eq!(within(server.next()).await, closed(link, "end of stream"));
    }
}

#[tokio::test]
async fn close_writes_what_was_queued_before() {
    let (mut dialer, mut acceptor) = linked(Connector::anonymous()).await;
    for _ in 0..200 {
        send(&mut dialer, DIALED, Bytes::from(vec![1; 10_000]));
    }
    dialer.apply(Output::Close { link: DIALED });
    send(&mut dialer, DIALED, Bytes::from_static(b"too late"));

    let mut got = 0;
    let end = loop {
        let input = either(&mut dialer, &mut acceptor).await;
        let Input::Bytes { chunk, .. } = input else {
            break input;
        };
        got += chunk.len();
    };
    assert_eq!(end, closed(ACCEPTED, "end of stream"));
    assert_eq!(got, 2_000_000);
    // No `Sent` after `Close`.
    assert_eq!(
        within(dialer.next()).await,
        closed(DIALED, "closed by this side")
    );
}

#[tokio::test]
async fn close_ends_a_link_whose_peer_neither_reads_nor_leaves() {
    let (mut dialer, _silent) = linked_to_socket().await;
    send(&mut dialer, DIALED, Bytes::from(vec![0; 32 << 20]));
    tokio::time::pause();
    dialer.apply(Output::Close { link: DIALED });
    assert_eq!(dialer.next().await, closed(DIALED, "closed by this side"));
    assert!(is_quiet(&mut dialer).await);
}

#[tokio::test]
async fn nothing_but_closed_comes_from_a_link_after_close() {
    let (mut dialer, mut peer) = linked_to_socket().await;
    peer.write_all(&[1; 100_000]).await.unwrap();
    dialer.apply(Output::Close { link: DIALED });
    let (input, _peer) = tokio::join!(within(dialer.next()), async {
        let mut rest = Vec::new();
        within(peer.read_to_end(&mut rest)).await.unwrap();
        peer.write_all(&[2; 1000]).await.unwrap();
        drop(peer);
    });
    assert_eq!(input, closed(DIALED, "closed by this side"));
}

#[tokio::test]
async fn failed_dial_is_closed_once_with_address_and_reason() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = loopback(socket.local_addr().unwrap().port());
    let mut dialer = transport(Connector::cleartext());
    dial(&mut dialer, &addr);
    let reason = format!("cannot connect to {addr}: Connection refused (os error 111)");
    assert_eq!(within(dialer.next()).await, closed(DIALED, &reason));
    assert!(is_quiet(&mut dialer).await);
}

/// The endpoint dials names, and the connector asks anew where each leads.
#[tokio::test]
async fn a_peer_that_has_moved_is_found_by_its_name() {
    let before = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let after = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answers = [&before, &after].map(|listener| listener.local_addr().unwrap());
    let connector = Connector::cleartext().with_names(answers.to_vec());
    let mut transport = transport(connector);
    let id = EndpointId::from_bytes([1; 16]);
    let mut endpoint = Endpoint::new(id, Options::default(), IdGen::new(1));
    let addr: PeerAddr = "controller.example:2150".parse().unwrap();
    let retry = Some(Duration::from_millis(1));
    let mut now = tokio::time::Instant::now().into_std();
    endpoint.handle(now, Input::Dial { addr, retry });
    for listener in [before, after] {
        while let Some(output) = endpoint.poll_output() {
            transport.apply(output);
        }
        let opened = within(transport.next()).await;
        let remote = listener.local_addr().unwrap();
        assert!(
            matches!(&opened, Input::Opened { remote: found, .. } if *found == remote),
            "{opened:?} instead of {remote}"
        );
        endpoint.handle(now, opened);
        drop(within(listener.accept()).await.unwrap());
        let mut is_open = true;
        while is_open {
            let input = within(transport.next()).await;
            is_open = !matches!(input, Input::Closed { .. });
            endpoint.handle(now, input);
        }
        now = endpoint.poll_timeout().unwrap();
        endpoint.handle_timeout(now);
    }
}

#[tokio::test]
async fn close_ends_a_dial_under_way() {
    // Completes TCP by itself, but never answers the ClientHello.
    let silent = listen::bind(&loopback(0)).await.unwrap();
    let mut dialer = transport(Connector::anonymous());
    dial(&mut dialer, &loopback(silent.local_addr().unwrap().port()));
    let _dialed = within(async {
        tokio::select! {
            dialed = silent.accept() => dialed.unwrap(),
            input = dialer.next() => panic!("{input:?}"),
        }
    })
    .await;
    dialer.apply(Output::Close { link: DIALED });
    assert_eq!(
        within(dialer.next()).await,
        closed(DIALED, "closed by this side")
    );
}

#[tokio::test]
async fn cleartext_dial_to_a_tls_port_says_so() {
    for answer in [&b"\x15\x03\x01\0\x02\x02\x46"[..], b""] {
        let (mut dialer, mut peer) = linked_to_socket().await;
        peer.write_all(answer).await.unwrap();
        drop(peer);
        let input = within(dialer.next()).await;
        let Input::Closed { link, reason } = input else {
            panic!("{input:?}");
        };
        assert_eq!(link, DIALED);
        assert!(reason.contains("TLS"), "{reason}");
    }
}

#[tokio::test]
async fn orders_for_unknown_links_are_ignored() {
    let mut transport = transport(Connector::cleartext());
    send(&mut transport, DIALED, Bytes::from_static(b"x"));
    transport.apply(Output::Close { link: ACCEPTED });
    assert!(is_quiet(&mut transport).await);
}

#[tokio::test]
async fn who_does_not_want_to_read_still_writes() {
    let (mut dialer, mut peer) = linked_to_socket().await;
    dialer.set_reading(false);
    peer.write_all(b"question").await.unwrap();
    send(&mut dialer, DIALED, Bytes::from_static(b"news"));
    let sent = Input::Sent {
        link: DIALED,
        messages: 1,
    };
    assert_eq!(within(dialer.next()).await, sent);
    assert!(is_quiet(&mut dialer).await);
    dialer.set_reading(true);
    let came = Input::Bytes {
        link: DIALED,
        chunk: Bytes::from_static(b"question"),
    };
    assert_eq!(within(dialer.next()).await, came);
}

#[tokio::test]
async fn one_that_always_has_something_to_say_does_not_silence_others() {
    let mut server = transport(Connector::cleartext());
    let addr = listening(&mut server).await.to_string();
    let mut loud = TcpStream::connect(&addr).await.unwrap();
    let all = vec![0; 64 << 20];
    loud.write_all(&all[..1]).await.unwrap();
    let opened = within(server.next()).await;
    assert!(matches!(opened, Input::Opened { .. }), "{opened:?}");
    let mut shouting = std::pin::pin!(loud.write_all(&all));
    let mut quiet = None;
    let mut got = 0;
    loop {
        let input = tokio::select! {
            input = within(server.next()) => input,
            written = &mut shouting => panic!("{written:?} after {got} bytes"),
        };
        let Input::Bytes { link, chunk } = input else {
            continue;
        };
        got += chunk.len();
        if link != ACCEPTED {
            break;
        }
        if got > 1 << 20 && quiet.is_none() {
            let mut client = TcpStream::connect(&addr).await.unwrap();
            client.write_all(b"x").await.unwrap();
            quiet = Some(client);
        }
    }
}

#[tokio::test]
async fn peer_is_slowed_down_while_nobody_takes_what_comes() {
    let (mut dialer, mut peer) = linked_to_socket().await;
    let total = 64 << 20;
    tokio::time::pause();
    let all = vec![0; total];
    let mut writing = std::pin::pin!(peer.write_all(&all));
    timeout(Duration::from_secs(60), &mut writing)
        .await
        .unwrap_err();

    tokio::time::resume();
    let mut got = 0;
    let mut is_written = false;
    while got < total {
        tokio::select! {
            written = &mut writing, if !is_written => {
                written.unwrap();
                is_written = true;
            }
            input = within(dialer.next()) => {
                let Input::Bytes { chunk, .. } = input else {
                    panic!("{input:?}");
                };
                got += chunk.len();
            }
        }
    }
    assert_eq!(got, total);
}

#[tokio::test]
async fn dropping_the_transport_closes_its_sockets() {
    let (dialer, mut peer) = linked_to_socket().await;
    drop(dialer);
    assert_eq!(within(peer.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_link_that_is_pushed_out_before_anybody_took_it_is_dropped() {
    let capacity = Capacity {
        strangers_per_source: 1,
        ..Capacity::default()
    };
    let (tell, told) = std::sync::mpsc::channel();
    let gate = Gate::new(capacity, Duration::from_secs(60)).watched(move |refused| {
        tell.send(refused).unwrap();
    });
    let mut server = transport(Connector::cleartext()).gate(gate);
    let addr = listening(&mut server).await.to_string();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(&addr).await.unwrap();
        client.write_all(b"x").await.unwrap();
        clients.push(client);
        let entered = clients.len() as u64;
        within(async {
            while server.incoming.receiver.is_empty() || server.gate_counters().entered < entered {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let [pushed_out, stays] = &mut clients[..] else {
        unreachable!("two of them");
    };
    let opened = within(server.next()).await;
    let other = stays.local_addr().unwrap();
    assert!(
        matches!(opened, Input::Opened { link: ACCEPTED, remote, .. } if remote == other),
        "{opened:?}"
    );
    assert!(matches!(pushed_out.read(&mut [0]).await, Ok(0) | Err(_)));
    assert_eq!((server.gate.links(), server.links.len()), (1, 1));
    assert_eq!(server.gate_counters().pushed_out, 1);
    let refused = told.try_recv().unwrap();
    assert_eq!(refused.remote, pushed_out.local_addr().unwrap());
}

#[tokio::test]
async fn listening_is_tried_again_until_the_port_is_free() {
    let occupant = listen::bind(&loopback(0)).await.unwrap();
    let addr = loopback(occupant.local_addr().unwrap().port());
    let mut server = transport(Connector::cleartext());
    tokio::time::pause();
    server.apply(Output::Listen { addr: addr.clone() });
    assert!(is_quiet(&mut server).await);

    drop(occupant);
    let mut client = loop {
        match TcpStream::connect(addr.to_string()).await {
            Ok(client) => break client,
            Err(_) => tokio::time::advance(Duration::from_secs(1)).await,
        }
    };
    tokio::time::resume();
    client.write_all(b"x").await.unwrap();
    let remote = client.local_addr().unwrap();
    let link = ACCEPTED;
    assert_eq!(
        within(server.next()).await,
        Input::Opened {
            link,
            remote,
            certificate: None
        }
    );
}

/// A dialer whose link is open, and the acceptor's side of it. One byte went from the dialer to the
/// acceptor, since acceptors wait for the first.
async fn linked(connector: Connector) -> (Transport, Transport) {
    let mut acceptor = transport(Connector::cleartext());
    let addr = listening(&mut acceptor).await;
    let mut dialer = transport(connector);
    dial(&mut dialer, &addr);
    let opened = within(dialer.next()).await;
    let remote = addr.to_string().parse().unwrap();
    assert_eq!(
        opened,
        Input::Opened {
            link: DIALED,
            remote,
            certificate: None
        }
    );
    send(&mut dialer, DIALED, Bytes::from_static(b"x"));
    let sent = within(dialer.next()).await;
    assert_eq!(
        sent,
        Input::Sent {
            link: DIALED,
            messages: 1
        }
    );
    let opened = within(acceptor.next()).await;
    assert!(matches!(opened, Input::Opened { link: ACCEPTED, .. }));
    let first = within(acceptor.next()).await;
    assert!(matches!(first, Input::Bytes { link: ACCEPTED, .. }));
    (dialer, acceptor)
}

/// A dialer in cleartext whose link is open, and a bare socket as its peer.
async fn linked_to_socket() -> (Transport, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut dialer = transport(Connector::cleartext());
    dial(
        &mut dialer,
        &loopback(listener.local_addr().unwrap().port()),
    );
    let (opened, peer) = within(async { tokio::join!(dialer.next(), listener.accept()) }).await;
    assert!(matches!(opened, Input::Opened { link: DIALED, .. }));
    (dialer, peer.unwrap().0)
}

fn transport(connector: Connector) -> Transport {
    Transport::new(connector, Acceptor::self_signed())
}

async fn listening(transport: &mut Transport) -> PeerAddr {
    loopback(transport.listen(&loopback(0)).await.unwrap().port())
}

fn loopback(port: u16) -> PeerAddr {
    let host = "127.0.0.1".into();
    PeerAddr { host, port }
}

fn dial(transport: &mut Transport, addr: &PeerAddr) {
    let addr = addr.clone();
    transport.apply(Output::Dial { link: DIALED, addr });
}

fn send(transport: &mut Transport, link: LinkId, bytes: Bytes) {
    transport.apply(Output::Send { link, bytes });
}

fn closed(link: LinkId, reason: &str) -> Input {
    let reason = reason.into();
    Input::Closed { link, reason }
}

/// What happens next at either.
async fn either(a: &mut Transport, b: &mut Transport) -> Input {
    within(async {
        tokio::select! {
            input = a.next() => input,
            input = b.next() => input,
        }
    })
    .await
}

/// Whether nothing more comes once all tasks have nothing left to do.
async fn is_quiet(transport: &mut Transport) -> bool {
    timeout(Duration::from_millis(100), transport.next())
        .await
        .is_err()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), work)
        .await
        .expect("loopback is quick")
}
