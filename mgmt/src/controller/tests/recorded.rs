//! The sessions recorded from Zeek 8.0.10 (`tests/transcripts`), from the controller's side: the same
//! inputs have the same outputs.

use super::*;
use crate::model::CpuAffinity;

/// In the order in which the agent answers.
const NODES: [&str; 5] = ["worker-01", "manager", "logger-01", "proxy-01", "worker-02"];

#[test]
fn session_in_which_the_agent_dials() {
    let mut rig = Rig::new();
    assert_eq!(rig.instances(), []);
    let id: EndpointId = "788ca4d7-e479-56df-93c9-826f7c591b63".parse().unwrap();
    let network = PeerNetwork {
        certificate: None,
        remote: "127.0.0.1:46674".parse().unwrap(),
        dialed: None,
    };
    let mut session = Session { rig: &mut rig, id };
    session.rig.input(Input::PeerUp { id, network });
    session.says(hello_as(id, true));
    let found = Instance {
        name: "instance-1".into(),
        host: "127.0.0.1".parse().unwrap(),
        listen_port: None,
    };
    assert_eq!(session.rig.instances(), [found]);

    session.expect(get_nodes("r1"), &["instance-1 <- get_nodes #1"]);
    let reqid = session.rig.id(1);
    let list = Data::Vector(vec![
        status("instance-1", "AGENT", 35, None),
        status("controller", "CONTROLLER", 34, Some(2151)),
    ]);
    let result = ApiResult::ok(&reqid).on_instance("instance-1");
    let result = result.with_data(list);
    session.says(AgentResponse::GetNodes { reqid, result });
    session.came(&["nodes r1: ok @instance-1 = 2 items"]);

    let config = cfg_ini();
    session.expect(
        get_config("r2", false),
        &["config r2: failed (no staged configuration available)"],
    );
    session.expect(
        get_value("r3", "bits_per_uid", &[]),
        &["value r3: failed (no cluster deployed)"],
    );
    session.expect(
        restart("r4", &[]),
        &["restart r4: failed (no active cluster deployment)"],
    );
    let stage = ControllerRequest::StageConfiguration {
        reqid: "r5".into(),
        config: config.clone(),
    };
    session.expect(
        stage,
        &["stage r5: ok = 6e01138a-e5e2-11f1-93bf-d6420b477af5"],
    );
    session.expect(deploy("r6"), &["instance-1 <- welcome #2"]);
    session.says(welcomed(&session.rig.id(2)));
    session.came(&["instance-1 <- deploy #3 6e01138a-e5e2-11f1-93bf-d6420b477af5"]);
    assert_eq!(session.rig.sent, Some(cfg_ini_with_ports()));
    for _ in 0..5 {
        session.says(hello_as(id, true));
    }
    session.says(deployed(&session.rig.id(3), came_up("instance-1", &NODES)));
    session.came(&[
        "deploy r6: ok @instance-1 /worker-01; ok @instance-1 /manager; \
         ok @instance-1 /logger-01; ok @instance-1 /proxy-01; ok @instance-1 /worker-02; \
         ok = 6e01138a-e5e2-11f1-93bf-d6420b477af5",
    ]);
    assert_eq!(session.rig.configuration(false), Some(config));
    assert_eq!(session.rig.configuration(true), Some(cfg_ini_with_ports()));

    session.ask_nodes();
    session.deploy_nothing();
    assert_eq!(rig.controller.poll_timeout(), None);
}

#[test]
fn session_in_which_the_controller_dials() {
    let mut rig = Rig::new();
    let id: EndpointId = "96679e97-cce5-50e4-8015-e7b9e1ee7d51".parse().unwrap();
    let mut config = cfg_ini();
    config.instances = BTreeSet::from([instance("instance-1", Some(("127.0.0.1", 2151)))]);
    rig.stage(config.clone());
    let mut session = Session { rig: &mut rig, id };
    session.expect(deploy("r1"), &["peer 127.0.0.1:2151 every 1s"]);
    let network = PeerNetwork {
        certificate: None,
        remote: "127.0.0.1:2151".parse().unwrap(),
        dialed: Some(PeerAddr {
            host: "127.0.0.1".into(),
            port: 2151,
        }),
    };
    session.rig.input(Input::PeerUp { id, network });
    session.says(hello_as(id, false));
    session.came(&["instance-1 <- welcome #1"]);
    let found = Vec::from_iter(config.instances);
    assert_eq!(session.rig.instances(), found);
    session.says(welcomed(&session.rig.id(1)));
    session.came(&["instance-1 <- deploy #2 6e01138a-e5e2-11f1-93bf-d6420b477af5"]);
}

struct Session<'a> {
    rig: &'a mut Rig,
    id: EndpointId,
}

impl Session<'_> {
    fn says(&mut self, message: AgentResponse) {
        self.rig.agent_from("instance-1", self.id, message);
    }

    fn expect(&mut self, request: ControllerRequest, lines: &[&str]) {
        self.rig.request(request);
        self.came(lines);
    }

    fn came(&mut self, lines: &[&str]) {
        assert_eq!(self.rig.lines(), lines);
    }

    /// get-id-value and restart, with and without names.
    fn ask_nodes(&mut self) {
        self.expect(
            get_value("r7", "nosuch", &["manager", "worker-01"]),
            &["instance-1 <- dispatch #4 get_id_value nosuch on [manager,worker-01]"],
        );
        let results = ["manager", "worker-01"].map(|node| {
            let result = ApiResult::failed("NEgEDQmLehi", "unknown id");
            result.on_instance("instance-1").on_node(node)
        });
        self.says(AgentResponse::NodeDispatch {
            reqid: self.rig.id(4),
            results: results.to_vec(),
        });
        self.came(&["value r7: failed @instance-1 /manager (unknown id); \
             failed @instance-1 /worker-01 (unknown id)"]);
        self.expect(
            restart("r8", &["worker-01"]),
            &["instance-1 <- restart #5 [worker-01]"],
        );
        self.says(AgentResponse::Restart {
            reqid: self.rig.id(5),
            results: came_up("instance-1", &["worker-01"]),
        });
        self.came(&["restart r8: ok @instance-1 /worker-01"]);
        self.expect(restart("r9", &[]), &["instance-1 <- restart #6 []"]);
        self.says(AgentResponse::Restart {
            reqid: self.rig.id(6),
            results: came_up("instance-1", &NODES),
        });
        self.came(&[
            "restart r9: ok @instance-1 /worker-01; ok @instance-1 /manager; \
             ok @instance-1 /logger-01; ok @instance-1 /proxy-01; ok @instance-1 /worker-02",
        ]);
    }

    /// The agent answers twice (API §12.2 D31).
    fn deploy_nothing(&mut self) {
        let mut empty = cfg_ini();
        empty.id = "empty".into();
        empty.nodes.clear();
        self.rig.stage(empty);
        self.expect(deploy("r10"), &["instance-1 <- deploy #7 empty"]);
        let reqid = self.rig.id(7);
        let first = ApiResult::ok(&reqid).on_instance("instance-1");
        self.says(deployed(&reqid, vec![first]));
        self.came(&["deploy r10: ok @instance-1; ok = empty"]);
        self.rig.pass(secs(5));
        let second = ApiResult::failed(&reqid, "request timed out");
        self.says(deployed(&reqid, vec![second.on_instance("instance-1")]));
        self.came(&[]);
    }
}

fn hello_as(id: EndpointId, connecting: bool) -> AgentResponse {
    AgentResponse::Hello {
        instance: "instance-1".into(),
        id: id.to_string(),
        connecting,
        api_version: 1,
    }
}

fn get_config(reqid: &str, deployed: bool) -> ControllerRequest {
    let reqid = reqid.into();
    ControllerRequest::GetConfiguration { reqid, deployed }
}

fn get_value(reqid: &str, id: &str, nodes: &[&str]) -> ControllerRequest {
    ControllerRequest::GetIdValue {
        reqid: reqid.into(),
        id: id.into(),
        nodes: names(nodes),
    }
}

fn restart(reqid: &str, nodes: &[&str]) -> ControllerRequest {
    ControllerRequest::Restart {
        reqid: reqid.into(),
        nodes: names(nodes),
    }
}

fn status(node: &str, role: &str, pid: i64, port: Option<u16>) -> Data {
    Data::Vector(vec![
        Data::string(node),
        Data::enum_value("Management::RUNNING"),
        Data::enum_value(format!("Management::{role}")),
        Data::enum_value("Supervisor::NONE"),
        Data::Integer(pid),
        port.map_or(Data::None, |port| Data::Port(Port::tcp(port))),
        Data::None,
    ])
}

/// `a2c/cfg.ini` as zeek-client sends it.
fn cfg_ini() -> Configuration {
    let node = |name, role| Node::new("instance-1", name, role);
    let worker_01 = Node {
        scripts: Some(vec!["policy/tuning/json-logs".into()]),
        interface: Some("lo".into()),
        cpu_affinity: Some(CpuAffinity(0)),
        env: BTreeMap::from([("FOO".into(), "BAR".into())]),
        ..node("worker-01", ClusterRole::Worker)
    };
    let worker_02 = Node {
        interface: Some("eth0".into()),
        metrics_port: Some(Port::tcp(9123)),
        ..node("worker-02", ClusterRole::Worker)
    };
    let proxy_01 = Node {
        p: Some(Port::tcp(1234)),
        ..node("proxy-01", ClusterRole::Proxy)
    };
    Configuration {
        id: "6e01138a-e5e2-11f1-93bf-d6420b477af5".into(),
        instances: BTreeSet::from([instance("instance-1", None)]),
        nodes: BTreeSet::from([
            node("manager", ClusterRole::Manager),
            node("logger-01", ClusterRole::Logger),
            proxy_01,
            worker_01,
            worker_02,
        ]),
    }
}

/// The same as stock deployed it.
fn cfg_ini_with_ports() -> Configuration {
    let mut config = cfg_ini();
    config.instances = BTreeSet::from([Instance {
        host: "127.0.0.1".parse().unwrap(),
        ..instance("instance-1", None)
    }]);
    let nodes = config.nodes.into_iter().map(|mut node| {
        let port = match node.name.as_str() {
            "manager" => Some(2200),
            "logger-01" => Some(2201),
            "proxy-01" => Some(1234),
            _ => None,
        };
        node.p = port.map(Port::tcp);
        node
    });
    config.nodes = nodes.collect();
    config
}
