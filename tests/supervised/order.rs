//! The end of the whole tree: workers, proxies, managers, loggers (API §12.3 D51).

use std::fs;

use supervisor::api::ClusterRole;

use crate::agent::Agent;

const NODES: [(&str, ClusterRole); 8] = [
    ("logger-1", ClusterRole::Logger),
    ("logger-2", ClusterRole::Logger),
    ("manager", ClusterRole::Manager),
    ("proxy-1", ClusterRole::Proxy),
    ("proxy-2", ClusterRole::Proxy),
    ("worker-1", ClusterRole::Worker),
    ("worker-2", ClusterRole::Worker),
    ("worker-3", ClusterRole::Worker),
];

/// What a stand-in does with `ZEEK_STANDIN_DIARY`.
const DIARY_SCRIPT: &str = "\
event zeek_done()
	{
	local diary = open_for_append(getenv(\"ZEEK_STANDIN_DIARY\"));
	print diary, fmt(\"%s is told to stop\", Cluster::node);
	close(diary);
	}
";

#[tokio::test]
async fn the_tree_ends_role_by_role() {
    // Long enough to be overtaken by whoever does not wait for it.
    let slow = ("ZEEK_STANDIN_STOP_DELAY", "200");
    role_by_role(Agent::start(&[slow]).await).await;
}

pub(crate) async fn role_by_role(mut agent: Agent) {
    let diary = agent.folder("diary");
    let script = agent.folder("diary.zeek");
    fs::write(&script, DIARY_SCRIPT).unwrap();
    let order = ("ZEEK_STANDIN_DIARY", diary.to_str().unwrap());
    for (name, role) in NODES {
        let mut node = agent.node(name, role, &[order]);
        node.addl_user_scripts.push(script.display().to_string());
        assert_eq!(agent.create_node(node).await, "");
    }
    agent.hellos(&NODES.map(|(name, _)| name.to_owned())).await;
    agent.end().await;
    let text = fs::read_to_string(&diary).unwrap();
    let told = text
        .lines()
        .filter(|line| line.ends_with("is told to stop"));
    assert_eq!(told.count(), NODES.len(), "{text}");
    // Whoever has ended has said so before, so nobody writes after those of a later role.
    let turns: Vec<_> = text.lines().map(turn).collect();
    assert!(turns.is_sorted(), "{text}");
}

/// When the role of the node comes that wrote this line.
fn turn(line: &str) -> usize {
    let name = line.split(' ').next().unwrap();
    let (_, role) = NODES.iter().find(|(known, _)| *known == name).unwrap();
    let order = [
        ClusterRole::Worker,
        ClusterRole::Proxy,
        ClusterRole::Manager,
        ClusterRole::Logger,
    ];
    order.iter().position(|other| other == role).unwrap()
}
