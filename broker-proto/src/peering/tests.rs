use std::time::Duration;

use super::*;
use crate::codec::envelope::data_frame;
use crate::topic::Topic;

mod access;
mod forwarding;
mod limits;
mod matrix;
mod overflow;
mod redundant;
mod world;

const LOW: [u8; 16] = [0, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 0];
const MIDDLE: [u8; 16] = [0x80, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1];
const HIGH: [u8; 16] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x4f, 0xff, 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];

const PROBE: &str = "00000005 07 5a45454b";

#[test]
fn an_acceptor_with_the_smaller_id_originates() {
    // WIRE §4.3, first sequence: C dials, S accepts.
    let mut c = dialer(HIGH, "/foo/bar");
    assert_eq!(
        c.sends(),
        [hex(
            "00000017 06 5a45454b ffffffffffff4fffbfffffffffffffff 01 01"
        )]
    );
    c.recv(PROBE);
    c.recv("00000016 08 5a45454b 80000000000040008000000000000001 01");
    assert_eq!(c.drain(), []);
    c.recv("00000008 0a 01 05 2f74657374");
    assert_eq!(c.sends(), [hex("0000000b 0b 01 08 2f666f6f2f626172")]);
    c.recv("00000001 0c");
    assert_eq!(c.drain(), [up(MIDDLE, Some(addr()))]);

    let mut s = acceptor(MIDDLE, "/test");
    assert_eq!(s.sends(), [hex(PROBE)]);
    s.recv("00000017 06 5a45454b ffffffffffff4fffbfffffffffffffff 01 01");
    assert_eq!(
        s.sends(),
        [
            hex("00000016 08 5a45454b 80000000000040008000000000000001 01"),
            hex("00000008 0a 01 05 2f74657374"),
        ]
    );
    s.recv("0000000b 0b 01 08 2f666f6f2f626172");
    assert_eq!(s.drain(), [send(s.link, "00000001 0c"), up(HIGH, None)]);
}

#[test]
fn a_dialer_with_the_smaller_id_originates() {
    // WIRE §4.3, second sequence.
    let mut c = dialer(LOW, "/foo/bar");
    c.sends();
    c.recv(PROBE);
    c.recv("00000017 06 5a45454b 80000000000040008000000000000001 01 01");
    assert_eq!(
        c.sends(),
        [
            hex("00000016 08 5a45454b 00000000000040008000000000000000 01"),
            hex("0000000b 0a 01 08 2f666f6f2f626172"),
        ]
    );
    c.recv("00000008 0b 01 05 2f74657374");
    assert_eq!(
        c.drain(),
        [send(c.link, "00000001 0c"), up(MIDDLE, Some(addr()))]
    );

    let mut s = acceptor(MIDDLE, "/test");
    s.sends();
    s.recv("00000017 06 5a45454b 00000000000040008000000000000000 01 01");
    assert_eq!(
        s.sends(),
        [hex(
            "00000017 06 5a45454b 80000000000040008000000000000001 01 01"
        )]
    );
    s.recv("00000016 08 5a45454b 00000000000040008000000000000000 01");
    s.recv("0000000b 0a 01 08 2f666f6f2f626172");
    assert_eq!(s.sends(), [hex("00000008 0b 01 05 2f74657374")]);
    s.recv("00000001 0c");
    assert_eq!(s.drain(), [up(LOW, None)]);
}

#[test]
fn the_first_envelope_may_share_a_segment_with_the_last_handshake_frame() {
    let mut s = acceptor(MIDDLE, "/test");
    s.recv("00000017 06 5a45454b 00000000000040008000000000000000 01 01");
    s.recv("00000016 08 5a45454b 00000000000040008000000000000000 01");
    s.recv("00000002 0a 00");
    s.drain();
    s.recv(&format!(
        "00000001 0c {}",
        data_from_low("2f74657374", "0101")
    ));
    let deliver = deliver("/test", &[1, 1], LOW);
    assert_eq!(s.drain(), [up(LOW, None), deliver]);
}

#[test]
fn an_unexpected_message_closes_without_a_word() {
    let mut s = acceptor(MIDDLE, "/test");
    s.sends();
    s.recv("00000001 0c");
    assert_eq!(s.drain(), [Output::Close { link: s.link }]);
    let mut s = acceptor(MIDDLE, "/test");
    s.sends();
    s.recv("00000000");
    assert_eq!(s.drain(), [Output::Close { link: s.link }]);
}

#[test]
fn an_oversized_handshake_frame_closes_the_link_on_its_prefix() {
    let mut s = acceptor(MIDDLE, "/test");
    s.sends();
    s.recv("16030100");
    assert_eq!(s.drain(), [Output::Close { link: s.link }]);
}

#[test]
fn a_silent_handshake_ends_after_its_time() {
    let mut c = dialer(HIGH, "/test");
    c.sends();
    let deadline = c.now + Duration::from_secs(10);
    assert_eq!(c.endpoint.poll_timeout(), Some(deadline));
    c.timeout_at(deadline);
    let reason = "handshake timed out".to_owned();
    let unreachable = Output::PeerUnreachable {
        addr: addr(),
        reason,
    };
    assert_eq!(c.drain(), [Output::Close { link: c.link }, unreachable]);
}

#[test]
fn a_failed_dial_is_repeated_after_its_interval() {
    let mut c = dialer(HIGH, "/test");
    c.sends();
    c.handle(Input::Closed {
        link: c.link,
        reason: "refused".into(),
    });
    let reason = "refused".to_owned();
    assert_eq!(
        c.drain(),
        [Output::PeerUnreachable {
            addr: addr(),
            reason
        }]
    );
    let again = c.now + Duration::from_secs(1);
    assert_eq!(c.endpoint.poll_timeout(), Some(again));
    c.timeout_at(again);
    assert_eq!(
        c.drain(),
        [Output::Dial {
            link: LinkId::Dialed(1),
            addr: addr()
        }]
    );
}

#[test]
fn a_burst_of_outputs_leaves_no_memory_behind() {
    let id = EndpointId::from_bytes([1; 16]);
    let mut endpoint = Endpoint::new(id, Options::default(), IdGen::new(1));
    let link = LinkId::Dialed(0);
    endpoint.out.resize(10_000, Output::Close { link });
    while endpoint.poll_output().is_some() {}
    assert!(endpoint.out.capacity() < 1000);
}

#[test]
fn a_lost_peering_is_dialed_again_at_once() {
    let mut c = peered_dialer();
    c.handle(Input::Closed {
        link: c.link,
        reason: "end of stream".into(),
    });
    let down = Output::PeerDown {
        id: id(MIDDLE),
        reason: "end of stream".into(),
    };
    assert_eq!(
        c.drain(),
        [
            down,
            Output::Dial {
                link: LinkId::Dialed(1),
                addr: addr()
            }
        ]
    );
}

#[test]
fn a_subscription_made_later_is_announced() {
    let mut c = peered_dialer();
    c.handle(Input::Subscribe {
        topic: Topic::from_static("/a"),
    });
    // Header: own id, peer's id, type 3, ttl 16, topic "<$>"; payload: two topics.
    let update = "00000035 ffffffffffff4fffbfffffffffffffff 80000000000040008000000000000001 \
                  03 0010 0003 3c243e 02 022f61 082f666f6f2f626172";
    assert_eq!(c.drain(), [send(c.link, update)]);
    c.handle(Input::Subscribe {
        topic: Topic::from_static("/a/b"),
    });
    assert_eq!(c.drain(), []);
}

#[test]
fn only_peers_that_want_a_topic_get_it() {
    let mut c = peered_dialer();
    let topic = Topic::from_static("/test/x");
    assert!(c.endpoint.is_wanted(&topic));
    c.handle(Input::Publish {
        topic,
        payload: Bytes::from_static(&[0]),
    });
    let frame = "0000002d ffffffffffff4fffbfffffffffffffff 00000000000000000000000000000000 \
                 01 0010 0007 2f746573742f78 00";
    assert_eq!(c.drain(), [send(c.link, frame)]);
    let topic = Topic::from_static("/other");
    assert!(!c.endpoint.is_wanted(&topic));
    c.handle(Input::Publish {
        topic,
        payload: Bytes::from_static(&[0]),
    });
    assert_eq!(c.drain(), []);
}

#[test]
fn a_frame_that_is_ready_goes_where_its_value_would() {
    let mut c = peered_dialer();
    let publish = |topic: &'static str, payload: &[u8]| {
        let topic = Topic::from_static(topic);
        let frame = data_frame(EndpointId::from_bytes(HIGH), &topic, payload);
        Input::PublishFrame { topic, frame }
    };
    c.handle(publish("/test/x", &[0]));
    let frame = "0000002d ffffffffffff4fffbfffffffffffffff 00000000000000000000000000000000 \
                 01 0010 0007 2f746573742f78 00";
    assert_eq!(c.drain(), [send(c.link, frame)]);
    c.handle(publish("/other", &[0]));
    c.handle(publish("", &[0]));
    c.handle(publish("<$>/local/x", &[0]));
    let limit = Options::default().limits.frame;
    c.handle(publish("/test/x", &vec![0; limit]));
    assert_eq!(c.drain(), []);
}

#[test]
fn a_value_in_parts_is_sent_in_parts() {
    let mut c = peered_dialer();
    let parts = [b"\x05\x03a".as_slice(), b"bc"].map(Bytes::from_static);
    let (topic, parts) = (Topic::from_static("/test/x"), parts.to_vec());
    c.handle(Input::PublishParts { topic, parts });
    let start = "00000031 ffffffffffff4fffbfffffffffffffff 00000000000000000000000000000000 \
                 01 0010 0007 2f746573742f78";
    let parts = [start, "050361", "6263"];
    assert_eq!(c.drain(), parts.map(|part| send(c.link, part)));
}

#[test]
fn a_ping_is_answered_with_its_bytes() {
    // WIRE §6.6, with the ids of WIRE §4.3.
    let mut c = peered_dialer();
    c.recv(
        "00000033 80000000000040008000000000000001 ffffffffffff4fffbfffffffffffffff \
         04 0010 0003 3c243e 425945 0100000000000010",
    );
    let pong = "00000033 ffffffffffff4fffbfffffffffffffff 80000000000040008000000000000001 \
                05 0010 0003 3c243e 425945 0100000000000010";
    assert_eq!(c.drain(), [send(c.link, pong)]);
}

#[test]
fn leaving_waits_for_the_pong_and_then_closes() {
    let mut c = peered_dialer();
    c.handle(Input::Shutdown);
    let [ping] = c.sends().try_into().unwrap();
    assert_eq!(ping[36], 4);
    assert_eq!(ping[44..47], *b"BYE");
    assert_eq!(ping.len(), 4 + 0x33);
    let payload: String = ping[44..].iter().map(|b| format!("{b:02x}")).collect();
    c.recv(&format!(
        "00000033 80000000000040008000000000000001 ffffffffffff4fffbfffffffffffffff \
         05 0010 0003 3c243e {payload}"
    ));
    let down = Output::PeerDown {
        id: id(MIDDLE),
        reason: "unpeered".into(),
    };
    assert_eq!(c.drain(), [Output::Close { link: c.link }, down]);
    c.handle(Input::Closed {
        link: c.link,
        reason: "closed".into(),
    });
    assert_eq!(c.drain(), [Output::Stopped]);
}

#[test]
fn leaving_a_peer_that_does_not_answer_takes_three_seconds() {
    let mut c = peered_dialer();
    c.handle(Input::Unpeer { addr: addr() });
    c.sends();
    let deadline = c.now + Duration::from_secs(3);
    c.timeout_at(deadline);
    let down = Output::PeerDown {
        id: id(MIDDLE),
        reason: "no answer to our goodbye".into(),
    };
    assert_eq!(c.drain(), [Output::Close { link: c.link }, down]);
    c.handle(Input::Closed {
        link: c.link,
        reason: "closed".into(),
    });
    assert_eq!(
        c.endpoint.poll_timeout(),
        None,
        "no redial after our own unpeer"
    );
}

#[test]
fn a_second_link_to_a_peer_is_redundant() {
    let mut s = acceptor(LOW, "/test");
    s.sends();
    let hello = "00000017 06 5a45454b ffffffffffff4fffbfffffffffffffff 01 01";
    s.recv(hello);
    s.drain();
    let second = LinkId::Accepted(1);
    s.handle(Input::Opened {
        link: second,
        remote: remote(),
        certificate: None,
    });
    s.sends();
    s.handle(Input::Bytes {
        link: second,
        chunk: hex(hello),
    });
    assert_eq!(s.drain(), [], "on hold until the first handshake decides");
    s.recv("00000002 0b 00");
    // drop_conn 39 "redundant connection" (WIRE §4.1).
    let drop = "0000002b 09 5a45454b 00000000000040008000000000000000 27 \
                14 726564756e64616e7420636f6e6e656374696f6e";
    assert_eq!(
        s.drain(),
        [
            send(s.link, "00000001 0c"),
            send(second, drop),
            Output::Close { link: second },
            up(HIGH, None),
        ]
    );
}

#[test]
fn messages_under_a_foreign_id_or_on_local_topics_are_dropped() {
    let mut s = peered_acceptor();
    s.recv(&data_from_low("2f74657374", "00").replace(&hex_of(&LOW), &hex_of(&HIGH)));
    s.recv(&data_from_low("3c243e2f6c6f63616c2f78", "00"));
    let [low, high] = [LOW, HIGH].map(EndpointId::from_bytes);
    let told = |reason: String| Output::Misbehaved { id: low, reason };
    assert_eq!(
        s.drain_all(),
        [
            told(format!("envelope claims to be from {high}")),
            told("message on a topic that belongs inside one endpoint".into()),
        ]
    );
    s.recv(&data_from_low("2f74657374", "00"));
    assert_eq!(s.drain(), [deliver("/test", &[0], LOW)]);
}

#[test]
fn a_peer_that_keeps_sending_garbage_loses_its_link() {
    let mut s = peered_acceptor();
    for _ in 0..16 {
        s.recv("00000001 00");
    }
    assert_eq!(s.drain(), []);
    s.recv("00000001 00");
    let down = Output::PeerDown {
        id: id(LOW),
        reason: "too many bad messages".into(),
    };
    assert_eq!(s.drain(), [Output::Close { link: s.link }, down]);
}

/// An endpoint with one link, and a clock that moves by hand.
struct Rig {
    endpoint: Endpoint,
    link: LinkId,
    now: Instant,
}

impl Rig {
    fn new(own: [u8; 16], topic: &'static str, link: LinkId, options: Options) -> Self {
        let endpoint = Endpoint::new(id(own), options, IdGen::new(1));
        let mut rig = Self {
            endpoint,
            link,
            now: start(),
        };
        rig.handle(Input::Subscribe {
            topic: Topic::from_static(topic),
        });
        rig
    }

    fn handle(&mut self, input: Input) {
        self.endpoint.handle(self.now, input);
    }

    fn recv(&mut self, bytes: &str) {
        self.handle(Input::Bytes {
            link: self.link,
            chunk: hex(bytes),
        });
    }

    fn timeout_at(&mut self, at: Instant) {
        self.now = at;
        self.endpoint.handle_timeout(at);
    }

    fn drain(&mut self) -> Vec<Output> {
        let mut outputs = self.drain_all();
        outputs.retain(|output| !matches!(output, Output::Misbehaved { .. }));
        outputs
    }

    /// The same, and what is told of bad messages.
    fn drain_all(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.endpoint.poll_output()).collect()
    }

    fn sends(&mut self) -> Vec<Bytes> {
        let sends = self.drain().into_iter().map(|output| {
            let Output::Send { bytes, .. } = output else {
                panic!("not a send: {output:?}")
            };
            bytes
        });
        sends.collect()
    }
}

fn dialer(own: [u8; 16], topic: &'static str) -> Rig {
    dialer_with(own, topic, Options::default())
}

fn dialer_with(own: [u8; 16], topic: &'static str, options: Options) -> Rig {
    let mut rig = Rig::new(own, topic, LinkId::Dialed(0), options);
    rig.handle(Input::Dial {
        addr: addr(),
        retry: Some(Duration::from_secs(1)),
    });
    assert_eq!(
        rig.drain(),
        [Output::Dial {
            link: rig.link,
            addr: addr()
        }]
    );
    rig.handle(Input::Opened {
        link: rig.link,
        remote: remote(),
        certificate: None,
    });
    rig
}

fn acceptor(own: [u8; 16], topic: &'static str) -> Rig {
    acceptor_with(own, topic, Options::default())
}

fn acceptor_with(own: [u8; 16], topic: &'static str, options: Options) -> Rig {
    let mut rig = Rig::new(own, topic, LinkId::Accepted(0), options);
    rig.handle(Input::Opened {
        link: rig.link,
        remote: remote(),
        certificate: None,
    });
    rig
}

/// HIGH, subscribed to "/foo/bar", has dialed MIDDLE, which wants "/test".
fn peered_dialer() -> Rig {
    peered_dialer_with(Options::default())
}

fn peered_dialer_with(options: Options) -> Rig {
    let mut c = dialer_with(HIGH, "/foo/bar", options);
    c.recv("00000016 08 5a45454b 80000000000040008000000000000001 01");
    c.recv("00000008 0a 01 05 2f74657374 00000001 0c");
    c.drain();
    c
}

/// MIDDLE, subscribed to "/test", has accepted LOW.
fn peered_acceptor() -> Rig {
    peered_acceptor_with(Options::default())
}

fn peered_acceptor_with(options: Options) -> Rig {
    let mut s = acceptor_with(MIDDLE, "/test", options);
    s.recv("00000017 06 5a45454b 00000000000040008000000000000000 01 01");
    s.recv("00000016 08 5a45454b 00000000000040008000000000000000 01 00000002 0a 00 00000001 0c");
    s.drain();
    s
}

/// A data envelope from LOW to everybody, as a frame in hex.
fn data_from_low(topic: &str, payload: &str) -> String {
    let sizes = (topic.len() / 2, 37 + topic.len() / 2 + payload.len() / 2);
    let nil = "00".repeat(16);
    format!(
        "{:08x} {} {nil} 01 0010 {:04x} {topic} {payload}",
        sizes.1,
        hex_of(&LOW),
        sizes.0
    )
}

fn id(bytes: [u8; 16]) -> EndpointId {
    EndpointId::from_bytes(bytes)
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

fn send(link: LinkId, bytes: &str) -> Output {
    Output::Send {
        link,
        bytes: hex(bytes),
    }
}

fn deliver(topic: &'static str, payload: &'static [u8], from: [u8; 16]) -> Output {
    let payload = Bytes::from_static(payload);
    Output::Deliver {
        topic: Topic::from_static(topic),
        payload,
        from: id(from),
    }
}

fn up(peer: [u8; 16], dialed: Option<PeerAddr>) -> Output {
    Output::PeerUp {
        id: id(peer),
        network: PeerNetwork {
            remote: remote(),
            dialed,
            certificate: None,
        },
    }
}

fn addr() -> PeerAddr {
    PeerAddr {
        host: "peer".into(),
        port: 9999,
    }
}

fn remote() -> SocketAddr {
    "192.0.2.1:40000".parse().unwrap()
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}
