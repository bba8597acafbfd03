//! A node that prints more than anybody reads.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::processes::resident_kib;
use harness::wait_until;

use crate::agent::Agent;
use crate::{PATIENCE, asked};

/// With room for a debug build.
const MEMORY_KIB: u64 = 64 * 1024;

#[tokio::test]
async fn every_line_of_a_flood_reaches_its_file_and_nobody_else_waits() {
    const LINES: usize = 50_000;
    let mut agent = Agent::start(&[]).await;
    agent.create("quiet", &[]).await;
    let lines = LINES.to_string();
    let orders = [
        ("ZEEK_STANDIN_FLOOD", lines.as_str()),
        ("ZEEK_STANDIN_BAD_TEXT", "1"),
    ];
    agent.create("loud", &orders).await;
    agent.hellos(&["quiet".into(), "loud".into()]).await;
    agent.restart("quiet").await;
    agent.hellos(&["quiet".into()]).await;
    for stream in ["stdout", "stderr"] {
        let path = agent.folder("loud").join(stream);
        let all = wait_until(PATIENCE, || (numbered(&path) == LINES).then_some(()));
        assert!(all.is_some(), "{stream}: {} lines", numbered(&path));
    }
    let bytes = fs::read(agent.folder("loud").join("stdout")).unwrap();
    let bad = b"bad \xff\xfe text\n";
    assert!(bytes.windows(bad.len()).any(|part| part == bad));
    let memory = resident_kib(agent.supervisor_pid()).unwrap();
    assert!(memory < MEMORY_KIB, "{memory} KiB");
    agent.stop().await;
}

#[tokio::test]
async fn a_line_without_end_takes_bounded_memory() {
    let mut agent = Agent::start(&[]).await;
    let endless = [("ZEEK_STANDIN_LONG_LINE", "50000000")];
    agent.create("loud", &endless).await;
    agent.hellos(&["loud".into()]).await;
    agent.restart("loud").await;
    agent.hellos(&["loud".into()]).await;
    let memory = resident_kib(agent.supervisor_pid()).unwrap();
    assert!(memory < MEMORY_KIB, "{memory} KiB");
    agent.stop().await;
}

#[tokio::test]
async fn a_steady_flood_leaves_commands_prompt() {
    let time = asked("SUPERVISED_FLOOD_MS", 1000);
    let mut agent = Agent::start(&[]).await;
    agent.create("quiet", &[]).await;
    let time_text = time.to_string();
    let orders = [
        ("ZEEK_STANDIN_FLOOD_RATE", "50"),
        ("ZEEK_STANDIN_FLOOD_FOR", time_text.as_str()),
    ];
    agent.create("loud", &orders).await;
    agent.hellos(&["quiet".into(), "loud".into()]).await;
    let begin = Instant::now();
    let (mut slowest, mut memory) = (Duration::ZERO, 0);
    while begin.elapsed().as_millis() < u128::try_from(time).unwrap() {
        let asked = Instant::now();
        agent.status().await;
        slowest = slowest.max(asked.elapsed());
        memory = memory.max(resident_kib(agent.supervisor_pid()).unwrap());
        agent.live_on(Duration::from_millis(20)).await;
    }
    let mut bytes = 0;
    for stream in ["stdout", "stderr"] {
        let path = agent.folder("loud").join(stream);
        let over = wait_until(PATIENCE, || {
            let text = fs::read(&path).ok()?;
            text.ends_with(b"the flood is over\n").then_some(text.len())
        });
        bytes += over.expect("the flood ends");
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{bytes} bytes in {seconds:.1} s; slowest status {slowest:?}; {memory} KiB resident");
    assert!(memory < MEMORY_KIB, "{memory} KiB");
    agent.stop().await;
}

/// Numbered lines in a file, if they are all there and in order.
fn numbered(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let numbers = text.lines().filter_map(|line| line.strip_prefix("line "));
    let mut count = 0;
    for line in numbers {
        assert!(
            line.starts_with(&format!("{count:010} .")) || !text.ends_with('\n'),
            "{line}"
        );
        count += 1;
    }
    count
}
