//! What is told when nodes die, and when they are left alone (API §12.3 D52 to D54, D69).

use super::*;
use crate::settings::GiveUp;

/// Last words may travel this long behind the news.
const WORDS: std::time::Duration = std::time::Duration::from_millis(100);

#[test]
fn a_death_is_told_when_the_last_words_are_there_and_again_at_the_next_start() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.wait(secs(5));
    rig.message(A1, &exited_text("a", 101, 3));
    rig.printed(A1, Stream::Stderr, "[a] fatal error\n");
    assert_eq!(rig.drain(), [line("a", Stream::Stderr, "fatal error")]);
    assert_eq!(rig.due(), Some(WORDS));
    rig.wait(WORDS);
    let end = NodeEnd {
        status: Some(3),
        ..ran(secs(5))
    };
    assert_eq!(rig.drain(), [died_saying("a", "fatal error", end)]);
    assert_eq!(rig.due(), None, "its stem revives it");

    rig.wait(secs(1));
    let revived = "error Supervised node 'a' (PID 102) revived after premature exit\0";
    rig.message(A1, &format!("{revived}status a 102\0"));
    assert_eq!(
        rig.drain(),
        [
            node_status("a", 102),
            node_exit("a", "", "fatal error"),
            open("a", None),
        ]
    );
}

#[test]
fn a_node_revived_at_once_is_told_dead_before_it_is_told_alive() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    let killed = "error Supervised node 'a' (PID 101) terminated prematurely by signal 11\0";
    rig.message(A1, &format!("{killed}status a 102\0"));
    let end = NodeEnd {
        signal: Some(11),
        ..NodeEnd::default()
    };
    let alive = [node_status("a", 102), open("a", None)];
    let [status, files] = alive;
    assert_eq!(rig.drain(), [died("a", end), status, files]);
    rig.wait(secs(2));
    rig.message(A1, &exited_text("a", 102, 0));
    rig.wait(WORDS);
    let end = NodeEnd {
        status: Some(0),
        restarts: 1,
        ..ran(secs(2))
    };
    assert_eq!(rig.drain(), [died("a", end)]);
}

/// Status and output come on different pipes, in any order.
#[test]
fn last_words_read_before_the_news_of_the_start_are_told_with_the_death() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.wait(secs(1));
    rig.message(A1, &exited_text("a", 101, 3));
    rig.wait(WORDS);
    rig.drain();
    rig.printed(A1, Stream::Stderr, "[a] fatal error\n");
    let exited = exited_text("a", 102, 3);
    rig.message(A1, &format!("status a 102\0{exited}"));
    rig.wait(WORDS);
    let end = NodeEnd {
        status: Some(3),
        restarts: 1,
        ..ran(secs(0))
    };
    assert_eq!(
        rig.drain(),
        [
            line("a", Stream::Stderr, "fatal error"),
            node_status("a", 102),
            node_exit("a", "", "fatal error"),
            open("a", None),
            died_saying("a", "fatal error", end),
        ]
    );
}

#[test]
fn deaths_after_a_restart_are_told_too() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.request(restart("r", "a"));
    rig.host(exited(A1, 100, Ending::Status(0)));
    let a2 = child(1, 2);
    rig.host(spawned(a2, 200));
    rig.message(a2, "status a 201\0");
    rig.drain();
    rig.message(a2, &exited_text("a", 201, 1));
    rig.wait(WORDS);
    let end = NodeEnd {
        status: Some(1),
        restarts: 1,
        ..NodeEnd::default()
    };
    assert_eq!(rig.drain(), [died("a", end)]);
}

#[test]
fn no_node_waits_longer_than_a_minute_for_its_revival() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    // The delays of the stem: 1, 1, 1, 2, … 32. The next one would be 64 s.
    for (pid, delay) in (101..).zip([1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32]) {
        rig.message(A1, &exited_text("a", pid, 1));
        rig.wait(secs(delay));
        rig.message(A1, &format!("status a {}\0", pid + 1));
        let stopped = rig.drain().contains(&term(A1, 100));
        assert!(!stopped, "after {delay} s");
    }
    rig.message(A1, &exited_text("a", 118, 1));
    assert_eq!(rig.drain(), [term(A1, 100)], "the stem gives way");
    rig.message(A1, "status a 119\0");
    rig.host(exited(A1, 100, Ending::Status(0)));
    rig.drain();
    assert_eq!(rig.due(), Some(secs(32)));
    rig.wait(secs(32));
    assert_eq!(rig.drain(), [spawn(child(1, 2))]);
}

#[test]
fn a_node_that_dies_too_often_is_left_alone_until_it_is_restarted() {
    let mut rig = tolerant_of(3, secs(60));
    rig.run("a", A1, 100);
    for pid in [101, 102] {
        rig.message(A1, &exited_text("a", pid, 1));
        rig.message(A1, &format!("status a {}\0", pid + 1));
    }
    rig.drain();
    rig.message(A1, &exited_text("a", 103, 1));
    assert_eq!(rig.drain(), [term(A1, 100)]);
    rig.host(exited(A1, 100, Ending::Status(0)));
    let end = NodeEnd {
        status: Some(1),
        restarts: 2,
        ..NodeEnd::default()
    };
    let given_up = NodeEnd {
        is_given_up: true,
        ..end
    };
    assert_eq!(rig.drain(), [died("a", end), died("a", given_up)]);
    assert_eq!(rig.due(), None);
    assert_eq!(rig.pid("a"), Some(Some(103)), "it is still listed");

    rig.request(restart("r", "a"));
    let a2 = child(1, 2);
    assert_eq!(rig.drain(), [spawn(a2), restarted("r", true)]);
    rig.host(spawned(a2, 200));
    rig.message(a2, &exited_text("a", 201, 1));
    rig.drain();
    rig.request(destroy("d", "a"));
    assert_eq!(rig.drain(), [term(a2, 200), destroyed("d", true)]);
}

#[test]
fn deaths_far_apart_are_borne() {
    let mut rig = tolerant_of(2, secs(60));
    rig.run("a", A1, 100);
    for pid in 101..120 {
        rig.message(A1, &exited_text("a", pid, 1));
        rig.message(A1, &format!("status a {}\0", pid + 1));
        assert!(!rig.drain().contains(&term(A1, 100)), "{pid}");
        rig.wait(secs(61));
    }
}

#[test]
fn a_program_that_cannot_start_is_given_up_too() {
    let mut rig = tolerant_of(2, secs(60));
    rig.request(create("r", NodeConfig::named("a")));
    let mut told = Vec::new();
    for generation in [1, 2] {
        rig.drain();
        let child = child(1, generation);
        let reason = "cannot run zeek: not found".into();
        rig.host(HostInput::SpawnFailed { child, reason });
        told = rig.drain();
        rig.wait(secs(1));
    }
    let end = NodeEnd {
        is_given_up: true,
        ..NodeEnd::default()
    };
    assert_eq!(told, [died_saying("a", "cannot run zeek: not found", end)]);
    assert_eq!((rig.drain(), rig.due()), (vec![], None));
    // The same news, late.
    let (child, reason) = (child(1, 2), "cannot run zeek: not found".into());
    rig.host(HostInput::SpawnFailed { child, reason });
    assert_eq!((rig.drain(), rig.due()), (vec![], None));
    rig.request(destroy("d", "a"));
    assert_eq!(rig.drain(), [close("a"), destroyed("d", true)]);
}

#[test]
fn helpers_that_outlive_their_node_are_asked_then_killed() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.request(destroy("d", "a"));
    rig.drain();
    rig.host(bereaved(A1, 100, Ending::Status(0)));
    assert_eq!(rig.drain(), [sweep(A1, 100)]);
    rig.request(create("r", NodeConfig::named("a")));
    assert_eq!(rig.drain(), [created("r", "")], "the name is not free yet");
    rig.wait(secs(1));
    assert_eq!(rig.drain(), [kill(A1, 100), close("a"), spawn(child(2, 1))]);
}

#[test]
fn a_start_that_comes_too_late_is_not_announced() {
    let mut rig = Rig::new();
    rig.run("a", A1, 100);
    rig.request(destroy("d", "a"));
    rig.drain();
    rig.message(A1, "status a 102\0");
    assert_eq!(rig.drain(), []);
}

fn exited_text(node: &str, pid: u32, status: i32) -> String {
    format!("error Supervised node '{node}' (PID {pid}) exited prematurely with status {status}\0")
}

fn tolerant_of(failures: u32, window: std::time::Duration) -> Rig {
    let give_up = Some(GiveUp { failures, window });
    let policy = Policy {
        give_up,
        ..Policy::default()
    };
    Rig::with(Vec::new(), policy)
}
