//! What a relay passes on (WIRE §6.3). MIDDLE is the relay, LOW and HIGH are its peers.

use super::limits::update_from_low;
use super::*;

const A: LinkId = LinkId::Accepted(0);
const B: LinkId = LinkId::Accepted(1);
/// Somebody who is peered with nobody.
const STRANGER: [u8; 16] = [7; 16];

#[test]
fn with_forwarding_off_nothing_is_relayed() {
    let mut relay = relay(Forwarding::Off);
    for kind in ["01", "02", "03", "04", "05"] {
        relay.a_sends(&envelope(LOW, HIGH, kind, "0010", "00"));
    }
    assert_eq!(relay.drain(), []);
    relay.a_sends(&envelope(LOW, [0; 16], "01", "0010", "00"));
    assert_eq!(relay.drain(), [deliver("/test", &[0], LOW)]);
    assert_eq!(relay.counters(LOW).relayed, 0);
    assert_eq!(relay.counters(LOW).misaddressed, 5);
}

#[test]
fn data_and_commands_go_on_under_the_relays_id_with_a_fresh_ttl() {
    let mut relay = relay(Forwarding::On);
    relay.a_sends(&envelope(LOW, [0; 16], "01", "0001", "ff"));
    // Not a value, but nobody looks.
    let data = "0000002b 80000000000040008000000000000001 00000000000000000000000000000000 \
                01 0010 0005 2f74657374 ff";
    assert_eq!(
        relay.drain(),
        [send(B, data), deliver("/test", &[0xff], LOW)]
    );
    relay.a_sends(&envelope(LOW, [0; 16], "02", "0000", "ff"));
    let command = "0000002b 80000000000040008000000000000001 00000000000000000000000000000000 \
                   02 0010 0005 2f74657374 ff";
    assert_eq!(relay.drain(), [send(B, command)]);
    assert_eq!(relay.counters(LOW).relayed, 2);
    assert_eq!(relay.counters(HIGH).sent, 2);
}

#[test]
fn nothing_goes_back_to_where_it_came_from() {
    let mut relay = relay(Forwarding::On);
    relay.b_sends(&envelope(HIGH, [0; 16], "01", "0010", "00"));
    assert_eq!(
        relay.drain(),
        [deliver("/test", &[0], HIGH)],
        "A wants other topics"
    );
    relay.a_sends(&envelope(LOW, LOW, "01", "0010", "00"));
    assert_eq!(relay.drain(), []);
}

#[test]
fn an_addressed_message_goes_to_that_peer_alone_whatever_it_wants() {
    let mut relay = relay(Forwarding::On);
    relay.b_sends(&envelope(HIGH, LOW, "01", "0010", "00"));
    let frame = "0000002b 80000000000040008000000000000001 00000000000040008000000000000000 \
                 01 0010 0005 2f74657374 00";
    assert_eq!(relay.drain(), [send(A, frame)]);
    relay.b_sends(&envelope(HIGH, STRANGER, "01", "0010", "00"));
    assert_eq!(relay.drain(), []);
    relay.b_sends(&envelope(HIGH, MIDDLE, "01", "0010", "00"));
    assert_eq!(relay.drain(), [deliver("/test", &[0], HIGH)]);
}

#[test]
fn what_peers_tell_each_other_is_never_relayed() {
    let mut relay = relay(Forwarding::On);
    for kind in ["03", "04", "05"] {
        relay.a_sends(&envelope(LOW, HIGH, kind, "0010", "00"));
    }
    assert_eq!(relay.drain(), []);
    assert_eq!(relay.counters(LOW).misaddressed, 3);
    relay.a_sends(&envelope(LOW, [0; 16], "03", "0010", "00"));
    assert_eq!(relay.drain(), [], "a filter for nobody is the sender's own");
}

#[test]
fn what_others_would_choke_on_or_must_not_see_is_not_relayed() {
    let mut relay = relay(Forwarding::On);
    relay.handle(
        A,
        "00000026 00000000000040008000000000000000 00000000000000000000000000000000 \
                     01 0010 0000 00",
    );
    relay.handle(
        A,
        "0000002a 00000000000040008000000000000000 00000000000000000000000000000000 \
                     01 0010 0005 2f74657374",
    );
    relay.handle(
        A,
        "00000031 00000000000040008000000000000000 00000000000000000000000000000000 \
                     01 0010 000b 3c243e2f6c6f63616c2f78 00",
    );
    let out = relay.drain();
    assert!(
        !out.iter().any(|out| matches!(out, Output::Send { .. })),
        "{out:?}"
    );
}

#[test]
fn a_chain_of_three_passes_events_from_end_to_end() {
    use super::world::World;
    let options = Options {
        forwarding: Forwarding::On,
        ..Options::default()
    };
    let mut world = World::new(&[LOW, MIDDLE, HIGH], &options);
    for node in 0..3 {
        let topic = Topic::from_static("/test");
        world.handle(node, Input::Subscribe { topic });
    }
    world.dial(0, World::addr(1, 1));
    world.dial(2, World::addr(1, 1));
    world.run(|_| 0);
    for node in 0..3 {
        let (topic, payload) = (Topic::from_static("/test/x"), Bytes::from(vec![0; node]));
        let payload = if node == 0 {
            Bytes::from_static(b"zero")
        } else {
            payload
        };
        world.handle(node, Input::Publish { topic, payload });
    }
    world.run(|_| 0);
    let got = |node: usize| -> Vec<(Bytes, EndpointId)> {
        let delivered = world.nodes[node].delivered.iter();
        let mut got: Vec<_> = delivered
            .map(|(_, payload, from)| (payload.clone(), *from))
            .collect();
        got.sort();
        got
    };
    let of = |text: &'static [u8], from| (Bytes::from_static(text), id(from));
    assert_eq!(got(0), [of(&[0], MIDDLE), of(&[0, 0], MIDDLE)]);
    assert_eq!(got(1), [of(&[0, 0], HIGH), of(b"zero", LOW)]);
    assert_eq!(got(2), [of(&[0], MIDDLE), of(b"zero", MIDDLE)]);
}

/// A relay with two links and a clock that stands still.
struct Relay(Rig);

impl Relay {
    fn handle(&mut self, link: LinkId, frame: &str) {
        let chunk = hex(frame);
        self.0.handle(Input::Bytes { link, chunk });
    }

    fn a_sends(&mut self, frame: &str) {
        self.handle(A, frame);
    }

    fn b_sends(&mut self, frame: &str) {
        self.handle(B, frame);
    }

    fn drain(&mut self) -> Vec<Output> {
        self.0.drain()
    }

    fn counters(&self, peer: [u8; 16]) -> PeerCounters {
        self.0.endpoint.peer_counters(id(peer)).unwrap()
    }
}

/// LOW wants "/a", HIGH wants "/test", and the relay itself too.
fn relay(forwarding: Forwarding) -> Relay {
    let options = Options {
        forwarding,
        ..Options::default()
    };
    let mut rig = acceptor_with(MIDDLE, "/test", options);
    rig.recv("00000017 06 5a45454b 00000000000040008000000000000000 01 01");
    rig.recv("00000016 08 5a45454b 00000000000040008000000000000000 01");
    rig.recv("00000005 0a 01 02 2f61 00000001 0c");
    let (link, remote) = (B, remote());
    rig.handle(Input::Opened {
        link,
        remote,
        certificate: None,
    });
    let chunk = hex("00000017 06 5a45454b ffffffffffff4fffbfffffffffffffff 01 01");
    rig.handle(Input::Bytes { link, chunk });
    let chunk = hex("00000008 0b 01 05 2f74657374");
    rig.handle(Input::Bytes { link, chunk });
    rig.drain();
    assert_eq!(rig.endpoint.peers().count(), 2);
    Relay(rig)
}

/// An envelope on "/test".
fn envelope(from: [u8; 16], to: [u8; 16], kind: &str, ttl: &str, payload: &str) -> String {
    let (from, to) = (hex_of(&from), hex_of(&to));
    format!("0000002b {from} {to} {kind} {ttl} 0005 2f74657374 {payload}")
}

#[test]
fn what_no_peer_may_get_is_not_published() {
    let mut s = peered_acceptor();
    // The peer wants everything there is (WIRE §6.2).
    s.recv(&update_from_low("01 00"));
    s.drain();
    for (topic, payload) in [("", &[0][..]), ("/test", &[]), ("<$>/local/x", &[0])] {
        let topic = Topic::from_static(topic);
        let payload = Bytes::copy_from_slice(payload);
        let parts = vec![payload.clone(), Bytes::new()];
        s.handle(Input::PublishParts {
            topic: topic.clone(),
            parts,
        });
        s.handle(Input::Publish { topic, payload });
        assert_eq!(s.drain(), []);
    }
    let too_large = Bytes::from(vec![0; Options::default().limits.frame]);
    s.handle(Input::PublishParts {
        topic: Topic::from_static("/test"),
        parts: vec![too_large, Bytes::from_static(&[0])],
    });
    assert_eq!(s.drain(), []);
    let (topic, payload) = (Topic::from_static("/test"), Bytes::from_static(&[0]));
    s.handle(Input::Publish { topic, payload });
    assert_eq!(s.drain().len(), 1);
}

#[test]
fn a_value_in_parts_goes_out_only_if_its_frame_is_within_the_limit() {
    let limit = Options::default().limits.frame;
    // What the length in front of a frame counts besides the value (WIRE §5): header and topic.
    let around = 37 + "/test/x".len();
    let value = Bytes::from(vec![0; limit]);
    for (len, pieces) in [(limit, 0), (limit - around + 1, 0), (limit - around, 3)] {
        let mut c = peered_dialer();
        let parts = vec![value.slice(..10), value.slice(10..len)];
        let topic = Topic::from_static("/test/x");
        c.handle(Input::PublishParts { topic, parts });
        assert_eq!(c.drain().len(), pieces, "{len} bytes");
    }
}

#[test]
fn news_of_links_and_peers_that_are_not_there_change_nothing() {
    let mut s = peered_acceptor();
    let link = LinkId::Accepted(99);
    s.handle(Input::Sent { link, messages: 1 });
    s.handle(Input::CheckAlive { peer: id(HIGH) });
    assert_eq!(s.drain(), []);
}
