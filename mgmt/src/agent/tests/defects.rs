//! What stock's agent does wrong, one test for each number of API §12.2. Tests of how ours does it are
//! beside the parts concerned.

use broker_proto::Data;
use supervisor::api::{NodeConfig, SupervisorResponse};

use super::*;
use crate::api::node::NodeRequest;
use crate::model::Role;

#[test]
fn d30_a_standby_leaves_no_request_behind_and_no_node() {
    let mut rig = Rig::deployed();
    let said = rig.ask(standby());
    let ordered = rig.answer_status(said.last().unwrap(), status(NAMES));
    let (answer, ordered) = ordered.split_last().unwrap();
    assert!(matches!(answer, Output::Respond { .. }));
    assert_eq!(ordered.len(), NAMES.len());
    rig.answer_destroys(ordered);
    assert_eq!(rig.pass(secs(9)), []);
    assert_eq!(
        (rig.agent.poll_timeout(), rig.rows(status([])).len()),
        (None, 2)
    );
}

#[test]
fn d31_a_configuration_without_nodes_is_answered_once() {
    let mut rig = Rig::new();
    let (_, said) = rig.deploy("r1", config("c1", vec![]), status([]));
    assert_eq!(said, [deployed("r1", vec![ok("r1")])]);
    assert_eq!(rig.pass(secs(9)), []);
}

#[test]
fn d32_the_end_of_a_former_request_does_not_disturb_a_later_deployment() {
    let mut rig = Rig::deployed();
    let said = rig.ask(standby());
    rig.answer_status(said.last().unwrap(), status(NAMES));
    rig.pass(millis(4500));
    rig.deploy("r2", one_worker("c2"), status([]));
    rig.started("w1");
    assert_eq!(rig.pass(millis(2500)), []);
    let all = vec![on("w1", ok("r2"))];
    assert_eq!(rig.node_hello("w1", peer(20)), [deployed("r2", all)]);
}

#[test]
fn d33_a_silent_node_costs_nobody_elses_answer() {
    let mut rig = Rig::deployed();
    let asked = rig.ask(AgentRequest::NodeDispatch {
        reqid: "d1".into(),
        action: vec!["get_id_value".into(), "a".into()],
        nodes: names(["manager", "proxy-01"]),
    });
    let [Output::ToNodes { request }] = asked.as_slice() else {
        panic!("not one question: {asked:?}");
    };
    let NodeRequest::Dispatch { reqid, .. } = request;
    let value = ApiResult::ok(reqid).with_data(Data::string("1"));
    let message = NodeResponse::Dispatch {
        reqid: reqid.clone(),
        result: value.clone().on_node("manager"),
    };
    let from = peer(11);
    rig.feed(Input::Node { from, message });
    let results = vec![
        value.on_instance("instance-1").on_node("manager"),
        on("proxy-01", failed("d1", "request timed out")),
    ];
    let reqid = "d1".to_owned();
    let want = respond(AgentResponse::NodeDispatch { reqid, results });
    assert_eq!(rig.pass(secs(5)), [want]);
}

#[test]
fn d34_a_refused_create_is_answered_without_waiting() {
    let mut rig = Rig::new();
    let (_, ordered) = rig.deploy("r1", one_worker("c1"), status([]));
    let why = "failed to create working directory /x";
    let said = rig.supervisor(SupervisorResponse::Create {
        reqid: order_id(&ordered[0]),
        result: why.into(),
    });
    let told = error("w1", &format!("failed to create node w1: {why}"));
    let result = on("w1", failed("r1", why)).with_data(wrote(why));
    assert_eq!(said, [told, deployed("r1", vec![result])]);
    let rows = rig.rows(status([]));
    assert_eq!(
        (rows[2].node.as_str(), rows[2].state),
        ("w1", State::Failed)
    );
}

#[test]
fn d35_every_failed_node_has_a_reason() {
    let mut rig = Rig::new();
    rig.deploy("r1", one_worker("c1"), status([]));
    rig.started("w1");
    let why = "cluster node w1 did not report in time";
    let result = on("w1", failed("r1", why)).with_data(wrote(why));
    let results = vec![failed("r1", "request timed out"), result];
    assert_eq!(rig.pass(millis(8500)), [deployed("r1", results)]);
}

#[test]
fn d36_all_six_states_are_listed_and_a_dead_node_has_no_process() {
    let mut rig = Rig::deployed();
    rig.died("logger-01", "", 1);
    rig.started("manager");
    let given_up = NodeEnd {
        is_given_up: true,
        ..NodeEnd::default()
    };
    rig.exit("proxy-01", "", Some(given_up));
    rig.peer_down(peer(14));
    let left = rig.listing(["logger-01", "manager", "proxy-01", "worker-02"]);
    let rows = rig.rows(left);
    let rows = rows.iter().filter(|row| row.mgmt_role == Role::None);
    let rows: Vec<_> = rows
        .map(|row| (row.node.as_str(), row.state, row.pid))
        .collect();
    assert_eq!(
        rows,
        [
            ("logger-01", State::Crashed, None),
            ("manager", State::Pending, Some(84)),
            ("proxy-01", State::Failed, None),
            ("worker-02", State::Unknown, Some(84)),
            ("worker-01", State::Stopped, None),
        ]
    );
    rig.node_hello("manager", peer(30));
    assert_eq!(rig.state("manager"), State::Running);
}

#[test]
fn d37_changes_errors_and_news_are_told() {
    let mut rig = Rig::deployed();
    rig.died("manager", "", 1);
    rig.started("manager");
    let told = [
        "manager: RUNNING -> CRASHED",
        "manager: CRASHED -> PENDING",
        "cluster node manager was started again",
    ];
    assert_eq!(rig.notices(), told);
}

#[test]
fn d38_loggers_start_first_then_managers_proxies_workers() {
    let mut rig = Rig::new();
    let (_, ordered) = rig.deploy("r1", recorded(), status([]));
    assert_eq!(created_nodes(&ordered), NAMES);
}

#[test]
fn d39_a_restart_is_answered_when_the_node_said_hello() {
    let mut rig = Rig::deployed();
    let asked = rig.ask(AgentRequest::Restart {
        reqid: "r1".into(),
        nodes: names(["manager"]),
    });
    let taken = SupervisorResponse::Restart {
        reqid: order_id(&asked[0]),
        result: true,
    };
    assert_eq!(rig.supervisor(taken), []);
    rig.started("manager");
    let reqid = "r1".to_owned();
    let results = vec![on("manager", ok("r1"))];
    let want = respond(AgentResponse::Restart { reqid, results });
    assert_eq!(rig.node_hello("manager", peer(30)), [want]);
}

#[test]
fn d40_what_a_former_node_wrote_is_not_shown_of_its_successor() {
    let mut rig = Rig::deployed();
    rig.died("manager", "old", 1);
    rig.deploy("r1", one_worker("c2"), status([]));
    rig.deploy("r2", recorded(), status([]));
    rig.created("manager");
    rig.exit("manager", "old", Some(NodeEnd::default()));
    rig.started("manager");
    rig.exit("manager", "received termination signal", None);
    let node = rig.agent.nodes.get("manager").unwrap();
    assert_eq!(node.outputs(), None);
}

#[test]
fn d41_nodes_that_others_created_are_left_alone() {
    let mut rig = Rig::new();
    let mut running = status(["of-a-former-life"]);
    let node = NodeConfig::named("of-others");
    let node = NodeStatus { node, pid: Some(7) };
    running.nodes.insert("of-others".into(), node);
    let (_, ordered) = rig.deploy("r1", config("c1", vec![]), running);
    let destroy = ask(SupervisorRequest::Destroy {
        reqid: order_id(&ordered[0]),
        node: "of-a-former-life".into(),
    });
    assert_eq!(ordered, [destroy, deployed("r1", vec![ok("r1")])]);
}

#[test]
fn d42_a_node_that_would_pass_for_a_management_process_is_refused() {
    let mut rig = Rig::new();
    let fake = Node {
        env: [(MANAGEMENT_NODE_VARIABLE.to_owned(), "AGENT".to_owned())].into(),
        ..node("w1", ClusterRole::Worker, None)
    };
    let (_, said) = rig.deploy("r1", config("c1", vec![fake]), status([]));
    let why = "environment variable ZEEK_MANAGEMENT_NODE is reserved";
    let result = on("w1", failed("r1", why)).with_data(wrote(why));
    assert_eq!(said, [deployed("r1", vec![result])]);
}

/// Upstream's tests rely on it.
#[test]
fn d43_an_agent_that_was_restarted_creates_its_nodes_anew() {
    let mut rig = Rig::new();
    let (_, ordered) = rig.deploy("r1", one_worker("c1"), status(["w1"]));
    assert_eq!(ordered.len(), 2, "one ends, one starts: {ordered:?}");
}

/// Upstream's tests rely on it.
#[test]
fn d44_the_controller_is_listed_with_the_agents_port() {
    let mut rig = Rig::new();
    let rows = rig.rows(status([]));
    assert_eq!(rows[0].mgmt_role, Role::Controller);
    assert_eq!(rows[0].p, Some(Port::tcp(2151)));
}

#[test]
fn d45_a_process_with_an_unknown_mark_is_listed_as_any_other() {
    let mut rig = Rig::new();
    let mut node = NodeConfig::named("odd");
    node.env
        .insert(MANAGEMENT_NODE_VARIABLE.into(), "ODD".into());
    let mut running = status([]);
    running
        .nodes
        .insert("odd".into(), NodeStatus { node, pid: None });
    let rows = rig.rows(running);
    let odd = rows.iter().find(|row| row.node == "odd").unwrap();
    assert_eq!((odd.mgmt_role, odd.state), (Role::None, State::Pending));
}

#[test]
fn d46_an_agent_without_supervisor_refuses_work_and_does_not_offer_itself() {
    let mut rig = Rig::deployed();
    rig.peer_down(SUPERVISOR);
    assert_eq!(rig.peer_up(CONTROLLER, Some(2150)), []);
    let why = "agent has no connection to its supervisor";
    let said = rig.ask(deploy_request("r1", one_worker("c1")));
    assert_eq!(said, [deployed("r1", vec![failed("r1", why)])]);
}

#[test]
fn d47_a_second_deployment_ends_the_first_one() {
    let mut rig = Rig::new();
    rig.deploy("r1", one_worker("c1"), status([]));
    let said = rig.ask(deploy_request("r2", one_worker("c2")));
    let why = "superseded by a later deployment";
    assert_eq!(said[0], deployed("r1", vec![failed("r1", why)]));
}

impl Rig {
    fn answer_status(&mut self, asked: &Output, result: Status) -> Vec<Output> {
        let reqid = order_id(asked);
        self.supervisor(SupervisorResponse::Status { reqid, result })
    }

    fn answer_destroys(&mut self, orders: &[Output]) {
        for order in orders {
            let (reqid, result) = (order_id(order), true);
            let message = SupervisorResponse::Destroy { reqid, result };
            assert_eq!(self.supervisor(message), []);
        }
    }

    /// What get_nodes says if this runs.
    fn rows(&mut self, running: Status) -> Vec<crate::model::NodeStatus> {
        let reqid = "g".to_owned();
        let asked = self.ask(AgentRequest::GetNodes { reqid });
        let said = self.answer_status(&asked[0], running);
        let [Output::Respond { response }] = said.as_slice() else {
            panic!("not one answer: {said:?}");
        };
        let AgentResponse::GetNodes { result, .. } = response else {
            panic!("not a list of nodes: {response:?}");
        };
        result.data.clone().unwrap().read().unwrap()
    }

    /// These nodes, with the layout they were created with.
    fn listing<const N: usize>(&self, nodes: [&str; N]) -> Status {
        let mut status = status(nodes);
        for node in status.nodes.values_mut() {
            if node.node.directory.is_some() {
                node.node.cluster = self.agent.nodes.cluster().clone();
            }
        }
        status
    }
}

fn standby() -> AgentRequest {
    let reqid = String::new();
    AgentRequest::Standby { reqid }
}

fn one_worker(id: &str) -> Configuration {
    config(id, vec![node("w1", ClusterRole::Worker, None)])
}

fn deployed(reqid: &str, results: Vec<ApiResult>) -> Output {
    let reqid = reqid.to_owned();
    respond(AgentResponse::Deploy { reqid, results })
}

fn wrote(stderr: &str) -> Data {
    Data::Vector(["", stderr].map(Data::string).into())
}
