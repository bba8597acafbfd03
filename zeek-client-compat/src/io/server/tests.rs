//! A real server on 127.0.0.1 and clients that write every byte by hand.

use broker_proto::io::tls::Connector;
use broker_proto::{Filter, Topic};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;
use crate::hub::{Hub, Options};

mod long;
mod strangers;

const SUBSCRIBE: &str = r#"["zeek/management/controller"]"#;
const PING: &str = r#"{"@data-type": "vector", "data": [{"@data-type": "count", "data": 1}, {"@data-type": "count", "data": 1}, {"@data-type": "vector", "data": [{"@data-type": "string", "data": "T::ping"}, {"@data-type": "vector", "data": []}]}], "topic": "zeek/management/controller", "type": "data-message"}"#;
const PING_OUT: &str = r#"{"type":"data-message","topic":"zeek/management/controller","@data-type":"vector","data":[{"@data-type":"count","data":1},{"@data-type":"count","data":1},{"@data-type":"vector","data":[{"@data-type":"string","data":"T::ping"},{"@data-type":"vector","data":[]}]}]}"#;
const ACK: &str = r#"{"type":"ack","endpoint":"node-websocket-0","version":"8.0.10"}"#;

/// As zeek-client writes it (CLIENT §A1).
const UPGRADE: &str = "GET /v1/messages/json HTTP/1.1\r\n\
    Upgrade: websocket\r\n\
    Host: 127.0.0.1:2149\r\n\
    Origin: http://127.0.0.1:2149\r\n\
    Sec-WebSocket-Key: h8CT888zfH+0zKGelTYyBQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Connection: Upgrade\r\n\r\n";
const ACCEPTED: &str = "sec-websocket-accept: oI8D2hkh7CEomgJ2+3Bl30Y13K4=";

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING_FRAME: u8 = 0x89;
const PONG_FRAME: u8 = 0x8a;

#[tokio::test]
async fn a_client_in_cleartext_is_served_from_upgrade_to_shutdown() {
    let server = server(Limits::default()).await;
    let mut client = Client::new(TcpStream::connect(server.local_addr()).await.unwrap());
    let (stop, pump) = echo(server);
    converse(&mut client).await;
    stop.send(()).await.unwrap();
    assert_eq!(
        client.frame().await,
        (CLOSE, b"\x03\xe9Terminating".to_vec())
    );
    client.send(CLOSE, b"\x03\xe9").await;
    assert_eq!(client.rest().await, b"");
    pump.await.unwrap();
}

#[tokio::test]
async fn a_client_with_anonymous_tls_is_served_on_the_same_port() {
    let server = server(Limits::default()).await;
    let addr = PeerAddr {
        host: "127.0.0.1".into(),
        port: server.local_addr().port(),
    };
    let (_stop, _pump) = echo(server);
    let (stream, _) = Connector::anonymous().connect(&addr).await.unwrap();
    assert!(stream.is_encrypted());
    converse(&mut Client::new(stream)).await;
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>) {
    let head = client.upgrade(UPGRADE).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert!(head.contains(&ACCEPTED.to_ascii_lowercase()), "{head}");
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
    // Everything at once, as a client may that does not wait for the ack.
    client.send(TEXT, SUBSCRIBE.as_bytes()).await;
    client.send(BINARY, PING.as_bytes()).await;
    assert_eq!(client.text().await, ACK);
    assert_eq!(client.text().await, PING_OUT);
    // A fragmented message with a ping inside.
    let (first, second) = PING.split_at(100);
    client.send(0x01, first.as_bytes()).await;
    client.send(PING_FRAME, b"are you there").await;
    client.send(0x80, second.as_bytes()).await;
    assert_eq!(
        client.frame().await,
        (PONG_FRAME, b"are you there".to_vec())
    );
    assert_eq!(client.text().await, PING_OUT);
}

#[tokio::test]
async fn requests_that_are_no_upgrade_are_told_why() {
    let server = server(Limits::default()).await;
    let path = "/v1/messages/json";
    for (request, status, body) in [
        (
            UPGRADE.replace(path, "/"),
            "404",
            "no such path; use /v1/messages/json\n",
        ),
        (
            UPGRADE.replace(path, "/v1/messages/json/"),
            "404",
            "no such path; use /v1/messages/json\n",
        ),
        (
            UPGRADE.replace("GET", "POST"),
            "405",
            "WebSocket needs GET\n",
        ),
        (
            UPGRADE.replace("HTTP/1.1", "HTTP/1.0"),
            "400",
            "WebSocket needs HTTP/1.1\n",
        ),
        (
            UPGRADE.replace("Upgrade: websocket\r\n", ""),
            "400",
            "expected a WebSocket handshake: no 'Upgrade: websocket'\n",
        ),
        (
            UPGRADE.replace("Connection: Upgrade", "Connection: close"),
            "400",
            "expected a WebSocket handshake: no 'Connection: Upgrade'\n",
        ),
        (
            UPGRADE.replace("Version: 13", "Version: 8"),
            "400",
            "expected Sec-WebSocket-Version 13\n",
        ),
        (
            UPGRADE.replace("h8CT", "h8C"),
            "400",
            "missing or malformed Sec-WebSocket-Key\n",
        ),
        (
            UPGRADE.replace("Sec-WebSocket-Key", "X"),
            "400",
            "missing or malformed Sec-WebSocket-Key\n",
        ),
        (
            UPGRADE.replace("Origin", &format!("X: {}\r\nOrigin", "x".repeat(16 * 1024))),
            "431",
            "request head is longer than 16 KiB\n",
        ),
    ] {
        let mut client = Client::new(TcpStream::connect(server.local_addr()).await.unwrap());
        client.stream.write_all(request.as_bytes()).await.unwrap();
        let response = String::from_utf8(client.rest().await).unwrap();
        assert_eq!(
            response.split(' ').nth(1),
            Some(status),
            "{request}{response}"
        );
        assert!(response.ends_with(&format!("\r\n\r\n{body}")), "{response}");
        let has_version = response.contains("sec-websocket-version: 13\r\n");
        assert_eq!(has_version, body.contains("Version"), "{response}");
    }
}

#[tokio::test]
async fn odd_but_harmless_upgrades_are_accepted() {
    let mut server = server(Limits::default()).await;
    for (n, request) in [
        UPGRADE.replace("json HTTP", "json?x=1 HTTP"),
        UPGRADE.replace("Connection: Upgrade\r\n", ""),
        UPGRADE.replace("Connection: Upgrade", "connection: keep-alive, Upgrade"),
        UPGRADE.replace(
            "Host",
            "Sec-WebSocket-Extensions: permessage-deflate\r\nHost",
        ),
        UPGRADE.replace(
            "Host",
            "Sec-WebSocket-Protocol: x\r\nX-Application-Name: a<b\r\nHost",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut raw = Client::new(TcpStream::connect(server.local_addr()).await.unwrap());
        let head = raw.upgrade(&request).await;
        assert!(head.starts_with("http/1.1 101 "), "{request}{head}");
        assert!(
            !head.contains("extensions") && !head.contains("protocol:"),
            "{head}"
        );
        let opened = server.next().await;
        let Input::Opened {
            client,
            application,
            ..
        } = opened
        else {
            panic!("not opened: {opened:?}");
        };
        assert_eq!(client, ClientId(u64::try_from(n).unwrap()));
        assert_eq!(application.as_deref(), (n == 4).then_some("a<b"));
        // zeek-client leaves like this: no close frame.
        drop(raw);
        let reason = "connection ended".to_owned();
        assert_eq!(server.next().await, Input::Closed { client, reason });
    }
}

#[tokio::test]
async fn broken_frames_close_with_the_code_for_them() {
    let limits = Limits {
        message: 1000,
        ..Limits::default()
    };
    let mut server = server(limits).await;
    for (frame, code) in [
        (masked(TEXT, b"\xff"), 1007_u16),
        (masked(BINARY, b"\xff"), 1007),
        (masked(TEXT, &[b' '; 1001]), 1009),
        (masked(0xc1, b"x"), 1002),
        (masked(0x83, b"x"), 1002),
        (masked(0x80, b"x"), 1002),
        (vec![TEXT, 1, b'x'], 1002),
    ] {
        let (mut client, id) = joined(&mut server).await;
        client.stream.write_all(&frame).await.unwrap();
        let (opcode, payload) = client.frame().await;
        assert_eq!(
            (opcode, &payload[..2]),
            (CLOSE, &code.to_be_bytes()[..]),
            "{frame:x?}"
        );
        drop(client);
        let Input::Closed { client, reason } = server.next().await else {
            panic!("not closed");
        };
        assert_eq!(client, id);
        assert!(
            reason.starts_with(&format!("closed with {code}")),
            "{reason}"
        );
    }
    let expected = Counters {
        admitted: 7,
        malformed: 7,
        ..Counters::default()
    };
    assert_eq!(server.counters(), expected);
}

#[tokio::test]
async fn what_is_announced_too_long_is_refused_by_the_name_of_the_limit_before_it_comes() {
    let mut server = server(Limits::default()).await;
    let (mut client, _) = joined(&mut server).await;
    let length = (64_u64 << 20).to_be_bytes();
    let announced = [&[TEXT, 0xff], &length[..], &[0; 4]].concat();
    client.stream.write_all(&announced).await.unwrap();
    let (opcode, payload) = client.frame().await;
    let reason = String::from_utf8_lossy(&payload[2..]).into_owned();
    let expected = "Message too big: 67108864 bytes, message_bytes is 16777216";
    assert_eq!((opcode, reason.as_str()), (CLOSE, expected));
}

#[tokio::test]
async fn a_close_frame_is_answered() {
    let mut server = server(Limits::default()).await;
    let (mut client, id) = joined(&mut server).await;
    client.send(CLOSE, b"\x03\xe8done").await;
    let reason = "closed by client with 1000: done".to_owned();
    assert_eq!(server.next().await, Input::Closed { client: id, reason });
    assert_eq!(client.frame().await, (CLOSE, b"\x03\xe8done".to_vec()));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn one_client_too_many_is_refused_until_another_leaves() {
    let limits = Limits {
        clients: 1,
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let (first, _) = joined(&mut server).await;
    let mut second = Client::new(TcpStream::connect(server.local_addr()).await.unwrap());
    let head = second.upgrade(UPGRADE).await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    drop(first);
    assert!(matches!(server.next().await, Input::Closed { .. }));
    joined(&mut server).await;
    let expected = Counters {
        admitted: 2,
        refused: 1,
        ..Counters::default()
    };
    assert_eq!(server.counters(), expected);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_when_too_much_waits() {
    let limits = Limits {
        outbox_messages: 10,
        outbox_bytes: 100,
        ..Limits::default()
    };
    let mut server = server(limits).await;
    for message in ["", "123456789012345678901234567890"] {
        let (mut client, id) = joined(&mut server).await;
        for _ in 0..11 {
            let text = message.into();
            server.apply(Output::Send { client: id, text });
        }
        assert_eq!(
            client.frame().await,
            (CLOSE, b"\x03\xf0messages are not read fast enough".to_vec())
        );
        drop(client);
        let reason = "closed with 1008: messages are not read fast enough".to_owned();
        assert_eq!(server.next().await, Input::Closed { client: id, reason });
    }
    let expected = Counters {
        admitted: 2,
        unread: 2,
        ..Counters::default()
    };
    assert_eq!(server.counters(), expected);
}

#[tokio::test]
async fn the_client_furthest_behind_is_closed_when_too_much_waits_for_all() {
    let limits = Limits {
        all_outboxes_bytes: 100,
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let (mut first, behind) = joined(&mut server).await;
    let (mut second, reading) = joined(&mut server).await;
    for (client, len) in [(reading, 40), (behind, 60), (reading, 41)] {
        let text = "x".repeat(len).into();
        server.apply(Output::Send { client, text });
    }
    assert_eq!(second.text().await.len(), 40);
    assert_eq!(second.text().await.len(), 41);
    assert_eq!(
        first.frame().await,
        (CLOSE, b"\x03\xf0messages are not read fast enough".to_vec())
    );
    drop(first);
    let reason = "closed with 1008: messages are not read fast enough".to_owned();
    let closed = Input::Closed {
        client: behind,
        reason,
    };
    assert_eq!(server.next().await, closed);
    assert_eq!(server.counters().unread, 1);
}

#[tokio::test]
async fn a_single_message_may_be_longer_than_the_outbox() {
    let limits = Limits {
        outbox_bytes: 100,
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let (mut client, id) = joined(&mut server).await;
    let text = "x".repeat(1000);
    server.apply(Output::Send {
        client: id,
        text: text.as_str().into(),
    });
    assert_eq!(client.text().await, text);
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_then_closed() {
    let limits = Limits {
        silence: Duration::from_millis(20),
        patience: Duration::from_secs(3),
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let (mut client, id) = joined(&mut server).await;
    assert_eq!(client.frame().await, (PING_FRAME, vec![]));
    client.send(PONG_FRAME, b"").await;
    assert_eq!(client.frame().await, (PING_FRAME, vec![]));
    assert_eq!(
        client.frame().await,
        (CLOSE, b"\x03\xf3Ping timeout".to_vec())
    );
    drop(client);
    let reason = "closed with 1011: Ping timeout".to_owned();
    assert_eq!(server.next().await, Input::Closed { client: id, reason });
    let expected = Counters {
        admitted: 1,
        silent: 1,
        ..Counters::default()
    };
    assert_eq!(server.counters(), expected);
}

#[tokio::test]
async fn a_request_that_never_ends_is_dropped() {
    let limits = Limits {
        upgrade: Duration::from_secs(3),
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let mut slow = Client::new(TcpStream::connect(server.local_addr()).await.unwrap());
    slow.stream.write_all(b"GET /v1/mess").await.unwrap();
    // One that did get through outlives the same limit.
    let (mut client, id) = joined(&mut server).await;
    let rest = tokio::time::timeout(Duration::from_secs(60), slow.rest());
    assert_eq!(rest.await.expect("it is dropped"), b"");
    client.send(TEXT, b"x").await;
    let text = "x".to_owned();
    assert_eq!(server.next().await, Input::Text { client: id, text });
    let expected = Counters {
        admitted: 1,
        late: 1,
        ..Counters::default()
    };
    assert_eq!(server.counters(), expected);
}

#[tokio::test]
async fn what_is_queued_goes_out_before_the_server_is_finished() {
    let mut server = server(Limits::default()).await;
    let (mut client, id) = joined(&mut server).await;
    let text = "last words".into();
    server.apply(Output::Send { client: id, text });
    let finished = tokio::spawn(server.finish());
    assert_eq!(client.text().await, "last words");
    assert_eq!(
        client.frame().await,
        (CLOSE, b"\x03\xe9Terminating".to_vec())
    );
    drop(client);
    finished.await.unwrap();
}

async fn server(limits: Limits) -> Server {
    let addr = PeerAddr {
        host: "127.0.0.1".into(),
        port: 0,
    };
    let acceptor = Acceptor::self_signed();
    Server::bind(&addr, acceptor, limits).await.unwrap()
}

/// A program that publishes every event it is given to everybody, and ends when told.
fn echo(mut server: Server) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (stop, mut stopped) = mpsc::channel(1);
    let topic = Topic::from_static("zeek/management/controller");
    let publish = Filter::from_wire(vec![topic]);
    let mut hub = Hub::new(Options::new("node", "8.0.10", publish));
    let pump = tokio::spawn(async move {
        let mut stopping = false;
        while !(stopping && hub.clients() == 0) {
            let input = tokio::select! {
                input = server.next() => input,
                _ = stopped.recv(), if !stopping => {
                    stopping = true;
                    Input::Shutdown
                }
            };
            hub.handle(Instant::now().into_std(), input);
            while let Some(output) = hub.poll_output() {
                if let Output::Deliver { topic, event, .. } = output {
                    let (event, origin) = (event.into(), None);
                    let publish = Input::Publish {
                        topic,
                        event,
                        origin,
                    };
                    hub.handle(Instant::now().into_std(), publish);
                } else if let Output::Unread { from, reason, .. } = output {
                    let reject = Input::Reject {
                        client: from,
                        reason,
                    };
                    hub.handle(Instant::now().into_std(), reject);
                } else {
                    server.apply(output);
                }
            }
        }
        server.finish().await;
    });
    (stop, pump)
}

async fn joined(server: &mut Server) -> (Client<TcpStream>, ClientId) {
    let mut raw = Client::new(TcpStream::connect(server.local_addr()).await.unwrap());
    let head = raw.upgrade(UPGRADE).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    let opened = server.next().await;
    let Input::Opened { client, remote, .. } = opened else {
        panic!("not opened: {opened:?}");
    };
    assert_eq!(remote, raw.stream.local_addr().unwrap());
    (raw, client)
}

/// The client's end of a WebSocket.
struct Client<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn new(stream: S) -> Self {
        Self { stream }
    }

    /// Sends a request, returns the response's head in lower case.
    async fn upgrade(&mut self, request: &str) -> String {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    async fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.stream
            .write_all(&masked(opcode, payload))
            .await
            .unwrap();
    }

    /// The next frame's first byte and its payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let opcode = self.stream.read_u8().await.unwrap();
        let len = match self.stream.read_u8().await.unwrap() {
            126 => usize::from(self.stream.read_u16().await.unwrap()),
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        self.stream.read_exact(&mut payload).await.unwrap();
        (opcode, payload)
    }

    async fn text(&mut self) -> String {
        let (opcode, payload) = self.frame().await;
        assert_eq!(opcode, TEXT, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
        rest
    }
}

/// A client's frame; the mask is zero, so the payload stays as it is.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![opcode];
    match u8::try_from(payload.len()) {
        Ok(len) if len < 126 => frame.push(0x80 | len),
        _ => {
            frame.push(0xfe);
            frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
