//! Nodes that do not come up, and when that is known (API §12.1 D13, §12.2 D33 to D35).

use super::*;

#[test]
fn a_node_that_never_starts_fails_at_once_with_what_its_supervisor_told() {
    let mut rig = Rig::new();
    let nodes = [node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes.into()), status([]));
    rig.created("w1");
    let why = "cluster node w1 did not start";
    let text = "cannot run zeek: not found";
    let results = vec![
        failed("r1", why),
        on("w1", failed("r1", why)).with_data(outputs(text)),
    ];
    let said = rig.exit("w1", text, None);
    assert_eq!(said, [error("w1", why), deployed("r1", results)]);
}

/// Its supervisor tries again. The simulation found the answer that denied it.
#[test]
fn a_node_that_failed_and_came_up_before_the_answer_is_up() {
    let mut rig = Rig::new();
    let nodes = ["w1", "w2", "w3"].map(|name| node(name, ClusterRole::Worker, None));
    rig.deploy("r1", config("c1", nodes.into()), status([]));
    rig.created("w1");
    rig.exit("w1", "cannot run zeek: no memory", None);
    rig.pass(secs(3));
    rig.started("w3");
    assert_eq!(rig.pass(secs(2)), [], "w2 had its time, w3 has not");
    rig.started("w1");
    rig.node_hello("w1", peer(10));
    rig.node_hello("w2", peer(11));
    let results = ["w1", "w2", "w3"].map(|node| on(node, ok("r1")));
    assert_eq!(
        rig.node_hello("w3", peer(12)),
        [deployed("r1", results.into())]
    );
}

/// It ran under the supervisor before that one.
#[test]
fn a_node_that_came_up_and_is_refused_by_another_supervisor_before_the_answer_has_failed() {
    let mut rig = Rig::new();
    let nodes = ["w1", "w2"].map(|name| node(name, ClusterRole::Worker, None));
    rig.deploy("r1", config("c1", nodes.into()), status([]));
    rig.started("w1");
    rig.node_hello("w1", peer(10));
    rig.peer_down(SUPERVISOR);
    rig.peer_down(peer(10));
    let asked = rig.peer_up(peer(3), Some(9999));
    let again = rig.supervisor(SupervisorResponse::Status {
        reqid: order_id(&asked[0]),
        result: status([]),
    });
    assert_eq!(created_nodes(&again), ["w1", "w2"]);
    let why = "failed to create working directory";
    created(&mut rig, &order_id(&again[0]), why);
    rig.started("w2");
    let results = vec![
        on("w1", failed("r1", why)).with_data(outputs(why)),
        on("w2", ok("r1")),
    ];
    assert_eq!(rig.node_hello("w2", peer(11)), [deployed("r1", results)]);
}

#[test]
fn a_node_without_cluster_backend_fails_with_what_to_set() {
    let mut rig = Rig::new();
    let nodes = [node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes.into()), status([]));
    let text = "fatal error: Cluster::node set to 'w1', but Cluster::backend is \
                Cluster::CLUSTER_BACKEND_NONE - please select a cluster backend to use.";
    for _ in 0..2 {
        rig.started("w1");
        rig.died("w1", text, 1);
    }
    rig.started("w1");
    let said = rig.died("w1", text, 1);
    let why = "cluster node w1 died with status 1 after 0.250 s, 3 times by now; its Zeek has no \
               cluster backend; add policy/frameworks/cluster/backend/broker to the node's scripts";
    let results = vec![
        failed("r1", why),
        on("w1", failed("r1", why)).with_data(outputs(text)),
    ];
    assert_eq!(said.last(), Some(&deployed("r1", results)));
}

#[test]
fn a_node_that_dies_again_and_again_is_not_waited_for() {
    let mut rig = Rig::new();
    let nodes = ["w1", "w2"].map(|name| node(name, ClusterRole::Worker, None));
    rig.deploy("r1", config("c1", nodes.into()), status([]));
    rig.started("w2");
    rig.node_hello("w2", peer(10));
    let text = "fatal error: no such interface";
    for _ in 0..2 {
        rig.started("w1");
        assert_eq!(rig.died("w1", text, 3).len(), 1);
    }
    rig.started("w1");
    let why = "cluster node w1 died with status 3 after 0.250 s, 3 times by now";
    let results = vec![
        failed("r1", why),
        on("w1", failed("r1", why)).with_data(outputs(text)),
        on("w2", ok("r1")),
    ];
    let said = rig.died("w1", text, 3);
    assert_eq!(said, [error("w1", why), deployed("r1", results)]);
}

/// Stock's supervisor tells of no death; the starts tell.
#[test]
fn a_node_that_is_started_again_and_again_is_not_waited_for() {
    let mut rig = Rig::new();
    let nodes = [node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes.into()), status([]));
    for _ in 0..3 {
        rig.started("w1");
        rig.exit("w1", "fatal error", None);
    }
    let why = "cluster node w1 died, 3 times by now";
    let results = vec![
        failed("r1", why),
        on("w1", failed("r1", why)).with_data(outputs("fatal error")),
    ];
    assert_eq!(rig.started_again("w1"), [deployed("r1", results)]);
}

#[test]
fn nodes_that_never_say_hello_fail_at_their_deadline_with_what_they_wrote() {
    let mut rig = Rig::new();
    let nodes = ["w1", "w2", "w3"].map(|name| node(name, ClusterRole::Worker, None));
    rig.deploy("r1", config("c1", nodes.into()), status(["w2"]));
    rig.started("w2");
    rig.exit("w2", "received termination signal", None);
    rig.started("w3");
    rig.started("w3");
    rig.exit("w3", "error in ./x.zeek, line 1: syntax error", None);
    rig.started("w1");
    rig.node_hello("w1", peer(10));
    rig.pass(SETTLING);
    assert_eq!(rig.pass(millis(7999)), []);
    let silent = "cluster node w2 did not report in time";
    let dead = "cluster node w3 died";
    let wrote = outputs("error in ./x.zeek, line 1: syntax error");
    assert_eq!(
        rig.pass(millis(1)),
        [deployed(
            "r1",
            vec![
                failed("r1", "request timed out"),
                failed("r1", dead),
                on("w1", ok("r1")),
                on("w2", failed("r1", silent)).with_data(outputs(silent)),
                on("w3", failed("r1", dead)).with_data(wrote),
            ]
        )]
    );
    assert_eq!(rig.node_hello("w2", peer(11)), []);
    assert_eq!(rig.pass(secs(5)), []);
}

/// API §15.2 D13: each may take all the time there is.
#[test]
fn a_former_node_that_ends_slowly_takes_nothing_from_its_successors_hello() {
    let mut rig = Rig::new();
    let nodes = ["w1", "w2"].map(|name| node(name, ClusterRole::Worker, None));
    rig.deploy("r1", config("c1", nodes.into()), status(["w1"]));
    rig.created("w1");
    rig.started("w2");
    rig.node_hello("w2", peer(10));
    assert_eq!(rig.pass(secs(5)), []);
    rig.started("w1");
    assert_eq!(rig.pass(secs(3)), []);
    let all = vec![on("w1", ok("r1")), on("w2", ok("r1"))];
    assert_eq!(rig.node_hello("w1", peer(11)), [deployed("r1", all)]);
}

#[test]
fn a_node_whose_former_self_does_not_end_fails_when_controllers_have_no_more_time() {
    let mut rig = Rig::new();
    let nodes = [node("w1", ClusterRole::Worker, None)];
    rig.deploy("r1", config("c1", nodes.into()), status(["w1"]));
    rig.created("w1");
    assert_eq!(rig.pass(millis(8499)), []);
    let why = "cluster node w1 was not started in time";
    let results = vec![
        failed("r1", "request timed out"),
        on("w1", failed("r1", why)).with_data(outputs(why)),
    ];
    assert_eq!(rig.pass(millis(1)), [deployed("r1", results)]);
}

#[test]
fn roles_start_one_after_the_other_if_asked_for() {
    let mut rig = Rig::with(AgentSettings {
        deploying: Deploying {
            start: StartOrder::RoleByRole,
            ..Deploying::default()
        },
        ..settings()
    });
    let (_, ordered) = rig.deploy("r1", recorded(), status([]));
    assert_eq!(created_nodes(&ordered), ["logger-01"]);
    rig.started("logger-01");
    let next = rig.node_hello("logger-01", peer(10));
    assert_eq!(created_nodes(&next), ["manager"]);
    rig.started("manager");
    let next = rig.pass(secs(5));
    assert_eq!(
        created_nodes(&next),
        ["proxy-01"],
        "who fails holds up nobody"
    );
    let last = rig.pass(secs(5));
    assert_eq!(created_nodes(&last[..2]), ["worker-01", "worker-02"]);
    let why = |node: &str, why: &str| {
        let why = format!("cluster node {node} {why}");
        on(node, failed("r1", &why)).with_data(outputs(&why))
    };
    let results = vec![
        failed("r1", "request timed out"),
        on("logger-01", ok("r1")),
        why("manager", "did not report in time"),
        why("proxy-01", "was not started in time"),
        why("worker-01", "had no time to start"),
        why("worker-02", "had no time to start"),
    ];
    assert_eq!(last[2..], [deployed("r1", results)]);
}

#[test]
fn names_that_leave_the_state_directory_and_nodes_without_role_are_refused() {
    let mut rig = Rig::new();
    let nodes = vec![
        node("../../etc", ClusterRole::Worker, None),
        node("idle", ClusterRole::None, None),
    ];
    let (_, ordered) = rig.deploy("r1", config("c1", nodes), status([]));
    let refused = |name: &str, why: &str| on(name, failed("r1", why)).with_data(outputs(why));
    let results = vec![
        refused("idle", "node 'idle' has no role"),
        refused(
            "../../etc",
            "node name '../../etc' leaves the state directory",
        ),
    ];
    assert_eq!(ordered, [deployed("r1", results)]);
}

#[test]
fn a_supervisor_that_does_not_say_what_runs_fails_the_deployment() {
    let mut rig = Rig::new();
    let id = rig.id();
    rig.ask(deploy_request("r1", recorded()));
    let why = "the supervisor did not say what it runs; that of Zeek 8.1 or later has to load \
               policy/frameworks/cluster/backend/broker";
    let results = ["request timed out", why].map(|why| failed("r1", why));
    let want = deployed("r1", results.into());
    assert_eq!(rig.pass(secs(5)), [want]);
    let late = SupervisorResponse::Status {
        reqid: id,
        result: status(NAMES),
    };
    assert_eq!(rig.supervisor(late), []);
}

#[test]
fn without_supervisor_a_deployment_fails_at_once() {
    let mut rig = Rig::new();
    rig.peer_down(SUPERVISOR);
    let why = "agent has no connection to its supervisor";
    assert_eq!(
        rig.ask(deploy_request("r1", recorded())),
        [deployed("r1", vec![failed("r1", why)])]
    );
}

#[test]
fn a_node_that_cannot_be_created_fails_its_deployment_without_waiting() {
    let mut rig = Rig::new();
    let nodes = ["w1", "w2"].map(|name| node(name, ClusterRole::Worker, None));
    let (_, ordered) = rig.deploy("r1", config("c1", nodes.into()), status([]));
    rig.started("w2");
    rig.node_hello("w2", peer(10));
    let why = "node with name 'w1' already exists";
    let result = on("w1", failed("r1", why)).with_data(outputs(why));
    assert_eq!(
        created(&mut rig, &order_id(&ordered[0]), why),
        [
            error("w1", &format!("failed to create node w1: {why}")),
            deployed("r1", vec![result, on("w2", ok("r1"))]),
        ]
    );
    assert_eq!(rig.state("w1"), State::Failed);
    assert_eq!(rig.pass(secs(5)), []);
}

#[test]
fn a_node_that_would_pass_for_a_management_process_is_refused() {
    let mut rig = Rig::new();
    let fake = Node {
        env: [(MANAGEMENT_NODE_VARIABLE.to_owned(), String::new())].into(),
        ..node("w1", ClusterRole::Worker, None)
    };
    let (_, ordered) = rig.deploy("r1", config("c1", vec![fake]), status([]));
    let why = "environment variable ZEEK_MANAGEMENT_NODE is reserved";
    let result = on("w1", failed("r1", why)).with_data(outputs(why));
    assert_eq!(ordered, [deployed("r1", vec![result])]);
}
