//! How deaths are told, and that a node's own children go with it.

use std::fs;

use broker_proto::ByteString;
use rustix::process::Signal;

use crate::agent::{Agent, kill};

#[tokio::test]
async fn a_death_is_told_at_once_with_how_and_the_last_words() {
    let mut agent = Agent::start(&[]).await;
    let order = [
        ("ZEEK_STANDIN_FAIL", "7"),
        ("ZEEK_STANDIN_FAIL_AFTER", "300"),
        ("ZEEK_STANDIN_FAIL_TEXT", "error: one|two"),
    ];
    assert_eq!(agent.create("w", &order).await, "");
    agent.started("w").await;
    let told = agent.died("w").await;
    let end = told.end.expect("told before the next start");
    assert_eq!((end.status, end.signal, end.restarts), (Some(7), None, 0));
    assert_last_words(&told.outputs.stderr);

    agent.started("w").await;
    let again = agent.died("w").await;
    assert_eq!(again.end, None, "as stock");
    assert_last_words(&again.outputs.stderr);
    agent.died("w").await;
    agent.destroy("w").await;
    agent.await_processes(1).await;
    let file = fs::read_to_string(agent.folder("w").join("stderr.1")).unwrap();
    assert!(file.starts_with("error: one\ntwo\n"), "{file:?}");
    agent.stop().await;
}

#[tokio::test]
async fn a_killed_node_is_told_with_its_signal_even_after_a_restart() {
    killed(Agent::start(&[]).await).await;
}

pub(crate) async fn killed(mut agent: Agent) {
    agent.create("w", &[]).await;
    agent.started("w").await;
    agent.restart("w").await;
    let pid = agent.started("w").await;
    kill(i32::try_from(pid).unwrap(), Signal::KILL);
    let end = loop {
        if let Some(end) = agent.died("w").await.end {
            break end;
        }
    };
    assert_eq!((end.status, end.signal, end.restarts), (None, Some(9), 1));
    agent.stop().await;
}

#[tokio::test]
async fn a_nodes_own_children_die_with_it() {
    let mut agent = Agent::start(&[("ZEEK_STANDIN_CHILD", "1000")]).await;
    agent.create("w", &[]).await;
    agent.hellos(&["w".to_owned()]).await;
    let has_child = |agent: &Agent| agent.processes().iter().any(|p| p.command == "sleep 1000");
    assert!(has_child(&agent));
    agent.destroy("w").await;
    agent.await_processes(1).await;
    assert!(!has_child(&agent));
    agent.stop().await;
}

/// What the next life prints may be read before the news of it, and be told with them.
fn assert_last_words(stderr: &ByteString) {
    let is_it = stderr.as_bytes().starts_with(b"error: one\ntwo");
    assert!(is_it, "{stderr:?}");
}
