//! Messages that are longer than a client's may be.

use super::*;

#[tokio::test]
async fn a_message_of_64_mib_is_refused_by_the_name_of_the_limit_and_the_next_one_is_answered() {
    let server = server(Limits::default()).await;
    let mut client = Client::new(TcpStream::connect(server.local_addr()).await.unwrap());
    let (stop, pump) = echo(server);
    client.upgrade(UPGRADE).await;
    client.send(TEXT, SUBSCRIBE.as_bytes()).await;
    assert_eq!(client.text().await, ACK);
    let too_big = "Message too big: 67108864 bytes, message_bytes is 16777216";
    let id = r#"[{"@data-type": "string", "data": "r"}]"#;
    let request = PING.replace("[]", id);
    // Of the second one its sender is known to wait for an answer, which is the program's to give.
    for (start, problem) in [
        ("{", "failed to decode JSON object"),
        (&request, "failed to create Zeek event"),
    ] {
        announce(&mut client, 64 << 20).await;
        client.stream.write_all(start.as_bytes()).await.unwrap();
        let rest = vec![b' '; (64 << 20) - start.len()];
        client.stream.write_all(&rest).await.unwrap();
        client.send(TEXT, PING.as_bytes()).await;
        let context = format!("{problem}: {too_big}");
        let expected =
            format!(r#"{{"type":"error","code":"deserialization_failed","context":"{context}"}}"#);
        assert_eq!(client.text().await, expected);
        assert_eq!(client.text().await, PING_OUT);
    }
    stop.send(()).await.unwrap();
    drop(client);
    pump.await.unwrap();
}

#[tokio::test]
async fn a_client_that_sends_too_much_of_what_is_too_long_is_closed_by_the_name_of_that_limit() {
    let limits = Limits {
        message: 1000,
        skipped: 3000,
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let (mut client, id) = subscribed(&mut server).await;
    for _ in 0..2 {
        client.send(TEXT, &[b'x'; 1001]).await;
        let expected = Input::TooLong {
            client: id,
            start: "x".repeat(1000),
            reason: "Message too big: 1001 bytes, message_bytes is 1000".into(),
        };
        assert_eq!(server.next().await, expected);
    }
    client.send(TEXT, &[b'x'; 1001]).await;
    let (opcode, payload) = client.frame().await;
    let reason = "Message too big: 1001 bytes, skipped_bytes is 3000";
    let expected = [&1009_u16.to_be_bytes()[..], reason.as_bytes()].concat();
    assert_eq!((opcode, payload), (CLOSE, expected.clone()));
    // What it still sends is not read by anybody, but its goodbye is.
    client.send(TEXT, PING.as_bytes()).await;
    client.send(CLOSE, &expected).await;
    assert_eq!(client.rest().await, b"");
    let reason = format!("closed with 1009: {reason}");
    let closed = Input::Closed { client: id, reason };
    assert_eq!(server.next().await, closed);
    let counters = server.counters();
    assert_eq!((counters.skipped, counters.malformed), (2, 1));
}

#[tokio::test]
async fn who_announces_a_long_message_and_sends_nothing_is_given_up_as_everybody() {
    let limits = Limits {
        silence: Duration::from_millis(10),
        patience: Duration::from_millis(10),
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let (mut client, id) = subscribed(&mut server).await;
    announce(&mut client, 64 << 20).await;
    client.stream.write_all(&[b' '; 1024]).await.unwrap();
    loop {
        let (opcode, payload) = client.frame().await;
        if opcode == CLOSE {
            assert_eq!(payload, b"\x03\xf3Ping timeout");
            break;
        }
        assert_eq!(opcode, PING_FRAME);
    }
    drop(client);
    let mut heard = Vec::new();
    while let input @ Input::TooLong { .. } = server.next().await {
        heard.push(input);
    }
    assert!(heard.len() <= 1, "{heard:?} of {id}");
}

#[tokio::test]
async fn a_long_message_without_room_is_left_out_and_the_client_stays() {
    let limits = Limits {
        outbox_bytes: 10_000,
        all_outboxes_bytes: 20_000,
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let (mut client, id) = subscribed(&mut server).await;
    let (mut other, other_id) = subscribed(&mut server).await;
    // Nothing is written before this task waits.
    let send = |server: &mut Server, client, len| {
        let text = "x".repeat(len).into();
        server.apply(Output::Send { client, text });
    };
    send(&mut server, id, 9_000);
    send(&mut server, id, 5_000);
    send(&mut server, id, 1_000);
    send(&mut server, other_id, 20_001);
    for (client, problem) in [
        (
            id,
            "5000 bytes behind 9000 that are not read yet, client_outbox_bytes is 10000",
        ),
        (
            other_id,
            "20001 bytes while other clients read theirs, all_outboxes_bytes is 20000",
        ),
    ] {
        let unsent = Input::Unsent {
            client,
            start: "x".repeat(1024),
            reason: format!("too long: {problem}"),
        };
        assert_eq!(server.next().await, unsent);
    }
    assert_eq!(client.text().await.len(), 9_000);
    assert_eq!(client.text().await.len(), 1_000);
    // Without others it may be as long as it likes.
    for (reader, id) in [(&mut client, id), (&mut other, other_id)] {
        send(&mut server, id, 20_001);
        assert_eq!(reader.text().await.len(), 20_001);
    }
    assert_eq!(server.counters().unsent, 2);
}

#[tokio::test]
async fn a_long_text_comes_in_one_frame_between_short_ones() {
    let mut server = server(Limits::default()).await;
    let (mut client, id) = subscribed(&mut server).await;
    let long = "0123456789abcdef".repeat(20_000);
    for text in ["before", &long, "after"] {
        let text = text.into();
        server.apply(Output::Send { client: id, text });
    }
    assert_eq!(client.text().await, "before");
    let header = [0x81, 127, 0, 0, 0, 0, 0, 4, 0xe2, 0];
    let expected = [&header[..], long.as_bytes()].concat();
    let mut came = vec![0; expected.len()];
    client.stream.read_exact(&mut came).await.unwrap();
    assert!(came == expected, "the text is not what was sent");
    assert_eq!(client.text().await, "after");
}

#[tokio::test]
async fn a_text_that_is_given_up_in_the_middle_ends_without_a_word() {
    let limits = Limits {
        patience: Duration::from_millis(10),
        ..Limits::default()
    };
    let mut server = server(limits).await;
    let (mut client, id) = subscribed(&mut server).await;
    let text = "x".repeat(64 << 20).into();
    server.apply(Output::Send { client: id, text });
    let reason = "cut off with 1008: messages are not read fast enough".to_owned();
    assert_eq!(server.next().await, Input::Closed { client: id, reason });
    // A close frame would be taken for text.
    let came = client.rest().await;
    assert!(came.len() < 64 << 20);
    assert!(came.iter().skip(10).all(|byte| *byte == b'x'));
}

/// A client whose first message has been read.
async fn subscribed(server: &mut Server) -> (Client<TcpStream>, ClientId) {
    let (mut client, id) = joined(server).await;
    client.send(TEXT, SUBSCRIBE.as_bytes()).await;
    let text = SUBSCRIBE.to_owned();
    assert_eq!(server.next().await, Input::Text { client: id, text });
    let text = ACK.into();
    server.apply(Output::Send { client: id, text });
    assert_eq!(client.text().await, ACK);
    (client, id)
}

/// The header of a text.
async fn announce(client: &mut Client<TcpStream>, len: u64) {
    let header = [&[TEXT, 0xff][..], &len.to_be_bytes(), &[0; 4]].concat();
    client.stream.write_all(&header).await.unwrap();
}
