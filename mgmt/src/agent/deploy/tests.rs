mod failures;
mod kept;

use broker_proto::{Address, Port};
use supervisor::api::{Cluster, ClusterEndpoint, SupervisorResponse};

use super::super::Output;
use super::super::tests::*;
use super::*;
use crate::api::agent::AgentRequest;
use crate::model::ClusterRole;
use crate::settings::{AgentSettings, Deploying};

#[test]
fn a_deployment_creates_its_nodes_and_is_answered_when_all_said_hello() {
    let mut rig = Rig::new();
    let id = rig.id();
    let asked = rig.ask(deploy_request("LAkfotfEcrf", recorded()));
    assert_eq!(asked, [ask_status(id.clone())]);
    let ordered = rig.supervisor(SupervisorResponse::Status {
        reqid: id,
        result: status([]),
    });
    let ids: Vec<_> = ordered.iter().map(order_id).collect();
    let creates = ids.iter().zip(recorded_creates());
    let creates = creates.map(|(id, node)| {
        ask(SupervisorRequest::Create {
            reqid: id.clone(),
            node,
        })
    });
    assert_eq!(ordered, Vec::from_iter(creates));
    for (i, name) in (10..).zip(["logger-01", "manager", "worker-01", "proxy-01"]) {
        rig.started(name);
        assert_eq!(rig.node_hello(name, peer(i)), []);
    }
    rig.started("worker-02");
    assert_eq!(
        rig.node_hello("worker-02", peer(14)),
        [deployed("LAkfotfEcrf", all_ok("LAkfotfEcrf"))]
    );
    assert_eq!(rig.agent.poll_timeout(), None);
}

#[test]
fn nodes_of_other_instances_are_in_the_cluster_but_not_created() {
    let mut rig = Rig::with(AgentSettings {
        node_env: vec![
            ("ZEEK_AGENT_PORT".into(), "2152/tcp".into()),
            ("FOO".into(), "agent".into()),
        ],
        ..settings()
    });
    let mut config = config(
        "c1",
        vec![
            Node {
                env: [("FOO".into(), "node".into())].into(),
                ..node("w1", ClusterRole::Worker, None)
            },
            Node {
                instance: "instance-2".into(),
                ..node("manager", ClusterRole::Manager, Some(2200))
            },
        ],
    );
    config.instances.insert(crate::model::Instance {
        name: "instance-2".into(),
        host: Address::UNSPECIFIED,
        listen_port: None,
    });
    let (_, ordered) = rig.deploy("r1", config, status([]));
    let [Output::ToSupervisor { request }] = ordered.as_slice() else {
        panic!("not one order: {ordered:?}");
    };
    let SupervisorRequest::Create { node, .. } = request else {
        panic!("not a create request: {request:?}");
    };
    assert_eq!(node.name, "w1");
    assert_eq!(
        node.env,
        [
            ("FOO".to_owned(), "node".to_owned()),
            ("ZEEK_AGENT_PORT".to_owned(), "2152/tcp".to_owned())
        ]
        .into()
    );
    let manager = member(ClusterRole::Manager, Port::tcp(2200));
    let manager = ClusterEndpoint {
        host: Address::UNSPECIFIED,
        ..manager
    };
    let worker = member(ClusterRole::Worker, Port::NONE);
    let want = [("manager".to_owned(), manager), ("w1".to_owned(), worker)];
    assert_eq!(node.cluster, want.into());
}

#[test]
fn a_deployment_ends_its_agents_former_nodes_before_it_starts_others() {
    let mut rig = Rig::new();
    let config = config("c1", vec![node("w1", ClusterRole::Worker, None)]);
    let mut running = status(["stray", "w1"]);
    let foreign = NodeConfig {
        directory: Some("/home/somebody/nodes/foreign".into()),
        ..NodeConfig::named("foreign")
    };
    for node in [foreign, NodeConfig::named("nowhere")] {
        let pid = Some(7);
        let name = node.name.clone();
        running
            .nodes
            .insert(name, supervisor::api::NodeStatus { node, pid });
    }
    let (_, ordered) = rig.deploy("r1", config, running);
    let [stray, old, new] = ordered.as_slice() else {
        panic!("not three orders: {ordered:?}");
    };
    assert_eq!(*stray, destroy(stray, "stray"));
    assert_eq!(*old, destroy(old, "w1"));
    assert!(matches!(
        new,
        Output::ToSupervisor {
            request: SupervisorRequest::Create { .. }
        }
    ));
    for order in [stray, old] {
        let reqid = order_id(order);
        let message = SupervisorResponse::Destroy {
            reqid,
            result: true,
        };
        assert_eq!(rig.supervisor(message), []);
    }
}

#[test]
fn an_empty_deployment_is_answered_once() {
    let mut rig = Rig::deployed();
    let (asked, ordered) = rig.deploy("ukCqoRuHT96", config("c2", vec![]), status(NAMES));
    assert_eq!(asked.len(), 1);
    let (answer, destroys) = ordered.split_last().unwrap();
    let want = Vec::from_iter(destroys.iter().zip(NAMES).map(|(o, name)| destroy(o, name)));
    assert_eq!(destroys, want);
    assert_eq!(*answer, deployed("ukCqoRuHT96", vec![ok("ukCqoRuHT96")]));
    assert_eq!(rig.pass(secs(5)), []);
    assert_eq!(rig.agent.poll_timeout(), None);
}

#[test]
fn an_instance_without_nodes_is_done_when_the_old_ones_are_ordered_to_end() {
    let mut rig = Rig::new();
    let elsewhere = Node {
        instance: "instance-2".into(),
        ..node("manager", ClusterRole::Manager, None)
    };
    let (_, ordered) = rig.deploy("r1", config("c1", vec![elsewhere]), status([]));
    assert_eq!(ordered, [deployed("r1", vec![ok("r1")])]);
}

#[test]
fn a_configuration_that_runs_is_left_alone_unless_forced() {
    let mut rig = Rig::deployed();
    assert_eq!(
        rig.ask(deploy_request("r1", recorded())),
        [deployed("r1", vec![ok("r1")])]
    );
    let id = rig.id();
    let forced = AgentRequest::Deploy {
        reqid: "r2".into(),
        config: recorded(),
        force: true,
    };
    assert_eq!(rig.ask(forced), [ask_status(id)]);
}

#[test]
fn a_configuration_with_a_node_that_does_not_run_is_deployed_anew() {
    let mut rig = Rig::deployed();
    rig.started("manager");
    let id = rig.id();
    let asked = rig.ask(deploy_request("r1", recorded()));
    assert_eq!(asked, [ask_status(id)]);
}

#[test]
fn a_later_deployment_takes_an_earlier_ones_place() {
    let mut rig = Rig::new();
    let w1 = || node("w1", ClusterRole::Worker, None);
    let (_, first) = rig.deploy("r1", config("c1", vec![w1()]), status([]));
    rig.now += secs(1);
    let id = rig.id();
    let asked = rig.ask(deploy_request("r2", config("c2", vec![w1()])));
    let why = "superseded by a later deployment";
    let superseded = deployed("r1", vec![failed("r1", why)]);
    assert_eq!(asked, [superseded, ask_status(id.clone())]);
    let result = status(["w1"]);
    rig.supervisor(SupervisorResponse::Status { reqid: id, result });
    // The first one's order failing late is news, but not about the second one.
    assert_eq!(
        created(&mut rig, &order_id(&first[0]), "no"),
        [error("w1", "failed to create node w1: no")]
    );
    assert_eq!(rig.pass(secs(4)), []);
    rig.started("w1");
    rig.pass(SETTLING);
    assert_eq!(
        rig.node_hello("w1", peer(10)),
        [deployed("r2", vec![on("w1", ok("r2"))])]
    );
}

#[test]
fn a_status_asked_for_an_earlier_deployment_starts_nothing() {
    let mut rig = Rig::new();
    let first = rig.id();
    rig.ask(deploy_request("r1", recorded()));
    rig.ask(deploy_request("r2", recorded()));
    let stale = SupervisorResponse::Status {
        reqid: first,
        result: status([]),
    };
    assert_eq!(rig.supervisor(stale), []);
}

/// An agent that is killed before that is told again by the controller, which must not take it for
/// one that stands by.
#[test]
fn standby_is_answered_once_when_the_end_of_the_nodes_is_ordered() {
    let mut rig = Rig::deployed();
    let id = rig.id();
    assert_eq!(rig.ask(standby_request()), [ask_status(id.clone())]);
    assert_eq!(rig.pass(secs(60)), []);
    let mut ordered = rig.supervisor(SupervisorResponse::Status {
        reqid: id,
        result: status(NAMES),
    });
    assert_eq!(ordered.pop(), Some(stands_by(ok(""))));
    let want = ordered.iter().zip(NAMES).map(|(o, name)| destroy(o, name));
    assert_eq!(ordered, Vec::from_iter(want));
    assert_eq!(rig.pass(secs(10)), []);
    assert_eq!(rig.agent.poll_timeout(), None);
    assert!(rig.agent.nodes.iter().next().is_none());
}

#[test]
fn a_standby_that_comes_to_nothing_is_not_said_to_have_come_to_be() {
    let mut rig = Rig::deployed();
    rig.ask(standby_request());
    let again = rig.ask(standby_request());
    let why = "superseded by a standby request";
    assert_eq!(again[0], stands_by(failed("", why)));
    let (asked, _) = rig.deploy("r2", recorded(), status(NAMES));
    let why = "superseded by a later deployment";
    assert_eq!(asked[0], stands_by(failed("", why)));
}

#[test]
fn standby_takes_an_open_deployments_place_and_the_next_deployment_is_not_disturbed() {
    let mut rig = Rig::new();
    rig.deploy("r1", recorded(), status([]));
    let outputs = rig.ask(standby_request());
    let why = "superseded by a standby request";
    assert_eq!(outputs[0], deployed("r1", vec![failed("r1", why)]));
    rig.now += secs(4);
    rig.deploy("r2", recorded(), status(NAMES));
    assert_eq!(rig.pass(secs(3)), []);
    for name in NAMES {
        rig.started(name);
    }
    rig.pass(SETTLING);
    for (i, name) in (10..).zip(["logger-01", "manager", "worker-01", "proxy-01"]) {
        assert_eq!(rig.node_hello(name, peer(i)), []);
    }
    let last = rig.node_hello("worker-02", peer(14));
    assert_eq!(last, [deployed("r2", all_ok("r2"))]);
}

#[test]
fn standby_is_carried_out_when_the_supervisor_comes_back() {
    let mut rig = Rig::deployed();
    rig.peer_down(SUPERVISOR);
    let id = rig.id();
    rig.ask(standby_request());
    assert_eq!(rig.pass(secs(60)), []);
    let outputs = rig.peer_up(SUPERVISOR, Some(9999));
    assert_eq!(outputs[0], ask_status(id.clone()));
    let ordered = rig.supervisor(SupervisorResponse::Status {
        reqid: id,
        result: status(NAMES),
    });
    assert_eq!(ordered.len(), 6);
    assert_eq!(ordered.last(), Some(&stands_by(ok(""))));
}

/// Orders on their way are lost with a link, and the supervisor stays.
#[test]
fn what_was_to_end_is_ended_when_its_supervisor_returns_with_it() {
    let mut rig = Rig::deployed();
    let id = rig.id();
    rig.ask(standby_request());
    let result = status(NAMES);
    rig.supervisor(SupervisorResponse::Status { reqid: id, result });
    let left = status(["proxy-01", "stray", "worker-01"]);
    let ordered = after_return(&mut rig, left);
    let want = ordered.iter().zip(["proxy-01", "worker-01"]);
    let want: Vec<_> = want.map(|(o, name)| destroy(o, name)).collect();
    assert_eq!((ordered.len(), ordered), (2, want));
    assert_eq!(after_return(&mut rig, status(["stray"])), []);
}

#[test]
fn a_name_that_is_wanted_again_is_not_ended_when_its_supervisor_returns() {
    let mut rig = Rig::deployed();
    let nodes = vec![node("worker-01", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status(NAMES));
    rig.started("worker-01");
    rig.node_hello("worker-01", peer(20));
    let ordered = after_return(&mut rig, status(["manager", "worker-01"]));
    let [order] = ordered.as_slice() else {
        panic!("not one order: {ordered:?}");
    };
    assert_eq!(*order, destroy(order, "manager"));
}

#[test]
fn an_order_that_its_supervisor_has_not_heard_is_repeated() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status([]));
    let ordered = after_return(&mut rig, status([]));
    assert_eq!(created_nodes(&ordered), ["w1"]);
    rig.started("w1");
    let done = deployed("r1", vec![on("w1", ok("r1"))]);
    assert_eq!(rig.node_hello("w1", peer(10)), [done]);
    assert_eq!(rig.agent.poll_timeout(), None);
}

#[test]
fn only_the_orders_that_its_supervisor_has_not_heard_are_repeated() {
    let mut rig = Rig::new();
    let nodes = ["w1", "w2"].map(|name| node(name, ClusterRole::Worker, None));
    let (_, orders) = rig.deploy("r1", config("c1", nodes.into()), status([]));
    assert_eq!(created_nodes(&orders), ["w1", "w2"]);
    let mut listed = status(["w2"]);
    listed.nodes.get_mut("w2").unwrap().pid = None;
    let ordered = after_return(&mut rig, listed);
    assert_eq!(created_nodes(&ordered), ["w1"]);
    rig.started("w1");
    assert_eq!(rig.node_hello("w1", peer(10)), []);
    let said = created(&mut rig, &order_id(&orders[1]), "no memory");
    let [
        _,
        Output::Respond {
            response: AgentResponse::Deploy { results, .. },
        },
    ] = said.as_slice()
    else {
        panic!("no answer: {said:?}");
    };
    let errors: Vec<_> = results.iter().map(|it| it.error.as_deref()).collect();
    assert_eq!(errors, [None, Some("no memory")]);
}

#[test]
fn an_order_is_repeated_with_the_end_of_the_node_that_has_its_name_still() {
    let mut rig = Rig::new();
    let nodes = vec![node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes), status(["w1"]));
    let ordered = after_return(&mut rig, status(["w1"]));
    let [end, create] = ordered.as_slice() else {
        panic!("not two orders: {ordered:?}");
    };
    assert_eq!(*end, destroy(end, "w1"));
    assert_eq!(created_nodes(std::slice::from_ref(create)), ["w1"]);
    let mut taken = status(["w1"]);
    taken.nodes.get_mut("w1").unwrap().pid = None;
    assert_eq!(after_return(&mut rig, taken), []);
}

#[test]
fn a_name_that_is_configured_twice_is_created_once() {
    let mut rig = Rig::new();
    let nodes = vec![
        node("same", ClusterRole::Worker, None),
        node("same", ClusterRole::Logger, Some(2201)),
    ];
    let (_, ordered) = rig.deploy("r1", config("c1", nodes), status([]));
    assert_eq!(ordered.len(), 1);
    rig.started("same");
    assert_eq!(
        rig.node_hello("same", peer(10)),
        [deployed("r1", vec![on("same", ok("r1"))])]
    );
}

/// The link to the supervisor is lost and made again, and it lists this.
fn after_return(rig: &mut Rig, left: Status) -> Vec<Output> {
    rig.peer_down(SUPERVISOR);
    let asked = rig.peer_up(SUPERVISOR, Some(9999));
    rig.supervisor(SupervisorResponse::Status {
        reqid: order_id(&asked[0]),
        result: left,
    })
}

fn standby_request() -> AgentRequest {
    AgentRequest::Standby {
        reqid: String::new(),
    }
}

fn stands_by(result: ApiResult) -> Output {
    let reqid = String::new();
    respond(AgentResponse::Standby { reqid, result })
}

fn created(rig: &mut Rig, id: &str, result: &str) -> Vec<Output> {
    rig.supervisor(SupervisorResponse::Create {
        reqid: id.into(),
        result: result.into(),
    })
}

fn deployed(reqid: &str, results: Vec<ApiResult>) -> Output {
    respond(AgentResponse::Deploy {
        reqid: reqid.into(),
        results,
    })
}

fn all_ok(reqid: &str) -> Vec<ApiResult> {
    NAMES.map(|node| on(node, ok(reqid))).into()
}

/// The destroy request that this output should be, whatever its id.
fn destroy(output: &Output, node: &str) -> Output {
    ask(SupervisorRequest::Destroy {
        reqid: order_id(output),
        node: node.into(),
    })
}

fn outputs(stderr: &str) -> broker_proto::Data {
    let outputs = ["", stderr].map(broker_proto::Data::string);
    broker_proto::Data::Vector(outputs.into())
}

fn member(role: ClusterRole, p: Port) -> ClusterEndpoint {
    ClusterEndpoint {
        role,
        host: localhost(),
        p,
        interface: None,
        pcap_file: None,
        metrics_port: None,
    }
}

/// What the recorded agent had its supervisor create, in this agent's order.
fn recorded_creates() -> Vec<NodeConfig> {
    let [logger, manager, proxy, worker, other] = NAMES.map(String::from);
    let cluster = Cluster::from([
        (logger, member(ClusterRole::Logger, Port::tcp(2201))),
        (manager, member(ClusterRole::Manager, Port::tcp(2200))),
        (proxy, member(ClusterRole::Proxy, Port::tcp(1234))),
        (
            worker,
            ClusterEndpoint {
                interface: Some("lo".into()),
                ..member(ClusterRole::Worker, Port::NONE)
            },
        ),
        (
            other,
            ClusterEndpoint {
                interface: Some("eth0".into()),
                metrics_port: Some(Port::tcp(9123)),
                ..member(ClusterRole::Worker, Port::NONE)
            },
        ),
    ]);
    let plain = |name: &str| NodeConfig {
        directory: Some(format!("/usr/local/zeek/var/lib/nodes/{name}")),
        addl_user_scripts: vec!["policy/frameworks/management/node".into()],
        cluster: cluster.clone(),
        ..NodeConfig::named(name)
    };
    let worker = NodeConfig {
        interface: Some("lo".into()),
        addl_user_scripts: vec![
            "policy/tuning/json-logs".into(),
            "policy/frameworks/management/node".into(),
        ],
        env: [("FOO".into(), "BAR".into())].into(),
        cpu_affinity: Some(0),
        ..plain("worker-01")
    };
    let other = NodeConfig {
        interface: Some("eth0".into()),
        ..plain("worker-02")
    };
    let [logger, manager, proxy] = ["logger-01", "manager", "proxy-01"].map(plain);
    vec![logger, manager, proxy, worker, other]
}
