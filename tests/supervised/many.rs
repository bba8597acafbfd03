//! Many nodes that take their time.

use std::time::{Duration, Instant};

use harness::processes::{processor_time, resident_kib};

use crate::agent::Agent;
use crate::asked;

#[tokio::test]
async fn slow_nodes_stop_and_start_at_the_same_time() {
    let slow = ("ZEEK_STANDIN_STOP_DELAY", "500");
    let idle = stop_and_start(Agent::start(&[slow]).await, 12).await;
    assert_eq!(idle, Duration::ZERO);
}

/// What the supervisor uses of a processor in two seconds in which nodes have nothing to say.
pub(crate) async fn stop_and_start(mut agent: Agent, ordinary: usize) -> Duration {
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

    // What ticks, ticks at least once a second.
    let before = processor_time(pid).unwrap();
    agent.live_on(Duration::from_secs(2)).await;
    let used = processor_time(pid).unwrap() - before;
    println!("idle for 2 s: {used:?} of processor time");

    let begin = Instant::now();
    agent.destroy("").await;
    agent.await_processes(1).await;
    println!("stopped after {:?}", begin.elapsed());
    assert!(agent.status().await.nodes.is_empty());
    agent.stop().await;
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
