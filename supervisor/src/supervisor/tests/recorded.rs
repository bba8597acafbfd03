//! The machine against what a real Supervisor and its stem said (tests/transcripts/stem).
//!
//! Stock has one stem for all nodes; each recorded message goes to the stem of its node here.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::api::{ClusterEndpoint, ClusterRole};
use broker_proto::{Port, Protocol};

#[test]
fn what_stems_are_told_is_what_stock_tells_its_own() {
    let mut rig = Rig::new();
    let mut told = 0;
    for message in recorded() {
        let Some(text) = text_on(&message, "commands") else {
            continue;
        };
        let Some(rest) = text.strip_prefix("create ") else {
            continue;
        };
        let (_, json) = rest.split_once(' ').unwrap();
        let json = json.trim_end_matches('\0');
        let node = node_config(&serde_json::from_str(json).unwrap());
        assert_eq!(crate::stem::read_json(json).as_ref(), Ok(&node));
        told += 1;
        rig.request(create("r", node));
        rig.directory_made();
        rig.drain();
        rig.host(spawned(child(told, 1), 1000));
        let Some(Output::Host {
            output: HostOutput::Tell { message, .. },
        }) = rig.drain().pop()
        else {
            panic!("the stem is told nothing");
        };
        let ours = std::str::from_utf8(&message).unwrap();
        assert_eq!(by_cluster_member(ours), by_cluster_member(text));
    }
    assert_eq!(told, 5);
}

#[test]
fn recorded_words_of_a_stem_drive_status_and_exit_events() {
    let mut rig = Rig::new();
    let mut children = BTreeMap::new();
    let mut restarting = BTreeSet::new();
    let mut news = Vec::new();
    let mut lines = Vec::new();
    for message in recorded() {
        if let Some(text) = text_on(&message, "commands") {
            order(&mut rig, &mut children, text);
            restarting.extend(
                text.trim_end_matches('\0')
                    .strip_prefix("restart ")
                    .map(String::from),
            );
            continue;
        }
        if let Some(text) = text_on(&message, "status") {
            let node = children.keys().find(|name| text.contains(name.as_str()));
            let node = node.unwrap().clone();
            if restarting.remove(&node) {
                renew(&mut rig, children.get_mut(&node).unwrap());
            }
            rig.message(children[&node], text);
        }
        for (pipe, stream) in [("stdout", Stream::Stdout), ("stderr", Stream::Stderr)] {
            if let Some(text) = text_on(&message, pipe) {
                let node = text[1..].split_once(']').unwrap().0;
                rig.printed(children[node], stream, text);
            }
        }
        for output in rig.drain() {
            match output {
                Output::NodeStatus { .. } | Output::NodeExit { .. } => news.push(output),
                Output::Host {
                    output: HostOutput::WriteLine { node, .. },
                } => lines.push(node),
                Output::Host { .. }
                | Output::Respond { .. }
                | Output::Lives { .. }
                | Output::Stopped => {}
            }
        }
    }
    let [first_life, second_life] = worker_lives();
    assert_eq!(
        news,
        [
            node_status("controller", 36),
            node_status("instance-1", 37),
            node_status("manager", 70),
            node_status("worker-01", 71),
            node_status("logger-01", 72),
            node_status("worker-01", 125),
            node_exit("worker-01", "", &first_life),
            node_status("worker-01", 153),
            node_exit("worker-01", "", &second_life),
        ]
    );
    let of = |name: &str| lines.iter().filter(|node| *node == name).count();
    assert_eq!((of("instance-1"), of("worker-01")), (1, 9));
    assert_eq!(
        (of("logger-01"), of("manager")),
        (1, 2),
        "after their destroys"
    );
}

/// A stem of ours that was told to stop its node goes, and the next one says what stock's one says
/// of the node's next life.
fn renew(rig: &mut Rig, child: &mut ChildId) {
    rig.host(exited(*child, 1000, Ending::Status(0)));
    child.generation += 1;
    assert_eq!(rig.drain(), [spawn(*child)]);
    rig.host(spawned(*child, 1000));
    rig.drain();
}

/// Has the machine do what the recorded Supervisor did when it wrote `text`.
fn order(rig: &mut Rig, children: &mut BTreeMap<String, ChildId>, text: &str) {
    let text = text.trim_end_matches('\0');
    let (verb, rest) = text.split_once(' ').unwrap();
    match verb {
        "create" => {
            let (name, json) = rest.split_once(' ').unwrap();
            let unit = u64::try_from(children.len()).unwrap() + 1;
            children.insert(name.to_owned(), child(unit, 1));
            rig.request(create(
                "r",
                node_config(&serde_json::from_str(json).unwrap()),
            ));
            rig.directory_made();
            rig.host(spawned(child(unit, 1), 1000));
            rig.drain();
        }
        "restart" => {
            rig.request(restart("r", rest));
            let stopped = term(children[rest], 1000);
            assert_eq!(rig.drain(), [stopped, restarted("r", true)]);
        }
        "destroy" => {
            rig.request(destroy("r", rest));
            let stopped = term(children[rest], 1000);
            assert_eq!(rig.drain(), [stopped, destroyed("r", true)]);
        }
        _ => panic!("unknown order {text}"),
    }
}

/// What worker-01 printed in its first and second life, as recorded.
fn worker_lives() -> [String; 2] {
    let lines: Vec<String> = recorded()
        .iter()
        .filter_map(|message| text_on(message, "stderr"))
        .filter_map(|text| text.strip_prefix("[worker-01] "))
        .map(|text| text.trim_end_matches('\n').to_owned())
        .collect();
    assert_eq!(lines[0], "listening on lo");
    assert!(lines[1].ends_with("received termination signal"));
    assert_eq!(lines[4], "listening on lo");
    [lines[..4].join("\n"), lines[4].clone()]
}

fn recorded() -> Vec<Value> {
    let text = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/transcripts/stem/transcript.json"
    ));
    let transcript: Value = serde_json::from_str(text).unwrap();
    transcript["messages"].as_array().unwrap().clone()
}

fn text_on<'a>(message: &'a Value, pipe: &str) -> Option<&'a str> {
    (message["pipe"] == pipe).then(|| message["text"].as_str().unwrap())
}

/// The order up to its cluster, and the cluster's members sorted: stock's table order is arbitrary.
fn by_cluster_member(order: &str) -> (&str, Vec<&str>) {
    let (head, cluster) = order.split_once("\"cluster\":{").unwrap();
    let cluster = cluster.strip_suffix("}}\0").unwrap();
    let mut members = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, c) in cluster.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&cluster[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    members.push(&cluster[from..]);
    members.sort_unstable();
    (head, members)
}

fn node_config(json: &Value) -> NodeConfig {
    NodeConfig {
        name: text(json, "name").unwrap(),
        interface: text(json, "interface"),
        pcap_file: text(json, "pcap_file"),
        directory: text(json, "directory"),
        stdout_file: text(json, "stdout_file"),
        stderr_file: text(json, "stderr_file"),
        bare_mode: json["bare_mode"].as_bool(),
        addl_base_scripts: texts(&json["addl_base_scripts"]),
        addl_user_scripts: texts(&json["addl_user_scripts"]),
        scripts: None,
        env: members(&json["env"], |value| value.as_str().unwrap().to_owned()),
        cpu_affinity: json["cpu_affinity"].as_i64(),
        cluster: members(&json["cluster"], |value| ClusterEndpoint {
            role: ClusterRole::from_zeek_name(value["role"].as_str().unwrap()).unwrap(),
            host: value["host"].as_str().unwrap().parse().unwrap(),
            p: port(&value["p"]),
            interface: text(value, "interface"),
            pcap_file: text(value, "pcap_file"),
            metrics_port: value.get("metrics_port").map(port),
        })
        .into(),
    }
}

fn text(json: &Value, name: &str) -> Option<String> {
    json[name].as_str().map(str::to_owned)
}

fn texts(json: &Value) -> Vec<String> {
    let items = json.as_array().unwrap().iter();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

fn members<T>(json: &Value, read: impl Fn(&Value) -> T) -> BTreeMap<String, T> {
    let members = json.as_object().unwrap().iter();
    members
        .map(|(name, value)| (name.clone(), read(value)))
        .collect()
}

fn port(json: &Value) -> Port {
    let protocol = match json["proto"].as_str().unwrap() {
        "tcp" => Protocol::Tcp,
        "unknown" => Protocol::Unknown,
        other => panic!("protocol {other}"),
    };
    let number = json["port"].as_u64().unwrap().try_into().unwrap();
    Port { number, protocol }
}
