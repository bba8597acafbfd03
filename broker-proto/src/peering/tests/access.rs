//! What the program says about peers: what they may read, and that they shall go.

use super::*;

#[test]
fn a_peer_gets_what_it_may_read_of_what_it_wants() {
    let mut rig = peered_acceptor_wanting("/a");
    let publish = |rig: &mut Rig, topic: &'static str| {
        let (topic, payload) = (Topic::from_static(topic), Bytes::from_static(&[0]));
        rig.handle(Input::Publish { topic, payload });
        rig.sends().len()
    };
    let restrict = |rig: &mut Rig, to| rig.handle(Input::Restrict { peer: id(LOW), to });
    assert_eq!([publish(&mut rig, "/a"), publish(&mut rig, "/ab")], [1, 1]);
    let mut readable = Readable {
        exactly: vec![Topic::from_static("/a")],
        ..Readable::default()
    };
    restrict(&mut rig, Some(readable.clone()));
    assert_eq!([publish(&mut rig, "/a"), publish(&mut rig, "/ab")], [1, 0]);
    readable.below.extend(Topic::from_static("/ab"));
    restrict(&mut rig, Some(readable));
    assert_eq!(
        [publish(&mut rig, "/abc"), publish(&mut rig, "/ac")],
        [1, 0]
    );
    // What it does not want it does not get, whatever it may read.
    assert_eq!(publish(&mut rig, "/b"), 0);
    let counters = rig.endpoint.peer_counters(id(LOW)).unwrap();
    assert_eq!((counters.sent, counters.withheld), (4, 2));
    restrict(&mut rig, None);
    assert_eq!(publish(&mut rig, "/ac"), 1);
}

#[test]
fn a_peer_that_is_not_wanted_loses_its_link_and_is_counted() {
    let mut rig = peered_acceptor_wanting("/a");
    let reason = "not wanted".to_owned();
    let expel = Input::Expel {
        peer: id(LOW),
        reason: reason.clone(),
    };
    rig.handle(expel.clone());
    let link = rig.link;
    let down = Output::PeerDown {
        id: id(LOW),
        reason,
    };
    assert_eq!(rig.drain(), [Output::Close { link }, down]);
    assert_eq!(rig.endpoint.counters().cut.expelled, 1);
    // It is gone, and strangers never were there.
    rig.handle(expel);
    assert_eq!(rig.drain(), []);
}

#[test]
fn a_peer_that_does_not_answer_is_dead() {
    let mut rig = peered_acceptor_wanting("/a");
    rig.handle(Input::CheckAlive { peer: id(LOW) });
    assert_eq!(rig.sends().len(), 1, "a ping");
    rig.timeout_at(rig.now + Options::default().alive_timeout);
    let link = rig.link;
    assert_eq!(rig.drain()[0], Output::Close { link });
    assert_eq!(rig.endpoint.counters().cut.replaced, 1);
}

/// MIDDLE with LOW as its peer, whose filter is this topic of two bytes (WIRE §6.1).
fn peered_acceptor_wanting(topic: &str) -> Rig {
    let mut rig = peered_acceptor();
    let [low, middle, topic] = [&LOW[..], &MIDDLE, topic.as_bytes()].map(hex_of);
    rig.recv(&format!(
        "0000002c {low} {middle} 03 0010 0003 3c243e 01 02 {topic}"
    ));
    rig.drain();
    rig
}
