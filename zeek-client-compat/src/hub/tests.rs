use broker_proto::Data;

use super::*;

const CONTROLLER: Topic = Topic::from_static("zeek/management/controller");
const SUBSCRIBE: &str = r#"["zeek/management/controller"]"#;
const PING: &str = r#"{"@data-type": "vector", "data": [{"@data-type": "count", "data": 1}, {"@data-type": "count", "data": 1}, {"@data-type": "vector", "data": [{"@data-type": "string", "data": "T::ping"}, {"@data-type": "vector", "data": [{"@data-type": "string", "data": "r1"}]}]}], "topic": "zeek/management/controller", "type": "data-message"}"#;
const PING_OUT: &str = r#"{"type":"data-message","topic":"zeek/management/controller","@data-type":"vector","data":[{"@data-type":"count","data":1},{"@data-type":"count","data":1},{"@data-type":"vector","data":[{"@data-type":"string","data":"T::ping"},{"@data-type":"vector","data":[{"@data-type":"string","data":"r1"}]}]}]}"#;

#[test]
fn a_client_is_acked_and_receives_what_others_publish_but_not_its_own() {
    let (mut hub, now) = hub();
    let [a, b] = [0, 1].map(|n| subscribed(&mut hub, now, n, SUBSCRIBE));

    hub.handle(now, text(a, PING));
    assert_eq!(
        drain(&mut hub),
        [Output::Deliver {
            topic: CONTROLLER,
            event: ping(),
            from: a
        }]
    );

    hub.handle(
        now,
        Input::Publish {
            topic: CONTROLLER,
            event: ping().into(),
            origin: Some(a),
        },
    );
    assert_eq!(drain(&mut hub), [send(b, PING_OUT)]);

    hub.handle(
        now,
        Input::Publish {
            topic: CONTROLLER,
            event: ping().into(),
            origin: None,
        },
    );
    assert_eq!(drain(&mut hub), [send(a, PING_OUT), send(b, PING_OUT)]);
}

#[test]
fn metadata_is_read_and_not_written() {
    let (mut hub, now) = hub();
    let a = subscribed(&mut hub, now, 0, SUBSCRIBE);
    let metadata = r#", {"@data-type": "vector", "data": [{"@data-type": "vector", "data": [{"@data-type": "count", "data": 1}, {"@data-type": "timestamp", "data": "1970-01-01T00:00:01.000"}]}]}]}], "topic""#;
    hub.handle(now, text(a, &PING.replace("]}], \"topic\"", metadata)));
    let stamp = Data::Timestamp(broker_proto::Timestamp(1_000_000_000));
    let event = Event {
        metadata: Some(vec![(1, stamp)]),
        ..ping()
    };
    assert_eq!(
        drain(&mut hub),
        [Output::Deliver {
            topic: CONTROLLER,
            event: event.clone(),
            from: a
        }]
    );
    hub.handle(
        now,
        Input::Publish {
            topic: CONTROLLER,
            event: event.into(),
            origin: None,
        },
    );
    assert_eq!(drain(&mut hub), [send(a, PING_OUT)]);
}

#[test]
fn subscriptions_are_prefixes() {
    let (mut hub, now) = hub();
    let longer = subscribed(&mut hub, now, 0, r#"["zeek/management/controller/x"]"#);
    let all = subscribed(&mut hub, now, 1, r#"[""]"#);
    let none = subscribed(&mut hub, now, 2, "[]");
    hub.handle(
        now,
        Input::Publish {
            topic: CONTROLLER,
            event: ping().into(),
            origin: None,
        },
    );
    assert_eq!(drain(&mut hub), [send(all, PING_OUT)]);

    let x = Topic::from_static("zeek/management/controller/x/y");
    let out = PING_OUT.replace("controller\"", "controller/x/y\"");
    hub.handle(
        now,
        Input::Publish {
            topic: x,
            event: ping().into(),
            origin: Some(none),
        },
    );
    assert_eq!(drain(&mut hub), [send(longer, &out), send(all, &out)]);
}

#[test]
fn messages_pipelined_behind_the_subscriptions_are_handled_in_order() {
    let (mut hub, now) = hub();
    let a = opened(&mut hub, now, 0);
    hub.handle(now, text(a, SUBSCRIBE));
    hub.handle(now, text(a, PING));
    let deliver = Output::Deliver {
        topic: CONTROLLER,
        event: ping(),
        from: a,
    };
    assert_eq!(drain(&mut hub), [send(a, &ack(0)), deliver]);
}

#[test]
fn a_malformed_first_message_is_answered_and_ends_the_session() {
    for (first, context) in [
        ("nope", "subscriptions not an array"),
        (PING, "subscriptions not an array"),
        ("[1]", "individual subscription not a string"),
    ] {
        let (mut hub, now) = hub();
        let a = opened(&mut hub, now, 0);
        hub.handle(now, text(a, first));
        let close = Output::Close {
            client: a,
            code: 1008,
            reason: context.to_owned(),
        };
        let error = error("deserialization_failed", context);
        assert_eq!(drain(&mut hub), [send(a, &error), close]);

        hub.handle(now, text(a, SUBSCRIBE));
        hub.handle(
            now,
            Input::Publish {
                topic: CONTROLLER,
                event: ping().into(),
                origin: None,
            },
        );
        hub.handle(
            now,
            Input::Reject {
                client: a,
                reason: "late".into(),
            },
        );
        assert_eq!(drain(&mut hub), []);
    }
}

#[test]
fn bad_input_is_answered_to_its_sender_and_the_session_goes_on() {
    let (mut hub, now) = hub();
    let a = subscribed(&mut hub, now, 0, SUBSCRIBE);
    subscribed(&mut hub, now, 1, SUBSCRIBE);
    for (input, context) in [
        (
            "nope",
            "failed to decode JSON object: expected ident at line 1 column 2",
        ),
        (
            "",
            "failed to decode JSON object: EOF while parsing a value at line 1 column 0",
        ),
        ("[]", "failed to decode JSON object: not an object"),
        (
            r#"{"@data-type":"none"}"#,
            "no topic in top-level JSON object",
        ),
        (
            r#"{"topic":"zeek/management/controller","@data-type":"count","data":-1}"#,
            "failed to decode JSON object: count is not an integer of 64 bits, not negative at $",
        ),
        (
            r#"{"topic":"zeek/management/controller","@data-type":"count","data":1}"#,
            "failed to create Zeek event: not a Zeek event: not a vector",
        ),
    ] {
        hub.handle(now, text(a, input));
        assert_eq!(
            drain(&mut hub),
            [send(a, &error("deserialization_failed", context))]
        );
    }
    hub.handle(
        now,
        Input::Reject {
            client: a,
            reason: "unknown event T::ping".into(),
        },
    );
    let context = "failed to create Zeek event: unknown event T::ping";
    assert_eq!(
        drain(&mut hub),
        [send(a, &error("deserialization_failed", context))]
    );

    hub.handle(now, text(a, PING));
    assert_eq!(
        drain(&mut hub),
        [Output::Deliver {
            topic: CONTROLLER,
            event: ping(),
            from: a
        }]
    );
}

#[test]
fn topics_that_clients_may_not_publish_to_are_refused_by_name() {
    let (mut hub, now) = hub();
    let a = subscribed(&mut hub, now, 0, SUBSCRIBE);
    let agent = PING.replace("zeek/management/controller", "zeek/management/agent/a");
    hub.handle(now, text(a, &agent));
    let context = "publishing to topic 'zeek/management/agent/a' is not allowed";
    let refused = Output::Refused {
        topic: Topic::from_static("zeek/management/agent/a"),
        event: Some("T::ping".to_owned()),
        reason: context.to_owned(),
        from: a,
    };
    let told = send(a, &error("broker_error", context));
    assert_eq!(drain(&mut hub), [told, refused]);
}

#[test]
fn internal_topics_are_refused_even_if_everything_is_allowed() {
    let mut options = options();
    options.publish = Filter::from_wire(vec![Topic::from_static("")]);
    let (mut hub, now) = (Hub::new(options), start());
    let a = subscribed(&mut hub, now, 0, SUBSCRIBE);
    hub.handle(
        now,
        text(
            a,
            &PING.replace("zeek/management/controller", "<$>/local/x"),
        ),
    );
    let context = "publishing to topic '<$>/local/x' is not allowed";
    let told = send(a, &error("broker_error", context));
    assert_eq!(drain(&mut hub)[..1], [told]);
}

#[test]
fn a_client_that_never_subscribes_is_let_go_once() {
    let (mut hub, now) = hub();
    let a = opened(&mut hub, now, 0);
    subscribed(&mut hub, now, 1, SUBSCRIBE);
    let deadline = now + Duration::from_secs(60);
    assert_eq!(hub.poll_timeout(), Some(deadline));
    hub.handle_timeout(deadline - Duration::from_nanos(1));
    assert_eq!(drain(&mut hub), []);
    hub.handle_timeout(deadline);
    let reason = "no subscriptions in time".to_owned();
    assert_eq!(
        drain(&mut hub),
        [Output::Close {
            client: a,
            code: 1008,
            reason
        }]
    );
    assert_eq!(hub.poll_timeout(), None);
}

#[test]
fn a_client_that_left_gets_nothing() {
    let (mut hub, now) = hub();
    let a = subscribed(&mut hub, now, 0, SUBSCRIBE);
    hub.handle(
        now,
        Input::Closed {
            client: a,
            reason: "end of stream".into(),
        },
    );
    hub.handle(
        now,
        Input::Publish {
            topic: CONTROLLER,
            event: ping().into(),
            origin: None,
        },
    );
    hub.handle(
        now,
        Input::Reject {
            client: a,
            reason: "late".into(),
        },
    );
    hub.handle(now, text(a, PING));
    assert_eq!(drain(&mut hub), []);
    assert_eq!(hub.clients(), 0);
}

#[test]
fn a_client_is_told_only_of_topics_that_it_wants() {
    let (mut hub, now) = hub();
    let a = subscribed(&mut hub, now, 0, SUBSCRIBE);
    let b = subscribed(&mut hub, now, 1, r#"["zeek/other"]"#);
    for client in [a, b, ClientId(99)] {
        let (topic, event) = (CONTROLLER, ping().into());
        hub.handle(
            now,
            Input::Tell {
                client,
                topic,
                event,
            },
        );
    }
    assert_eq!(drain(&mut hub), [send(a, PING_OUT)]);
}

#[test]
fn a_client_leaves_once() {
    let (mut hub, now) = hub();
    let client = subscribed(&mut hub, now, 0, SUBSCRIBE);
    for _ in 0..2 {
        let reason = "left".into();
        hub.handle(now, Input::Closed { client, reason });
    }
    assert!(hub.client(client).is_none());
    assert_eq!(drain(&mut hub), []);
}

#[test]
fn shutdown_closes_everybody_and_whoever_comes_late() {
    let (mut hub, now) = hub();
    let a = subscribed(&mut hub, now, 0, SUBSCRIBE);
    let b = opened(&mut hub, now, 1);
    let close = |client| Output::Close {
        client,
        code: 1001,
        reason: "Terminating".into(),
    };
    hub.handle(now, Input::Shutdown);
    hub.handle(now, Input::Shutdown);
    assert_eq!(drain(&mut hub), [close(a), close(b)]);
    let c = opened(&mut hub, now, 2);
    assert_eq!(drain(&mut hub), [close(c)]);
    assert_eq!(hub.clients(), 3);
}

fn options() -> Options {
    Options::new("node", "8.0.10", Filter::from_wire(vec![CONTROLLER]))
}

#[test]
fn a_client_that_is_not_wanted_is_closed_and_hears_why() {
    let (mut hub, now) = hub();
    let a = opened(&mut hub, now, 0);
    let reason = "no rule lets it in".to_owned();
    let expel = Input::Expel {
        client: a,
        reason: reason.clone(),
    };
    hub.handle(now, expel);
    let code = 1008;
    let close = Output::Close {
        client: a,
        code,
        reason,
    };
    assert_eq!(drain(&mut hub), [close]);
    // What it still says counts for nothing.
    hub.handle(now, text(a, SUBSCRIBE));
    assert_eq!(drain(&mut hub), []);
}

#[test]
fn client_is_known_by_where_it_comes_from_until_it_is_gone() {
    let (mut hub, now) = hub();
    let client = ClientId(3);
    let origin = Origin {
        remote: "192.0.2.1:50000".parse().unwrap(),
        application: Some("zeek-client 1.5.0".to_owned()),
        certificate: Some(Arc::new(PeerCertificate {
            name: Some("alice".to_owned()),
            dns: Vec::new(),
            addresses: Vec::new(),
            not_after: 0,
            fingerprint: [7; 32],
        })),
    };
    let opened = Input::Opened {
        client,
        remote: origin.remote,
        application: origin.application.clone(),
        certificate: origin.certificate.clone(),
    };
    hub.handle(now, opened);
    assert_eq!(hub.client(client), Some(&origin));
    let reason = "gone".to_owned();
    hub.handle(now, Input::Closed { client, reason });
    assert_eq!(hub.client(client), None);
}

#[test]
fn a_message_that_is_too_long_is_told_by_what_it_begins_with() {
    let (mut hub, now) = hub();
    let a = subscribed(&mut hub, now, 0, SUBSCRIBE);
    let reason = "Message too big: 9 bytes, message_bytes is 8";
    let too_long = |start: &str| Input::TooLong {
        client: a,
        start: start.to_owned(),
        reason: reason.to_owned(),
    };
    let id = PING.find(r#""r1"}"#).unwrap() + 5;
    let reordered = format!(r#"{{"type":"data-message","topic":"x",{}"#, &PING[1..id]);
    for start in [PING, &PING[..id], &reordered] {
        hub.handle(now, too_long(start));
        let unread = Output::Unread {
            event: ping(),
            reason: reason.to_owned(),
            from: a,
        };
        assert_eq!(drain(&mut hub), [unread], "{start}");
    }
    let context = format!("failed to decode JSON object: {reason}");
    for start in ["", "x", "[", "{\"@data-type\":\"vector\"", &PING[..id - 1]] {
        hub.handle(now, too_long(start));
        let error = error("deserialization_failed", &context);
        assert_eq!(drain(&mut hub), [send(a, &error)], "{start}");
    }
    hub.handle(now, text(a, PING));
    let [Output::Deliver { .. }] = &drain(&mut hub)[..] else {
        panic!("it does not go on");
    };
}

#[test]
fn a_message_that_was_not_sent_is_told_by_what_it_begins_with() {
    let (mut hub, now) = hub();
    let a = subscribed(&mut hub, now, 0, SUBSCRIBE);
    let unsent = |start: &str| Input::Unsent {
        client: a,
        start: start.to_owned(),
        reason: "too much".to_owned(),
    };
    hub.handle(now, unsent(&PING_OUT[..PING_OUT.len() - 6]));
    let told = Output::Unsent {
        event: ping(),
        reason: "too much".to_owned(),
        to: a,
    };
    assert_eq!(drain(&mut hub), [told]);
    hub.handle(now, unsent(&ack(0)));
    let reason = "left".to_owned();
    hub.handle(now, Input::Closed { client: a, reason });
    hub.handle(now, unsent(PING_OUT));
    assert_eq!(drain(&mut hub), []);
}

#[test]
fn a_request_with_too_many_values_is_known_by_its_start() {
    let (mut hub, now) = hub();
    let a = subscribed(&mut hub, now, 0, SUBSCRIBE);
    let many = format!(
        r#"{{"@data-type":"string","data":"r1"}},[{}]"#,
        "{},".repeat(1 << 20)
    );
    let request = PING.replace(r#"{"@data-type": "string", "data": "r1"}"#, &many);
    hub.handle(now, text(a, &request));
    let unread = Output::Unread {
        event: ping(),
        reason: "more than 1000000 values, the limit message_values".to_owned(),
        from: a,
    };
    assert_eq!(drain(&mut hub), [unread]);
}

fn hub() -> (Hub, Instant) {
    (Hub::new(options()), start())
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}

fn opened(hub: &mut Hub, now: Instant, n: u64) -> ClientId {
    let client = ClientId(n);
    let remote = "127.0.0.1:50000".parse().unwrap();
    hub.handle(
        now,
        Input::Opened {
            client,
            remote,
            application: None,
            certificate: None,
        },
    );
    client
}

fn subscribed(hub: &mut Hub, now: Instant, n: u64, subscriptions: &str) -> ClientId {
    let client = opened(hub, now, n);
    hub.handle(now, text(client, subscriptions));
    assert_eq!(drain(hub), [send(client, &ack(n))]);
    client
}

fn drain(hub: &mut Hub) -> Vec<Output> {
    std::iter::from_fn(|| hub.poll_output()).collect()
}

fn text(client: ClientId, text: &str) -> Input {
    Input::Text {
        client,
        text: text.to_owned(),
    }
}

fn send(client: ClientId, text: &str) -> Output {
    let text = text.into();
    Output::Send { client, text }
}

fn ack(n: u64) -> String {
    format!(r#"{{"type":"ack","endpoint":"node-websocket-{n}","version":"8.0.10"}}"#)
}

fn error(code: &str, context: &str) -> String {
    format!(r#"{{"type":"error","code":"{code}","context":"{context}"}}"#)
}

fn ping() -> Event {
    Event {
        name: "T::ping".into(),
        args: vec![Data::string("r1")],
        metadata: None,
    }
}
