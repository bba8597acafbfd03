//! What peers and the program itself ask beside stock's requests.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::api::{NodeConfig, NodeLife};

#[test]
fn a_peer_that_asks_is_told_how_nodes_fare() {
    let recorded = recorded();
    let mut rig = Rig::connected(&recorded);
    rig.wait(Duration::from_secs(7));
    rig.feed(&data_frame(&recorded, lives_request("r1", "controller")));
    let answer = Envelope::decode(&rig.sent.last().unwrap().slice(4..)).unwrap();
    assert_eq!(
        answer.topic.to_string(),
        "zeek/supervisor/lives_response/r1"
    );
    let answer = Event::decode(&answer.payload, &Limits::default()).unwrap();
    assert_eq!(answer.name, "SupervisorControl::lives_response");
    let life = Data::Vector(vec![
        Data::string("controller and agent"),
        Data::string("runs"),
        Data::Integer(34),
        Data::Timespan(broker_proto::Timespan(7_000_000_000)),
        Data::Count(0),
    ]);
    let lives = Data::Table([(Data::string("controller"), life)].into_iter().collect());
    assert_eq!(answer.args, [Data::string("r1"), lives]);
}

#[test]
fn restarts_are_counted_and_unknown_nodes_have_no_life() {
    let mut rig = Rig::connected(&recorded());
    for name in ["w", "v"] {
        rig.handle(ask(SupervisorRequest::Create {
            reqid: "c".into(),
            node: NodeConfig::named(name),
        }));
    }
    rig.message("w", "status w 84\0");
    let died = "error Supervised node 'w' (PID 84) terminated prematurely by signal 9\0";
    rig.message("w", died);
    assert_eq!(
        lives(&mut rig, "w")["w"],
        life("waits after a failure", Some(84), None, 0)
    );
    rig.message("w", "status w 85\0");
    let up = Some(Duration::ZERO);
    assert_eq!(lives(&mut rig, "w")["w"], life("runs", Some(85), up, 1));
    assert_eq!(lives(&mut rig, "v")["v"], life("starts", None, None, 0));
    assert!(lives(&mut rig, "nobody").is_empty());
    assert_eq!(lives(&mut rig, "").len(), 4);
}

#[test]
fn what_the_program_itself_asks_is_answered_to_nobody_else() {
    let mut rig = Rig::connected(&recorded());
    let before = rig.sent.len();
    let (reqid, node) = (String::from("r"), String::from("nobody"));
    rig.handle(ask(SupervisorRequest::Restart { reqid, node }));
    let reqid = "r".into();
    let result = false;
    let response = SupervisorResponse::Restart { reqid, result };
    assert_eq!(rig.answers, [Output::Answer { response }]);
    assert_eq!(rig.sent.len(), before);
}

#[test]
fn who_asks_a_supervisor_that_stops_is_told_so() {
    let mut rig = Rig::connected(&recorded());
    rig.handle(Input::Shutdown);
    let (reqid, node) = (String::from("r"), String::new());
    let request = SupervisorRequest::Status { reqid, node };
    rig.handle(ask(request));
    let reqid = Some("r".into());
    assert_eq!(rig.answers, [Output::Unanswered { reqid }]);
}

#[test]
fn who_reads_a_short_status_gets_one_and_nobody_else() {
    let recorded = recorded();
    let mut rig = Rig::connected(&recorded);
    let mut topic_for = |key| {
        let args = vec![Data::string("r1"), Data::string("")];
        let mut request = Event::new("SupervisorControl::status_request", args);
        request.metadata = Some(vec![(key, Data::Boolean(true))]);
        rig.feed(&data_frame(&recorded, request.encode()));
        let answer = Envelope::decode(&rig.sent.last().unwrap().slice(4..)).unwrap();
        let event = Event::decode(&answer.payload, &Limits::default()).unwrap();
        (answer.topic.to_string(), event.name)
    };
    let long = (
        "zeek/supervisor/status_response/r1".to_owned(),
        "SupervisorControl::status_response".to_owned(),
    );
    let short = (
        "zeek/supervisor/short_status_response/r1".to_owned(),
        "SupervisorControl::short_status_response".to_owned(),
    );
    assert_eq!(
        [2148, 2149, 2150].map(&mut topic_for),
        [long.clone(), short, long]
    );
}

#[test]
fn who_reads_a_short_status_is_noted_only_until_one_is_answered() {
    let mut rig = Rig::connected(&recorded());
    let mut hears = |name: &str, node: &str| {
        let args = vec![Data::string("r1"), Data::string(node)];
        let mut request = Event::new(format!("SupervisorControl::{name}_request"), args);
        request.metadata = Some(vec![(2149, Data::Boolean(true))]);
        let from = EndpointId::from_bytes([9; 16]);
        rig.process
            .on_message(rig::start(), &request.encode(), from);
        let noted = rig.process.short.len();
        rig.handle(Input::Shutdown);
        noted
    };
    assert_eq!(hears("restart", "nobody"), 0);
    // It stops, and answers nobody.
    assert_eq!(hears("status", ""), 0);
}

#[test]
fn malformed_questions_about_lives_are_survived() {
    let recorded = recorded();
    let mut rig = Rig::connected(&recorded);
    let before = rig.sent.len();
    for args in [vec![], vec![Data::None, Data::None]] {
        let payload = Event::new("SupervisorControl::lives_request", args).encode();
        rig.feed(&data_frame(&recorded, payload));
    }
    assert_eq!(rig.sent.len(), before);
}

fn ask(request: SupervisorRequest) -> Input {
    let request = Box::new(request);
    Input::Ask { request }
}

fn lives_request(reqid: &str, node: &str) -> Bytes {
    let args = vec![Data::string(reqid), Data::string(node)];
    Event::new("SupervisorControl::lives_request", args).encode()
}

fn lives(rig: &mut Rig, node: &str) -> BTreeMap<String, NodeLife> {
    let (reqid, node) = (String::from("l"), node.to_owned());
    let request = LivesRequest::Lives { reqid, node };
    rig.handle(Input::AskLives { request });
    let Some(Output::AnswerLives { response }) = rig.answers.pop() else {
        panic!("no answer");
    };
    let LivesResponse::Lives { lives, .. } = response;
    lives
}

fn life(state: &str, pid: Option<i64>, uptime: Option<Duration>, restarts: u64) -> NodeLife {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap();
    NodeLife {
        role: "workers".into(),
        state: state.into(),
        pid,
        uptime: uptime.map(|time| broker_proto::Timespan(nanos(time))),
        restarts,
    }
}
