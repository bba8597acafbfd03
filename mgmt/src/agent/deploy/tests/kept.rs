//! Nodes about which nothing changes (API §15.2).

use super::*;

#[test]
fn unchanged_nodes_run_on_if_asked_for() {
    let mut rig = keeping();
    let mut wanted = recorded();
    wanted.id = "next".into();
    let (_, ordered) = rig.deploy("r1", wanted, as_ordered());
    let all = all_ok("r1");
    assert_eq!(ordered, [deployed("r1", all)]);
    assert!(rig.agent.nodes.all_running());
    assert_eq!(rig.notices(), Vec::<String>::new());

    let current = Configuration {
        id: "next".into(),
        ..recorded()
    };
    let again = rig.ask(deploy_request("r2", current));
    assert_eq!(again, [deployed("r2", vec![ok("r2")])]);
}

#[test]
fn changed_and_dead_nodes_do_not_run_on() {
    let mut rig = keeping();
    rig.died("manager", "", 1);
    let mut nodes: Vec<Node> = recorded().nodes.into_iter().collect();
    for node in nodes.iter_mut().filter(|node| node.name == "worker-01") {
        node.env.insert("FOO".into(), "BAZ".into());
    }
    let (_, ordered) = rig.deploy("r1", config("next", nodes), as_ordered());
    let created = created_nodes(&ordered[2..]);
    assert_eq!(ordered[0], destroy(&ordered[0], "manager"));
    assert_eq!(ordered[1], destroy(&ordered[1], "worker-01"));
    assert_eq!(created, ["manager", "worker-01"]);
    for (i, name) in (20..).zip(created) {
        rig.started(name);
        rig.node_hello(name, peer(i));
    }
    assert!(rig.agent.deployment.is_none());
}

/// Every node is told of every other one when it starts.
#[test]
fn nodes_of_another_cluster_do_not_run_on() {
    let mut rig = keeping();
    let mut wanted = recorded();
    wanted.id = "next".into();
    wanted
        .nodes
        .insert(node("worker-03", ClusterRole::Worker, None));
    let (_, ordered) = rig.deploy("r1", wanted, as_ordered());
    assert_eq!(ordered.len(), 5 + 6);
}

/// An agent that keeps what is unchanged, and runs [`recorded`].
fn keeping() -> Rig {
    let mut rig = Rig::deployed();
    rig.agent.settings.deploying.unchanged = Unchanged::Keep;
    rig
}

/// What the supervisor says of [`recorded`].
fn as_ordered() -> Status {
    let mut status = status([]);
    for node in recorded_creates() {
        let pid = Some(84);
        let name = node.name.clone();
        status
            .nodes
            .insert(name, supervisor::api::NodeStatus { node, pid });
    }
    status
}
