//! Those who are no clients yet, and those who are too many.

use super::*;

#[tokio::test]
async fn one_address_cannot_take_all_seats() {
    let limits = Limits {
        clients_per_source: 1,
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let (_first, _) = joined(&mut server).await;
    let mut second = Client::new(TcpStream::connect(server.local_addr()).await.unwrap());
    second.stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let response = String::from_utf8(second.rest().await).unwrap();
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.ends_with("\r\n\r\ntoo many clients from this address\n"));
    let mut elsewhere = from(2, server.local_addr()).await;
    let head = elsewhere.upgrade(UPGRADE).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert_eq!(server.counters().refused, 1);
}

#[tokio::test]
async fn those_who_never_subscribe_make_room_and_those_who_did_stay() {
    let limits = Limits {
        strangers_per_source: 2,
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let (mut known, id) = joined(&mut server).await;
    let text = "as the ack".into();
    server.apply(Output::Send { client: id, text });
    assert_eq!(known.text().await, "as the ack");
    let (mut oldest, mute) = joined(&mut server).await;
    let mut half_open = from(1, server.local_addr()).await;
    half_open.stream.write_all(b"GET /").await.unwrap();
    let mut third = from(1, server.local_addr()).await;
    let head = third.upgrade(UPGRADE).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    // It came and the mute one went, in whatever order.
    let news = [server.next().await, server.next().await];
    let went = |input: &Input| matches!(input, Input::Closed { client, .. } if *client == mute);
    assert!(news.iter().any(went), "{news:?}");
    // Whether an end or a reset.
    let _ = oldest.stream.read(&mut [0]).await;
    let (_fourth, _) = joined(&mut server).await;
    assert!(matches!(
        half_open.stream.read(&mut [0]).await,
        Ok(0) | Err(_)
    ));
    assert_eq!(server.gate_counters().pushed_out, 2);
    known.send(TEXT, b"x").await;
    let text = "x".to_owned();
    assert_eq!(server.next().await, Input::Text { client: id, text });
}

#[tokio::test]
async fn what_a_client_sends_before_its_ack_is_read_in_part_and_the_rest_later() {
    let limits = Limits {
        stranger_bytes: 1000,
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let (mut client, id) = joined(&mut server).await;
    let (first, large) = ("x".to_owned(), "y".repeat(60_000));
    client.send(TEXT, first.as_bytes()).await;
    client.send(TEXT, large.as_bytes()).await;
    assert_eq!(
        server.next().await,
        Input::Text {
            client: id,
            text: first
        }
    );
    let quiet = tokio::time::timeout(Duration::from_millis(50), server.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let text = "as the ack".into();
    server.apply(Output::Send { client: id, text });
    let text = large;
    assert_eq!(server.next().await, Input::Text { client: id, text });
}

/// A connection from 127.0.0.`n`, which is a source of its own.
async fn from(n: u8, to: SocketAddr) -> Client<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, n], 0).into()).unwrap();
    Client::new(socket.connect(to).await.unwrap())
}
