//! What happens in a seed depends on nothing of the process that it happens in: neither on the keys of
//! its hash maps and the addresses of its memory, which each process has others of, nor on its
//! environment, its folder, its threads and the time.

#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::process::{Command, Output};

#[test]
fn two_processes_tell_the_same_of_the_same_seeds() {
    let [one, other] = both(["1", "6", "text"]);
    for seed in 1..=6 {
        assert!(one.contains(&format!("seed {seed}\n")), "{one}");
    }
    // Everybody has an answer in the end.
    assert!(one.matches("Answered").count() > 6, "{one}");
    let differing = one.lines().zip(other.lines()).find(|(a, b)| a != b);
    assert_eq!(differing, None);
    assert!(one == other, "one is longer");
}

#[test]
fn the_digest_is_the_same_in_two_processes_whatever_their_threads_do() {
    let digest = |text: &str| {
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with("digest of seeds 1 to 12: "));
        line.unwrap().to_owned()
    };
    let [one, other] = both(["1", "12", "digest"]);
    assert_eq!(digest(&one), digest(&other));
    let [fewer, _] = both(["2", "2", "digest"]);
    assert!(!fewer.contains(digest(&one).rsplit(' ').next().unwrap()));
}

/// What two processes print, that have as little as possible in common.
fn both(args: [&str; 3]) -> [String; 2] {
    let mut bare = program(args);
    bare.env_clear().current_dir("/");
    let mut full = program(args);
    full.env("TZ", "Asia/Kathmandu").env("LANG", "tr_TR.UTF-8");
    // Whatever is on the stack is elsewhere.
    full.env("LONG", "long".repeat(5000));
    [bare, full].map(|mut program| {
        let Output { status, stdout, .. } = program.output().unwrap();
        assert!(status.success(), "{status}");
        String::from_utf8(stdout).unwrap()
    })
}

fn program(args: [&str; 3]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_world-seeds"));
    program.args(args);
    program
}
