//! A supervisor as a library: real nodes below a task of this test.

use std::time::Duration;

use broker_proto::tls::Tls;
use harness::binaries;
use supervisor::api::NodeConfig;
use supervisor::io::handle;
use supervisor::{Policy, Settings};

use crate::patiently;

#[tokio::test]
async fn a_program_runs_nodes_itself_and_reads_what_they_print() {
    let settings = Settings {
        listen: None,
        zeek: binaries::built().unwrap().standin,
        args: Vec::new(),
        own: Vec::new(),
        policy: Policy::default(),
    };
    let retry = Duration::from_secs(10);
    let (supervisor, mut lines) = handle::spawn(settings, &Tls::Off, retry).unwrap();
    supervisor.create(NodeConfig::named("w")).await.unwrap();
    let hello = "zeek-standin: node 'w' stands in for Zeek";
    for restarts in 0..3 {
        loop {
            let line = patiently(lines.next()).await.unwrap();
            assert_eq!(line.node, "w");
            if line.text.starts_with(hello.as_bytes()) {
                break;
            }
        }
        assert_eq!(supervisor.lives("w").await.unwrap()["w"].restarts, restarts);
        assert_eq!(supervisor.restart("w").await, Ok(true));
    }
    assert_eq!(supervisor.destroy("w").await, Ok(true));
    assert!(supervisor.status("").await.unwrap().nodes.is_empty());
    patiently(supervisor.stop()).await;
    patiently(async { while lines.next().await.is_some() {} }).await;
}
