//! One client's run of commands, compared with a recorded session.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use harness::client::ZeekClient;
use harness::command::Finished;
use harness::normal::Normal;
use harness::tree::Tree;
use harness::{folder, wait_until};
use serde_json::Value;

/// How long a restart may take until every node runs again.
const RESTART_LIMIT: Duration = Duration::from_secs(60);

/// Commands in the order of a recorded session, with one idea of which id is which.
pub(super) struct Session<'a> {
    tree: &'a Tree,
    client: ZeekClient,
    /// Lines of recorded outputs with this text are not printed by this client.
    lacks: Option<&'static str>,
    folder: &'static str,
    ours: Normal,
    stock: Normal,
}

impl<'a> Session<'a> {
    /// With the client that the recordings were made with.
    pub(super) fn new(tree: &'a Tree, folder: &'static str) -> Self {
        let client = ZeekClient::installed().unwrap();
        Self::of(tree, folder, client, None)
    }

    /// With another client, which never prints recorded lines that contain `lacks`.
    pub(super) fn of(
        tree: &'a Tree,
        folder: &'static str,
        client: ZeekClient,
        lacks: Option<&'static str>,
    ) -> Self {
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
            client,
            lacks,
            folder,
            ours: Normal::with_ports(ports),
            stock: Normal::default(),
        }
    }

    /// The recorded configuration, with ports that are free here.
    pub(super) fn config(&self) -> String {
        let path = folder().join(format!("transcripts/{}/cfg.ini", self.folder));
        let node = self.tree.ports.explicit_node;
        let text = fs::read_to_string(path).unwrap();
        let text = text.replace("port = 1234", &format!("port = {node}"));
        let text = text.replace("port = 5000", &format!("port = {node}"));
        let text = text.replace("port = 5001", &format!("port = {}", node - 1));
        let text = text.replace(":2151", &format!(":{}", self.tree.ports.agent));
        self.write("cfg.ini", &text)
    }

    /// A file for a command.
    pub(super) fn write(&self, name: &str, text: &str) -> String {
        let path = self.tree.write(name, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// What stock printed, as this client would.
    pub(super) fn recorded(&self, name: &str) -> String {
        let path = folder().join(format!("transcripts/{}/client/o.{name}", self.folder));
        let text = fs::read_to_string(path).unwrap();
        let Some(lacks) = self.lacks else {
            return text;
        };
        let printed = text.lines().filter(|line| !line.contains(lacks));
        printed.map(|line| format!("{line}\n")).collect()
    }

    /// What the command printed, and its exit code.
    pub(super) fn run(&self, args: &[&str]) -> Finished {
        self.client.run(self.tree.ports.websocket, args).unwrap()
    }

    /// The command ends with 0 and prints what is recorded.
    pub(super) fn succeeds(&mut self, args: &[&str], recorded: &str) {
        self.ends(0, args, recorded);
    }

    /// The command ends with 1 and prints what is recorded.
    pub(super) fn fails(&mut self, args: &[&str], recorded: &str) {
        self.ends(1, args, recorded);
    }

    fn ends(&mut self, code: i32, args: &[&str], recorded: &str) {
        let done = self.run(args);
        let recorded = self.recorded(recorded);
        let printed = self.ours.output(&format!("{}{}", done.stdout, done.stderr));
        assert_eq!(printed, self.stock.output(&recorded), "{args:?}");
        assert_eq!(done.code, Some(code), "{args:?}");
    }

    /// What get-nodes says of the instance.
    pub(super) fn nodes(&self) -> BTreeMap<String, Value> {
        let done = self.run(&["get-nodes"]);
        let json: Value = serde_json::from_str(&done.stdout).unwrap();
        let nodes = json["results"]["instance-1"].as_object().unwrap().clone();
        nodes.into_iter().collect()
    }

    /// The process ids that get-nodes lists, 0 where there is none.
    pub(super) fn pids(&self) -> BTreeMap<String, i64> {
        let nodes = self.nodes().into_iter();
        nodes
            .map(|(name, node)| (name, node["pid"].as_i64().unwrap_or_default()))
            .collect()
    }

    /// Waits until these nodes run as new processes; all others are the old ones.
    pub(super) fn pids_after_restart(
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

    /// Waits until no node of a cluster is left.
    pub(super) fn lists_only_management(&self) {
        let left = wait_until(RESTART_LIMIT, || {
            let nodes: Vec<String> = self.nodes().into_keys().collect();
            (nodes == ["controller", "instance-1"]).then_some(())
        });
        left.expect("no cluster node is listed");
    }
}
