//! Lines as API §17 shows them.

use broker_proto::zeek::ToData;
use serde_json::{Value, json};

use super::*;
use crate::api::ApiResult;
use crate::policy::Listener;

/// 2026-11-21 19:33:26.630231 UTC.
const AT: Timestamp = Timestamp(1_795_289_606_630_231_000);

#[test]
fn a_request_is_a_line_of_json() {
    let entry = Entry::Request {
        who: Who {
            application: Some("zeek-client\n\"x\"".to_owned()),
            roles: "role operator".to_owned(),
            ..who()
        },
        asked: Asked {
            event: "Management::Controller::API::deploy_request".to_owned(),
            reqid: "r1".to_owned(),
            config: Some("c1".to_owned()),
        },
        outcome: Outcome::Failed {
            failed: 1,
            results: 3,
            error: "instance a is not connected".to_owned(),
        },
        is_gone: false,
        took: Duration::from_micros(12_345),
    };
    let line = entry.line(AT, 0);
    let read: Value = serde_json::from_slice(&line).unwrap();
    let expected = json!({
        "time": "2026-11-21T19:33:26.630231Z",
        "kind": "request",
        "peer": "websocket-3",
        "listener": "websocket",
        "address": "192.0.2.7:40000",
        "application": "zeek-client\n\"x\"",
        "roles": "role operator",
        "event": "Management::Controller::API::deploy_request",
        "request": "r1",
        "config": "c1",
        "outcome": "failed",
        "failed": 1,
        "results": 3,
        "error": "instance a is not connected",
        "ms": 12.345,
    });
    assert_eq!(read, expected);
    let ends = line.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!((ends, line.last()), (1, Some(&b'\n')));
}

#[test]
fn what_was_left_out_and_lost_is_told() {
    let entry = Entry::Stranger {
        listener: "broker",
        remote: "192.0.2.9:1".parse().unwrap(),
        reason: "there are too many links".to_owned(),
    };
    let read: Value = serde_json::from_slice(&entry.line(AT, 7)).unwrap();
    let expected = json!({
        "time": "2026-11-21T19:33:26.630231Z",
        "kind": "stranger",
        "listener": "broker",
        "address": "192.0.2.9:1",
        "reason": "there are too many links",
        "left_out": 7,
    });
    assert_eq!(read, expected);
    let read: Value = serde_json::from_slice(&lost_line(AT, 3, "disk full")).unwrap();
    assert_eq!((&read["kind"], &read["lost"]), (&json!("lost"), &json!(3)));
    let read: Value = serde_json::from_slice(&left_out_line(AT, "192.0.2.9", 4)).unwrap();
    assert_eq!(read["left_out"], json!(4));
}

#[test]
fn only_what_strangers_can_cause_at_will_is_left_out() {
    let asked = Asked {
        event: "x".to_owned(),
        reqid: String::new(),
        config: None,
    };
    let request = |outcome| Entry::Request {
        who: who(),
        asked: asked.clone(),
        outcome,
        is_gone: true,
        took: Duration::ZERO,
    };
    assert_eq!(request(Outcome::Done).hushed(), None);
    let reason = "too many".to_owned();
    let source = Source::of([192, 0, 2, 7].into());
    assert_eq!(request(Outcome::Refused { reason }).hushed(), Some(source));
}

#[test]
fn a_line_stays_short_whatever_somebody_sends() {
    let what = "ü".repeat(1 << 20);
    let entry = Entry::Refused {
        who: who(),
        what: what.clone(),
        reason: what,
    };
    assert!(entry.line(AT, 0).len() < 4096);
}

#[test]
fn an_answer_tells_what_came_of_the_request() {
    let answer = |results: Vec<ApiResult>| {
        let reqid = "r".to_owned();
        Outcome::of(&ControllerResponse::GetNodes { reqid, results })
    };
    let (ok, failed) = (ApiResult::ok("r"), ApiResult::failed("r", "why"));
    assert_eq!(answer(vec![ok.clone()]), Outcome::Done);
    let (error, late) = ("why".to_owned(), ApiResult::failed("r", TIMED_OUT));
    assert_eq!(
        answer(vec![ok.clone(), failed.clone(), failed.clone()]),
        Outcome::Failed {
            failed: 2,
            results: 3,
            error: error.clone()
        }
    );
    assert_eq!(answer(vec![ok, failed, late]), Outcome::TimedOut { error });
}

#[test]
fn a_client_that_did_not_wait_for_its_answer_is_told_of() {
    let line = |is_gone| {
        let entry = Entry::Request {
            who: who(),
            asked: Asked {
                event: "x".to_owned(),
                reqid: "r".to_owned(),
                config: None,
            },
            outcome: Outcome::Done,
            is_gone,
            took: Duration::ZERO,
        };
        let read: Value = serde_json::from_slice(&entry.line(AT, 0)).unwrap();
        read.get("client_gone").cloned()
    };
    assert_eq!((line(true), line(false)), (Some(json!(true)), None));
}

#[test]
fn the_configuration_of_an_answer_is_that_of_the_result_about_the_whole() {
    let answer = |results| {
        let reqid = "r".to_owned();
        ControllerResponse::Deploy { reqid, results }.configuration()
    };
    let id = ApiResult::ok("r").with_data("c1".to_owned().into_data());
    let of_node = id.clone().on_instance("a").on_node("w");
    let of_agent = id.clone().on_instance("a");
    let whole = vec![id.clone(), of_agent.clone(), of_node.clone()];
    assert_eq!(answer(whole), Some("c1".to_owned()));
    assert_eq!(answer(vec![of_agent, id.on_node("w"), of_node]), None);
}

fn who() -> Who {
    Who {
        id: "websocket-3".to_owned(),
        listener: Listener::WebSocket,
        address: Some("192.0.2.7:40000".parse().unwrap()),
        application: None,
        certificate: None,
        roles: String::new(),
    }
}
