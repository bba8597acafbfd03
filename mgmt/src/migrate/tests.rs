mod moving;
mod rare;

use broker_proto::Port;

use super::findings::{
    Directory, Kept, Manager, StateDir, Told, Unit, Variable, Zeek, ZeekScripts,
};
use super::processes::Kind;
use super::*;
use crate::controller::configs::Saved;
use crate::controller::configs::rows::Layout;
use crate::model::{ClusterRole, Configuration, Instance, Node, NodeOption};
use crate::settings::{FoundFile, Given, Library, Loaded, Role, Sources, Unauthenticated};

const FRAMEWORK: [&str; 2] = [
    "policy/frameworks/management/controller",
    "policy/frameworks/management/agent",
];

/// One script of the operator's; all others are Zeek's.
struct Script(&'static str);

impl Library for Script {
    fn find(&mut self, name: &str, _: Option<&str>) -> FoundFile {
        match name {
            "local" => FoundFile::File {
                key: name.to_owned(),
                path: "site/local.zeek".to_owned(),
                directory: "/opt/zeek/share/zeek/site".to_owned(),
                is_stock: false,
                text: self.0.to_owned(),
            },
            _ => FoundFile::Irrelevant,
        }
    }
}

/// A stock tree under systemd, with a controller's state and this as `local.zeek`.
fn tree(script: &'static str) -> Tree {
    let mut given = Given::new(Sources {
        env: [("ZEEK_AGENT_NAME".to_owned(), "instance-1".to_owned())].into(),
        hostname: "sensor".to_owned(),
        prefix: "/opt/zeek".into(),
    });
    let mut loaded = Loaded::default();
    let words = [FRAMEWORK[0], FRAMEWORK[1], "local"];
    for name in words {
        given.load(name, &mut Script(script), &mut loaded);
    }
    let place = Place::Running {
        pid: 812,
        kind: Kind::Stock,
        user: Some("zeek".to_owned()),
        unit: Some(Unit {
            name: "zeek.service".to_owned(),
            manager: Manager::System,
        }),
    };
    let words: Vec<String> = words.map(str::to_owned).into();
    Tree {
        place,
        directory: "/srv/zeek".into(),
        told: Told {
            scripts: words.clone(),
            words,
            is_text: true,
            ..Told::default()
        },
        variables: vec![
            variable("ZEEK_AGENT_NAME", Some("instance-1")),
            variable("ZEEK_KEY", None),
        ],
        zeek: Zeek {
            program: "/opt/zeek/bin/zeek".into(),
            is_there: true,
            was_replaced: false,
            prefix: "/opt/zeek".into(),
            version: Some("8.0.10".to_owned()),
            scripts: ZeekScripts::WithFramework,
        },
        roles: loaded.roles.clone(),
        unauthenticated: Unauthenticated::Refused,
        given,
        loaded,
        state: state(),
        has_archiver: Some(true),
        members: vec![
            member(813, Part::Stem),
            member(820, Part::Node("controller-sensor".to_owned())),
            member(821, Part::Node("instance-1".to_owned())),
            member(830, Part::Node("worker".to_owned())),
        ],
        unseen: Vec::new(),
    }
}

fn member(pid: u32, part: Part) -> Member {
    Member { pid, part }
}

fn variable(name: &str, value: Option<&str>) -> Variable {
    Variable {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    }
}

fn state() -> StateDir {
    let saved = Saved {
        staged: Some(config("config-2")),
        ready: Some(config("config-2")),
        deployed: Some(config("config-1")),
    };
    StateDir {
        path: "/opt/zeek/var/lib".into(),
        is_there: true,
        file: "/opt/zeek/var/lib/nodes/controller-sensor/the state.sqlite".into(),
        kept: Kept::State {
            saved,
            layout: Layout::Current,
        },
        directories: vec![directory("manager", false), directory("worker", true)],
        more: 0,
    }
}

fn directory(name: &str, has_output: bool) -> Directory {
    Directory {
        name: name.to_owned(),
        has_output,
    }
}

fn config(id: &str) -> Configuration {
    let mut manager = Node::new("instance-1", "manager", ClusterRole::Manager);
    manager.p = Some(Port::tcp(2200));
    let worker = Node::new("instance-1", "worker", ClusterRole::Worker);
    Configuration {
        id: id.to_owned(),
        instances: [Instance {
            name: "instance-1".to_owned(),
            host: broker_proto::Address::UNSPECIFIED,
            listen_port: None,
        }]
        .into(),
        nodes: [manager, worker].into(),
    }
}

fn report(tree: Tree) -> Report {
    Report::new(&Findings {
        program: "/usr/local/bin/zeek-mgmt".to_owned(),
        trees: vec![tree],
        ..Findings::default()
    })
}

/// What would be lost, without what to do about it.
fn losses(tree: Tree) -> Vec<String> {
    let report = report(tree);
    let changes = report.trees[0].changes.iter();
    let lost = changes.filter(|change| change.weight == Weight::Lost);
    lost.map(|change| change.what.clone()).collect()
}

#[test]
fn an_ordinary_installation_is_told_in_full() {
    let text = show::text(&report(tree(
        "redef Management::Agent::listen_port = 3151/tcp;",
    )));
    assert_eq!(text, include_str!("tests/ordinary.txt"));
}

#[test]
fn what_scripts_do_besides_setting_options_would_be_lost() {
    let script = r#"
redef Management::Agent::name = f("x");
redef Management::nothing = T;
redef Management::Controller::topic = "mine";
redef Management::Controller::stdout_file = "out";
redef Broker::peer_buffer_size = 1;
event zeek_init() { Supervisor::create([$name="x"]); }
@if ( getenv("SITE") == "a" )
redef Management::Agent::name = "a";
@endif
@if ( Supervisor::is_supervised() )
@load ./packages
@endif
hook Supervisor::stdout_hook(node: string, msg: string): bool { print msg; }
event Management::Controller::API::deploy_request(reqid: string) { }
event zeek_done() { if ( Supervisor::is_supervised() ) Broker::publish("x", y); }
event connection_state_remove(c: connection) { }
function g() { }
"#;
    let restart = "it does not happen in supervisor, controller and agent";
    let expected = [
        "site/local.zeek:2: Management::Agent::name: only a running Zeek can tell f(…)".to_owned(),
        "site/local.zeek:3: there is no option Management::nothing".to_owned(),
        "site/local.zeek:4: Management::Controller::topic has no effect here: topics are always stock's"
            .to_owned(),
        format!("site/local.zeek:7 event zeek_init: {restart} (Supervisor::create)"),
        "site/local.zeek:8 @if ( getenv(\"SITE\") == \"a\" ): settings and @load lines in there do not \
         count (Management::Agent::name)"
            .to_owned(),
        format!("site/local.zeek:14 hook Supervisor::stdout_hook: {restart} (Supervisor::stdout_hook)"),
        format!(
            "site/local.zeek:15 event Management::Controller::API::deploy_request: {restart} \
             (Management::Controller::API::deploy_request)"
        ),
    ];
    assert_eq!(losses(tree(script)), expected);
    let report = report(tree(script));
    let differs = report.trees[0]
        .changes
        .iter()
        .map(|change| change.what.as_str());
    let handlers = "2 handlers in nodes only, no longer in supervisor, controller and agent: \
                    site/local.zeek:16 event zeek_done, site/local.zeek:17 event connection_state_remove";
    let idle = "site/local.zeek:5: Management::Controller::stdout_file has no effect here: \
                Management::Node::stdout_file and stderr_file name the files of all processes";
    for expected in [handlers, idle] {
        assert!(differs.clone().any(|what| what == expected), "{expected}");
    }
    assert_eq!(report.losses(), expected.len());
}

#[test]
fn arguments_that_ours_refuses_would_be_lost() {
    let mut tree = tree("");
    let problem = "Zeek's option -i cannot be used here: nodes get their traffic from the cluster's configuration";
    tree.told.refused = vec![problem.to_owned()];
    tree.told.is_text = false;
    tree.zeek.is_there = false;
    let expected = [
        problem,
        "arguments that are not UTF-8, which ours does not take",
        "/opt/zeek/bin/zeek is not there, so no node would start",
    ];
    assert_eq!(losses(tree), expected);
}

#[test]
fn a_supervisor_alone_has_nothing_to_move() {
    let mut tree = tree("");
    tree.roles.clear();
    let report = report(tree.clone());
    assert_eq!(report.trees[0].forward, []);
    let what = "scripts that load neither controller nor agent: `zeek-mgmt run` refuses them";
    assert_eq!(losses(tree), [what]);
}

#[test]
fn a_state_file_that_ours_would_set_aside_is_lost() {
    let mut tree = tree("");
    tree.state.kept = Kept::Flawed("damaged: a row is no blob".to_owned());
    let what = "the state file is not usable (damaged: a row is no blob): ours would set it aside";
    assert_eq!(losses(tree), [what]);
}

#[test]
fn configurations_are_judged_as_our_controller_judges_them() {
    let mut tree = tree("");
    let mut config = config("c");
    let mut worker = Node::new("instance-1", "a/b", ClusterRole::Worker);
    worker.options = Some(
        [NodeOption {
            name: "X::y".to_owned(),
            value: "T".to_owned(),
        }]
        .into(),
    );
    config.nodes.insert(worker);
    tree.state.kept = Kept::State {
        saved: Saved {
            deployed: Some(config),
            ..Saved::default()
        },
        layout: Layout::Older,
    };
    let lost = losses(tree.clone());
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(lost[0].starts_with("the deployed configuration would be refused if it came again: "));
    assert!(lost[0].contains("a/b"), "{lost:?}");
    let report = report(tree);
    let options = "`options` of a/b take effect under an agent of ours; stock ignores them";
    assert!(
        report.trees[0]
            .changes
            .iter()
            .any(|change| change.what == options)
    );
    // Today's layout is none for the Zeek that wrote this.
    let copy = "cp -a '/opt/zeek/var/lib/nodes/controller-sensor/the state.sqlite.before-zeek-mgmt' \
                '/opt/zeek/var/lib/nodes/controller-sensor/the state.sqlite'";
    assert_eq!(report.trees[0].back[1].lines, [copy]);
}

#[test]
fn scripts_that_were_not_read_are_told() {
    let mut tree = tree("@load tuning/x");
    tree.zeek.scripts = ZeekScripts::Missing;
    tree.told.words = vec!["-e".to_owned(), "print 1; print 2".to_owned()];
    let report = report(tree);
    let text = "Zeek's own scripts were not found, so those that yours load were not read";
    let mut changes = report.trees[0].changes.iter();
    assert!(changes.any(|change| change.what == text));
    let facts = &report.trees[0].facts;
    assert!(facts.contains(&("arguments", "-e 'print 1; print 2'".to_owned())));
}

#[test]
fn ports_that_other_hosts_need_and_ours_would_close_are_lost() {
    let dialing = |host: &str| Instance {
        name: host.to_owned(),
        host: host.parse().unwrap(),
        listen_port: None,
    };
    let with = |instances: &[&str]| {
        let mut tree = tree("");
        let mut config = config("c");
        config
            .instances
            .extend(instances.iter().map(|host| dialing(host)));
        let deployed = Some(config);
        tree.state.kept = Kept::State {
            saved: Saved {
                deployed,
                ..Saved::default()
            },
            layout: Layout::Current,
        };
        tree
    };
    assert_eq!(losses(with(&[])), [""; 0], "nobody else is known to come");
    let mut tree = with(&["192.0.2.7"]);
    let lost = losses(tree.clone());
    assert_eq!(lost.len(), 1, "{lost:?}");
    let what = "Management::Controller::listen_address: on 127.0.0.1 instead of 0.0.0.0";
    assert!(lost[0].starts_with(what), "{lost:?}");
    tree.unauthenticated = Unauthenticated::Allowed;
    assert_eq!(losses(tree.clone()), [""; 0]);
    let text = show::text(&report(tree));
    let command = "zeek-mgmt run --zeek /opt/zeek/bin/zeek --allow-unauthenticated policy/";
    assert!(text.contains(command), "{text}");
    assert!(!text.contains("instead of 0.0.0.0"), "{text}");
}

#[test]
fn an_agent_that_waits_for_a_controller_elsewhere_needs_its_port() {
    let script =
        "redef Management::Agent::controller = [$address=\"0.0.0.0\", $bound_port=0/unknown];";
    let lost = losses(tree(script));
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(
        lost[0].starts_with("Management::Agent::listen_address: on 127.0.0.1"),
        "{lost:?}"
    );
    // It may as well wait for the controller beside it.
    let mut tree = tree(script);
    let Kept::State { saved, .. } = &mut tree.state.kept else {
        panic!("there is a state");
    };
    let mut config = config("c");
    config.instances = [Instance {
        name: "instance-1".to_owned(),
        host: "127.0.0.1".parse().unwrap(),
        listen_port: Some(Port::tcp(2151)),
    }]
    .into();
    saved.deployed = Some(config);
    assert_eq!(losses(tree), [""; 0]);
}

#[test]
fn an_address_that_ours_refuses_without_certificates_is_lost() {
    let lost = losses(tree("redef Management::default_address = \"192.0.2.1\";"));
    assert_eq!(lost.len(), 3, "{lost:?}");
    for what in lost {
        assert!(
            what.starts_with("ours does not start: site/local.zeek:1: "),
            "{what}"
        );
    }
    let tls = "redef Broker::ssl_cafile = \"/ca.pem\";";
    let report = report(tree(tls));
    let told = report.trees[0]
        .changes
        .iter()
        .filter(|it| it.what.contains("127.0.0.1"));
    assert_eq!(told.count(), 1, "only the WebSocket port");
}

#[test]
fn two_controllers_on_one_state_are_one_too_many() {
    let mut other = tree("");
    other.place = Place::Named;
    let findings = |other| Findings {
        trees: vec![tree(""), other],
        ..Findings::default()
    };
    let both = Report::new(&findings(other.clone()));
    assert_eq!(both.losses(), 2);
    other.state.file = "/elsewhere".into();
    assert_eq!(Report::new(&findings(other.clone())).losses(), 0);
    other.roles = [Role::Agent].into();
    let report = Report::new(&findings(other));
    assert!(!show::text(&report).contains("controllers run on this host"));
}

#[test]
fn programs_read_the_same_report() {
    let report = report(tree("redef Management::nothing = T;"));
    let json = show::json(&report);
    assert_eq!(json["losses"], 1);
    assert_eq!(json["complete"], true);
    let tree = &json["trees"][0];
    assert_eq!(tree["found"]["deployed"], "config-1, 1 instance, 2 nodes");
    assert_eq!(tree["nodes"][0]["name"], "manager");
    assert_eq!(tree["nodes"][0]["port"], 2200);
    assert_eq!(tree["processes"][1]["what"], "stem");
    assert_eq!(tree["changes"][0]["lost"], true);
    assert_eq!(tree["move"][0]["lines"][0], "systemctl stop zeek.service");
    assert_eq!(
        tree["settings"].as_array().unwrap().len(),
        report.trees[0].settings.len()
    );
}

#[test]
fn nothing_found_is_not_nothing_lost() {
    let mut findings = Findings::default();
    findings.unseen.push(Unseen {
        what: "a running `zeek -j`".to_owned(),
        why: "there is none that this user can see".to_owned(),
    });
    let report = Report::new(&findings);
    assert!(!report.is_complete());
    let text = "No `zeek -j` was found. Say what stands behind it in your unit file: zeek-mgmt migrate \
                [--zeek PATH] ARGUMENTS\ncould not be looked at:\n  - a running `zeek -j`: there is none \
                that this user can see\n\n";
    assert_eq!(show::text(&report), text);
}
