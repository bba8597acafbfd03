//! Texts of an operator, and for one.

use std::time::Duration;

use broker_proto::Timestamp;
use broker_proto::zeek::{FromData, ToData};
use mgmt::log::{LogRole, Record, ascii};
use mgmt::model::{Configuration, Instance};
use mgmt::plan::cluster::Cluster;
use mgmt::plan::{InstanceAction, NodeAction, Observed, Plan, show};
use mgmt::settings::{AutoAssign, ControllerSettings, Unchanged};

/// A cluster's configuration file (CLIENT §C6), and a plan to deploy it where its agents are there.
/// It must be one that a client can send, and what it would start must be all there is to start.
pub fn plan(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(Cluster { config, .. }) = Cluster::parse(&text, "host") else {
        return;
    };
    let sent = config.clone().into_data();
    let received = Configuration::from_data(sent);
    assert_eq!(received, Ok(config.clone()), "not what a client can send");

    let here = "127.0.0.1".parse().ok();
    let agents = config.instances.iter().cloned().map(|agent| Instance {
        host: here.unwrap_or(agent.host),
        ..agent
    });
    let observed = Observed {
        agents: agents.collect(),
        ..Observed::default()
    };
    let nodes = config.nodes.len();
    let plan = Plan::new(config, &observed, &settings(), Unchanged::Keep);
    assert!(plan.missing.is_empty(), "agents are there");
    if plan.is_deployable() {
        assert_eq!(plan.nodes.len(), nodes);
        let starts = |action| action == NodeAction::Start;
        assert!(plan.nodes.iter().all(|node| starts(node.action)));
        let adds = |action| action == InstanceAction::Add;
        assert!(plan.instances.iter().all(|step| adds(step.action)));
    }
    assert!(show::text(&plan).ends_with(".\n"));
    let json = show::json(&plan);
    let deployable = json.get("deployable").and_then(serde_json::Value::as_bool);
    assert_eq!(deployable, Some(plan.is_deployable()));
}

/// A line of the management log (API §8.4): whatever the message, it is one line of five columns,
/// and one JSON object.
pub fn log(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (node, message) = text.split_once('\n').unwrap_or(("node", &text));
    let record = Record::info(message);
    let (at, role) = (Timestamp(1_795_289_606_630_231_000), LogRole::Agent);
    let line = ascii::line(at, node, role, &record);
    assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
    assert_eq!(line.iter().filter(|b| **b == b'\t').count(), 4);
    assert!(!line.starts_with(b"#"), "it reads as a header");
    let is_plain = |b: &u8| matches!(b, b'\t' | b'\n' | b' '..=b'~' | 0x80..);
    assert!(line.iter().all(is_plain), "control characters came through");
    assert!(String::from_utf8(line).is_ok(), "not UTF-8");
    let json = ascii::json_line(at, node, role, &record);
    let json: Result<serde_json::Value, _> = serde_json::from_slice(&json);
    let json = json.unwrap_or_default();
    let level = json.get("level").and_then(serde_json::Value::as_str);
    assert_eq!(level, Some("INFO"), "not JSON");
}

fn settings() -> ControllerSettings {
    ControllerSettings {
        name: "controller".to_owned(),
        listen: None,
        listen_websocket: None,
        request_timeout: Duration::from_secs(10),
        connect_retry: Duration::from_secs(1),
        broker_ports: AutoAssign::From(2200),
        metrics_ports: AutoAssign::From(9000),
    }
}
