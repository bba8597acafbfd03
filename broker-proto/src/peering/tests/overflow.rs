//! A peer that does not read (WIRE §6.8).

use super::limits::{fill_window, update_from_low};
use super::*;

#[test]
fn by_default_the_oldest_messages_are_lost() {
    let mut s = stuck(OverflowPolicy::DropOldest);
    publish(&mut s, "04");
    assert_eq!(s.drain(), []);
    assert_eq!(released(&mut s), ["03", "04"]);
    let counters = s.endpoint.peer_counters(id(LOW)).unwrap();
    assert_eq!((counters.sent, counters.overflowed), (5, 2));
}

#[test]
fn by_option_the_newest_messages_are_lost() {
    let mut s = stuck(OverflowPolicy::DropNewest);
    publish(&mut s, "04");
    assert_eq!(released(&mut s), ["01", "02"]);
    assert_eq!(s.endpoint.counters().messages.overflowed, 2);
}

#[test]
fn by_option_the_link_is_cut_without_a_goodbye() {
    let options = Options {
        outbox: 2,
        overflow: OverflowPolicy::Disconnect,
        ..Options::default()
    };
    let mut s = peered_acceptor_with(options);
    fill_window(&mut s);
    publish(&mut s, "01");
    publish(&mut s, "02");
    assert_eq!(s.drain(), []);
    publish(&mut s, "03");
    let reason = "peer does not read".to_owned();
    let down = Output::PeerDown {
        id: id(LOW),
        reason,
    };
    assert_eq!(s.drain(), [Output::Close { link: s.link }, down]);
    assert_eq!(s.endpoint.counters().cut.overflow, 1);
}

#[test]
fn a_link_cut_for_overflow_is_not_dialed_again() {
    let options = Options {
        outbox: 1,
        overflow: OverflowPolicy::Disconnect,
        ..Options::default()
    };
    let mut c = peered_dialer_with(options);
    for payload in [vec![0; 512 << 10], vec![1], vec![2]] {
        let (topic, payload) = (Topic::from_static("/test"), Bytes::from(payload));
        c.handle(Input::Publish { topic, payload });
    }
    let out = c.drain();
    assert!(matches!(
        out.as_slice(),
        [
            Output::Send { .. },
            Output::Close { .. },
            Output::PeerDown { .. }
        ]
    ));
    let reason = "closed".into();
    c.handle(Input::Closed {
        link: c.link,
        reason,
    });
    assert_eq!((c.drain(), c.endpoint.poll_timeout()), (vec![], None));
    let retry = Some(Duration::from_secs(1));
    c.handle(Input::Dial {
        addr: addr(),
        retry,
    });
    let link = LinkId::Dialed(1);
    assert_eq!(
        c.drain(),
        [Output::Dial { link, addr: addr() }],
        "until told to"
    );
}

#[test]
fn the_filter_goodbyes_and_pongs_are_never_lost() {
    let mut s = stuck(OverflowPolicy::DropOldest);
    let ping = "00000029 00000000000040008000000000000000 80000000000040008000000000000001 \
                04 0010 0003 3c243e 07";
    s.recv(ping);
    for topic in ["/x", "/y"] {
        let topic = Topic::from_static(topic);
        s.handle(Input::Subscribe { topic });
    }
    s.handle(Input::Shutdown);
    publish(&mut s, "04");
    publish(&mut s, "05");
    assert_eq!(s.drain(), []);
    s.handle(Input::Sent {
        link: s.link,
        messages: 9,
    });
    let out = s.sends();
    let kinds: Vec<u8> = out.iter().map(|frame| frame[36]).collect();
    assert_eq!(
        kinds,
        [3, 5, 4, 1, 1],
        "filter, pong, goodbye, two messages"
    );
    let filter = hex("03 05 2f74657374 02 2f78 02 2f79");
    assert_eq!(out[0][44..], filter, "the last filter, once");
}

#[test]
fn a_link_that_is_to_be_closed_sends_nothing_more() {
    let mut s = stuck(OverflowPolicy::DropOldest);
    s.recv("04000001");
    s.drain();
    s.handle(Input::Sent {
        link: s.link,
        messages: 9,
    });
    assert_eq!(s.drain(), []);
}

/// MIDDLE with an outbox for two messages and LOW, which does not read and was sent three.
fn stuck(overflow: OverflowPolicy) -> Rig {
    let options = Options {
        outbox: 2,
        overflow,
        ..Options::default()
    };
    let mut s = peered_acceptor_with(options);
    fill_window(&mut s);
    s.recv(&update_from_low("01 00"));
    for payload in ["01", "02", "03"] {
        publish(&mut s, payload);
    }
    assert_eq!(s.drain(), []);
    s
}

fn publish(rig: &mut Rig, payload: &str) {
    let (topic, payload) = (Topic::from_static("/a"), hex(payload));
    rig.handle(Input::Publish { topic, payload });
}

/// The last byte of what is sent once the peer reads again.
fn released(rig: &mut Rig) -> Vec<String> {
    let link = rig.link;
    rig.handle(Input::Sent { link, messages: 9 });
    rig.sends()
        .iter()
        .map(|frame| hex_of(&frame[frame.len() - 1..]))
        .collect()
}
