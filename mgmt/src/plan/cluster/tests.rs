//! Files against what zeek-client 1.5.0 makes of them.

use super::*;

/// The recorded `cfg.ini`; the controller was sent what `o.get-config-staged.json` shows.
const RECORDED: &str = include_str!("../../../../tests/transcripts/a2c/cfg.ini");
const STAGED: &str =
    include_str!("../../../../tests/transcripts/a2c/client/o.get-config-staged.json");

fn parse(text: &str) -> Result<Cluster, String> {
    Cluster::parse(text, "sensor").map_err(|error| error.to_string())
}

fn nodes(text: &str) -> Vec<Node> {
    parse(text).unwrap().config.nodes.into_iter().collect()
}

#[test]
fn the_recorded_file_is_the_recorded_configuration() {
    let cluster = parse(RECORDED).unwrap();
    assert_eq!(cluster.ignored, [""; 0]);
    let names: Vec<&str> = cluster
        .config
        .nodes
        .iter()
        .map(|n| n.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["logger-01", "manager", "proxy-01", "worker-01", "worker-02"]
    );
    let hosts: Vec<&str> = cluster
        .config
        .instances
        .iter()
        .map(|i| i.name.as_str())
        .collect();
    assert_eq!(hosts, ["instance-1"]);
    let shown: serde_json::Value = serde_json::from_str(STAGED).unwrap();
    let shown = shown["nodes"].as_array().unwrap();
    let ours: Vec<_> = cluster.config.nodes.iter().map(as_client_shows).collect();
    assert_eq!(ours, *shown);
}

fn as_client_shows(node: &Node) -> serde_json::Value {
    serde_json::json!({
        "cpu_affinity": node.cpu_affinity.map(|cpu| cpu.0),
        "env": node.env,
        "instance": node.instance,
        "interface": node.interface,
        "metrics_port": node.metrics_port.map(|port| port.number),
        "name": node.name,
        "options": null,
        "port": node.p.map(|port| port.number),
        "role": node.role.zeek_name().trim_start_matches("Supervisor::"),
        "scripts": node.scripts,
    })
}

#[test]
fn every_key_has_its_meaning() {
    let text = "[w]\ninstance = a\nrole = Supervisor::Worker\nport = 5000\n\
                scripts = b 'a c'\ninterface = eth0\ncpu_affinity = 3\n\
                env = A=1 B=\"x y\"\nmetrics_port = 9100\n";
    let env = [("A", "1"), ("B", "x y")];
    let env = env.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let expected = Node {
        name: "w".into(),
        instance: "a".into(),
        role: ClusterRole::Worker,
        state: State::Running,
        p: Some(Port::tcp(5000)),
        scripts: Some(vec!["a c".into(), "b".into()]),
        options: None,
        interface: Some("eth0".into()),
        cpu_affinity: Some(CpuAffinity(3)),
        env: env.into(),
        metrics_port: Some(Port::tcp(9100)),
    };
    assert_eq!(nodes(text), [expected]);
}

#[test]
fn nodes_without_instance_are_on_this_host() {
    let cluster = parse("[m]\nrole = manager\n[w]\ntype = WORKER\n").unwrap();
    let instances: Vec<&str> = cluster
        .config
        .instances
        .iter()
        .map(|i| i.name.as_str())
        .collect();
    assert_eq!(instances, ["agent-sensor"]);
    assert!(
        cluster
            .config
            .nodes
            .iter()
            .all(|n| n.instance == "agent-sensor")
    );
}

#[test]
fn instances_dial_or_are_dialed() {
    let text = "[instances]\nA\nb = 10.0.0.1:2151\nc = [2001:db8::1]:7\n";
    let config = parse(text).unwrap().config;
    let rows: Vec<(String, String, Option<u16>)> = config
        .instances
        .into_iter()
        .map(|i| (i.name, i.host.to_string(), i.listen_port.map(|p| p.number)))
        .collect();
    assert_eq!(
        rows,
        [
            ("a".into(), "0.0.0.0".into(), None),
            ("b".into(), "10.0.0.1".into(), Some(2151)),
            ("c".into(), "2001:db8::1".into(), Some(7)),
        ]
    );
}

#[test]
fn an_empty_file_is_an_empty_cluster() {
    let cluster = parse("").unwrap();
    assert!(cluster.config.instances.is_empty() && cluster.config.nodes.is_empty());
}

#[test]
fn what_zeek_client_refuses_is_refused_in_its_words() {
    let node = |problem: &str| format!("invalid node \"n\" configuration: {problem}");
    let cases = [
        ("[n]\ninstance = a", node("node requires a role")),
        ("[n]\nrole = boss", node("role \"boss\" is invalid")),
        (
            "[n]\nrole = worker\nport = 0",
            node("port 0 outside valid range"),
        ),
        (
            "[n]\nrole = worker\nmetrics_port = 65536",
            node("metrics port 65536 outside valid range"),
        ),
        (
            "[n]\nrole = worker\nport = x",
            node("cannot convert \"n.port\" value \"x\" to int"),
        ),
        (
            "[n]\nrole = worker\nenv = A",
            node("env value \"A\" is invalid"),
        ),
        (
            "[n]\nrole = worker\nscripts = 'a",
            node("scripts value \"'a\" is invalid"),
        ),
        (
            "[instances]\na = 10.0.0.1",
            "invalid spec for instance \"a\": \"10.0.0.1\" should be <host>:<port>".to_owned(),
        ),
        (
            "[n]\nrole = worker\n[m]\ninstance = a\nrole = manager",
            "either all or no nodes must state instances".to_owned(),
        ),
        (
            "[instances]\na\n[n]\nrole = worker",
            "omit instances section when skipping instances in node definitions".to_owned(),
        ),
        ("n", "not an INI file".to_owned()),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Err(expected), "{text}");
    }
}

#[test]
fn what_zeek_client_ignores_is_told() {
    let cluster = parse("[n]\nrole = worker\nstate = x\nfoo = bar\n").unwrap();
    assert_eq!(
        cluster.ignored,
        [
            "key state of node n has no effect",
            "key foo of node n has no effect"
        ]
    );
}

/// The pairs are what Python's `shlex.split` returns.
#[test]
fn words_are_split_as_a_shell_splits_them() {
    let cases = [
        ("a  b\tc", Some(vec!["a", "b", "c"])),
        (
            "foo=bar=baz blum=\"foo bar\"",
            Some(vec!["foo=bar=baz", "blum=foo bar"]),
        ),
        (
            "'a \\' \"b \\\" \\x\" c\\ d",
            Some(vec!["a \\", "b \" \\x", "c d"]),
        ),
        ("''", Some(vec![""])),
        ("", Some(vec![])),
        ("'a", None),
        ("\"a", None),
        ("a\\", None),
    ];
    for (text, expected) in cases {
        let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect());
        assert_eq!(split(text), expected, "{text}");
    }
}
