//! What is not as it should be, or must not be shown.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::host::{Host, process};
use super::*;

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
}

#[test]
fn pipes_loops_and_strangers_in_a_state_directory_hold_up_nobody() {
    let host = Host::stock();
    let nodes = host.path("opt/zeek/var/lib/nodes");
    let file = nodes.join("controller").join(FILE_NAME);
    fs::remove_file(&file).unwrap();
    pipe(&file);
    pipe(&nodes.join("pipe"));
    pipe(&nodes.join("controller/stdout"));
    symlink(nodes.join("loop"), nodes.join("loop")).unwrap();
    symlink(&nodes, nodes.join("round")).unwrap();
    let findings = host.look(&Wanted::default());
    let tree = &findings.trees[0];
    assert_eq!(tree.state.kept, Kept::Unknown);
    let unseen = Unseen {
        what: file.display().to_string(),
        why: "it is not a regular file".to_owned(),
    };
    assert_eq!(tree.unseen, [unseen]);
    let names: Vec<_> = tree
        .state
        .directories
        .iter()
        .map(|d| d.name.as_str())
        .collect();
    assert_eq!(names, ["controller", "instance-1", "round", "worker-01"]);
    assert!(!Report::new(&findings).is_complete());
}

#[test]
fn processes_that_are_gone_or_closed_to_us_are_told() {
    let host = Host::stock();
    // It ended after the list was read, or has no command line, as threads of the kernel.
    fs::create_dir_all(host.path("proc/4000")).unwrap();
    process(&host, 2, 0, "kthreadd", &["x"], &[]);
    host.write("proc/2/cmdline", b"");
    host.write("proc/self/stat", b"nothing");
    // Ours may not be those of another user.
    for name in ["cwd", "environ", "exe", "status", "cgroup"] {
        fs::remove_file(host.path(&format!("proc/812/{name}"))).unwrap();
    }
    let findings = host.look(&Wanted::default());
    let tree = &findings.trees[0];
    let what: Vec<_> = tree
        .unseen
        .iter()
        .map(|unseen| unseen.what.as_str())
        .collect();
    let cwd = "the working directory of process 812";
    assert_eq!(what[..2], [cwd, "the environment of process 812"]);
    assert_eq!(
        tree.zeek.program,
        host.path("opt/zeek/bin/zeek"),
        "as its command line says"
    );
    assert!(!Report::new(&findings).is_complete());
}

#[test]
fn no_list_of_processes_is_no_host_without_them() {
    let host = Host::stock();
    fs::remove_dir_all(host.path("proc")).unwrap();
    let report = Report::new(&host.look(&Wanted::default()));
    assert!(!report.is_complete());
    assert!(show::text(&report).contains("could not be looked at"));
}

#[test]
fn secrets_and_what_terminals_obey_stay_where_they_are() {
    let host = Host::stock();
    let program = host.path("opt/zeek/bin/zeek").display().to_string();
    let words = [
        program.as_str(),
        "-j",
        "Broker::ssl_passphrase=hunter2",
        "-e",
        "redef Broker::ssl_passphrase = \"hunter2\";",
        "agent\u{1b}[2J",
        "policy/frameworks/management/agent",
    ];
    let env = ["ZEEK_SECRET=hunter2", "TOKEN=hunter2", "ZEEK_AGENT_NAME=a"];
    fs::remove_dir_all(host.path("proc/812")).unwrap();
    process(&host, 812, 1, "zeek", &words, &env);
    let report = Report::new(&host.look(&Wanted::default()));
    for text in [show::text(&report), show::json(&report).to_string()] {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.contains("ZEEK_SECRET (not shown)"), "{text}");
        assert!(
            text.contains("# add what sets Broker::ssl_passphrase"),
            "{text}"
        );
    }
    let exec = report.trees[0].forward.iter().flat_map(|step| &step.lines);
    let exec: Vec<_> = exec
        .filter(|line| line.starts_with("ExecStart=/"))
        .collect();
    let expected = format!(
        "ExecStart=/usr/bin/zeek-mgmt run --zeek {program} \"agent\\x1b[2J\" \
         policy/frameworks/management/agent"
    );
    assert_eq!(exec, [&expected]);
}

#[test]
fn a_command_line_that_is_no_text_is_told() {
    let host = Host::stock();
    let mut bytes = fs::read(host.path("proc/812/cmdline")).unwrap();
    bytes.extend(b"caf\xe9.zeek\0");
    host.write("proc/812/cmdline", &bytes);
    let report = Report::new(&host.look(&Wanted::default()));
    let text = "arguments that are not UTF-8, which ours does not take";
    assert!(
        report.trees[0]
            .changes
            .iter()
            .any(|change| change.what == text)
    );
}

#[test]
fn units_are_told_from_sessions() {
    let units = [
        (
            "0::/system.slice/zeek.service\n",
            "zeek.service",
            Some(Manager::System),
        ),
        (
            "0::/system.slice/zeek@eth0.service/sub\n",
            "zeek@eth0.service",
            Some(Manager::System),
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/zeek.service\n",
            "zeek.service",
            Some(Manager::User),
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n",
            "",
            None,
        ),
        ("0::/user.slice/user-0.slice/session-3.scope\n", "", None),
        (
            "5:cpu:/x.service\n1:name=systemd:/system.slice/zeek.service\n",
            "zeek.service",
            Some(Manager::System),
        ),
        ("0::/a;rm -r.service\n", "", None),
        ("", "", None),
    ];
    for (groups, name, manager) in units {
        let host = Host::stock();
        host.write("proc/812/cgroup", groups.as_bytes());
        let findings = host.look(&Wanted::default());
        let Place::Running { unit, .. } = &findings.trees[0].place else {
            panic!("it runs");
        };
        let expected = manager.map(|manager| Unit {
            name: name.to_owned(),
            manager,
        });
        assert_eq!(*unit, expected, "{groups}");
    }
}

#[test]
fn a_program_is_asked_for_its_version_only_if_nobody_else_could_have_put_it_there() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::stock();
    fs::remove_file(host.path("opt/zeek/bin/zeek-config")).unwrap();
    let mark = host.path("was-run");
    let script = format!(
        "#!/bin/sh\n: > {}\necho zeek version 7.0.1\n",
        mark.display()
    );
    host.write("opt/zeek/bin/zeek", script.as_bytes());
    let set = |below: &str, mode| {
        fs::set_permissions(host.path(below), fs::Permissions::from_mode(mode)).unwrap();
    };
    for dir in ["", "opt", "opt/zeek", "opt/zeek/bin"] {
        set(dir, 0o755);
    }
    let version = || host.look(&Wanted::default()).trees[0].zeek.version.clone();
    for (file, dir) in [(0o777, 0o755), (0o755, 0o777)] {
        set("opt/zeek/bin/zeek", file);
        set("opt/zeek/bin", dir);
        assert_eq!(version(), None);
    }
    assert!(!mark.exists());
    set("opt/zeek/bin", 0o755);
    // Another test that forks may have it open for a moment.
    let told = (0..1000).find_map(|_| version());
    assert_eq!(told.as_deref(), Some("7.0.1"));
}
