//! Every event of API §2.2 and §2.3 as stock wrote it: read into our types and written again, for
//! whoever sends it and whoever receives it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;

use broker_proto::codec::Limits;
use broker_proto::zeek::{Event, EventError, ToData};
use broker_proto::{Data, Port, Topic};
use bytes::Bytes;
use harness::recorded::{self, Frame};
use harness::transcript::{Kind, Side, Transcript};
use harness::tree::INSTANCE;
use mgmt::api::agent::{AgentRequest, AgentResponse};
use mgmt::api::node::{NodeRequest, NodeResponse};
use mgmt::api::{ApiResult, NODE_TOPIC, agent_topic};
use mgmt::model::{ClusterRole, Configuration, Instance, Node, NodeStatus, Role, State};

/// Where the bytes of an event are from.
enum Written {
    /// The recorded sessions; the event given is one of those in there.
    InSessions,
    /// No session has the event: these bytes follow `HEAD` (WIRE §8.2), put together by hand.
    ByHand(&'static [u8]),
}
use Written::{ByHand, InSessions};

/// A Zeek message of version 1 that is an event; name, arguments and metadata follow (WIRE §8.1).
const HEAD: &[u8] = b"\x0e\x03\x02\0\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x01\x0e\x03";

/// `test name: event, where its bytes are from;`
macro_rules! one_test_per_event {
    ($($test:ident: $event:expr, $written:expr;)*) => {
        $(
            #[test]
            fn $test() {
                check(&$event, &$written);
            }
        )*

        fn all() -> Vec<Event> {
            vec![$($event.into()),*]
        }
    };
}

one_test_per_event! {
    notify_agent_hello_is_read_and_written_as_stock_does: hello(), InSessions;
    agent_welcome_request_is_read_and_written_as_stock_does: welcome(), InSessions;
    agent_welcome_response_is_read_and_written_as_stock_does: welcomed(), InSessions;
    agent_standby_request_is_read_and_written_as_stock_does:
        AgentRequest::Standby { reqid: String::new() },
        ByHand(b"\x05\x2dManagement::Agent::API::agent_standby_request\
            \x0e\x01\x05\x00\
            \x0e\x00");
    agent_standby_response_is_read_and_written_as_stock_does:
        AgentResponse::Standby { reqid: String::new(), result: ok("") },
        ByHand(b"\x05\x2eManagement::Agent::API::agent_standby_response\
            \x0e\x02\x05\x00\
            \x0e\x06\x05\x00\x01\x01\x05\x0ainstance-1\x00\x00\x00\
            \x0e\x00");
    deploy_request_is_read_and_written_as_stock_does: deploy(), InSessions;
    deploy_response_is_read_and_written_as_stock_does: deployed(), InSessions;
    get_nodes_request_is_read_and_written_as_stock_does: get_nodes(), InSessions;
    get_nodes_response_is_read_and_written_as_stock_does: got_nodes(), InSessions;
    node_dispatch_request_of_controllers_is_read_and_written_as_stock_does:
        dispatch(), InSessions;
    node_dispatch_response_of_agents_is_read_and_written_as_stock_does:
        dispatched(), InSessions;
    restart_request_is_read_and_written_as_stock_does: restart(), InSessions;
    restart_response_is_read_and_written_as_stock_does: restarted(), InSessions;
    notify_error_is_read_and_written_as_stock_does:
        AgentResponse::Error {
            instance: INSTANCE.into(),
            msg: "failed to create node worker-01: no room".into(),
            node: "worker-01".into(),
        },
        ByHand(b"\x05\x24Management::Agent::API::notify_error\
            \x0e\x03\x05\x0ainstance-1\
            \x05\x28failed to create node worker-01: no room\x05\x09worker-01\
            \x0e\x00");
    notify_change_is_read_and_written_as_declared: changed(),
        ByHand(b"\x05\x25Management::Agent::API::notify_change\
            \x0e\x04\x05\x0ainstance-1\
            \x0e\x0b\x05\x09worker-01\x05\x0ainstance-1\
            \x0b\x12Supervisor::WORKER\x0b\x13Management::CRASHED\
            \x00\x0e\x01\x05\x17policy/tuning/json-logs\x00\x05\x02lo\
            \x03\0\0\0\0\0\0\0\x01\x0d\x01\x05\x03FOO\x05\x03BAR\x08\x23\xa3\x01\
            \x0b\x13Management::RUNNING\x0b\x13Management::CRASHED\
            \x0e\x00");
    notify_log_is_read_and_written_as_declared:
        AgentResponse::Log {
            instance: INSTANCE.into(),
            msg: "stopping".into(),
            node: "logger-01".into(),
        },
        ByHand(b"\x05\x22Management::Agent::API::notify_log\
            \x0e\x03\x05\x0ainstance-1\x05\x08stopping\x05\x09logger-01\
            \x0e\x00");
    node_dispatch_request_of_agents_is_read_and_written_as_stock_does:
        node_dispatch(), InSessions;
    node_dispatch_response_of_nodes_is_read_and_written_as_stock_does:
        node_dispatched(), InSessions;
    notify_node_hello_is_read_and_written_as_stock_does:
        NodeResponse::Hello { node: "logger-01".into() }, InSessions;
}

#[test]
fn every_event_of_the_document_has_a_test_with_its_number_of_arguments() {
    let tested = all()
        .into_iter()
        .map(|event| (event.name, event.args.len()));
    let tested: BTreeSet<_> = tested.collect();
    assert_eq!(tested, documented());
    assert_eq!(tested.len(), 19);
}

/// Everything that is known of an event's bytes is read, and written again as it was; `event` is
/// what some of them mean.
fn check<T>(event: &T, written: &Written)
where
    T: Clone + Debug + PartialEq + Into<Event> + TryFrom<Event, Error = EventError>,
{
    let name = event.clone().into().name;
    let payloads = match written {
        InSessions => in_sessions(&name),
        ByHand(rest) => vec![Bytes::from([HEAD, *rest].concat())],
    };
    let mut seen = false;
    for payload in payloads {
        let read = Event::decode(&payload, &Limits::default()).and_then(T::try_from);
        let read = read.unwrap_or_else(|error| panic!("{name}: {error}"));
        seen |= read == *event;
        let again = read.into().encode();
        assert_eq!(again, payload, "{name}: {}", payload.escape_ascii());
    }
    assert!(seen, "nobody wrote {event:?}");
}

/// The payloads of all recorded messages with this event.
fn in_sessions(name: &str) -> Vec<Bytes> {
    let mut found = Vec::new();
    for session in ["a2c", "c2a"] {
        let transcript = Transcript::read(session);
        let peerings = transcript.connections.iter();
        for peering in peerings.filter(|connection| connection.kind == Kind::Broker) {
            for side in [Side::Client, Side::Server] {
                for (_, _, frame) in recorded::frames(peering, side) {
                    let Frame::Envelope(envelope) = &frame else {
                        continue;
                    };
                    let payload = envelope.payload.clone();
                    if let Some((topic, event)) = recorded::event(frame)
                        && event.name == name
                    {
                        assert_eq!(topic, documented_topic(name), "{name}");
                        found.push(payload);
                    }
                }
            }
        }
    }
    found
}

/// API §2.2, §2.3.
fn documented_topic(event: &str) -> Topic {
    match event.starts_with("Management::Agent::") {
        true => agent_topic(INSTANCE).unwrap(),
        false => NODE_TOPIC,
    }
}

/// Names and numbers of arguments, from the tables of API §2.2 and §2.3.
fn documented() -> BTreeSet<(String, usize)> {
    let path = harness::folder().join("../mgmt/API.md");
    let document = fs::read_to_string(path).unwrap();
    let mut module = None;
    let mut events = BTreeSet::new();
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            let (number, rest) = heading.split_once(' ').unwrap();
            let name = rest.split(' ').next().unwrap_or_default();
            module = ["2.2", "2.3"].contains(&number).then(|| name.to_owned());
        }
        let Some(module) = &module else {
            continue;
        };
        let Some((event, rest)) = line
            .strip_prefix("| `")
            .and_then(|row| row.split_once("` | "))
        else {
            continue;
        };
        let (arguments, _) = rest.split_once(" |").unwrap();
        let event = format!("{module}::{event}");
        assert!(events.insert((event, arguments.split(", ").count())));
    }
    events
}

fn hello() -> AgentResponse {
    AgentResponse::Hello {
        instance: INSTANCE.into(),
        id: "788ca4d7-e479-56df-93c9-826f7c591b63".into(),
        connecting: true,
        api_version: 1,
    }
}

fn welcome() -> AgentRequest {
    AgentRequest::Welcome {
        reqid: "RvWtEIuo5jg".into(),
    }
}

fn welcomed() -> AgentResponse {
    AgentResponse::Welcome {
        reqid: "RvWtEIuo5jg".into(),
        result: ok("RvWtEIuo5jg"),
    }
}

fn deploy() -> AgentRequest {
    let node = |name: &str, role, port: Option<u16>| Node {
        p: port.map(Port::tcp),
        ..Node::new(INSTANCE, name, role)
    };
    let worker = Node {
        interface: Some("lo".into()),
        ..node("worker-01", ClusterRole::Worker, None)
    };
    let instance = Instance {
        name: INSTANCE.into(),
        host: "127.0.0.1".parse().unwrap(),
        listen_port: Some(Port::tcp(2151)),
    };
    AgentRequest::Deploy {
        reqid: "aY8WA7M5cE2".into(),
        config: Configuration {
            id: "996bc100-e5e2-11f1-84f2-5e20064c843a".into(),
            instances: BTreeSet::from([instance]),
            nodes: BTreeSet::from([
                node("manager", ClusterRole::Manager, Some(5000)),
                node("logger-01", ClusterRole::Logger, Some(5001)),
                worker,
            ]),
        },
        force: false,
    }
}

fn deployed() -> AgentResponse {
    let reqid = "aY8WA7M5cE2";
    let nodes = ["manager", "logger-01", "worker-01"];
    AgentResponse::Deploy {
        reqid: reqid.into(),
        results: nodes.map(|node| ok(reqid).on_node(node)).into(),
    }
}

fn get_nodes() -> AgentRequest {
    AgentRequest::GetNodes {
        reqid: "mLrnWStR8g3".into(),
    }
}

fn got_nodes() -> AgentResponse {
    let row = |node: &str, mgmt_role, pid, port: Option<u16>| NodeStatus {
        node: node.into(),
        state: State::Running,
        mgmt_role,
        cluster_role: ClusterRole::None,
        pid: Some(pid),
        p: port.map(Port::tcp),
        metrics_port: None,
    };
    let rows = vec![
        row(INSTANCE, Role::Agent, 35, None),
        row("controller", Role::Controller, 34, Some(2151)),
    ];
    let reqid = "mLrnWStR8g3";
    AgentResponse::GetNodes {
        reqid: reqid.into(),
        result: ok(reqid).with_data(rows.into_data()),
    }
}

fn dispatch() -> AgentRequest {
    AgentRequest::NodeDispatch {
        reqid: "3kkK9BxC6A".into(),
        action: vec!["get_id_value".into(), "bits_per_uid".into()],
        nodes: BTreeSet::new(),
    }
}

/// The results are as the nodes made them, with the id that the agent asked them with.
fn dispatched() -> AgentResponse {
    let nodes = ["logger-01", "manager", "worker-01", "proxy-01", "worker-02"];
    let value = |node| {
        let result = ok("Rgh5rFkz8Of").on_node(node);
        result.with_data(Data::string("96"))
    };
    AgentResponse::NodeDispatch {
        reqid: "3kkK9BxC6A".into(),
        results: nodes.map(value).into(),
    }
}

fn restart() -> AgentRequest {
    AgentRequest::Restart {
        reqid: "o5MbHSoXdxi".into(),
        nodes: BTreeSet::from(["worker-01".into()]),
    }
}

fn restarted() -> AgentResponse {
    let reqid = "o5MbHSoXdxi";
    AgentResponse::Restart {
        reqid: reqid.into(),
        results: vec![ok(reqid).on_node("worker-01")],
    }
}

fn changed() -> AgentResponse {
    let worker = Node {
        state: State::Crashed,
        scripts: Some(vec!["policy/tuning/json-logs".into()]),
        interface: Some("lo".into()),
        cpu_affinity: Some(mgmt::model::CpuAffinity(1)),
        env: BTreeMap::from([("FOO".into(), "BAR".into())]),
        metrics_port: Some(Port::tcp(9123)),
        ..Node::new(INSTANCE, "worker-01", ClusterRole::Worker)
    };
    AgentResponse::Change {
        instance: INSTANCE.into(),
        n: worker,
        old: State::Running,
        new: State::Crashed,
    }
}

fn node_dispatch() -> NodeRequest {
    NodeRequest::Dispatch {
        reqid: "Rgh5rFkz8Of".into(),
        action: vec!["get_id_value".into(), "bits_per_uid".into()],
        nodes: BTreeSet::new(),
    }
}

fn node_dispatched() -> NodeResponse {
    let result = ApiResult::ok("Rgh5rFkz8Of").on_node("logger-01");
    NodeResponse::Dispatch {
        reqid: "Rgh5rFkz8Of".into(),
        result: result.with_data(Data::string("96")),
    }
}

fn ok(reqid: &str) -> ApiResult {
    ApiResult::ok(reqid).on_instance(INSTANCE)
}
