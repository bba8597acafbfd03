//! WIRE §11, row by row: what a hostile or broken peer sends, and what becomes of it. Sizes inside
//! values (varbytes, counts, nesting, elements) are the codec's.

use super::*;

/// A hello of HIGH.
const HELLO_OF_HIGH: &str = "00000017 06 5a45454b ffffffffffff4fffbfffffffffffffff 01 01";

#[test]
fn a_handshake_frame_above_the_limit_closes_the_link_on_its_prefix() {
    let mut s = acceptor(MIDDLE, "/test");
    s.sends();
    s.recv("00100001");
    assert_eq!(s.drain(), [Output::Close { link: s.link }]);
    assert_eq!(s.endpoint.counters().refused.oversized, 1);

    let mut s = acceptor(MIDDLE, "/test");
    s.sends();
    s.recv("00100000");
    assert_eq!(s.drain(), [], "exactly the limit is not above it");
}

#[test]
fn a_phase_3_frame_above_the_limit_ends_the_peering_on_its_prefix() {
    let mut s = peered_acceptor();
    s.recv("04000000");
    assert_eq!(s.drain(), []);
    let mut s = peered_acceptor();
    s.recv("04000001");
    let reason = "frame of 67108865 bytes exceeds the limit of 67108864";
    assert_eq!(
        s.drain(),
        [Output::Close { link: s.link }, down(LOW, reason)]
    );
    assert_eq!(s.endpoint.counters().cut.oversized, 1);
}

#[test]
fn a_link_on_hold_may_not_send_more_than_a_handshake_frame() {
    let mut s = acceptor(LOW, "/test");
    s.recv(HELLO_OF_HIGH);
    let second = open(&mut s, 1, "192.0.2.1:40001");
    s.handle(bytes(second, HELLO_OF_HIGH));
    s.drain();
    let chunk = Bytes::from(vec![0; 1 << 20]);
    s.handle(Input::Bytes {
        link: second,
        chunk,
    });
    assert_eq!(s.drain(), []);
    s.handle(bytes(second, "00"));
    assert_eq!(s.drain(), [Output::Close { link: second }]);
    assert_eq!(s.endpoint.counters().refused.oversized, 1);
}

#[test]
fn a_handshake_that_dawdles_ends_ten_seconds_after_it_began() {
    let mut s = acceptor(LOW, "/test");
    let opened = s.now;
    s.sends();
    s.now += Duration::from_secs(9);
    s.recv(HELLO_OF_HIGH);
    s.sends();
    let deadline = opened + Duration::from_secs(10);
    assert_eq!(s.endpoint.poll_timeout(), Some(deadline));
    s.timeout_at(deadline);
    assert_eq!(s.drain(), [Output::Close { link: s.link }]);
    assert_eq!(s.endpoint.counters().refused.timed_out, 1);
    assert_eq!(s.endpoint.poll_timeout(), None);
}

#[test]
fn only_so_many_links_may_be_in_their_handshake() {
    let mut s = acceptor_with(
        LOW,
        "/test",
        Options {
            pending_links: 2,
            ..Options::default()
        },
    );
    let second = open(&mut s, 1, "192.0.2.2:1");
    s.drain();
    let third = open(&mut s, 2, "192.0.2.3:1");
    let first = Output::Close { link: s.link };
    assert_eq!(s.drain(), [first, send(third, PROBE)], "the oldest went");
    assert_eq!(s.endpoint.counters().refused.pending, 1);

    s.handle(bytes(second, HELLO_OF_HIGH));
    s.handle(bytes(second, "00000002 0b 00"));
    s.drain();
    let fourth = open(&mut s, 3, "192.0.2.4:1");
    assert_eq!(s.drain(), [send(fourth, PROBE)], "a peering is not pending");
}

#[test]
fn only_so_many_of_them_may_come_from_one_address() {
    let options = Options {
        pending_links_per_source: 2,
        ..Options::default()
    };
    let mut s = acceptor_with(LOW, "/test", options);
    open(&mut s, 1, "[::ffff:192.0.2.1]:7");
    s.drain();
    let third = open(&mut s, 2, "192.0.2.1:8");
    let oldest = Output::Close { link: s.link };
    assert_eq!(s.drain(), [oldest, send(third, PROBE)]);
    let other = open(&mut s, 3, "192.0.2.2:8");
    assert_eq!(s.drain(), [send(other, PROBE)]);
    let refused = s.endpoint.counters().refused;
    assert_eq!((refused.pending, refused.pending_from_source), (0, 1));
}

#[test]
fn a_flood_of_links_pushes_out_its_own_and_not_those_of_others() {
    let options = Options {
        pending_links: 4,
        ..Options::default()
    };
    let mut s = acceptor_with(LOW, "/test", options);
    for (n, remote) in [
        (1, "[2001:db8::1]:1"),
        (2, "[2001:db8::2]:1"),
        (3, "192.0.2.9:1"),
    ] {
        open(&mut s, n, remote);
    }
    s.drain();
    let fifth = open(&mut s, 4, "192.0.2.3:1");
    // Both addresses of one /64 are one source, and no other has two.
    let flooding = Output::Close {
        link: LinkId::Accepted(1),
    };
    assert_eq!(s.drain(), [flooding, send(fifth, PROBE)]);
}

#[test]
fn our_own_dials_are_not_limited_by_what_strangers_do() {
    let mut s = acceptor_with(
        LOW,
        "/test",
        Options {
            pending_links: 1,
            ..Options::default()
        },
    );
    let retry = None;
    s.handle(Input::Dial {
        addr: addr(),
        retry,
    });
    s.drain();
    let (link, remote) = (LinkId::Dialed(0), remote());
    s.handle(Input::Opened {
        link,
        remote,
        certificate: None,
    });
    let hello = "00000017 06 5a45454b 00000000000040008000000000000000 01 01";
    assert_eq!(s.drain(), [send(link, hello)]);
}

#[test]
fn a_version_select_under_another_id_than_the_hello_is_refused() {
    let mut s = acceptor(HIGH, "/test");
    s.recv("00000017 06 5a45454b 00000000000040008000000000000000 01 01");
    s.drain();
    s.recv("00000016 08 5a45454b 80000000000040008000000000000001 01");
    let out = s.drain();
    let [Output::Send { bytes, .. }, Output::Close { .. }] = out.as_slice() else {
        panic!("{out:?}");
    };
    assert_eq!(bytes[25], 3, "peer_invalid (WIRE §4.5)");
    assert_eq!(s.endpoint.counters().refused.identity, 1);
}

#[test]
fn a_message_of_somebody_else_is_dropped_and_counts_against_the_peer() {
    let mut s = peered_acceptor_with(Options {
        strikes: 1,
        ..Options::default()
    });
    let forged = data_from_low("2f74657374", "00").replace(&hex_of(&LOW), &hex_of(&HIGH));
    s.recv(&forged);
    assert_eq!(s.drain(), []);
    assert_eq!(of_low(&s).foreign_sender, 1);
    s.recv(&forged);
    let down = down(LOW, "too many bad messages");
    assert_eq!(s.drain(), [Output::Close { link: s.link }, down]);
    assert_eq!(s.endpoint.counters().messages.foreign_sender, 2);
    assert_eq!(s.endpoint.counters().cut.strikes, 1);
}

#[test]
fn a_peer_cannot_forge_local_topics() {
    let mut s = peered_acceptor();
    // "<$>/local/data/statuses", while "" would match it.
    s.handle(Input::Subscribe {
        topic: Topic::from_static(""),
    });
    s.drain();
    s.recv(&data_from_low(
        "3c243e2f6c6f63616c2f646174612f7374617475736573",
        "00",
    ));
    assert_eq!(s.drain(), []);
    assert_eq!(of_low(&s).local_topic, 1);
}

#[test]
fn a_malformed_routing_update_leaves_the_filter_as_it_was() {
    // Counts of one and two too many, a byte left over, a length beyond the end, nothing at all.
    for payload in [
        "02 022f61",
        "03 022f61 022f62",
        "01 022f61 00",
        "01 032f61",
        "",
    ] {
        let mut s = peered_acceptor();
        s.recv(&update_from_low("01 022f61"));
        s.recv(&update_from_low(payload));
        assert_eq!(s.drain(), [], "{payload}");
        assert_eq!(of_low(&s).bad_filter, 1, "{payload}");
        assert!(is_wanted(&mut s, "/a"), "{payload}");
    }
}

#[test]
fn a_filter_has_limits_in_topics_and_in_bytes() {
    let limits = crate::codec::Limits {
        filter_topics: 2,
        ..Default::default()
    };
    let options = Options {
        filter_bytes: 6,
        limits,
        ..Options::default()
    };
    let mut s = peered_acceptor_with(options.clone());
    s.recv(&update_from_low("02 032f6162 032f6364"));
    assert!(is_wanted(&mut s, "/ab"));
    for too_much in ["02 032f6162 042f636465", "03 012f 0161 0162"] {
        s.recv(&update_from_low(too_much));
        assert!(is_wanted(&mut s, "/ab"), "{too_much}");
        assert!(!is_wanted(&mut s, "/x"), "{too_much}");
    }
    assert_eq!(of_low(&s).bad_filter, 2);

    let mut s = acceptor_with(LOW, "/test", options);
    s.recv(HELLO_OF_HIGH);
    s.drain();
    s.recv("0000000a 0b 01 07 2f616263646566");
    let out = s.drain();
    let [Output::Send { bytes, .. }, Output::Close { .. }] = out.as_slice() else {
        panic!("{out:?}");
    };
    assert_eq!((bytes[4], bytes[25]), (9, 20), "drop_conn, invalid_message");
    assert_eq!(s.endpoint.counters().refused.filter, 1);
}

#[test]
fn a_peer_may_ask_for_everything_only_if_the_policy_allows() {
    let mut s = peered_acceptor();
    s.recv(&update_from_low("01 00"));
    assert!(is_wanted(&mut s, "/anything"));

    let empty_prefix = EmptyPrefix::Refused;
    let options = Options {
        empty_prefix,
        ..Options::default()
    };
    let mut s = peered_acceptor_with(options.clone());
    s.recv(&update_from_low("02 022f61 00"));
    assert!(!is_wanted(&mut s, "/anything"));
    assert_eq!(of_low(&s).bad_filter, 1);

    let mut s = acceptor_with(LOW, "/test", options);
    s.recv(HELLO_OF_HIGH);
    s.drain();
    s.recv("00000003 0b 01 00");
    assert!(matches!(s.drain().last(), Some(Output::Close { .. })));
    assert_eq!(s.endpoint.counters().refused.filter, 1);
}

#[test]
fn of_a_flood_of_pings_the_newest_are_answered() {
    let mut s = peered_acceptor_with(Options {
        pongs: 2,
        ..Options::default()
    });
    let peer = s.link;
    fill_window(&mut s);
    for n in ["01", "02", "03", "04"] {
        s.recv(&ping_from_low(&hex_of(&MIDDLE), n));
    }
    assert_eq!(s.drain(), []);
    s.handle(Input::Sent {
        link: peer,
        messages: 9,
    });
    let pong = "00000029 80000000000040008000000000000001 00000000000040008000000000000000 \
                05 0010 0003 3c243e ";
    let pongs = ["03", "04"].map(|n| send(peer, &format!("{pong}{n}")));
    assert_eq!(s.drain(), pongs);
    let counters = of_low(&s);
    assert_eq!((counters.pings_answered, counters.pings_dropped), (2, 2));
}

#[test]
fn a_ping_that_is_too_large_or_for_somebody_else_is_not_answered() {
    let mut s = peered_acceptor();
    s.recv(&ping_from_low(&hex_of(&MIDDLE), &"00".repeat(4097)));
    s.recv(&ping_from_low(&hex_of(&HIGH), "01"));
    assert_eq!(s.drain(), []);
    let counters = of_low(&s);
    assert_eq!((counters.pings_dropped, counters.misaddressed), (1, 1));
    s.recv(&ping_from_low(&"00".repeat(16), "01"));
    assert_eq!(s.sends().len(), 1, "nil means whoever reads it (WIRE §6.5)");
}

#[test]
fn handshake_messages_count_as_bad_once_peered() {
    let mut s = peered_acceptor();
    let drop = "0000002b 09 5a45454b 00000000000040008000000000000000 27 \
                14 726564756e64616e7420636f6e6e656374696f6e";
    let syn = format!("0000002b 0a 01 29 {}", "2f".repeat(41));
    for late in [
        HELLO_OF_HIGH,
        PROBE,
        "00000001 0c",
        "00000002 0a 00",
        drop,
        &syn,
    ] {
        s.recv(late);
    }
    assert_eq!(s.drain(), []);
    let counters = of_low(&s);
    assert_eq!(counters.undecodable + counters.foreign_sender, 6);
}

#[test]
fn how_many_bad_messages_in_which_time_is_an_option() {
    let (strikes, strike_window) = (1, Duration::from_secs(5));
    let options = Options {
        strikes,
        strike_window,
        ..Options::default()
    };
    let mut s = peered_acceptor_with(options);
    s.recv("00000001 00");
    s.now += Duration::from_secs(5);
    s.recv("00000001 00");
    assert_eq!(s.drain(), [], "the first one is forgotten");
    s.now += Duration::from_secs(4);
    s.recv("00000001 00");
    let down = down(LOW, "too many bad messages");
    assert_eq!(s.drain(), [Output::Close { link: s.link }, down]);
    assert_eq!(s.endpoint.counters().messages.undecodable, 3);
}

#[test]
fn the_old_link_of_a_peer_that_comes_again_has_to_prove_itself() {
    let mut s = acceptor(LOW, "/test");
    s.recv(HELLO_OF_HIGH);
    s.recv("00000002 0b 00");
    s.drain();
    let second = open(&mut s, 1, "192.0.2.1:40001");
    s.drain();
    s.handle(bytes(second, HELLO_OF_HIGH));
    let out = s.drain();
    let [refusal, close, Output::Send { link, bytes: ping }] = out.as_slice() else {
        panic!("{out:?}");
    };
    // drop_conn 39 "redundant connection" (WIRE §4.1).
    let drop = "0000002b 09 5a45454b 00000000000040008000000000000000 27 \
                14 726564756e64616e7420636f6e6e656374696f6e";
    assert_eq!(refusal, &send(second, drop));
    assert_eq!(close, &Output::Close { link: second });
    assert_eq!((*link, ping[36]), (s.link, 4));
    assert_eq!(ping[44..49], *b"ALIVE");

    // One question at a time; its answer keeps the link.
    let third = open(&mut s, 2, "192.0.2.1:40002");
    s.drain();
    s.handle(bytes(third, HELLO_OF_HIGH));
    assert_eq!(
        s.drain(),
        [send(third, drop), Output::Close { link: third }]
    );
    s.recv(&pong_from_high(&ping[44..]));
    assert_eq!((s.drain(), s.endpoint.poll_timeout()), (vec![], None));

    // No answer, no peering.
    let fourth = open(&mut s, 3, "192.0.2.1:40003");
    s.handle(bytes(fourth, HELLO_OF_HIGH));
    s.drain();
    s.recv(&pong_from_high(&ping[44..]));
    let deadline = s.now + Duration::from_secs(5);
    assert_eq!(
        s.endpoint.poll_timeout(),
        Some(deadline),
        "an old pong is no answer"
    );
    s.timeout_at(deadline);
    let down = down(HIGH, "no answer to our ping");
    assert_eq!(s.drain(), [Output::Close { link: s.link }, down]);
    let fifth = open(&mut s, 4, "192.0.2.1:40004");
    s.drain();
    s.handle(bytes(fifth, HELLO_OF_HIGH));
    s.handle(bytes(fifth, "00000002 0b 00"));
    assert!(
        s.drain()
            .iter()
            .any(|out| matches!(out, Output::PeerUp { .. }))
    );
    let counters = s.endpoint.counters();
    assert_eq!((counters.cut.replaced, counters.refused.redundant), (1, 3));
}

#[test]
fn nothing_is_relayed_unless_asked_for() {
    let mut s = peered_acceptor();
    s.recv(&addressed_from_low(&hex_of(&HIGH)));
    assert_eq!(s.drain(), []);
    assert_eq!(of_low(&s).misaddressed, 1);
}

#[test]
fn what_a_peer_says_of_its_refusal_is_logged_in_part() {
    let mut c = dialer(HIGH, "/test");
    c.sends();
    let text = format!("0a{}", "41".repeat(4095));
    c.recv(&format!(
        "00001018 09 5a45454b {} 02 8020 {text}",
        hex_of(&LOW)
    ));
    let out = c.drain();
    let [Output::Close { .. }, Output::PeerUnreachable { reason, .. }] = out.as_slice() else {
        panic!("{out:?}");
    };
    assert_eq!(
        *reason,
        format!(
            "peer dropped the connection: \\n{} (code 2)",
            "A".repeat(127)
        )
    );
}

fn open(rig: &mut Rig, n: u64, remote: &str) -> LinkId {
    let (link, remote) = (LinkId::Accepted(n), remote.parse().unwrap());
    rig.handle(Input::Opened {
        link,
        remote,
        certificate: None,
    });
    link
}

fn bytes(link: LinkId, text: &str) -> Input {
    let chunk = hex(text);
    Input::Bytes { link, chunk }
}

fn down(peer: [u8; 16], reason: &str) -> Output {
    let (id, reason) = (id(peer), reason.to_owned());
    Output::PeerDown { id, reason }
}

fn of_low(rig: &Rig) -> PeerCounters {
    rig.endpoint.peer_counters(id(LOW)).unwrap()
}

/// Whether LOW, the only peer, gets what is published there.
fn is_wanted(rig: &mut Rig, topic: &'static str) -> bool {
    let (topic, payload) = (Topic::from_static(topic), Bytes::from_static(&[0]));
    rig.handle(Input::Publish { topic, payload });
    !rig.sends().is_empty()
}

/// Has the caller hold as much for LOW as it may.
pub(super) fn fill_window(rig: &mut Rig) {
    rig.recv(&update_from_low("01 022f61"));
    let (topic, payload) = (Topic::from_static("/a"), Bytes::from(vec![0; 512 << 10]));
    rig.handle(Input::Publish { topic, payload });
    assert_eq!(rig.sends().len(), 1);
}

pub(super) fn update_from_low(filter: &str) -> String {
    internal_from_low("03", &hex_of(&MIDDLE), filter)
}

fn ping_from_low(receiver: &str, payload: &str) -> String {
    internal_from_low("04", receiver, payload)
}

fn internal_from_low(kind: &str, receiver: &str, payload: &str) -> String {
    let size = 40 + hex(payload).len();
    format!(
        "{size:08x} {} {receiver} {kind} 0010 0003 3c243e {payload}",
        hex_of(&LOW)
    )
}

fn addressed_from_low(receiver: &str) -> String {
    format!(
        "0000002b {} {receiver} 01 0010 0005 2f74657374 00",
        hex_of(&LOW)
    )
}

fn pong_from_high(payload: &[u8]) -> String {
    let (from, to) = (hex_of(&HIGH), hex_of(&LOW));
    let size = 40 + payload.len();
    format!(
        "{size:08x} {from} {to} 05 0010 0003 3c243e {}",
        hex_of(payload)
    )
}
