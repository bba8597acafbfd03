//! Every error text of the controller (API §4.8, §7.1), word for word as a client shows it, and the
//! exit code that goes with it.

use std::collections::BTreeSet;
use std::fs;

use broker_proto::{Address, Port, Protocol};
use harness::folder;
use harness::tree::{Options, Tree};
use harness::websocket::WebSocket;
use mgmt::api::CONTROLLER_SCRIPT;
use mgmt::api::controller::{ControllerRequest, ControllerResponse};
use mgmt::model::{Configuration, Instance, Node, State};
use serde_json::{Value, json};
use supervisor::api::ClusterRole;

/// One way to one row of the two lists.
struct Case {
    /// The text as the specification has it, `%s` where it names something.
    row: &'static str,
    /// What asks for it.
    ask: Ask,
    /// What has to be shown, and nothing else.
    text: &'static str,
    /// With which exit code.
    code: i32,
}

/// How a request comes about. `{agent}` and `{controller}` in files stand for ports of the tree.
enum Ask {
    /// These arguments.
    Client(&'static [&'static str]),
    /// `stage-config` with this file.
    Stage(&'static str),
    /// A configuration that no file can say, staged over a connection of our own.
    Raw(fn() -> Configuration),
    /// `deploy` while the deployment `first` waits for an agent that never comes.
    DeployTwice,
}

/// In the order in which one controller is asked. It has no agent and assigns no ports.
const ALONE: [Case; 15] = [
    Case {
        row: "no configuration available to deploy",
        ask: Ask::Client(&["deploy"]),
        text: "no configuration available to deploy",
        code: 1,
    },
    Case {
        row: "no staged configuration available",
        ask: Ask::Client(&["get-config"]),
        text: "no staged configuration available",
        code: 1,
    },
    Case {
        row: "no deployed configuration available",
        ask: Ask::Client(&["get-config", "--deployed"]),
        text: "no deployed configuration available",
        code: 1,
    },
    Case {
        row: "no instances connected",
        ask: Ask::Client(&["get-nodes"]),
        text: "no instances connected",
        code: 1,
    },
    Case {
        row: "no instances connected",
        ask: Ask::Client(&["restart"]),
        text: "no instances connected",
        code: 1,
    },
    Case {
        row: "multiple instances named '%s'",
        ask: Ask::Raw(instances_of_one_name),
        text: "multiple instances named 'instance-1'",
        code: 1,
    },
    Case {
        row: "multiple nodes named '%s'",
        ask: Ask::Raw(nodes_of_one_name),
        text: "multiple nodes named 'worker'",
        code: 1,
    },
    Case {
        row: "node and instance names collide: %s",
        ask: Ask::Stage(
            "[instances]\ninstance-2\ninstance-1\n\
             [instance-1]\ninstance = instance-1\nrole = worker\n\
             [instance-2]\ninstance = instance-2\nrole = worker\n",
        ),
        text: "node and instance names collide: instance-1, instance-2",
        code: 1,
    },
    Case {
        row: "node '%s' has undeclared instance name '%s'",
        ask: Ask::Stage(
            "[instances]\ninstance-1\n[worker]\ninstance = instance-2\nrole = worker\n",
        ),
        text: "node 'worker' has undeclared instance name 'instance-2'",
        code: 1,
    },
    Case {
        row: "node '%s' port %s conflicts with agent port on instance '%s'",
        ask: Ask::Stage(
            "[instances]\ninstance-1 = 127.0.0.1:{agent}\n\
             [manager]\ninstance = instance-1\nrole = manager\nport = {agent}\n",
        ),
        text: "node 'manager' port {agent}/tcp conflicts with agent port on instance 'instance-1'",
        code: 1,
    },
    Case {
        row: "node '%s' port %s conflicts with controller port",
        ask: Ask::Stage(
            "[instances]\ninstance-1\n\
             [manager]\ninstance = instance-1\nrole = manager\nport = {controller}\n",
        ),
        text: "node 'manager' port {controller}/tcp conflicts with controller port",
        code: 1,
    },
    Case {
        row: "multiple nodes on instance '%s' using port %s",
        ask: Ask::Stage(
            "[instances]\ninstance-1\n\
             [manager]\ninstance = instance-1\nrole = manager\nport = 5000\n\
             [logger]\ninstance = instance-1\nrole = logger\nport = 5000\n",
        ),
        text: "multiple nodes on instance 'instance-1' using port 5000/tcp",
        code: 1,
    },
    Case {
        row: "Broker port auto-assignment disabled but nodes %s lack ports",
        ask: Ask::Stage(
            "[instances]\ninstance-1\n\
             [manager]\ninstance = instance-1\nrole = manager\n\
             [logger]\ninstance = instance-1\nrole = logger\n\
             [worker]\ninstance = instance-1\nrole = worker\n",
        ),
        text: "Broker port auto-assignment disabled but nodes logger, manager lack ports",
        code: 1,
    },
    Case {
        row: "earlier deployment %s still pending",
        ask: Ask::DeployTwice,
        text: "earlier deployment first still pending",
        code: 1,
    },
    Case {
        row: "request timed out",
        ask: Ask::Client(&["test-timeout", "--with-state"]),
        text: "request timed out",
        // It did what it was asked for (CLIENT §C7).
        code: 0,
    },
];

/// In the order in which a controller is asked whose agent is there.
const WITH_AN_AGENT: [Case; 5] = [
    Case {
        row: "no cluster deployed",
        ask: Ask::Client(&["get-id-value", "bits_per_uid"]),
        text: "no cluster deployed",
        code: 1,
    },
    Case {
        row: "no active cluster deployment",
        ask: Ask::Client(&["restart"]),
        text: "no active cluster deployment",
        code: 1,
    },
    Case {
        row: "no deployed configuration available",
        ask: Ask::Client(&["get-config", "--deployed", "--as-json"]),
        text: "no deployed configuration available",
        code: 1,
    },
    Case {
        row: "unknown cluster node",
        ask: Ask::Client(&["get-id-value", "bits_per_uid", "nosuchnode"]),
        text: "unknown cluster node",
        code: 1,
    },
    Case {
        row: "unknown cluster node",
        ask: Ask::Client(&["restart", "nosuchnode"]),
        text: "unknown cluster node",
        code: 1,
    },
];

/// How many of [`WITH_AN_AGENT`] come before the deployment.
const BEFORE_DEPLOYMENT: usize = 3;

#[test]
fn a_controller_without_agents_says_what_is_wrong_in_stocks_words() {
    let args = vec![
        CONTROLLER_SCRIPT.to_owned(),
        "Management::Controller::auto_assign_broker_ports=F".to_owned(),
    ];
    let flags = ["--limit", "message_bytes=65536"].map(str::to_owned);
    let tree = Tree::start_without_agent(&Options {
        flags: flags.into(),
        args,
        ..Options::default()
    })
    .unwrap();
    ALONE.iter().for_each(|case| case.check(&tree));
    a_configuration_that_is_too_long_is_refused_in_words_that_the_client_shows(&tree);
    tree.stop().unwrap();
}

/// Not stock's, which has no such limit (API §16).
fn a_configuration_that_is_too_long_is_refused_in_words_that_the_client_shows(tree: &Tree) {
    let nodes = (0..200).map(|n| format!("[n{n}]\ninstance = i\nrole = worker\n"));
    let file = format!("[instances]\ni\n{}", nodes.collect::<String>());
    let path = tree.write("long.ini", &file).unwrap();
    let args = ["stage-config".as_ref(), path.as_os_str()];
    let done = tree.client(&args).unwrap();
    assert_eq!(done.code, Some(1), "{done:?}");
    let printed: Value = serde_json::from_str(&done.stdout).unwrap();
    let error = printed["errors"][0].as_str().unwrap();
    assert!(error.starts_with("Message too big: "), "{error}");
    assert!(error.ends_with(" bytes, message_bytes is 65536"), "{error}");
}

#[test]
fn a_controller_with_an_agent_says_what_is_wrong_in_stocks_words() {
    let tree = Tree::start(&Options::default()).unwrap();
    let (before, after) = WITH_AN_AGENT.split_at(BEFORE_DEPLOYMENT);
    before.iter().for_each(|case| case.check(&tree));
    let worker = "[instances]\ninstance-1\n[worker]\ninstance = instance-1\nrole = worker\n";
    let worker = tree.write("worker.ini", worker).unwrap();
    let done = tree
        .client(&["deploy-config".as_ref(), worker.as_os_str()])
        .unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    after.iter().for_each(|case| case.check(&tree));
    tree.stop().unwrap();
}

#[test]
fn no_error_text_of_the_specification_is_left_out() {
    let tried = ALONE.iter().chain(&WITH_AN_AGENT).map(|case| case.row);
    let tried: BTreeSet<&str> = tried.collect();
    let text = fs::read_to_string(folder().join("../mgmt/API.md")).unwrap();
    let mut listed = texts_of_section(&text, "### 4.8 ");
    assert_eq!(listed.len(), 9, "{listed:?}");
    listed.extend(texts_of_table(&text, "### 7.1 "));
    assert_eq!(listed.len(), 17, "{listed:?}");
    assert_eq!(tried, listed.iter().map(String::as_str).collect());
}

impl Case {
    fn check(&self, tree: &Tree) {
        let ports = |text: &str| {
            let text = text.replace("{agent}", &tree.ports.agent.to_string());
            text.replace("{controller}", &tree.ports.controller.to_string())
        };
        let text = ports(self.text);
        assert!(fits(self.row, &text), "{text} is no {}", self.row);
        match self.ask {
            Ask::Client(args) => self.check_client(tree, args, &text),
            Ask::Stage(file) => {
                let path = tree.write("case.ini", &ports(file)).unwrap();
                let path = path.to_string_lossy();
                self.check_client(tree, &["stage-config", &path], &text);
            }
            Ask::Raw(config) => assert_eq!(stage(tree, config()), [text]),
            Ask::DeployTwice => {
                let file = "[instances]\nnobody\n[worker]\ninstance = nobody\nrole = worker\n";
                let path = tree.write("nobody.ini", file).unwrap();
                let path = path.to_string_lossy();
                let staged = tree.client(&["stage-config", &path]).unwrap();
                assert_eq!(staged.code, Some(0), "{staged:?}");
                let mut first = WebSocket::subscribed(tree.ports.websocket).unwrap();
                let reqid = "first".to_owned();
                first.request(&ControllerRequest::Deploy { reqid }).unwrap();
                self.check_client(tree, &["deploy"], &text);
            }
        }
    }

    fn check_client(&self, tree: &Tree, args: &[&str], text: &str) {
        let done = tree.client(args).unwrap();
        assert_eq!(done.code, Some(self.code), "{args:?}: {done:?}");
        if done.stdout.is_empty() {
            assert_eq!(done.stderr, format!("error: {text}\n"), "{args:?}");
            return;
        }
        let printed: Value = serde_json::from_str(&done.stdout).unwrap();
        let node = args.last().filter(|_| self.row == "unknown cluster node");
        // CLIENT §C7: how each command shows what failed.
        let expected = match args[0] {
            "test-timeout" => json!({"success": false, "error": text}),
            "get-nodes" | "get-id-value" | "restart" => {
                let error = match node {
                    Some(node) => json!({"source": node, "error": text}),
                    None => json!({"error": text}),
                };
                json!({"errors": [error], "results": {}})
            }
            _ => json!({"errors": [text], "results": {}}),
        };
        assert_eq!(without_nulls(printed), expected, "{args:?}");
    }
}

/// Stages a configuration and returns why that failed.
fn stage(tree: &Tree, config: Configuration) -> Vec<String> {
    let mut socket = WebSocket::subscribed(tree.ports.websocket).unwrap();
    let reqid = "stage".to_owned();
    let request = ControllerRequest::StageConfiguration { reqid, config };
    let answer = socket.answer(&request).unwrap();
    let ControllerResponse::StageConfiguration { results, .. } = answer else {
        panic!("{answer:?}");
    };
    let failed = results.iter().all(|result| {
        !result.success && (&result.instance, &result.node, &result.data) == (&None, &None, &None)
    });
    assert!(failed, "{results:?}");
    results.into_iter().filter_map(|r| r.error).collect()
}

fn instances_of_one_name() -> Configuration {
    let at = |host: &str| Instance {
        name: "instance-1".to_owned(),
        host: host.parse::<Address>().unwrap(),
        listen_port: Some(Port {
            number: 2151,
            protocol: Protocol::Tcp,
        }),
    };
    Configuration {
        id: "config".to_owned(),
        instances: [at("192.0.2.1"), at("192.0.2.2")].into(),
        nodes: BTreeSet::new(),
    }
}

fn nodes_of_one_name() -> Configuration {
    let on = |interface: &str| Node {
        name: "worker".to_owned(),
        instance: "instance-1".to_owned(),
        role: ClusterRole::Worker,
        state: State::Running,
        p: None,
        scripts: None,
        options: None,
        interface: Some(interface.to_owned()),
        cpu_affinity: None,
        env: [].into(),
        metrics_port: None,
    };
    let mut config = instances_of_one_name();
    config.instances.pop_last();
    config.nodes = [on("eth0"), on("eth1")].into();
    config
}

/// Whether a text is this row, with something in each place of a `%s`.
fn fits(row: &str, text: &str) -> bool {
    let Some((before, after)) = row.split_once("%s") else {
        return row == text;
    };
    let Some(rest) = text.strip_prefix(before) else {
        return false;
    };
    let mut ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.any(|end| fits(after, &rest[end..]))
}

/// zeek-client prints what a result lacks as null in some commands and leaves it out in others.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let set = members.into_iter().filter(|(_, value)| !value.is_null());
            set.map(|(key, value)| (key, without_nulls(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

/// The texts between backticks, each by a dot from the next.
fn texts_of_section(document: &str, heading: &str) -> BTreeSet<String> {
    let section = section(document, heading).replace('\n', " ");
    let list = section.split(" · ").map(str::trim);
    let quoted = list.filter_map(|text| text.strip_prefix('`')?.strip_suffix('`'));
    quoted.map(str::to_owned).collect()
}

/// The texts in the last column of a table.
fn texts_of_table(document: &str, heading: &str) -> BTreeSet<String> {
    let rows = section(document, heading).lines();
    let cells = rows.filter_map(|row| row.strip_prefix("| V")?.strip_suffix("` |"));
    let texts = cells.filter_map(|row| Some(row.rsplit_once('`')?.1));
    texts.map(str::to_owned).collect()
}

/// From a heading to the next one.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, rest) = document.split_once(heading).expect("the section is there");
    let (_, body) = rest.split_once('\n').expect("a heading has a body");
    body.split("\n#").next().unwrap_or(body)
}
