//! Clients of the whole controller, in their own words (CLIENT §A7, §C4, §C7).

use std::fmt::Write as _;
use std::time::Duration;

use broker_proto::peering::PeerAddr;

use super::*;
use crate::api::ApiResult;
use crate::settings::AutoAssign;

mod agents;
mod asking;

#[test]
fn everybody_sees_requests_and_answers_but_nobody_their_own_request() {
    let mut rig = Rig::with_clients(&[1, 2]);
    rig.sends(1, "get_instances_request", r#"S"r""#);
    let request = long(r#"S"Management::Controller::API::get_instances_request",V[S"r"]"#);
    let answer = long(&format!(
        r#"S"Management::Controller::API::get_instances_response",V[S"r",V[S"r",{TRUE},N,V[],N,N]]"#
    ));
    let sent = rig.sent();
    assert_eq!(sent.len(), 3);
    assert!(sent[0].0 == 2 && sent[0].1.contains(&request), "{sent:?}");
    for (client, at) in [(1, 1), (2, 2)] {
        assert!(
            sent[at].0 == client && sent[at].1.contains(&answer),
            "{sent:?}"
        );
    }
}

#[test]
fn equal_request_ids_of_two_clients_get_two_answers() {
    let mut rig = Rig::with_clients(&[1, 2, 3]);
    rig.sends(1, "get_nodes_request", r#"S"r""#);
    rig.sends(2, "get_id_value_request", r#"S"r",S"x",E[]"#);
    rig.sends(3, "get_nodes_request", r#"S"r""#);
    let mut answers: Vec<(u64, &str)> = Vec::new();
    let sent = rig.sent();
    for (client, text) in &sent {
        let errors = ["no instances connected", "no cluster deployed"];
        answers.extend(
            errors
                .iter()
                .filter(|e| text.contains(*e))
                .map(|e| (*client, *e)),
        );
    }
    let all = |error: &'static str| (1..=3).map(move |client| (client, error));
    let want = all("no instances connected")
        .chain(all("no cluster deployed"))
        .chain(all("no instances connected"));
    assert_eq!(answers, Vec::from_iter(want));
}

#[test]
fn every_kind_of_request_that_cannot_be_read_is_answered_at_once_with_the_reason() {
    for (request, args, response, reason) in [
        (
            "get_instances_request",
            r#"S"r",S"x""#,
            "get_instances_response",
            "takes 1 arguments, got 2",
        ),
        (
            "stage_configuration_request",
            r#"S"r",S"x""#,
            "stage_configuration_response",
            "argument config: expected record Management::Configuration, got string",
        ),
        (
            "get_configuration_request",
            r#"S"r",S"x""#,
            "get_configuration_response",
            "argument deployed: expected boolean, got string",
        ),
        (
            "deploy_request",
            r#"S"r",N"#,
            "deploy_response",
            "takes 1 arguments, got 2",
        ),
        (
            "get_nodes_request",
            r#"S"r",N"#,
            "get_nodes_response",
            "takes 1 arguments, got 2",
        ),
        (
            "get_id_value_request",
            r#"S"r",S"x",V[]"#,
            "get_id_value_response",
            "argument nodes: expected set, got vector",
        ),
        (
            "restart_request",
            r#"S"r",E[N]"#,
            "restart_response",
            "argument nodes: member: expected string, got none",
        ),
        (
            "test_timeout_request",
            r#"S"r",N"#,
            "test_timeout_response",
            "argument with_state: expected boolean, got none",
        ),
    ] {
        let mut rig = Rig::with_clients(&[1]);
        rig.sends(1, request, args);
        let sent = rig.sent();
        let [(1, answer)] = &sent[..] else {
            panic!("{request}: {sent:?}")
        };
        assert!(
            answer.contains(response) && answer.contains(reason),
            "{answer}"
        );
        assert!(
            answer.contains(r#"{"@data-type":"boolean","data":false}"#),
            "{answer}"
        );
    }
}

#[test]
fn a_request_without_id_or_of_unknown_name_is_an_error_message() {
    for (event, args) in [("deploy_request", ""), ("test_noop_request", r#"S"r""#)] {
        let mut rig = Rig::with_clients(&[1, 2]);
        rig.sends(1, event, args);
        let sent = rig.sent();
        let [(1, answer)] = &sent[..] else {
            panic!("{sent:?}")
        };
        assert!(answer.contains("deserialization_failed"), "{answer}");
    }
}

#[test]
fn a_request_of_a_broker_peer_that_cannot_be_read_is_answered_as_well() {
    let mut rig = Rig::with_clients(&[1]);
    let name = "Management::Controller::API::get_configuration_request";
    let event = Event::new(name, vec![Data::string("r")]);
    let from = EndpointId::from_bytes([7; 16]);
    rig.process
        .on_message(rig.now, &CONTROLLER_TOPIC, &event.encode(), from);
    rig.process.drain(rig.now);
    // Not to clients: one may wait for an answer under the same id.
    let mut lines = Vec::new();
    while let Some(output) = rig.process.poll_output() {
        assert!(!matches!(output, Output::WebSocket(_)), "{output:?}");
        if let Output::Log(record) = output {
            lines.push(record.message);
        }
    }
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert!(line.contains("get_configuration_response"), "{line}");
    // Answers of ours are not requests.
    let response = ControllerResponse::GetInstances {
        reqid: "r".into(),
        result: ApiResult::ok("r"),
    };
    let payload = Event::from(response).encode();
    rig.process
        .on_message(rig.now, &CONTROLLER_TOPIC, &payload, from);
    rig.process.drain(rig.now);
    assert_eq!(rig.sent(), []);
}

#[test]
fn a_message_that_is_no_request_is_dropped_without_an_answer() {
    let mut rig = Rig::with_clients(&[1]);
    let from = EndpointId::from_bytes([7; 16]);
    let request = "Management::Controller::API::deploy_request";
    let hello = "Management::Agent::API::notify_agent_hello";
    for (topic, name, args) in [
        ("zeek/management/controller", request, vec![]),
        ("zeek/management/agent/a", hello, vec![Data::string("a")]),
        ("zeek/elsewhere", hello, vec![Data::string("a")]),
    ] {
        let payload = Event::new(name, args).encode();
        let topic = Topic::from_static(topic);
        rig.process.on_message(rig.now, &topic, &payload, from);
        rig.process.drain(rig.now);
        while let Some(output) = rig.process.poll_output() {
            assert!(matches!(output, Output::Audited(_)), "{topic}: {output:?}");
        }
    }
}

#[test]
fn certificates_that_run_out_do_not_change_what_is_answered() {
    let mut rig = Rig::with_clients(&[1]);
    let ending = Input::Ending(vec!["sensor-1 ends in 3 days".to_owned()]);
    rig.process.handle(rig.now, ending);
    rig.sends(1, "get_instances_request", r#"S"r""#);
    let sent = rig.sent();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].1.contains("get_instances_response"), "{sent:?}");
}

#[test]
fn nodes_of_zeek_client_1_2_0_are_staged_and_shown_in_the_newest_layout() {
    let mut rig = Rig::with_clients(&[1]);
    // Ten fields, and the affinity is a count (CLIENT §C4).
    let node = concat!(
        r#"V[S"w",S"i",{"@data-type":"enum-value","data":"Supervisor::WORKER"},"#,
        r#"{"@data-type":"enum-value","data":"Management::RUNNING"},N,N,N,S"lo","#,
        r#"{"@data-type":"count","data":3},{"@data-type":"table","data":[]}]"#,
    );
    let instance = r#"V[S"i",{"@data-type":"address","data":"0.0.0.0"},N]"#;
    let config = format!(r#"V[S"c",E[{instance}],E[{node}]]"#);
    rig.sends(
        1,
        "stage_configuration_request",
        &format!(r#"S"s",{config}"#),
    );
    let answer = rig.sent().remove(0).1;
    assert!(
        answer.contains(&long(&format!(r#"V[S"s",{TRUE},N,S"c",N,N]"#))),
        "{answer}"
    );
    rig.sends(
        1,
        "get_configuration_request",
        r#"S"g",{"@data-type":"boolean","data":false}"#,
    );
    let answer = rig.sent().remove(0).1;
    let want = concat!(
        r#"N,N,N,S"lo",{"@data-type":"integer","data":3},"#,
        r#"{"@data-type":"table","data":[]},N]"#,
    );
    assert!(answer.contains(&long(want)), "{answer}");
}

const TRUE: &str = r#"{"@data-type":"boolean","data":true}"#;

/// A controller with subscribed clients.
struct Rig {
    process: ControllerProcess,
    now: Instant,
    /// Lines of the audit log, as [`Self::sent`] came by them.
    audited: Vec<Entry>,
}

impl Rig {
    fn with_clients(clients: &[u64]) -> Self {
        Self::within(&crate::limits::Limits::default(), clients)
    }

    fn within(limits: &crate::limits::Limits, clients: &[u64]) -> Self {
        let any = |port| {
            Some(PeerAddr {
                host: "0.0.0.0".into(),
                port,
            })
        };
        let settings = ControllerSettings {
            name: "controller".into(),
            listen: any(2150),
            listen_websocket: any(2149),
            request_timeout: Duration::from_secs(10),
            connect_retry: Duration::from_secs(1),
            broker_ports: AutoAssign::From(2200),
            metrics_ports: AutoAssign::Off,
        };
        let id = EndpointId::from_bytes([1; 16]);
        let now = start();
        let saved = Saved::default();
        let ids = IdGen::new(1);
        let process = ControllerProcess::within(limits, settings, "8.0.10", id, ids, saved, now);
        let mut rig = Self {
            process,
            now,
            audited: Vec::new(),
        };
        for client in clients.iter().map(|client| ClientId(*client)) {
            let remote = "127.0.0.1:40000".parse().unwrap();
            rig.input(hub::Input::Opened {
                client,
                remote,
                application: None,
                certificate: None,
            });
            let text = r#"["zeek/management/controller"]"#.to_owned();
            rig.input(hub::Input::Text { client, text });
        }
        rig.sent();
        rig
    }

    fn input(&mut self, input: hub::Input) {
        self.process.handle(self.now, Input::WebSocket(input));
    }

    /// A client publishes an event as zeek-client does.
    fn sends(&mut self, client: u64, event: &str, args: &str) {
        self.sends_with(client, event, args, |text| text);
    }

    /// The same with a change to the text.
    fn sends_with(
        &mut self,
        client: u64,
        event: &str,
        args: &str,
        change: impl FnOnce(String) -> String,
    ) {
        let mut text =
            r#"{"@data-type":"vector","data":[{"@data-type":"count","data":1},"#.to_owned();
        text.push_str(r#"{"@data-type":"count","data":1},"#);
        let name = format!(r#"S"Management::Controller::API::{event}""#);
        write!(text, "{}", long(&format!("V[{name},V[{args}]]"))).unwrap();
        text.push_str(r#"],"topic":"zeek/management/controller","type":"data-message"}"#);
        let (client, text) = (ClientId(client), change(text));
        self.input(hub::Input::Text { client, text });
    }

    /// What clients were sent; orders to save are obeyed.
    fn sent(&mut self) -> Vec<(u64, String)> {
        let mut sent = Vec::new();
        while let Some(output) = self.process.poll_output() {
            match output {
                Output::WebSocket(hub::Output::Send { client, text }) => {
                    sent.push((client.0, text.to_string()));
                }
                Output::Save { .. } => {
                    let result = Ok(());
                    self.process.handle(self.now, Input::Saved { result });
                }
                Output::Audited(entry) => self.audited.push(entry),
                Output::WebSocket(_) | Output::Broker(_) | Output::Log(_) | Output::Audit(_) => {}
            }
        }
        sent
    }
}

/// `S"x"` for a string, `V[…]` for a vector, `E[…]` for a set, `N` for none, `T` for true, as JSON.
fn long(text: &str) -> String {
    let mut out = String::new();
    let mut open = Vec::new();
    let mut chars = text.chars().peekable();
    let mut in_string = false;
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('S', Some('"')) if !in_string => {
                let value: String = chars.by_ref().skip(1).take_while(|c| *c != '"').collect();
                write!(out, r#"{{"@data-type":"string","data":"{value}"}}"#).unwrap();
            }
            ('V' | 'E', Some('[')) if !in_string => {
                chars.next();
                let kind = if c == 'V' { "vector" } else { "set" };
                write!(out, r#"{{"@data-type":"{kind}","data":["#).unwrap();
                open.push("]}");
            }
            ('T', _) if !in_string => out.push_str(TRUE),
            ('N', next) if !in_string && next != Some(&'O') => {
                out.push_str(r#"{"@data-type":"none","data":{}}"#)
            }
            ('[', _) if !in_string => {
                out.push('[');
                open.push("]");
            }
            (']', _) if !in_string => out.push_str(open.pop().unwrap_or("]}")),
            _ => {
                in_string ^= c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}
