//! Nodes that cannot be, or cannot run: refused or told with the reason, and nobody else notices.

use std::fs;

use harness::wait_until;
use supervisor::api::{ClusterRole, NodeConfig};

use crate::PATIENCE;
use crate::agent::Agent;

#[tokio::test]
async fn refused_nodes_are_told_why() {
    refused(Agent::start(&[]).await).await;
}

pub(crate) async fn refused(mut agent: Agent) {
    assert_eq!(agent.create("w", &[]).await, "");
    agent.hellos(&["w".to_owned()]).await;
    let long = "x".repeat(256);
    for (name, why) in [
        ("", "node names must not be an empty string"),
        ("a b", "node names must not contain spaces: 'a b'"),
        ("w", "node with name 'w' already exists"),
        ("../w", "node names must not be paths: '../w'"),
        ("..", "node names must not be paths: '..'"),
        ("w[1]", "node names must not contain brackets: 'w[1]'"),
        (&long, "node names must not be longer than 255 bytes"),
    ] {
        assert_eq!(agent.create(name, &[]).await, why);
    }
    for (variable, why) in [
        (
            "ZEEK_STEM",
            "node with name 'v' must not have ZEEK_STEM in its environment",
        ),
        (
            "A=B",
            "node with name 'v' has an environment variable that cannot be: 'A=B'",
        ),
    ] {
        assert_eq!(agent.create("v", &[(variable, "1,2,3,4,5")]).await, why);
    }
    let file = agent.folder("file");
    fs::write(&file, "").unwrap();
    let below = file.join("w").display().to_string();
    let why = format!("failed to create working directory {below}\n");
    assert_eq!(
        create(&mut agent, |node| node.directory = Some(below)).await,
        why
    );
    let why = "node with name 'v' has no CPU 1024 to run on";
    assert_eq!(
        create(&mut agent, |node| node.cpu_affinity = Some(1024)).await,
        why
    );
    let why = "node with name 'v' has interface and pcap_file set";
    let both = |node: &mut NodeConfig| {
        node.interface = Some("lo".into());
        node.pcap_file = Some("t.pcap".into());
    };
    assert_eq!(create(&mut agent, both).await, why);
    let why = "node with name 'v' has a cluster member without role: 'v'";
    let member = |node: &mut NodeConfig| {
        for endpoint in node.cluster.values_mut() {
            endpoint.role = ClusterRole::None;
        }
    };
    assert_eq!(create(&mut agent, member).await, why);
    let names: Vec<String> = agent.status().await.nodes.into_keys().collect();
    assert_eq!(names, ["w"]);
    agent.restart("w").await;
    agent.hellos(&["w".to_owned()]).await;
    agent.stop().await;
}

#[tokio::test]
async fn what_a_node_cannot_read_is_told_in_its_words() {
    unreadable(Agent::start(&[("ZEEK_STANDIN_OPEN_SOURCE", "1")]).await).await;
}

/// Zeek's words are those of its `run_state.cc` and `Supervisor.cc`.
pub(crate) async fn unreadable(mut agent: Agent) {
    assert_eq!(agent.create("w", &[]).await, "");
    agent.hellos(&["w".to_owned()]).await;
    type Change = fn(&mut NodeConfig);
    let cases: [(&str, Change, &str); 3] = [
        (
            "interface",
            |node| node.interface = Some("no-such-device".into()),
            "problem with interface no-such-device (",
        ),
        (
            "trace",
            |node| node.pcap_file = Some("/no/such/trace.pcap".into()),
            "problem with trace file /no/such/trace.pcap (",
        ),
        (
            "output",
            |node| node.stdout_file = Some("/no/such/file".into()),
            "node 'output' failed to create stdout file /no/such/file: No such file or directory",
        ),
    ];
    for (name, change, words) in cases {
        let mut node = agent.node(name, ClusterRole::Worker, &[]);
        change(&mut node);
        assert_eq!(agent.create_node(node).await, "");
        assert_eq!(death_with(&mut agent, name, words).await, Some(1));
        agent.destroy(name).await;
    }
    agent.restart("w").await;
    agent.hellos(&["w".to_owned()]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_directory_that_is_gone_at_a_restart_is_told_and_its_node_comes_back_with_it() {
    let mut agent = Agent::start(&[]).await;
    for node in ["v", "w"] {
        assert_eq!(agent.create(node, &[]).await, "");
    }
    agent.hellos(&["v".to_owned(), "w".to_owned()]).await;
    let directory = agent.folder("v");
    fs::remove_dir_all(&directory).unwrap();
    agent.restart("v").await;
    let path = directory.display();
    let why = format!("node 'v' failed to chdir to {path}: No such file or directory");
    assert_eq!(death_with(&mut agent, "v", &why).await, Some(1));
    agent.restart("w").await;
    agent.hellos(&["w".to_owned()]).await;
    fs::create_dir_all(&directory).unwrap();
    agent.hellos(&["v".to_owned()]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_cpu_that_the_machine_lacks_is_only_a_line_in_the_nodes_output() {
    let mut agent = Agent::start(&[]).await;
    let answer = create(&mut agent, |node| node.cpu_affinity = Some(1023)).await;
    assert_eq!(answer, "");
    agent.hellos(&["v".to_owned()]).await;
    // Its output goes another way than its hello.
    let file = agent.folder("v").join("stderr");
    let told = wait_until(PATIENCE, || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.contains("node 'v' failed to set CPU affinity: ")
            .then_some(())
    });
    assert!(told.is_some());
    agent.stop().await;
}

/// Waits for a death after which the node had said these words; its exit status.
async fn death_with(agent: &mut Agent, node: &str, words: &str) -> Option<i32> {
    let mut status = None;
    loop {
        let told = agent.died(node).await;
        status = told.end.map_or(status, |end| end.status);
        let text = String::from_utf8_lossy(told.outputs.stderr.as_bytes());
        // Its output may be read after the news of its death, and is told with the next start then.
        if status.is_some() && text.contains(words) {
            return status;
        }
    }
}

/// The answer to a create of `v`, changed like this.
async fn create(agent: &mut Agent, change: impl FnOnce(&mut NodeConfig)) -> String {
    let mut node = agent.node("v", ClusterRole::Worker, &[]);
    change(&mut node);
    agent.create_node(node).await
}
