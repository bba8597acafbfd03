//! How much a client may ask, and what the audit log says of it.

use super::*;
use crate::audit::{Entry, Outcome};
use crate::limits::Limits;

#[test]
fn a_client_that_asks_too_fast_is_told_so_and_nobody_else_hears_of_it() {
    let mut rig = Rig::within(&one_a_second(), &[1, 2]);
    rig.sends(1, "get_instances_request", r#"S"r1""#);
    rig.sent();
    rig.sends(1, "get_instances_request", r#"S"r2""#);
    let sent = rig.sent();
    let [(1, answer)] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert!(answer.contains("get_instances_response"), "{answer}");
    let reason = "too many requests of this client: 1 a second are allowed";
    assert!(answer.contains(reason), "{answer}");
    assert_eq!(rig.process.excess().too_fast, 1);
    let refused = Outcome::Refused {
        reason: reason.to_owned(),
    };
    assert_eq!(outcomes(&rig), [&Outcome::Done, &refused]);
    // The other one may.
    rig.sends(2, "get_instances_request", r#"S"r3""#);
    assert_eq!(rig.sent().len(), 3);
    rig.now += Duration::from_secs(1);
    rig.sends(1, "get_instances_request", r#"S"r4""#);
    assert_eq!(rig.sent().len(), 3);
}

#[test]
fn what_is_no_request_counts_as_well() {
    let mut rig = Rig::within(&one_a_second(), &[1]);
    rig.sends(1, "no_such_request", r#"S"r""#);
    rig.sends(1, "no_such_request", r#"S"r""#);
    let sent = rig.sent();
    assert!(sent[0].1.contains("deserialization_failed"), "{sent:?}");
    assert!(sent[1].1.contains("too many requests"), "{sent:?}");
    assert_eq!(rig.process.excess().too_fast, 1);
}

#[test]
fn requests_that_are_too_long_to_be_read_are_counted_with_the_others() {
    let mut rig = Rig::within(&one_a_second(), &[1]);
    let count = r#"{"@data-type":"count","data":1}"#;
    let event = r#"S"Management::Controller::API::stage_configuration_request",V[S"r",N]"#;
    let event = long(&format!("V[{event}]"));
    let start = format!(r#"{{"@data-type":"vector","data":[{count},{count},{event}"#);
    for _ in 0..2 {
        rig.input(hub::Input::TooLong {
            client: ClientId(1),
            start: start.clone(),
            reason: "as long as that".into(),
        });
    }
    let sent = rig.sent();
    assert!(sent[0].1.contains("as long as that"), "{sent:?}");
    assert!(sent[1].1.contains("too many requests"), "{sent:?}");
    assert_eq!(rig.process.excess().too_fast, 1);
}

#[test]
fn a_request_that_is_too_long_is_answered_in_the_name_of_the_limit() {
    let mut rig = Rig::with_clients(&[1, 2]);
    let request = "Management::Controller::API::stage_configuration_request";
    let start = format!(
        r#"{{"@data-type": "vector", "data": [{{"@data-type": "count", "data": 1}}, {{"@data-type": "count", "data": 1}}, {{"@data-type": "vector", "data": [{{"@data-type": "string", "data": "{request}"}}, {{"@data-type": "vector", "data": [{{"@data-type": "string", "data": "r"}}, {{"@data"#
    );
    let reason = "Message too big: 67108864 bytes, message_bytes is 16777216";
    let client = ClientId(1);
    rig.input(hub::Input::TooLong {
        client,
        start,
        reason: reason.into(),
    });
    refused_in_the_name_of(reason, &mut rig);
}

#[test]
fn a_configuration_of_a_hundred_thousand_nodes_is_refused_in_the_name_of_the_limit() {
    let mut rig = Rig::with_clients(&[1, 2]);
    let args = r#"S"r",V[S"c",E[],E[NODES]]"#;
    let node = long(r#"V[S"n",S"i",N]"#);
    let nodes = format!("{node},").repeat(99_999) + &node;
    rig.sends_with(1, "stage_configuration_request", args, |text| {
        text.replace("NODES", &nodes)
    });
    let reason = "more than 1000000 values, the limit message_values";
    refused_in_the_name_of(reason, &mut rig);
}

#[test]
fn an_answer_that_has_no_room_is_replaced_by_one_that_says_so() {
    let mut rig = Rig::with_clients(&[1, 2]);
    let start = |name: &str| {
        let event = format!(r#"S"Management::Controller::API::{name}",V[S"r",V["#);
        let count = r#"{"@data-type":"count","data":1}"#;
        format!(
            r#"{{"type":"data-message","topic":"zeek/management/controller","@data-type":"vector","data":[{count},{count},{{"@data-type":"vector","data":[{}"#,
            long(&event)
        )
    };
    for name in ["get_nodes_response", "stage_configuration_request"] {
        rig.input(hub::Input::Unsent {
            client: ClientId(2),
            start: start(name),
            reason: "too long: client_outbox_bytes is 7".into(),
        });
    }
    let sent = rig.sent();
    let [(2, answer)] = &sent[..] else {
        panic!("{sent:?}");
    };
    let failed = r#"{"@data-type":"boolean","data":false}"#;
    let result = format!(r#"V[S"r",{failed},N,N,S"too long: client_outbox_bytes is 7",N]"#);
    let results = long(&format!(r#"V[S"r",V[{result}]]"#));
    assert!(
        answer.contains("get_nodes_response") && answer.contains(&results),
        "{answer}"
    );
}

/// The first client's request `r` to stage something was; nobody else hears of it, and it goes on.
fn refused_in_the_name_of(reason: &str, rig: &mut Rig) {
    let sent = rig.sent();
    let [(1, answer)] = &sent[..] else {
        panic!("{} answers", sent.len());
    };
    let failed = r#"{"@data-type":"boolean","data":false}"#;
    let result = format!(r#"V[S"r",{failed},N,N,S"{reason}",N]"#);
    let results = long(&format!(r#"V[S"r",V[{result}]]"#));
    let name = "Management::Controller::API::stage_configuration_response";
    assert!(
        answer.contains(name) && answer.contains(&results),
        "{answer}"
    );
    let refused = Outcome::Refused {
        reason: reason.to_owned(),
    };
    assert_eq!(outcomes(rig), [&refused]);
    rig.sends(1, "get_instances_request", r#"S"next""#);
    assert_eq!(rig.sent().len(), 3);
}

#[test]
fn one_client_cannot_fill_the_table_of_open_requests() {
    let limits = Limits {
        open_requests: 2,
        ..Limits::default()
    };
    let mut rig = Rig::within(&limits, &[1, 2]);
    for n in 0..3 {
        rig.sends(1, "test_timeout_request", &format!(r#"S"r{n}",T"#));
    }
    let sent = rig.sent();
    let own: Vec<_> = sent.iter().filter(|(client, _)| *client == 1).collect();
    let [(_, answer)] = own[..] else {
        panic!("{sent:?}");
    };
    let reason = "too many open requests of this client: 2 are allowed";
    assert!(answer.contains(reason), "{answer}");
    assert_eq!(rig.process.excess().too_many, 1);
    rig.sends(2, "get_instances_request", r#"S"other""#);
    let sent = rig.sent();
    let to_other = sent.iter().filter(|(client, _)| *client == 2);
    assert_eq!(to_other.count(), 1, "{sent:?}");
}

#[test]
fn every_request_has_a_line_with_who_asked_what_and_what_came_of_it() {
    let mut rig = Rig::with_clients(&[1, 2]);
    for client in [1, 2] {
        // The same id, and both wait until it times out.
        rig.sends(client, "test_timeout_request", r#"S"r",T"#);
        rig.now += Duration::from_secs(1);
    }
    rig.sends(2, "deploy_request", r#"S"d""#);
    rig.sends(1, "get_instances_request", r#"S"i",N"#);
    rig.sent();
    rig.input(hub::Input::Closed {
        client: ClientId(2),
        reason: "left".into(),
    });
    for _ in 0..2 {
        rig.now = rig.process.poll_timeout().unwrap();
        rig.process.handle_timeout(rig.now);
        let sent = rig.sent();
        let answer = &sent[0].1;
        assert!(!answer.contains('#'), "an id of ours: {answer}");
    }
    let lines: Vec<_> = rig.audited.iter().map(line).collect();
    let expected = [
        "websocket-2 deploy_request d: failed after 0 s",
        "websocket-1 get_instances_request i: refused after 0 s",
        "websocket-1 test_timeout_request r: timed out after 10 s",
        "websocket-2 test_timeout_request r: timed out after 10 s, gone",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_is_open_at_the_end_has_its_line_too() {
    let mut rig = Rig::with_clients(&[1]);
    rig.sends(1, "test_timeout_request", r#"S"r",T"#);
    rig.process.handle(rig.now, Input::Shutdown);
    rig.sent();
    assert_eq!(outcomes(&rig), [&Outcome::Unanswered]);
}

#[test]
fn a_peer_that_asks_too_fast_is_refused_and_the_log_tells_of_ever_fewer_refusals() {
    let mut rig = Rig::within(&one_a_second(), &[]);
    let from = EndpointId::from_bytes([7; 16]);
    let name = "Management::Controller::API::get_instances_request";
    let event = Event::new(name, vec![Data::string("r")]).encode();
    for _ in 0..10 {
        rig.process
            .on_message(rig.now, &CONTROLLER_TOPIC, &event, from);
    }
    rig.process.drain(rig.now);
    assert_eq!(rig.process.excess().too_fast, 9);
    let mut lines = 0;
    while let Some(output) = rig.process.poll_output() {
        let Output::Log(record) = output else {
            continue;
        };
        lines += usize::from(record.message.starts_with("refused a client's"));
    }
    // The first, second, fourth and eighth.
    assert_eq!(lines, 4);
}

fn one_a_second() -> Limits {
    Limits {
        requests_per_second: 1,
        request_burst: 1,
        ..Limits::default()
    }
}

fn line(entry: &Entry) -> String {
    let Entry::Request {
        who,
        asked,
        outcome,
        is_gone,
        took,
    } = entry
    else {
        panic!("{entry:?}");
    };
    let event = asked.event.rsplit("::").next().unwrap();
    let outcome = match outcome {
        Outcome::Done => "ok",
        Outcome::Failed { .. } => "failed",
        Outcome::TimedOut { .. } => "timed out",
        Outcome::Refused { .. } => "refused",
        Outcome::Unanswered => "unanswered",
    };
    let gone = if *is_gone { ", gone" } else { "" };
    let (peer, reqid, secs) = (&who.id, &asked.reqid, took.as_secs());
    format!("{peer} {event} {reqid}: {outcome} after {secs} s{gone}")
}

fn outcomes(rig: &Rig) -> Vec<&Outcome> {
    let outcomes = rig.audited.iter().map(|entry| match entry {
        Entry::Request { outcome, .. } => outcome,
        other @ (Entry::Refused { .. } | Entry::Stranger { .. }) => panic!("{other:?}"),
    });
    outcomes.collect()
}
