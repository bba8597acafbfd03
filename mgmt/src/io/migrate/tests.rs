//! Installations made up in a directory, with a state that a real Zeek left.

mod host;
mod hostile;

use serde_json::Value;

use super::*;
use crate::io::store::FILE_NAME;
use crate::migrate::findings::ZeekScripts;
use crate::migrate::{Report, show};
use host::{Host, process};

/// What zeek-client told about the deployed configuration when the state was recorded.
fn recorded_deployed() -> Value {
    let file = "../tests/transcripts/c2a/client/o.get-config-deployed.json";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_running_stock_tree_is_found_with_all_that_belongs_to_it() {
    let host = Host::stock();
    let before = host.everything();
    let findings = host.look(&Wanted::default());
    assert_eq!(host.everything(), before, "something was changed");
    assert_eq!(findings.unseen, []);
    let [tree] = findings.trees.as_slice() else {
        panic!("{} trees", findings.trees.len());
    };
    assert_eq!(tree.unseen, []);
    let unit = Unit {
        name: "zeek.service".to_owned(),
        manager: Manager::System,
    };
    let expected = Place::Running {
        pid: 812,
        kind: Kind::Stock,
        user: Some("zeek".to_owned()),
        unit: Some(unit),
    };
    assert_eq!(tree.place, expected);
    assert_eq!(tree.roles, [Role::Controller, Role::Agent].into());
    assert_eq!(tree.directory, host.path("srv"));
    assert_eq!(tree.zeek.program, host.path("opt/zeek/bin/zeek"));
    assert_eq!(tree.zeek.version.as_deref(), Some("8.0.10"));
    assert_eq!(tree.zeek.scripts, ZeekScripts::WithFramework);
    assert_eq!(tree.has_archiver, Some(false));
    let members: Vec<(u32, Part)> = tree
        .members
        .iter()
        .map(|m| (m.pid, m.part.clone()))
        .collect();
    let node = |name: &str| Part::Node(name.to_owned());
    let expected = [
        (813, Part::Stem),
        (820, node("controller")),
        (821, node("instance-1")),
        (830, node("worker-01")),
    ];
    assert_eq!(members, expected);
}

#[test]
fn the_state_is_what_stocks_client_told_of_it() {
    let host = Host::stock();
    let report = Report::new(&host.look(&Wanted::default()));
    let told = recorded_deployed();
    let fact = |label: &str| {
        let found = report.trees[0]
            .facts
            .iter()
            .find(|(known, _)| *known == label);
        found.unwrap().1.clone()
    };
    let id = told["id"].as_str().unwrap();
    assert_eq!(fact("deployed"), format!("{id}, 1 instance, 3 nodes"));
    assert!(fact("staged").starts_with(id));
    let nodes = report.trees[0].nodes.iter();
    let nodes: Vec<_> = nodes
        .map(|node| (node.name.as_str(), node.role.as_str()))
        .collect();
    let expected = told["nodes"].as_array().unwrap().iter();
    let expected: Vec<_> = expected
        .map(|node| {
            (
                node["name"].as_str().unwrap(),
                node["role"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(nodes, expected);
    let worker = report.trees[0]
        .nodes
        .iter()
        .find(|node| node.name == "worker-01");
    assert!(worker.unwrap().has_directory);
}

#[test]
fn what_the_supervisors_surroundings_say_counts_and_not_ours() {
    let host = Host::stock();
    let findings = host.look(&Wanted::default());
    let tree = &findings.trees[0];
    let settings = Settings::resolve(&tree.given).unwrap();
    assert_eq!(settings.controller.name, "controller");
    assert_eq!(settings.agent.name, "instance-1");
    assert_eq!(
        settings.agent.listen.port, 3151,
        "of the script beside the unit"
    );
    assert_eq!(tree.state.path, host.path("opt/zeek/var/lib"));
    let file = host
        .path("opt/zeek/var/lib/nodes/controller")
        .join(FILE_NAME);
    assert_eq!(tree.state.file, file);
    let files: Vec<_> = tree.loaded.files.iter().map(String::as_str).collect();
    let local = host.path("opt/zeek/share/zeek/site/local.zeek");
    assert_eq!(files, ["ports.zeek", local.to_str().unwrap()]);
}

#[test]
fn only_the_wanted_tree_is_looked_at() {
    let host = Host::stock();
    process(&host, 900, 1, "zeek", &["zeek", "-j", "nowhere"], &[]);
    assert_eq!(host.look(&Wanted::default()).trees.len(), 2);
    let wanted = |pid| Wanted {
        pid: Some(pid),
        ..Wanted::default()
    };
    assert_eq!(host.look(&wanted(812)).trees.len(), 1);
    let nobody = host.look(&wanted(5));
    assert_eq!(nobody.trees.len(), 0);
    assert_eq!(nobody.unseen[0].what, "process 5");
}

#[test]
fn a_tree_that_does_not_run_is_told_by_its_arguments() {
    let host = Host::stock();
    let state = host.path("opt/zeek/var/lib");
    let arguments = [
        "-j",
        "policy/frameworks/management/controller",
        "Management::Controller::name=controller",
    ];
    let wanted = Wanted {
        zeek: Some(host.path("opt/zeek/bin/zeek")),
        state_dir: Some(state.clone()),
        arguments: arguments.map(str::to_owned).to_vec(),
        ..Wanted::default()
    };
    let before = host.everything();
    let findings = host.look(&wanted);
    assert_eq!(host.everything(), before, "something was changed");
    let tree = &findings.trees[0];
    assert_eq!(tree.place, Place::Named);
    assert_eq!(tree.roles, [Role::Controller].into());
    assert_eq!(tree.state.path, state);
    assert!(matches!(tree.state.kept, Kept::State { .. }));
    let report = Report::new(&findings);
    let last = report.trees[0].back.last().unwrap();
    let zeek = tree.zeek.program.display();
    let line = format!(
        "{zeek} -j policy/frameworks/management/controller \
         Management::Controller::name=controller Management::state_dir={}",
        state.display()
    );
    assert!(last.lines.last().unwrap().ends_with(&line), "{last:?}");
    assert!(report.is_complete());

    // A directory that is not there is no state that would not be lost.
    let wanted = Wanted {
        state_dir: Some(host.path("elsewhere")),
        ..wanted
    };
    let unseen = &host.look(&wanted).trees[0].unseen;
    assert_eq!(unseen[0].what, host.path("elsewhere").display().to_string());
    host.write("elsewhere/nodes/x/stdout", b"");
    let unseen = &host.look(&wanted).trees[0].unseen;
    let file = host.path("elsewhere/nodes/controller").join(FILE_NAME);
    assert_eq!(unseen[0].what, file.display().to_string());
}

#[test]
fn what_is_said_to_ours_alone_is_no_argument_of_nodes() {
    let words =
        "--stop-grace 5 --keep-unchanged --zeek /z local --give-up=3/60 -b A::b=1 --policy p";
    let words = words.split(' ').map(str::to_owned).collect();
    let options = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let known = OwnOptions {
        flags: options(&["--keep-unchanged"]),
        with_value: options(&["--stop-grace", "--give-up", "--policy"]),
    };
    let (own, rest) = known.split(words);
    assert_eq!(
        own.join(" "),
        "--stop-grace 5 --keep-unchanged --give-up=3/60 --policy p"
    );
    assert_eq!(rest.join(" "), "--zeek /z local -b A::b=1");
}

#[test]
fn a_zeek_without_the_framework_is_told_by_its_scripts() {
    let host = Host::stock();
    std::fs::remove_dir_all(host.path("opt/zeek/share/zeek/policy/frameworks")).unwrap();
    let report = Report::new(&host.look(&Wanted::default()));
    let text = show::text(&report);
    assert!(text.contains("without the management framework"), "{text}");
    let roles = host.path("opt/zeek/var/lib/zeek-mgmt-roles.zeek");
    let command = format!(
        "ExecStart=/usr/bin/zeek-mgmt run --zeek {} --redef {} ports.zeek local\n",
        host.path("opt/zeek/bin/zeek").display(),
        roles.display()
    );
    assert!(text.contains(&command), "{text}");
}

#[test]
fn a_unit_that_does_not_run_is_told_by_its_file() {
    let host = Host::stock();
    let wanted = Wanted {
        unit: Some("zeek".to_owned()),
        ..Wanted::default()
    };
    // It runs.
    assert_eq!(Report::new(&host.look(&wanted)).trees[0].processes.len(), 5);
    for pid in [812, 813, 820, 821, 830] {
        std::fs::remove_dir_all(host.path(&format!("proc/{pid}"))).unwrap();
    }
    let none = host.look(&wanted);
    assert_eq!(none.unseen[0].why, "systemd has no unit of this name here");

    let zeek = host.path("opt/zeek/bin/zeek");
    let srv = host.path("srv");
    let file = format!(
        "[Service]\nUser=zeek\nWorkingDirectory={}\nEnvironmentFile=/etc/default/zeek\n\
         ExecStart={} -j policy/frameworks/management/controller ports.zeek\n",
        srv.display(),
        zeek.display()
    );
    host.write("usr/lib/systemd/system/zeek.service", file.as_bytes());
    host.write("etc/default/zeek", b"ZEEK_CONTROLLER_NAME=controller\n");
    let more = b"[Service]\nEnvironment=ZEEK_AGENT_NAME=x\n";
    host.write("etc/systemd/system/zeek.service.d/x.conf", more);
    let before = host.everything();
    let findings = host.look(&wanted);
    assert_eq!(host.everything(), before, "something was changed");
    assert_eq!(findings.unseen, []);
    let tree = &findings.trees[0];
    assert_eq!(tree.unseen, []);
    assert_eq!(tree.zeek.program, zeek);
    assert_eq!(tree.directory, srv);
    let report = Report::new(&findings);
    assert_eq!(
        report.trees[0].title,
        "zeek -j, not running, user zeek, zeek.service"
    );
    let text = show::text(&report);
    assert!(text.contains(" controller, Broker 0.0.0.0:2150"), "{text}");
    assert!(text.contains("Environment=ZEEK_AGENT_NAME=x\n"), "{text}");
    assert!(text.contains("systemctl start zeek.service\n"), "{text}");

    host.write(
        "etc/systemd/system/zeek.service",
        b"[Service]\nExecStart=/opt/start.sh\n",
    );
    let wrapped = host.look(&wanted);
    assert_eq!(wrapped.trees.len(), 0);
    assert!(
        wrapped.unseen[0]
            .why
            .starts_with("it does not start `zeek -j` itself")
    );
    let odd = Wanted {
        unit: Some("../zeek.service".to_owned()),
        ..Wanted::default()
    };
    assert_eq!(host.look(&odd).unseen[0].why, "it is no name of a unit");
}
