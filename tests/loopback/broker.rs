//! The controller's Broker port.

use broker_proto::Data;
use broker_proto::zeek::Event;
use bytes::Bytes;
use harness::tree::{Options, Tree};

use crate::peer::Peer;
use crate::{assert_logged_once, assert_nobody_noticed};

/// What a stranger sends, and what becomes of it.
struct Case {
    bytes: &'static [u8],
    /// The code of the drop_conn that answers it (WIRE §4.1).
    code: Option<u8>,
    reason: &'static str,
}

const STRANGERS: [Case; 7] = [
    Case {
        bytes: b"\0\0\0\x17\x06XXXX\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\x01\x01",
        code: Some(38),
        reason: "wrong magic number",
    },
    Case {
        bytes: b"\0\0\0\x17\x06ZEEK\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\x05\x06",
        code: Some(2),
        reason: "version",
    },
    Case {
        bytes: b"\0\0\0\x01\x2a",
        code: Some(20),
        reason: "handshake message",
    },
    Case {
        bytes: b"\x7f\xff\xff\xff",
        code: None,
        reason: "exceeds the limit",
    },
    Case {
        bytes: b"\0\0\0\0",
        code: None,
        reason: "empty",
    },
    Case {
        bytes: b"GET / HTTP/1.1\r\n\r\n",
        code: None,
        reason: "exceeds the limit",
    },
    Case {
        bytes: b"\x16\x03\x01zzzzzzzzzzzzzzzzzzzz",
        code: None,
        reason: "TLS",
    },
];

#[test]
fn strangers_are_told_off_and_peers_never_notice() {
    let tree = Tree::start(&Options::default()).unwrap();
    for Case {
        bytes,
        code,
        reason,
    } in STRANGERS
    {
        let mut peer = Peer::connect(tree.ports.controller);
        let name = peer.name();
        peer.send(bytes);
        // An alert of TLS is no frame.
        let answer = if reason == "TLS" {
            Vec::new()
        } else {
            peer.rest()
        };
        let codes: Vec<u8> = answer.iter().filter_map(drop_code).collect();
        assert_eq!(codes, Vec::from_iter(code), "{reason}");
        assert_logged_once(&tree, &[&name, reason]);
    }
    a_truncated_hello_is_logged_when_its_sender_is_gone(&tree);
    undecodable_messages_are_dropped_and_the_peering_stays(&tree);
    an_oversized_message_ends_its_peering(&tree);
    assert_nobody_noticed(&tree);
    tree.stop().unwrap();
}

fn a_truncated_hello_is_logged_when_its_sender_is_gone(tree: &Tree) {
    let mut peer = Peer::connect(tree.ports.controller);
    let name = peer.name();
    peer.send(b"\0\0\0\x17\x06ZEEK\xaa\xaa");
    peer.finish();
    let answer = peer.rest();
    assert_eq!(answer.iter().filter_map(drop_code).count(), 0);
    assert_logged_once(tree, &[&name, "handshake"]);
}

fn undecodable_messages_are_dropped_and_the_peering_stays(tree: &Tree) {
    const TOPIC: &str = "zeek/management/controller";
    let mut peer = Peer::peered(tree.ports.controller);
    let name = peer.name();
    // A frame that is too short for an envelope (WIRE §5.1).
    peer.send_frame(b"\x01\x02\x03");
    peer.assert_answers();
    assert_logged_once(tree, &["message dropped", &name]);
    // A value that ends early (WIRE §3.9), no event at all, and events with wrong arguments.
    peer.send_data(TOPIC, b"\x0e\x03\x02");
    peer.send_data(TOPIC, b"\x02\0\0\0\0\0\0\0\x01");
    let request = "Management::Controller::API::get_configuration_request";
    let few = Event::new(request, vec![Data::string("r1")]);
    let wrong = Event::new(request, vec![Data::string("r1"), Data::Count(1)]);
    for event in [few, wrong] {
        peer.send_data(TOPIC, &event.encode());
    }
    peer.assert_answers();
    let reasons = [
        "not a Zeek event",
        "undecodable value",
        "takes 2 arguments, got 1",
        "expected boolean, got count",
    ];
    for reason in reasons {
        assert_logged_once(tree, &["message dropped", reason]);
    }
    peer.finish();
    peer.rest();
}

fn an_oversized_message_ends_its_peering(tree: &Tree) {
    let mut peer = Peer::peered(tree.ports.controller);
    let name = peer.name();
    peer.send(b"\x7f\xff\xff\xff");
    peer.rest();
    assert_logged_once(tree, &[&name, "exceeds the limit"]);
}

/// The code of a frame that is a drop_conn (WIRE §4.1).
fn drop_code(frame: &Bytes) -> Option<u8> {
    (frame.first() == Some(&9)).then(|| frame[21])
}
