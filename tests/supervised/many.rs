//! Many nodes that take their time.

use std::time::{Duration, Instant};

use harness::processes::{processor_time, resident_kib};

use crate::agent::Agent;
use crate::{PATIENCE, asked};

#[tokio::test]
async fn slow_nodes_stop_and_start_at_the_same_time() {
    let slow = ("ZEEK_STANDIN_STOP_DELAY", "500");
    stop_and_start(Agent::start(&[slow]).await, 12, Nodes::Silent).await;
}

/// What nodes do while they are idle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Nodes {
    /// They print nothing, so the supervisor has nothing to do.
    Silent,
    /// What they print of themselves, the supervisor reads.
    Talkative,
}

pub(crate) async fn stop_and_start(mut agent: Agent, ordinary: usize, kind: Nodes) {
    let count = asked("SUPERVISED_NODES", ordinary);
    let nodes: Vec<String> = (0..count).map(|i| format!("w-{i:02}")).collect();
    let begin = Instant::now();
    for node in &nodes {
        assert_eq!(agent.create(node, &[]).await, "");
    }
    agent.hellos(&nodes).await;
    println!("{count} nodes said hello after {:?}", begin.elapsed());
    let pid = agent.supervisor_pid();
    let memory = resident_kib(pid).unwrap();
    println!("the supervisor has {memory} KiB resident");

    let begin = Instant::now();
    agent.restart("").await;
    agent.hellos(&nodes).await;
    println!("restarted and said hello after {:?}", begin.elapsed());

    let mut used = idle(&mut agent).await;
    if kind == Nodes::Silent {
        // The news of the start may still be under way.
        let deadline = Instant::now() + PATIENCE;
        while used > Duration::ZERO && Instant::now() < deadline {
            used = idle(&mut agent).await;
        }
        assert_eq!(used, Duration::ZERO);
    }

    let begin = Instant::now();
    agent.destroy("").await;
    agent.await_processes(1).await;
    println!("stopped after {:?}", begin.elapsed());
    assert!(agent.status().await.nodes.is_empty());
    agent.stop().await;
}

/// What the supervisor uses of a processor in two seconds: what ticks, ticks at least once a second.
async fn idle(agent: &mut Agent) -> Duration {
    let pid = agent.supervisor_pid();
    let before = processor_time(pid).unwrap();
    agent.live_on(Duration::from_secs(2)).await;
    let used = processor_time(pid).unwrap() - before;
    println!("idle for 2 s: {used:?} of processor time");
    used
}

#[tokio::test]
async fn a_stubborn_node_holds_up_only_itself() {
    let stubborn = ("ZEEK_STANDIN_IGNORE_SIGTERM", "a:1");
    let mut agent = Agent::start(&[stubborn]).await;
    let nodes = ["a", "b", "c"].map(String::from);
    for node in &nodes {
        assert_eq!(agent.create(node, &[]).await, "");
    }
    agent.hellos(&nodes).await;
    agent.restart("").await;
    // It needs 26 s; these two are not told to wait for it.
    agent.hellos(&nodes[1..]).await;
    let begin = Instant::now();
    for node in ["b", "c"] {
        agent.destroy(node).await;
    }
    agent.await_processes(3).await;
    println!("the others were gone after {:?}", begin.elapsed());
    for process in agent.processes() {
        if process.pid != agent.supervisor_pid() {
            crate::agent::kill(process.pid, rustix::process::Signal::KILL);
        }
    }
    agent.hellos(&nodes[..1]).await;
    for process in agent.processes() {
        if process.pid != agent.supervisor_pid() {
            crate::agent::kill(process.pid, rustix::process::Signal::KILL);
        }
    }
    agent.stop().await;
}
