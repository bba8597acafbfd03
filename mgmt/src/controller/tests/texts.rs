//! Every error text of API §4.8 and §7.1, as the controller answers it.

use super::*;
use crate::settings::AutoAssign;

/// The failed results of the only answer, each as its node, if it is about one, and its text.
fn failures(rig: &mut Rig) -> Vec<String> {
    let lines = rig.lines();
    let answers: Vec<&String> = lines.iter().filter(|l| !l.contains(" <- ")).collect();
    let [answer] = &answers[..] else {
        panic!("{lines:?}")
    };
    let (_, results) = answer.split_once(": ").unwrap();
    let failed = results
        .split("; ")
        .filter_map(|r| r.strip_prefix("failed "));
    failed.map(str::to_owned).collect()
}

fn staged(change: impl FnOnce(&mut Configuration)) -> Vec<String> {
    let mut rig = Rig::new();
    let mut bad = config("bad", &["i"], &[]);
    change(&mut bad);
    let reqid = "s".into();
    rig.request(ControllerRequest::StageConfiguration { reqid, config: bad });
    failures(&mut rig)
}

fn with_port(instance: &str, name: &str, port: u16) -> Node {
    Node {
        p: Some(Port::tcp(port)),
        ..Node::new(instance, name, ClusterRole::Manager)
    }
}

#[test]
fn texts_of_the_controller_are_those_of_stock() {
    let get_config = |deployed| ControllerRequest::GetConfiguration {
        reqid: "r".into(),
        deployed,
    };
    let value = |nodes: &[&str]| ControllerRequest::GetIdValue {
        reqid: "r".into(),
        id: "x".into(),
        nodes: names(nodes),
    };
    let restart = |nodes: &[&str]| ControllerRequest::Restart {
        reqid: "r".into(),
        nodes: names(nodes),
    };
    for (request, text) in [
        (deploy("r"), "(no configuration available to deploy)"),
        (get_config(false), "(no staged configuration available)"),
        (get_config(true), "(no deployed configuration available)"),
        (get_nodes("r"), "(no instances connected)"),
        (restart(&[]), "(no instances connected)"),
        (value(&[]), "(no cluster deployed)"),
        (value(&["w"]), "(no cluster deployed)"),
    ] {
        let mut rig = Rig::new();
        rig.request(request);
        assert_eq!(failures(&mut rig), [text]);
    }
    let mut rig = Rig::new();
    rig.join("a");
    rig.request(restart(&[]));
    assert_eq!(failures(&mut rig), ["(no active cluster deployment)"]);
    let mut rig = Rig::deployed(&["a"]);
    for request in [value(&["x"]), restart(&["x"])] {
        rig.request(request);
        assert_eq!(failures(&mut rig), ["/x (unknown cluster node)"]);
    }
    rig.stage(config("c1", &["b"], &["b"]));
    rig.request(deploy("first"));
    rig.request(deploy("r"));
    let pending = "(earlier deployment first still pending)";
    assert_eq!(failures(&mut rig), [pending]);
    let mut rig = Rig::new();
    rig.request(ControllerRequest::TestTimeout {
        reqid: "r".into(),
        with_state: true,
    });
    rig.pass(secs(10));
    assert_eq!(failures(&mut rig), ["(request timed out)"]);
}

#[test]
fn texts_of_the_validation_are_those_of_stock() {
    let worker = |instance, name| Node::new(instance, name, ClusterRole::Worker);
    assert_eq!(
        staged(|c| {
            c.instances.insert(instance("i", Some(("10.0.0.1", 2151))));
        }),
        ["(multiple instances named 'i')"]
    );
    assert_eq!(
        staged(|c| {
            c.nodes.insert(worker("i", "n"));
            c.nodes.insert(Node::new("i", "n", ClusterRole::Proxy));
        }),
        ["(multiple nodes named 'n')"]
    );
    assert_eq!(
        staged(|c| {
            c.nodes.insert(worker("i", "i"));
        }),
        ["(node and instance names collide: i)"]
    );
    assert_eq!(
        staged(|c| {
            c.nodes.insert(worker("x", "n"));
        }),
        ["(node 'n' has undeclared instance name 'x')"]
    );
    assert_eq!(
        staged(|c| {
            c.instances = BTreeSet::from([instance("i", Some(("10.0.0.1", 3000)))]);
            c.nodes.insert(with_port("i", "n", 3000));
        }),
        ["(node 'n' port 3000/tcp conflicts with agent port on instance 'i')"]
    );
    assert_eq!(
        staged(|c| {
            c.nodes.insert(with_port("i", "n", 2150));
        }),
        ["(node 'n' port 2150/tcp conflicts with controller port)"]
    );
    assert_eq!(
        staged(|c| {
            c.nodes.insert(with_port("i", "m", 5000));
            c.nodes.insert(with_port("i", "n", 5000));
        }),
        ["(multiple nodes on instance 'i' using port 5000/tcp)"]
    );
    let mut rig = Rig::with(|settings| settings.broker_ports = AutoAssign::Off);
    let mut bad = config("bad", &["i"], &[]);
    bad.nodes.insert(Node::new("i", "m", ClusterRole::Manager));
    bad.nodes.insert(Node::new("i", "l", ClusterRole::Logger));
    let reqid = "s".into();
    rig.request(ControllerRequest::StageConfiguration { reqid, config: bad });
    assert_eq!(
        failures(&mut rig),
        ["(Broker port auto-assignment disabled but nodes l, m lack ports)"]
    );
    let mut good = config("good", &["i"], &[]);
    good.nodes.insert(with_port("i", "m", 5000));
    rig.stage(good.clone());
    let staged = rig.configuration(false).unwrap();
    assert_eq!(staged.nodes, good.nodes, "no port is added");
}
