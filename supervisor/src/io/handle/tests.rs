//! A supervisor with a program of its own and a `zeek` that is not there.

use super::*;
use crate::settings::{OwnUnit, Policy};

const RETRY: Duration = Duration::from_secs(10);

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_units_print_comes_line_by_line() {
    let (handle, mut lines) = start("echo one; echo two >&2; printf 'three'; exit 3");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let line = patiently(lines.next()).await.unwrap();
        assert_eq!((line.node.as_str(), line.lost), ("own", 0));
        seen.push((line.stream, line.text));
    }
    seen.sort();
    let text = |text: &'static str| Bytes::from(text);
    assert_eq!(
        seen,
        [
            (Stream::Stdout, text("one")),
            (Stream::Stdout, text("three")),
            (Stream::Stderr, text("two")),
        ]
    );
    patiently(handle.stop()).await;
    patiently(async { while lines.next().await.is_some() {} }).await;
}

#[tokio::test]
async fn lines_that_nobody_reads_are_dropped_and_counted() {
    let (sender, receiver) = mpsc::channel(LINES);
    let mut lines = Lines { receiver };
    let mut task = Task::new(settings("exec sleep 1000"), &Tls::Off, RETRY, sender).unwrap();
    let print = |task: &mut Task, text: &'static str| {
        task.on_line("own".into(), Stream::Stdout, Bytes::from(text));
    };
    for _ in 0..LINES + 3 {
        print(&mut task, "kept or not");
    }
    for _ in 0..LINES {
        assert_eq!(lines.next().await.unwrap().lost, 0);
    }
    print(&mut task, "first");
    print(&mut task, "second");
    let (first, second) = (lines.next().await.unwrap(), lines.next().await.unwrap());
    assert_eq!((first.text, first.lost), (Bytes::from("first"), 3));
    assert_eq!((second.text, second.lost), (Bytes::from("second"), 0));
}

#[tokio::test]
async fn nodes_are_created_told_of_and_destroyed() {
    let (handle, _lines) = start("exec sleep 1000");
    assert_eq!(handle.create(NodeConfig::named("w")).await, Ok(()));
    let again = handle.create(NodeConfig::named("w")).await;
    let reason = "node with name 'w' already exists".into();
    assert_eq!(again, Err(CreateError::Refused { reason }));
    let status = handle.status("").await.unwrap();
    let names: Vec<_> = status.nodes.keys().collect();
    assert_eq!(names, ["own", "w"]);
    assert_eq!(handle.lives("w").await.unwrap()["w"].pid, None);
    assert_eq!(handle.restart("nobody").await, Ok(false));
    assert_eq!(handle.restart("w").await, Ok(true));
    assert_eq!(handle.destroy("w").await, Ok(true));
    assert_eq!(handle.destroy("w").await, Ok(false));
    let other = handle.clone();
    patiently(handle.stop()).await;
    assert_eq!(other.status("").await, Err(Stopping));
    assert_eq!(other.destroy("own").await, Err(Stopping));
    patiently(other.stop()).await;
}

#[tokio::test]
async fn dropping_the_last_handle_stops_the_supervisor() {
    let (handle, mut lines) = start("trap 'echo bye; exit' TERM; echo up; sleep 1000 & wait");
    assert_eq!(patiently(lines.next()).await.unwrap().text, "up");
    drop(handle);
    assert_eq!(patiently(lines.next()).await.unwrap().text, "bye");
    assert_eq!(patiently(lines.next()).await, None);
}

fn start(script: &str) -> (Handle, Lines) {
    spawn(settings(script), &Tls::Off, RETRY).unwrap()
}

fn settings(script: &str) -> Settings {
    let own = OwnUnit {
        node: NodeConfig::named("own"),
        argv: ["sh", "-c", script].map(String::from).to_vec(),
    };
    Settings {
        listen: None,
        zeek: "/no/such/zeek".into(),
        args: Vec::new(),
        own: vec![own],
        policy: Policy::default(),
    }
}

async fn patiently<T>(wait: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(PATIENCE, wait).await;
    answer.expect("it happens within a minute")
}
