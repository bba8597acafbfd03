//! The stock zeek-client against a running `zeek-mgmt`: what it prints and how it ends, as it did
//! against Zeek 8.0.10.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use harness::command::Finished;
use harness::normal::Normal;
use harness::tree::{Options, Transport, Tree};
use harness::{folder, wait_until};
use serde_json::Value;

/// How long a restart may take until every node runs again.
const RESTART_LIMIT: Duration = Duration::from_secs(20);

/// An empty cluster, as the recorded session ended.
const EMPTY: &str = "[instances]\ninstance-1\n";

#[test]
fn a_whole_session_prints_what_it_printed_with_stock() {
    let tree = Tree::start(&Options::default()).unwrap();
    thread::scope(|scope| {
        // It takes as long as everything else together.
        scope.spawn(|| timeouts_are_answered_or_not(&tree));
        let mut session = Session::new(&tree, "a2c");
        before_a_deployment(&mut session);
        let config = session.config();
        stage_and_deploy(&mut session, &config);
        queries(&mut session);
        restarts(&mut session);
        let empty = session.write("empty.ini", EMPTY);
        session.succeeds(&["deploy-config", &empty], "deploy-empty.json");
        session.lists_only_management();
    });
    tree.stop().unwrap();
}

#[test]
fn a_controller_that_dials_its_agent_prints_what_stock_printed() {
    let waits = "Management::Agent::controller=[$address=\"0.0.0.0\", $bound_port=0/unknown]";
    let args = vec![waits.to_owned()];
    let tree = Tree::start_without_agent(&Options {
        args,
        ..Options::default()
    })
    .unwrap();
    let mut session = Session::new(&tree, "c2a");
    session.succeeds(&["get-instances"], "get-instances-before.json");
    let config = session.config();
    session.succeeds(&["deploy-config", &config], "deploy-config.json");
    session.succeeds(&["get-nodes"], "get-nodes.json");
    session.succeeds(
        &["get-config", "--deployed", "--as-json"],
        "get-config-deployed.json",
    );
    session.succeeds(&["get-instances"], "get-instances.json");
    tree.stop().unwrap();
}

#[test]
fn deployments_work_over_stocks_default_encryption() {
    let transport = Transport::AnonymousTls;
    let tree = Tree::start(&Options {
        transport,
        ..Options::default()
    })
    .unwrap();
    let mut session = Session::new(&tree, "a2c");
    session.succeeds(
        &["--set", "ssl.enable=true", "get-instances"],
        "get-instances.json",
    );
    let config = session.config();
    session.succeeds(&["deploy-config", &config], "deploy.json");
    session.succeeds(&["get-nodes"], "get-nodes.json");
    tree.stop().unwrap();
}

fn before_a_deployment(session: &mut Session<'_>) {
    session.succeeds(&["get-instances"], "get-instances.json");
    session.succeeds(&["get-nodes"], "get-nodes-bare.json");
    session.fails(&["get-config", "--as-json"], "get-config-none.txt");
    session.fails(
        &["get-id-value", "bits_per_uid"],
        "get-id-value-nocluster.json",
    );
    session.fails(&["restart"], "restart-nocluster.json");
}

fn stage_and_deploy(session: &mut Session<'_>, config: &str) {
    session.succeeds(&["stage-config", config], "stage-config.json");
    session.succeeds(&["get-config", "--as-json"], "get-config-staged.json");
    session.succeeds(&["get-config"], "get-config-staged.ini");
    session.succeeds(&["deploy"], "deploy.json");
    session.succeeds(&["get-nodes"], "get-nodes.json");
    session.succeeds(
        &["get-config", "--deployed", "--as-json"],
        "get-config-deployed.json",
    );
    let ini = session.run(&["get-config", "--deployed"]);
    assert_eq!(ini.code, Some(0));
    let worker = "[worker-02]\ninstance = instance-1\nrole = WORKER\ninterface = eth0\n";
    assert!(ini.stdout.contains(worker), "{}", ini.stdout);
}

fn queries(session: &mut Session<'_>) {
    session.succeeds(&["get-id-value", "bits_per_uid"], "get-id-value.json");
    let unknown = ["get-id-value", "nosuch", "manager", "worker-01"];
    session.fails(&unknown, "get-id-value-unknown.json");
    let mixed = ["get-id-value", "bits_per_uid", "manager", "nosuchnode"];
    session.fails(&mixed, "get-id-value-mixed.json");
    complex_value_is_passed_on_as_it_is(session);
}

/// The nodes here have fewer log streams than a whole Zeek; those they have are its.
fn complex_value_is_passed_on_as_it_is(session: &Session<'_>) {
    let done = session.run(&["get-id-value", "Log::active_streams", "manager"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let manager = |text: &str| {
        let json: Value = serde_json::from_str(text).unwrap();
        assert_eq!(json["errors"], serde_json::json!([]));
        json["results"]["manager"].as_object().unwrap().clone()
    };
    let ours = manager(&done.stdout);
    let recorded = manager(&session.recorded("get-id-value-complex.json"));
    assert!(!ours.is_empty());
    for (stream, value) in ours {
        assert_eq!(recorded.get(&stream), Some(&value), "{stream}");
    }
}

fn restarts(session: &mut Session<'_>) {
    let before = session.pids();
    session.succeeds(&["restart", "worker-01"], "restart-one.json");
    let one = session.pids_after_restart(&before, &["worker-01"]);
    session.succeeds(&["restart"], "restart-all.json");
    let all = ["logger-01", "manager", "proxy-01", "worker-01", "worker-02"];
    session.pids_after_restart(&one, &all);
    let unknown = session.run(&["restart", "nosuchnode"]);
    assert_eq!(unknown.code, Some(1));
    let json: Value = serde_json::from_str(&unknown.stdout).unwrap();
    let error = serde_json::json!({"error": "unknown cluster node", "source": "nosuchnode"});
    assert_eq!(json, serde_json::json!({"errors": [error], "results": {}}));
}

fn timeouts_are_answered_or_not(tree: &Tree) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut session = Session::new(tree, "a2c");
            session.succeeds(&["test-timeout", "--with-state"], "test-timeout.json");
        });
        // Without a state nothing is answered, so the client's own patience ends.
        let impatient = ["--set", "client.request_timeout_secs=2", "test-timeout"];
        let done = tree.client(&impatient).unwrap();
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
        assert!(
            done.stderr.starts_with("error: no response received"),
            "{}",
            done.stderr
        );
    });
}

/// Commands in the order of a recorded session, with one idea of which id is which.
struct Session<'a> {
    tree: &'a Tree,
    folder: &'static str,
    ours: Normal,
    stock: Normal,
}

impl<'a> Session<'a> {
    fn new(tree: &'a Tree, folder: &'static str) -> Self {
        let first = tree.ports.first_node;
        let assigned = match folder {
            "a2c" => vec![
                (first, 2200),
                (first + 1, 2201),
                (tree.ports.explicit_node, 1234),
            ],
            _ => vec![
                (tree.ports.explicit_node, 5000),
                (tree.ports.explicit_node - 1, 5001),
            ],
        };
        let mut ports: BTreeMap<u16, u16> = assigned.into_iter().collect();
        ports.insert(tree.ports.agent, 2151);
        Self {
            tree,
            folder,
            ours: Normal::with_ports(ports),
            stock: Normal::default(),
        }
    }

    /// The recorded configuration, with ports that are free here.
    fn config(&self) -> String {
        let path = folder().join(format!("transcripts/{}/cfg.ini", self.folder));
        let node = self.tree.ports.explicit_node;
        let text = fs::read_to_string(path).unwrap();
        let text = text.replace("port = 1234", &format!("port = {node}"));
        let text = text.replace("port = 5000", &format!("port = {node}"));
        let text = text.replace("port = 5001", &format!("port = {}", node - 1));
        let text = text.replace(":2151", &format!(":{}", self.tree.ports.agent));
        self.write("cfg.ini", &text)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.tree.write(name, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn recorded(&self, name: &str) -> String {
        let path = folder().join(format!("transcripts/{}/client/o.{name}", self.folder));
        fs::read_to_string(path).unwrap()
    }

    fn run(&self, args: &[&str]) -> Finished {
        self.tree.client(args).unwrap()
    }

    /// The command ends with 0 and prints what is recorded.
    fn succeeds(&mut self, args: &[&str], recorded: &str) {
        self.ends(0, args, recorded);
    }

    /// The command ends with 1 and prints what is recorded.
    fn fails(&mut self, args: &[&str], recorded: &str) {
        self.ends(1, args, recorded);
    }

    fn ends(&mut self, code: i32, args: &[&str], recorded: &str) {
        let done = self.run(args);
        let recorded = self.recorded(recorded);
        let printed = self.ours.output(&format!("{}{}", done.stdout, done.stderr));
        assert_eq!(printed, self.stock.output(&recorded), "{args:?}");
        assert_eq!(done.code, Some(code), "{args:?}");
    }

    fn nodes(&self) -> BTreeMap<String, Value> {
        let done = self.run(&["get-nodes"]);
        let json: Value = serde_json::from_str(&done.stdout).unwrap();
        let nodes = json["results"]["instance-1"].as_object().unwrap().clone();
        nodes.into_iter().collect()
    }

    fn pids(&self) -> BTreeMap<String, i64> {
        let nodes = self.nodes().into_iter();
        nodes
            .map(|(name, node)| (name, node["pid"].as_i64().unwrap_or_default()))
            .collect()
    }

    /// Waits until these nodes run as new processes; all others are the old ones.
    fn pids_after_restart(
        &self,
        before: &BTreeMap<String, i64>,
        restarted: &[&str],
    ) -> BTreeMap<String, i64> {
        let done = wait_until(RESTART_LIMIT, || {
            let nodes = self.nodes();
            let running = nodes.values().all(|node| node["state"] == "RUNNING");
            let pids = self.pids();
            let new = restarted.iter().all(|name| pids[*name] != before[*name]);
            (running && new).then_some(pids)
        });
        let pids = done.expect("restarted nodes run again");
        for (name, pid) in &pids {
            let is_new = restarted.contains(&name.as_str());
            assert_eq!(is_new, *pid != before[name], "{name}");
        }
        pids
    }

    fn lists_only_management(&self) {
        let left = wait_until(RESTART_LIMIT, || {
            let nodes: Vec<String> = self.nodes().into_keys().collect();
            (nodes == ["controller", "instance-1"]).then_some(())
        });
        left.expect("no cluster node is listed");
    }
}
