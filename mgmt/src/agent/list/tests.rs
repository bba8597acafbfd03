use std::collections::BTreeMap;

use broker_proto::{Data, Port};
use supervisor::api::{Cluster, ClusterEndpoint, NodeConfig, SupervisorResponse};

use super::super::Output;
use super::super::tests::*;
use super::*;
use crate::api::agent::AgentRequest;
use crate::settings::AgentSettings;

#[test]
fn without_a_deployment_get_nodes_lists_controller_and_agent() {
    let mut rig = Rig::new();
    let id = rig.id();
    let asked = rig.ask(get_nodes("mLrnWStR8g3"));
    assert_eq!(asked, [ask_status(id.clone())]);
    let want = rows_response("mLrnWStR8g3", vec![controller_row(), agent_row(None)]);
    assert_eq!(answer(&mut rig, id, status([])), [want]);
    assert_eq!(rig.agent.poll_timeout(), None);
}

#[test]
fn an_agent_that_is_dialed_lists_its_port() {
    let mut rig = Rig::with(AgentSettings {
        controller: None,
        ..settings()
    });
    let id = rig.id();
    rig.ask(get_nodes("g1"));
    let row = agent_row(Some(Port::tcp(2151)));
    let want = rows_response("g1", vec![controller_row(), row]);
    assert_eq!(answer(&mut rig, id, status([])), [want]);
}

#[test]
fn an_agent_that_its_supervisor_does_not_run_lists_itself() {
    let mut rig = Rig::new();
    let id = rig.id();
    rig.ask(get_nodes("g1"));
    let nothing = Status {
        nodes: BTreeMap::new(),
    };
    let row = NodeStatus {
        pid: None,
        ..agent_row(None)
    };
    let want = rows_response("g1", vec![row]);
    assert_eq!(answer(&mut rig, id, nothing), [want]);
}

#[test]
fn deployed_nodes_are_listed_with_what_their_cluster_says_of_them() {
    let mut rig = Rig::deployed();
    rig.ask(AgentRequest::Restart {
        reqid: "r1".into(),
        nodes: names(["worker-01"]),
    });
    let id = rig.id();
    rig.ask(get_nodes("998BkN7uTTa"));
    let want = rows_response(
        "998BkN7uTTa",
        vec![
            controller_row(),
            agent_row(None),
            NodeStatus {
                p: Some(Port::tcp(2201)),
                ..row("logger-01", State::Running, ClusterRole::Logger, 86)
            },
            row("worker-01", State::Pending, ClusterRole::Worker, 182),
            NodeStatus {
                metrics_port: Some(Port::tcp(9123)),
                ..row("worker-02", State::Running, ClusterRole::Worker, 88)
            },
            NodeStatus {
                p: Some(Port::tcp(2200)),
                pid: None,
                ..row("manager", State::Stopped, ClusterRole::Manager, 0)
            },
            NodeStatus {
                p: Some(Port::tcp(1234)),
                pid: None,
                ..row("proxy-01", State::Stopped, ClusterRole::Proxy, 0)
            },
        ],
    );
    let status = with_cluster(&[("logger-01", 86), ("worker-01", 182), ("worker-02", 88)]);
    assert_eq!(answer(&mut rig, id, status), [want]);
}

#[test]
fn nodes_of_others_are_pending_as_far_as_this_agent_knows() {
    let mut rig = Rig::new();
    let id = rig.id();
    rig.ask(get_nodes("g1"));
    let stray = NodeStatus {
        cluster_role: ClusterRole::None,
        ..row("stray", State::Pending, ClusterRole::None, 84)
    };
    let want = rows_response("g1", vec![controller_row(), agent_row(None), stray]);
    assert_eq!(answer(&mut rig, id, status(["stray"])), [want]);
}

#[test]
fn a_silent_supervisor_is_reported_with_an_empty_list() {
    let mut rig = Rig::new();
    rig.ask(get_nodes("g1"));
    assert_eq!(rig.agent.poll_timeout(), Some(rig.now + secs(5)));
    assert_eq!(rig.pass(secs(5)), [no_rows("g1", "request timed out")]);
    assert_eq!(rig.agent.poll_timeout(), None);
}

#[test]
fn without_supervisor_get_nodes_fails_at_once() {
    let mut rig = Rig::new();
    rig.peer_down(SUPERVISOR);
    let why = "agent has no connection to its supervisor";
    assert_eq!(rig.ask(get_nodes("g1")), [no_rows("g1", why)]);
}

#[test]
fn an_answer_after_the_deadline_is_dropped() {
    let mut rig = Rig::new();
    let id = rig.id();
    rig.ask(get_nodes("g1"));
    rig.pass(secs(5));
    assert_eq!(answer(&mut rig, id, status([])), []);
}

#[test]
fn an_agent_with_too_many_open_requests_says_so() {
    let mut rig = Rig::new();
    for i in 0..super::super::MAX_OPEN {
        rig.ask(get_nodes(&format!("g{i}")));
    }
    let refused = rig.ask(get_nodes("r1"));
    let why = "agent has too many open requests";
    assert_eq!(refused, [no_rows("r1", why)]);
}

fn get_nodes(reqid: &str) -> AgentRequest {
    let reqid = reqid.to_owned();
    AgentRequest::GetNodes { reqid }
}

fn answer(rig: &mut Rig, reqid: String, result: Status) -> Vec<Output> {
    rig.supervisor(SupervisorResponse::Status { reqid, result })
}

fn rows_response(reqid: &str, rows: Vec<NodeStatus>) -> Output {
    respond(AgentResponse::GetNodes {
        reqid: reqid.into(),
        result: ok(reqid).with_data(rows.into_data()),
    })
}

fn no_rows(reqid: &str, error: &str) -> Output {
    respond(AgentResponse::GetNodes {
        reqid: reqid.into(),
        result: failed(reqid, error).with_data(Data::Vector(vec![])),
    })
}

fn row(name: &str, state: State, role: ClusterRole, pid: i64) -> NodeStatus {
    NodeStatus {
        node: name.into(),
        state,
        mgmt_role: Role::None,
        cluster_role: role,
        pid: Some(pid),
        p: None,
        metrics_port: None,
    }
}

fn controller_row() -> NodeStatus {
    NodeStatus {
        mgmt_role: Role::Controller,
        p: Some(Port::tcp(2151)),
        ..row("controller", State::Running, ClusterRole::None, 34)
    }
}

fn agent_row(p: Option<Port>) -> NodeStatus {
    NodeStatus {
        mgmt_role: Role::Agent,
        p,
        ..row("instance-1", State::Running, ClusterRole::None, 35)
    }
}

/// Nodes of the recorded cluster, by name and process id.
fn with_cluster(nodes: &[(&str, i64)]) -> Status {
    let member = |role, p, metrics_port| ClusterEndpoint {
        role,
        host: localhost(),
        p,
        interface: None,
        pcap_file: None,
        metrics_port,
    };
    let metrics = Some(Port::tcp(9123));
    let cluster = Cluster::from([
        (
            "logger-01".to_owned(),
            member(ClusterRole::Logger, Port::tcp(2201), None),
        ),
        (
            "worker-01".to_owned(),
            member(ClusterRole::Worker, Port::NONE, None),
        ),
        // A supervisor before 7.0 keeps only the number.
        (
            "worker-02".to_owned(),
            member(ClusterRole::Worker, Port::tcp(0), metrics),
        ),
    ]);
    let mut status = status([]);
    for (name, pid) in nodes {
        let node = NodeConfig {
            cluster: cluster.clone(),
            ..NodeConfig::named(*name)
        };
        let pid = Some(*pid);
        let node = api::NodeStatus { node, pid };
        status.nodes.insert((*name).to_owned(), node);
    }
    status
}
