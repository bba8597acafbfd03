//! Plans for small clusters.

use std::time::Duration;

use broker_proto::peering::PeerAddr;

use super::*;
use crate::model::{Role, State};
use crate::plan::cluster::Cluster;
use crate::settings::{AutoAssign, Unchanged};

const FILE: &str = "\
[instances]
a
b = 10.0.0.2:2151
[manager]
instance = a
role = manager
[worker-1]
instance = a
role = worker
interface = eth0
[worker-2]
instance = b
role = worker
";

#[test]
fn a_first_deployment_starts_everything_with_assigned_ports() {
    let observed = observed(None, &[("a", &[]), ("b", &[])]);
    let plan = plan(FILE, &observed);
    assert_eq!(plan.refusals, [""; 0]);
    assert!(plan.is_deployable());
    assert_eq!(
        lines(&plan),
        [
            "add a at 10.0.0.1",
            "add b at 10.0.0.2 dialed",
            "start a/manager 2200 9000",
            "start a/worker-1 - 9001",
            "start b/worker-2 - 9000",
        ]
    );
}

#[test]
fn nodes_that_stay_are_restarted_and_say_what_changes() {
    let deployed = prepared(FILE);
    let observed = observed(
        Some(deployed),
        &[("a", &["manager", "worker-1"]), ("b", &["worker-2"])],
    );
    let file = FILE.replace("eth0", "eth1").replace("worker-2", "worker-3");
    let plan = plan(&file, &observed);
    assert_eq!(
        lines(&plan),
        [
            "keep a at 10.0.0.1",
            "keep b at 10.0.0.2 dialed",
            "stop b/worker-2 - -",
            "restart a/manager 2200 9000",
            "restart a/worker-1 - 9001: interface eth0 -> eth1",
            "start b/worker-3 - 9000",
        ]
    );
    let same = Plan::new(config(FILE), &observed, &settings(), Unchanged::Restart);
    assert!(same.nodes.iter().all(|n| n.changes.is_empty()));
    assert!(same.nodes.iter().all(|n| n.action == NodeAction::Restart));
}

#[test]
fn an_instance_that_leaves_takes_its_nodes_along() {
    let observed = observed(
        Some(prepared(FILE)),
        &[("a", &["manager", "worker-1"]), ("b", &["worker-2"])],
    );
    let file = "[manager]\ninstance = a\nrole = manager\n";
    assert_eq!(
        lines(&plan(file, &observed)),
        [
            "keep a at 10.0.0.1",
            "drop b at 10.0.0.2 dialed",
            "stop a/worker-1 - -",
            "stop b/worker-2 - -",
            "restart a/manager 2200 9000",
        ]
    );
    let none = plan("", &observed);
    assert_eq!(none.nodes.len(), 3);
    assert!(none.nodes.iter().all(|n| n.action == NodeAction::Stop));
    assert!(none.is_deployable());
}

#[test]
fn agents_outside_the_cluster_are_left_alone() {
    let observed = observed(None, &[("a", &[]), ("z", &["foreign"])]);
    let plan = plan("[w]\ninstance = a\nrole = worker\n", &observed);
    assert_eq!(lines(&plan), ["add a at 10.0.0.1", "start a/w - 9000"]);
}

#[test]
fn what_runs_on_a_member_without_being_deployed_ends() {
    let observed = observed(None, &[("a", &["foreign"])]);
    let plan = plan("[w]\ninstance = a\nrole = worker\n", &observed);
    assert_eq!(
        lines(&plan),
        [
            "add a at 10.0.0.1",
            "stop a/foreign - -",
            "start a/w - 9000"
        ]
    );
}

#[test]
fn an_agent_that_is_away_does_not_take_part() {
    let file = FILE.replace("b = 10.0.0.2:2151", "b");
    let observed = observed(None, &[("a", &[])]);
    let plan = plan(&file, &observed);
    assert_eq!(plan.missing, ["instance b is not connected"]);
    assert!(!plan.is_deployable());
    let later = plan.nodes.iter().find(|n| n.name == "worker-2").unwrap();
    assert_eq!(later.action, NodeAction::Later);
    let text = show::text(&plan);
    let verdict = "This can be deployed in part: 2 to start, 0 to restart, 0 to stop, 1 later.\n";
    assert!(text.ends_with(verdict), "{text}");
}

#[test]
fn the_nodes_of_an_agent_that_is_away_are_not_counted_as_ending() {
    let observed = observed(Some(prepared(FILE)), &[("a", &["manager", "worker-1"])]);
    let mut away = observed.clone();
    let unknown = Err("instance b is not connected".to_owned());
    away.running.insert("b".to_owned(), unknown);
    let file = FILE.replace("worker-2", "worker-3");
    let plan = plan(&file, &away);
    assert!(
        plan.nodes.iter().all(|n| n.action != NodeAction::Stop),
        "{:?}",
        lines(&plan)
    );
}

#[test]
fn a_configured_address_is_not_replaced_by_one_that_is_seen() {
    let file = "[instances]\na = 0.0.0.0:2151\n[w]\ninstance = a\nrole = worker\n";
    let observed = observed(None, &[("a", &[])]);
    let plan = plan(file, &observed);
    assert_eq!(plan.instances[0].host, None);
}

#[test]
fn without_any_agent_nothing_happens() {
    let plan = plan("[w]\ninstance = a\nrole = worker\n", &Observed::default());
    assert_eq!(plan.missing, ["instance a is not connected"]);
    assert_eq!(lines(&plan), [""; 0]);
    assert!(show::text(&plan).ends_with("The deployment would time out and change nothing.\n"));
}

#[test]
fn an_agent_to_be_dialed_may_still_come() {
    let observed = observed(None, &[("a", &[])]);
    let plan = plan(FILE, &observed);
    assert!(plan.is_deployable());
    let later = plan.nodes.iter().find(|n| n.name == "worker-2").unwrap();
    assert_eq!(later.action, NodeAction::Later);
}

#[test]
fn what_the_controller_refuses_is_refused_here() {
    let file = "[w]\ninstance = a\nrole = worker\nport = 2150\n[instances]\nb\n";
    let plan = plan(file, &Observed::default());
    assert_eq!(
        plan.refusals,
        [
            "node 'w' has undeclared instance name 'a'",
            "node 'w' port 2150/tcp conflicts with controller port"
        ]
    );
    assert!(!plan.is_deployable());
    assert!(show::text(&plan).ends_with("The controller would refuse this configuration.\n"));
}

#[test]
fn what_is_odd_is_a_warning() {
    let observed = observed(None, &[("a", &[])]);
    let plan = plan("[w]\ninstance = a\nrole = worker\n", &observed);
    assert_eq!(plan.warnings, ["no node is a manager"]);
    assert!(plan.is_deployable());
}

#[test]
fn an_agent_that_says_nothing_is_thought_to_run_what_is_deployed() {
    let mut observed = observed(Some(prepared(FILE)), &[("a", &[]), ("b", &["worker-2"])]);
    let silent = Err("request timed out".to_owned());
    observed.running.insert("a".to_owned(), silent);
    let plan = plan(FILE, &observed);
    assert!(plan.nodes.iter().all(|n| n.action == NodeAction::Restart));
    assert_eq!(
        plan.warnings,
        ["instance a does not say what it runs: request timed out"]
    );
}

#[test]
fn text_and_json_say_the_same() {
    let observed = observed(
        Some(prepared(FILE)),
        &[("a", &["manager", "worker-1"]), ("b", &[])],
    );
    let file = FILE.replace("eth0", "eth1");
    let plan = plan(&file, &observed);
    assert_eq!(
        show::text(&plan),
        "instances:\n\
         \x20 keep  a  at 10.0.0.1\n\
         \x20 keep  b  dialed at 10.0.0.2 port 2151/tcp\n\
         nodes:\n\
         \x20 restart  manager   MANAGER on a  port 2200/tcp  metrics 9000/tcp  unchanged\n\
         \x20 restart  worker-1  WORKER on a                  metrics 9001/tcp  interface eth0 -> eth1\n\
         \x20 start    worker-2  WORKER on b                  metrics 9000/tcp\n\
         This can be deployed: 1 to start, 2 to restart, 0 to stop, 0 later.\n"
    );
    let json = show::json(&plan);
    let expected = serde_json::json!({
        "name": "worker-1", "instance": "a", "role": "WORKER", "action": "restart",
        "port": null, "metrics_port": 9001, "changes": ["interface eth0 -> eth1"],
    });
    assert_eq!(json["nodes"][1], expected);
    assert_eq!(json["deployable"], true);
    assert_eq!(json["instances"][1]["port"], 2151);
}

fn plan(file: &str, observed: &Observed) -> Plan {
    Plan::new(config(file), observed, &settings(), Unchanged::Restart)
}

fn config(file: &str) -> Configuration {
    Cluster::parse(file, "sensor").unwrap().config
}

/// As the controller would have deployed it.
fn prepared(file: &str) -> Configuration {
    let mut config = config(file);
    let agents = observed(None, &[("a", &[]), ("b", &[])]);
    fill_hosts(&mut config, &agents);
    config.assign_ports(&settings());
    config
}

/// Connected agents and the names of what they run; `a` is at 10.0.0.1, `b` at 10.0.0.2.
fn observed(deployed: Option<Configuration>, agents: &[(&str, &[&str])]) -> Observed {
    let instances = (1..).zip(agents).map(|(at, (name, _))| Instance {
        name: (*name).to_owned(),
        host: format!("10.0.0.{at}").parse().unwrap(),
        listen_port: None,
    });
    let running = agents.iter().map(|(name, nodes)| {
        let nodes = nodes.iter().map(|node| status(node, Role::None));
        let own = [status(name, Role::Agent)];
        ((*name).to_owned(), Ok(nodes.chain(own).collect()))
    });
    Observed {
        deployed,
        agents: instances.collect(),
        running: running.collect(),
    }
}

fn status(node: &str, mgmt_role: Role) -> NodeStatus {
    NodeStatus {
        node: node.to_owned(),
        state: State::Running,
        mgmt_role,
        cluster_role: ClusterRole::Worker,
        pid: Some(1),
        p: None,
        metrics_port: None,
    }
}

fn lines(plan: &Plan) -> Vec<String> {
    let number = |port: Option<Port>| port.map_or_else(|| "-".to_owned(), |p| p.number.to_string());
    let instances = plan.instances.iter().map(|i| {
        let action = format!("{:?}", i.action).to_lowercase();
        let host = i.host.unwrap();
        let dialed = i.listen_port.map_or("", |_| " dialed");
        format!("{action} {} at {host}{dialed}", i.name)
    });
    let nodes = plan.nodes.iter().map(|n| {
        let action = format!("{:?}", n.action).to_lowercase();
        let ports = format!("{} {}", number(n.port), number(n.metrics_port));
        let changes = n.changes.join(", ");
        let line = format!("{action} {}/{} {ports}: {changes}", n.instance, n.name);
        line.trim_end_matches(": ").to_owned()
    });
    instances.chain(nodes).collect()
}

fn settings() -> ControllerSettings {
    ControllerSettings {
        name: "controller".into(),
        listen: Some(PeerAddr {
            host: "0.0.0.0".into(),
            port: 2150,
        }),
        listen_websocket: None,
        request_timeout: Duration::from_secs(10),
        connect_retry: Duration::from_secs(1),
        broker_ports: AutoAssign::From(2200),
        metrics_ports: AutoAssign::From(9000),
    }
}

#[test]
fn agents_that_keep_what_is_unchanged_restart_all_nodes_of_another_cluster() {
    let running: &[(&str, &[&str])] = &[("a", &["manager", "worker-1"]), ("b", &["worker-2"])];
    let observed = observed(Some(prepared(FILE)), running);
    let planned = |file: &str| {
        let plan = Plan::new(config(file), &observed, &settings(), Unchanged::Keep);
        let actions = plan.nodes.iter().map(|node| node.action);
        actions.collect::<Vec<NodeAction>>()
    };
    assert_eq!(planned(FILE), [NodeAction::Keep; 3]);
    let scripts = FILE.replace("eth0", "eth0\nscripts = x");
    let (keep, restart) = (NodeAction::Keep, NodeAction::Restart);
    assert_eq!(planned(&scripts), [keep, restart, keep]);
    let layout = FILE.replace("eth0", "eth1");
    assert_eq!(planned(&layout), [restart; 3]);
}

#[test]
fn only_what_runs_is_kept() {
    let running: &[(&str, &[&str])] = &[("a", &["manager", "stray", "worker-1"]), ("b", &[])];
    let mut observed = observed(Some(prepared(FILE)), running);
    let of_a = observed.running.get_mut("a").unwrap().as_mut().unwrap();
    let worker = of_a.iter_mut().find(|n| n.node == "worker-1").unwrap();
    worker.state = State::Crashed;
    let plan = Plan::new(config(FILE), &observed, &settings(), Unchanged::Keep);
    let actions: Vec<_> = plan.nodes.iter().map(|node| node.action).collect();
    let expected = [
        NodeAction::Stop,
        NodeAction::Keep,
        NodeAction::Restart,
        NodeAction::Start,
    ];
    assert_eq!(actions, expected);
    let text = show::text(&plan);
    let verdict =
        "This can be deployed: 1 to start, 1 to restart, 1 to stop, 0 later, 1 to keep.\n";
    assert!(text.ends_with(verdict), "{text}");
}

#[test]
fn other_options_are_a_change_without_their_values() {
    let mut before = config("[w]\ninstance = a\nrole = worker\n");
    before.nodes = std::mem::take(&mut before.nodes)
        .into_iter()
        .map(|mut node| {
            node.options = Some([].into());
            node
        })
        .collect();
    let observed = observed(Some(before), &[("a", &["w"])]);
    let plan = plan("[w]\ninstance = a\nrole = worker\n", &observed);
    assert_eq!(plan.nodes[0].changes.last().unwrap(), "options");
}

/// Nodes are compared by all that agents are told.
#[test]
fn every_field_of_a_node_counts_as_a_change() {
    let before = config("[w]\ninstance = a\nrole = worker\n");
    let file = "[w]\ninstance = a\nrole = proxy\nport = 7000\nscripts = x\ninterface = e\n\
                cpu_affinity = 1\nenv = K=v\nmetrics_port = 8000\n";
    let observed = observed(Some(before), &[("a", &["w"])]);
    let plan = plan(file, &observed);
    assert_eq!(
        plan.nodes[0].changes,
        [
            "role WORKER -> PROXY",
            "port none -> 7000/tcp",
            "metrics port none -> 8000/tcp",
            "interface none -> e",
            "scripts none -> \"x\"",
            "cpu_affinity none -> 1",
            "env none -> \"K=v\"",
        ]
    );
}
