//! Tests of the machine: inputs, exact outputs, time by hand.

mod deaths;
mod recorded;
mod refusals;
mod rig;
mod shutdown;
mod storm;

use super::*;
use crate::api::{ClusterRole, NodeEnd, NodeExit, NodeOutputs, NodeStatus};
use crate::host::{Control, Ending, Group, Launch, Signal, Stream, Target};
use crate::settings::{OwnUnit, Policy};
use rig::*;

#[test]
fn a_node_is_answered_for_at_once_and_announced_when_it_runs() {
    let mut rig = Rig::new();
    rig.request(create("r1", NodeConfig::named("a")));
    assert_eq!(rig.drain(), [created("r1", ""), spawn(A1)]);

    rig.host(spawned(A1, 100));
    let json = r#"create a {"name":"a","addl_base_scripts":[],"addl_user_scripts":[],"env":{},"cluster":{}}"#;
    assert_eq!(rig.drain(), [tell(A1, &format!("{json}\0"))]);
    assert_eq!(rig.pid("a"), Some(None));

    rig.message(A1, "status a 101\0");
    assert_eq!(rig.drain(), [node_status("a", 101), open("a", None)]);
    assert_eq!(rig.pid("a"), Some(Some(101)));
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_with_a_newline() {
    let mut rig = Rig::new();
    rig.request(create("r1", in_directory("a", "/proc/x")));
    assert_eq!(rig.drain(), [make_directory("/proc/x")]);
    rig.host(HostInput::DirectoryMade {
        result: Err("no such file".into()),
    });
    let text = "failed to create working directory /proc/x\n";
    assert_eq!(rig.drain(), [created("r1", text)]);
    assert_eq!(rig.pid("a"), None);
}

#[test]
fn requests_behind_a_directory_are_answered_in_order() {
    let mut rig = Rig::new();
    rig.request(create("r1", in_directory("a", "d")));
    rig.request(create("r2", NodeConfig::named("a")));
    rig.request(create("r3", in_directory("b", "e")));
    rig.request(destroy("r4", "b"));
    assert_eq!(rig.drain(), [make_directory("d")]);
    rig.directory_made();
    assert_eq!(
        rig.drain(),
        [
            created("r1", ""),
            spawn(A1),
            created("r2", "node with name 'a' already exists"),
            make_directory("e"),
        ]
    );
    rig.directory_made();
    let b1 = child(2, 1);
    assert_eq!(
        rig.drain(),
        [created("r3", ""), spawn(b1), destroyed("r4", true)]
    );
}

#[test]
fn only_so_many_requests_wait_for_a_directory() {
    let mut rig = Rig::new();
    rig.request(create("r1", in_directory("a", "d")));
    for _ in 0..MAX_WAITING + 5 {
        rig.request(destroy("r2", "none"));
    }
    assert_eq!(rig.drain(), [make_directory("d")]);
    rig.directory_made();
    let mut outputs = rig.drain();
    let answers = outputs.split_off(2);
    assert_eq!(outputs, [created("r1", ""), spawn(A1)]);
    assert_eq!(answers, vec![destroyed("r2", false); MAX_WAITING]);
}

#[test]
fn a_directory_that_nobody_waits_for_is_no_news() {
    let mut rig = Rig::new();
    rig.directory_made();
    assert_eq!(rig.drain(), []);
    rig.request(create("r1", NodeConfig::named("a")));
    assert_eq!(rig.drain(), [created("r1", ""), spawn(A1)]);
}

#[test]
fn nodes_of_one_cluster_have_its_layout_in_common() {
    let mut rig = Rig::new();
    for name in ["a", "b", "c"] {
        let mut node = in_directory(name, "d");
        let role = if name == "c" {
            ClusterRole::Proxy
        } else {
            ClusterRole::Worker
        };
        node.cluster = with_role("w", role).cluster;
        rig.request(create(name, node));
    }
    (0..3).for_each(|_| rig.directory_made());
    rig.drain();
    let nodes = rig.status("");
    let is_one = |a: &str, b: &str| {
        let [a, b] = [a, b].map(|name| &nodes[name].node.cluster);
        a.is_one_with(b)
    };
    assert!(is_one("a", "b"));
    assert!(!is_one("a", "c"));
}

#[test]
fn unknown_names_are_refused_and_empty_ones_mean_all() {
    let mut rig = Rig::new();
    rig.request(restart("r1", "x"));
    rig.request(destroy("r2", "x"));
    rig.request(restart("r3", ""));
    rig.request(destroy("r4", ""));
    assert_eq!(
        rig.drain(),
        [
            restarted("r1", false),
            destroyed("r2", false),
            restarted("r3", true),
            destroyed("r4", true),
        ]
    );
    assert_eq!(rig.status("x"), BTreeMap::new());
    rig.run("a", A1, 100);
    rig.run("b", child(2, 1), 200);
    assert_eq!(rig.status("").len(), 2);
    assert_eq!(rig.status("b").len(), 1);
    rig.request(destroy("r5", ""));
    assert_eq!(
        rig.drain(),
        [term(A1, 100), term(child(2, 1), 200), destroyed("r5", true)]
    );
    assert_eq!(rig.status(""), BTreeMap::new());
}

#[test]
fn the_former_life_is_told_after_the_new_one_is_announced() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.request(restart("r1", "a"));
    assert_eq!(rig.drain(), [term(A1, 100), restarted("r1", true)]);

    rig.printed(A1, Stream::Stderr, "[a] received term");
    rig.printed(A1, Stream::Stderr, "ination signal\n[a] bye\n");
    rig.printed(A1, Stream::Stdout, "[a] 1\n");
    assert_eq!(
        rig.drain(),
        [
            line("a", Stream::Stderr, "received termination signal"),
            line("a", Stream::Stderr, "bye"),
            line("a", Stream::Stdout, "1"),
        ]
    );
    assert_eq!(
        rig.pid("a"),
        Some(Some(101)),
        "the dead process is still listed"
    );

    rig.host(exited(A1, 100, Ending::Status(0)));
    let a2 = child(1, 2);
    assert_eq!(
        rig.drain(),
        [spawn(a2)],
        "nobody is told of an end that was ordered"
    );
    rig.host(spawned(a2, 110));
    rig.drain();
    rig.message(a2, "status a 111\0");
    assert_eq!(
        rig.drain(),
        [
            node_status("a", 111),
            node_exit("a", "1", "received termination signal\nbye"),
            open("a", None),
        ]
    );
    rig.message(a2, "status a 112\0");
    assert_eq!(rig.drain(), [node_status("a", 112), open("a", None)]);
}

#[test]
fn a_flood_of_restarts_is_one_restart() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    for _ in 0..50 {
        rig.request(restart("r", "a"));
    }
    let mut outputs = rig.drain();
    outputs.retain(|output| *output != restarted("r", true));
    assert_eq!(outputs, [term(A1, 100)]);
    rig.host(exited(A1, 100, Ending::Status(0)));
    assert_eq!(rig.drain(), [spawn(child(1, 2))]);
}

#[test]
fn a_create_waits_for_the_former_stem_of_its_name_and_nobody_else_does() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.request(destroy("r1", "a"));
    assert_eq!(rig.drain(), [term(A1, 100), destroyed("r1", true)]);

    rig.request(create("r2", NodeConfig::named("a")));
    assert_eq!(rig.drain(), [created("r2", "")]);
    assert_eq!(rig.pid("a"), Some(None));
    rig.request(create("r3", NodeConfig::named("b")));
    assert_eq!(rig.drain(), [created("r3", ""), spawn(child(3, 1))]);

    rig.host(exited(A1, 100, Ending::Status(0)));
    assert_eq!(rig.drain(), [close("a"), spawn(child(2, 1))]);
}

#[test]
fn a_node_destroyed_while_it_waits_never_starts() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.request(destroy("r1", "a"));
    rig.request(create("r2", NodeConfig::named("a")));
    rig.request(destroy("r3", "a"));
    rig.request(create("r4", NodeConfig::named("a")));
    rig.drain();
    rig.host(exited(A1, 100, Ending::Status(0)));
    assert_eq!(rig.drain(), [close("a"), spawn(child(3, 1))]);
}

#[test]
fn a_stem_that_ignores_sigterm_is_killed_after_thirty_seconds() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.request(destroy("r1", "a"));
    rig.drain();
    assert_eq!(rig.due(), Some(secs(30)));
    rig.wait(secs(30));
    assert_eq!(rig.drain(), [kill(A1, 100)]);
    assert_eq!(rig.due(), None);
}

#[test]
fn a_stem_that_dies_is_replaced_when_its_orphans_are_gone() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.wait(secs(100));
    rig.host(bereaved(A1, 100, Ending::Signal(9)));
    let end = ran(secs(100));
    assert_eq!(rig.drain(), [died("a", end), kill(A1, 100)]);
    assert_eq!(rig.due(), Some(secs(1)));
    rig.wait(secs(1));
    let a2 = child(1, 2);
    assert_eq!(rig.drain(), [spawn(a2)]);
    rig.message(A1, "status a 5\0");
    rig.host(exited(A1, 100, Ending::Signal(9)));
    assert_eq!(
        rig.drain(),
        [],
        "late words of the former stem count for nothing"
    );
    assert_eq!(rig.pid("a"), Some(Some(101)), "the last known one");
}

#[test]
fn an_exit_with_another_pid_is_not_believed() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.host(exited(A1, 99, Ending::Status(0)));
    assert_eq!(rig.drain(), []);
    assert_eq!(rig.due(), None);
}

#[test]
fn a_missing_zeek_is_told_once_and_tried_again_with_growing_delays() {
    let mut rig = Rig::new();
    rig.request(create("r1", NodeConfig::named("a")));
    rig.drain();
    let reason = "cannot run /opt/zeek/bin/zeek: not found";
    let mut told = vec![node_exit("a", "", reason)];
    for (generation, wait) in (1..).zip([1, 1, 1, 2, 2, 2, 4]) {
        rig.host(HostInput::SpawnFailed {
            child: child(1, generation),
            reason: reason.into(),
        });
        assert_eq!(rig.drain(), std::mem::take(&mut told));
        assert_eq!(rig.due(), Some(secs(wait)));
        rig.wait(secs(wait));
        assert_eq!(rig.drain(), [spawn(child(1, generation + 1))]);
    }
}

#[test]
fn a_stem_that_ends_before_its_node_started_leaves_its_own_words() {
    let mut rig = Rig::new();
    rig.request(create("r1", NodeConfig::named("a")));
    rig.host(spawned(A1, 100));
    rig.drain();
    rig.printed(A1, Stream::Stderr, "failed to locate script: x\n");
    rig.host(exited(A1, 100, Ending::Status(1)));
    let words = "failed to locate script: x\nzeek ended before it started the node: status 1";
    assert_eq!(rig.drain(), [node_exit("a", "", words)]);
}

#[test]
fn stop_request_ends_all_units_in_parallel_and_then_the_supervisor() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.run("b", child(2, 1), 200);
    rig.request(create("r", NodeConfig::named("c")));
    rig.drain();
    rig.request(SupervisorRequest::Stop {});
    assert_eq!(rig.drain(), [term(A1, 100), term(child(2, 1), 200)]);
    rig.request(create("r", NodeConfig::named("d")));
    assert_eq!(rig.drain(), [], "nothing starts any more");

    rig.host(exited(child(2, 1), 200, Ending::Status(0)));
    assert_eq!(rig.drain(), [close("b")]);
    rig.host(spawned(child(3, 1), 300));
    assert_eq!(rig.drain(), [term(child(3, 1), 300)]);
    rig.host(exited(child(3, 1), 300, Ending::Signal(15)));
    assert_eq!(rig.drain(), [close("c")]);
    rig.host(exited(A1, 100, Ending::Status(0)));
    assert_eq!(rig.drain(), [close("a"), Output::Stopped]);
    rig.handle(Input::Shutdown);
    assert_eq!(rig.drain(), []);
}

#[test]
fn a_supervisor_without_units_stops_at_once() {
    let mut rig = Rig::new();
    rig.handle(Input::Shutdown);
    assert_eq!(rig.drain(), [Output::Stopped]);
}

#[test]
fn a_reload_reaches_our_own_running_programs_and_no_zeek() {
    let argv = ["zeek-mgmt", "agent"].map(String::from).to_vec();
    let node = NodeConfig::named("agent");
    let mut rig = Rig::with_own(vec![OwnUnit { node, argv }]);
    rig.drain();
    rig.handle(Input::Reload);
    assert_eq!(rig.drain(), []);
    rig.host(spawned(A1, 100));
    rig.request(create("x", NodeConfig::named("zeek")));
    rig.drain();
    let zeek = ChildId {
        unit: 2,
        generation: 1,
    };
    rig.host(spawned(zeek, 200));
    rig.drain();
    rig.handle(Input::Reload);
    let hangup = signal(A1, 100, Target::Process, Signal::Hangup);
    assert_eq!(rig.drain(), [hangup]);
}

#[test]
fn own_programs_are_started_listed_revived_and_stopped() {
    let mut node = in_directory("agent", "/state/nodes/agent");
    node.env
        .insert("ZEEK_MANAGEMENT_NODE".into(), "AGENT".into());
    let argv = ["zeek-mgmt", "agent", "-v"].map(String::from).to_vec();
    let mut rig = Rig::with_own(vec![OwnUnit { node, argv }]);
    let launch = Launch {
        program: "zeek-mgmt".into(),
        args: vec!["agent".into(), "-v".into()],
        env: vec![("ZEEK_MANAGEMENT_NODE".into(), "AGENT".into())],
        node: Some(
            concat!(
                r#"{"name":"agent","directory":"/state/nodes/agent","addl_base_scripts":[],"#,
                r#""addl_user_scripts":[],"env":{"ZEEK_MANAGEMENT_NODE":"AGENT"},"cluster":{}}"#
            )
            .into(),
        ),
        directory: Some("/state/nodes/agent".into()),
        control: Control::Absent,
    };
    let start = |child| {
        host(HostOutput::Spawn {
            child,
            launch: launch.clone(),
        })
    };
    assert_eq!(rig.drain(), [start(A1)]);

    let files = open("agent", Some("/state/nodes/agent"));
    rig.host(spawned(A1, 100));
    assert_eq!(rig.drain(), [node_status("agent", 100), files.clone()]);
    assert_eq!(rig.pid("agent"), Some(Some(100)));
    rig.printed(A1, Stream::Stdout, "hello\n[agent] x\nno newline");
    rig.drain();

    rig.host(exited(A1, 100, Ending::Status(0)));
    let told_at_end = ExitEvent::NotifyNodeExit {
        node: "agent".into(),
        outputs: NodeExit {
            outputs: NodeOutputs {
                stdout: "hello\n[agent] x\nno newline".into(),
                stderr: "".into(),
            },
            end: Some(NodeEnd {
                status: Some(0),
                ..NodeEnd::default()
            }),
        },
    };
    assert_eq!(
        rig.drain(),
        [
            line("agent", Stream::Stdout, "no newline"),
            Output::NodeExit { event: told_at_end }
        ]
    );
    rig.wait(secs(1));
    let second = child(1, 2);
    assert_eq!(rig.drain(), [start(second)]);
    rig.host(spawned(second, 110));
    let told = node_exit("agent", "hello\n[agent] x\nno newline", "");
    assert_eq!(rig.drain(), [node_status("agent", 110), told, files]);

    rig.request(restart("r1", "agent"));
    assert_eq!(rig.drain(), [term(second, 110), restarted("r1", true)]);
    rig.host(exited(second, 110, Ending::Status(0)));
    assert_eq!(rig.drain(), [start(child(1, 3))]);
    rig.host(spawned(child(1, 3), 120));
    rig.drain();
    rig.handle(Input::Shutdown);
    assert_eq!(rig.due(), Some(secs(26)));
    rig.wait(secs(26));
    assert_eq!(
        rig.drain(),
        [term(child(1, 3), 120), kill(child(1, 3), 120)]
    );
}

#[test]
fn words_of_the_stem_itself_are_not_taken_for_the_nodes() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.printed(
        A1,
        Stream::Stderr,
        "fatal error: failed to locate script: x\n",
    );
    rig.message(A1, "status b 7\0error what?\0nonsense\0");
    assert_eq!(rig.drain(), []);
}

#[test]
fn what_a_quick_node_prints_before_its_status_is_of_its_own_life() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.printed(A1, Stream::Stderr, "[a] last words\n");
    rig.host(exited(A1, 100, Ending::Signal(9)));
    rig.wait(secs(1));
    let a2 = child(1, 2);
    rig.host(spawned(a2, 200));
    rig.drain();
    rig.printed(a2, Stream::Stdout, "[a] hello\n");
    assert_eq!(rig.drain(), []);
    rig.message(a2, "status a 201\0");
    assert_eq!(
        rig.drain(),
        [
            node_status("a", 201),
            node_exit("a", "", "last words"),
            open("a", None),
            line("a", Stream::Stdout, "hello"),
        ]
    );
    rig.message(a2, "status a 202\0");
    let told = node_exit("a", "hello", "");
    assert_eq!(rig.drain(), [node_status("a", 202), told, open("a", None)]);
}

#[test]
fn of_what_a_node_prints_before_its_status_a_mebibyte_is_kept() {
    let mut rig = Rig::new();
    rig.request(create("r1", NodeConfig::named("a")));
    rig.host(spawned(A1, 100));
    rig.drain();
    let text = "x".repeat(1 << 10);
    for _ in 0..1100 {
        rig.printed(A1, Stream::Stdout, &format!("[a] {text}\n"));
    }
    assert_eq!(rig.drain(), []);
    rig.message(A1, "status a 101\0");
    let mut outputs = rig.drain();
    let lines = outputs.split_off(2);
    assert_eq!(outputs, [node_status("a", 101), open("a", None)]);
    assert_eq!(lines, vec![line("a", Stream::Stdout, &text); 1024]);
}
