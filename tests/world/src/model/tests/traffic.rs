//! What goes through links.

use broker_proto::EndpointId;
use broker_proto::codec::encode_filter;
use broker_proto::codec::envelope::{Envelope, MessageKind, TTL, data_frame};
use broker_proto::codec::handshake::HandshakeMsg;
use broker_proto::topic::INTERNAL_TOPIC;
use broker_proto::zeek::Event;
use broker_proto::{Filter, Topic};
use bytes::Bytes;
use mgmt::api::agent::AgentRequest;

use super::super::{Speaker, Violation, Way};
use super::*;

const HUB: u32 = 1;

#[test]
fn a_question_is_sent_to_a_peer_once_whatever_link_it_takes() {
    let question = data("a", &question("q1"));
    let mut model = peered(&[2, 3]);
    assert_eq!(hub_says(&mut model, 0, &question), None);
    assert_eq!(hub_says(&mut model, 1, &question), None);
    assert_eq!(hub_says(&mut model, 1, &question), Some(Rule::Repeated));
    let mut model = peered(&[2, 2]);
    assert_eq!(hub_says(&mut model, 0, &question), None);
    assert_eq!(hub_says(&mut model, 1, &question), Some(Rule::Repeated));
}

#[test]
fn what_has_no_id_of_its_own_may_be_said_again() {
    let mut model = peered(&[2]);
    for request in [
        AgentRequest::Welcome { reqid: "w".into() },
        AgentRequest::Standby { reqid: "".into() },
    ] {
        let frame = data("a", &request.into());
        assert_eq!(hub_says(&mut model, 0, &frame), None);
        assert_eq!(hub_says(&mut model, 0, &frame), None);
    }
}

#[test]
fn nobody_is_sent_what_it_has_sent_itself() {
    let question = data("a", &question("q1"));
    let mut model = peered(&[2, 3]);
    assert_eq!(hub_says(&mut model, 0, &question), None);
    let back = says(&mut model, 2000, at(0, 1), &question);
    assert_eq!(back, Some(Rule::Repeated));
}

#[test]
fn a_peer_is_sent_only_what_it_asked_for() {
    let mut model = peered(&[2]);
    for (topic, rule) in [
        ("a", None),
        ("a/b", None),
        ("", Some(Rule::Misrouted)),
        ("b", Some(Rule::Misrouted)),
    ] {
        let question = data(topic, &question(topic));
        assert_eq!(hub_says(&mut model, 0, &question), rule, "{topic}");
    }
}

#[test]
fn a_filter_counts_from_when_it_has_arrived() {
    let mut model = peered(&[2]);
    let update = Envelope {
        sender: EndpointId::NIL,
        receiver: EndpointId::NIL,
        kind: MessageKind::RoutingUpdate,
        ttl: TTL,
        topic: INTERNAL_TOPIC,
        payload: encode_filter(&filter(&["b"])),
    };
    let update = update.to_frame();
    assert_eq!(says(&mut model, 1000, at(0, 1), &update), None);
    let (old, new) = (data("a", &question("q1")), data("b", &question("q2")));
    assert_eq!(hub_says(&mut model, 0, &old), None);
    model.arrive(at(0, 1), update.len() - 1);
    assert_eq!(hub_says(&mut model, 0, &new), Some(Rule::Misrouted));
    model.arrive(at(0, 1), 1);
    assert_eq!(hub_says(&mut model, 0, &new), None);
}

#[test]
fn in_calm_all_peers_are_sent_what_they_asked_for() {
    let question = data("a", &question("q1"));
    let mut model = peered(&[2, 3]);
    assert_eq!(hub_says(&mut model, 0, &question), None);
    let calm = |model: &Model, at| model.check_links(ms(at)).map_err(|it| it.rule);
    assert_eq!(calm(&model, 11_000), Ok(()));
    assert_eq!(calm(&model, 20_000), Err(Rule::Misrouted));
    assert_eq!(hub_says(&mut model, 1, &question), None);
    assert_eq!(calm(&model, 20_000), Ok(()));
}

#[test]
fn nobody_is_owed_anything_on_a_link_that_has_ended_or_not_begun() {
    let question = data("a", &question("q1"));
    let mut model = peered(&[2, 3]);
    assert_eq!(hub_says(&mut model, 0, &question), None);
    model.close(at(1, 0));
    assert_eq!(model.check_links(ms(20_000)), Ok(()));

    let mut model = peered(&[2]);
    open(&mut model, 1, 3);
    shake(&mut model, 1, [false, true]);
    assert_eq!(hub_says(&mut model, 0, &question), None);
    assert_eq!(model.check_links(ms(20_000)), Ok(()));
}

#[test]
fn frames_are_read_however_they_are_cut() {
    let question = data("a", &question("q1"));
    let mut model = peered(&[2]);
    assert_eq!(hub_says(&mut model, 0, &question), None);
    let (first, rest) = question.split_at(20);
    assert_eq!(says(&mut model, 1000, at(0, 0), first), None);
    let rule = says(&mut model, 1000, at(0, 0), rest);
    assert_eq!(rule, Some(Rule::Repeated));
}

/// A hub that has peered with these, each of which wants `a`, on links from 0 on.
fn peered(peers: &[u32]) -> Model {
    let mut model = Model::default();
    for (link, peer) in (0..).zip(peers) {
        open(&mut model, link, *peer);
        shake(&mut model, link, [true, true]);
    }
    model
}

/// The hub has dialed.
fn open(model: &mut Model, link: u64, peer: u32) {
    let speakers = [HUB, peer].map(|number| Speaker {
        number,
        is_stock: false,
    });
    model.open(link, speakers);
}

/// The peer originates, as the one of the smaller id does; its last word has arrived or not.
fn shake(model: &mut Model, link: u64, [is_filter_there, is_ack_there]: [bool; 2]) {
    let syn = HandshakeMsg::OriginatorSyn(filter(&["a"])).encode();
    let syn_ack = HandshakeMsg::ResponderSynAck(filter(&["a", "x"])).encode();
    let ack = HandshakeMsg::OriginatorAck.encode();
    for (side, frame, is_there) in [
        (1, syn, is_filter_there),
        (0, syn_ack, true),
        (1, ack, is_ack_there),
    ] {
        let len = u32::try_from(frame.len()).unwrap();
        let frame = [&len.to_be_bytes()[..], &frame].concat();
        assert_eq!(says(model, 0, at(link, side), &frame), None);
        if is_there {
            model.arrive(at(link, side), frame.len());
        }
    }
}

fn hub_says(model: &mut Model, link: u64, frame: &Bytes) -> Option<Rule> {
    says(model, 1500, at(link, 0), frame)
}

fn says(model: &mut Model, now: u64, way: Way, bytes: &[u8]) -> Option<Rule> {
    let bytes = Bytes::copy_from_slice(bytes);
    let said: Result<(), Violation> = model.send(ms(now), way, bytes);
    said.err().map(|violation| violation.rule)
}

fn at(link: u64, side: usize) -> Way {
    Way { link, side }
}

fn question(reqid: &str) -> Event {
    let reqid = reqid.to_owned();
    AgentRequest::GetNodes { reqid }.into()
}

fn data(topic: &str, event: &Event) -> Bytes {
    let topic = Topic::new(topic).unwrap();
    data_frame(EndpointId::NIL, &topic, &event.clone().encode())
}

fn filter(topics: &[&'static str]) -> Filter {
    let topics = topics.iter().map(|topic| Topic::from_static(topic));
    Filter::from_wire(topics.collect())
}
