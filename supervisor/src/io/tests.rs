//! Real child processes (`sh`), real pipes, real files.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::host::{ChildId, Control, Ending, Group, Launch, Signal, Stream, Target};

#[tokio::test]
async fn what_a_child_prints_comes_before_its_end() {
    let mut host = Host::new();
    let pid = spawn(&mut host, shell("printf 'a\\nb'; exit 3", Control::Absent)).await;
    let (seen, ending) = until_exit(&mut host, pid).await;
    assert_eq!(seen, [printed(Stream::Stdout, "a\nb")]);
    assert_eq!(ending, Ending::Status(3));

    let pid = spawn(
        &mut host,
        shell("echo bad >&2; kill -9 $$", Control::Absent),
    )
    .await;
    let (seen, ending) = until_exit(&mut host, pid).await;
    assert_eq!(seen, [printed(Stream::Stderr, "bad\n")]);
    assert_eq!(ending, Ending::Signal(9));
}

#[tokio::test]
async fn a_stem_finds_its_pipes_where_zeek_stem_says() {
    let script = r#"
        test "$ZEEK_STEM" = "$PPID,3,4,5,6" || exit 1
        head -c 10 <&5 | tr '\0' '.'
        printf 'status a 42\0' >&4
        head -c 10 <&5 | tr '\0' '!'
    "#;
    let mut host = Host::new();
    let pid = spawn(&mut host, shell(script, Control::Stem)).await;
    host.apply(tell("restart a\0"));
    let mut seen = next(&mut host).await;
    while let HostInput::Printed { .. } = seen {
        seen = next(&mut host).await;
    }
    let chunk = "status a 42\0".into();
    assert_eq!(
        seen,
        HostInput::Message {
            child: CHILD,
            chunk
        }
    );
    host.apply(tell("restart a\0"));
    let (seen, ending) = until_exit(&mut host, pid).await;
    assert_eq!(seen, [printed(Stream::Stdout, "restart a!")]);
    assert_eq!(ending, Ending::Status(0));
}

#[tokio::test]
async fn a_long_order_does_not_wait_for_a_stem_that_prints_first() {
    // Both directions are larger than a pipe's buffer.
    let script = "head -c 300000 /dev/zero | tr '\\0' x; head -c 300001 <&5 | wc -c";
    let mut host = Host::new();
    let pid = spawn(&mut host, shell(script, Control::Stem)).await;
    host.apply(tell(&"y".repeat(300_000)));
    host.apply(tell("\0"));
    let (seen, ending) = until_exit(&mut host, pid).await;
    let text: String = seen.into_iter().map(|(_, text)| text).collect();
    assert_eq!(text.trim_start_matches('x').trim(), "300001");
    assert_eq!(ending, Ending::Status(0));
}

#[tokio::test]
async fn signals_reach_the_child_or_its_whole_group() {
    let waits = "trap 'exit 7' TERM; sleep 1000 & echo ready; wait";
    let mut host = Host::new();
    let pid = spawn(&mut host, shell(waits, Control::Absent)).await;
    assert!(matches!(next(&mut host).await, HostInput::Printed { .. }));
    host.apply(signal(pid, Target::Process, Signal::Term));
    let (_, ending, group) = until_end(&mut host, pid).await;
    assert_eq!(
        (ending, group),
        (Ending::Status(7), Group::Alive),
        "though its child holds the pipes"
    );
    host.apply(signal(pid, Target::Group, Signal::Kill));

    let pid = spawn(
        &mut host,
        shell("trap '' TERM; echo; exec sleep 1000", Control::Absent),
    )
    .await;
    next(&mut host).await;
    host.apply(signal(pid, Target::Group, Signal::Kill));
    let (_, ending, group) = until_end(&mut host, pid).await;
    assert_eq!(ending, Ending::Signal(9));
    assert_eq!(group, Group::Empty);
    host.apply(signal(pid, Target::Process, Signal::Term));
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let mut host = Host::new();
    let mut launch = shell("", Control::Stem);
    launch.program = "/nonexistent/zeek".into();
    let child = CHILD;
    host.apply(HostOutput::Spawn { child, launch });
    let HostInput::SpawnFailed { reason, .. } = next(&mut host).await else {
        panic!("it was started");
    };
    assert!(reason.starts_with("cannot run /nonexistent/zeek: No such file"));
}

#[tokio::test]
async fn own_programs_run_in_their_directory_with_their_environment() {
    let scratch = Scratch::new("own");
    let dir = scratch.0.join("deep/er");
    let mut launch = shell(
        "pwd; echo $KEY; echo ${ZEEK_SUPERVISED_NODE#$PPID,}",
        Control::Absent,
    );
    launch.directory = Some(dir.to_str().unwrap().into());
    launch.env = vec![("KEY".into(), "value".into())];
    launch.node = Some("{}".into());
    let mut host = Host::new();
    let pid = spawn(&mut host, launch).await;
    let (seen, _) = until_exit(&mut host, pid).await;
    let text: String = seen.into_iter().map(|(_, text)| text).collect();
    assert_eq!(text, format!("{}\nvalue\n{{}}\n", dir.display()));
}

#[tokio::test]
async fn output_files_are_put_aside_by_every_start() {
    let scratch = Scratch::new("files");
    let dir = &scratch.0;
    let mut host = Host::new();
    let path = dir.to_str().unwrap().to_owned();
    host.apply(HostOutput::MakeDirectory { path: path.clone() });
    let made = HostInput::DirectoryMade { result: Ok(()) };
    assert_eq!(next(&mut host).await, made);
    let open = || HostOutput::OpenFiles {
        node: "a".into(),
        directory: Some(path.clone()),
    };
    let read = |name| std::fs::read_to_string(dir.join(name)).unwrap();

    host.apply(open());
    host.apply(write("a", "one"));
    host.apply(write("a", "two"));
    host.apply(open());
    assert_eq!(
        (read("stdout"), read("stdout.1")),
        (String::new(), "one\ntwo\n".into())
    );
    host.apply(write("a", "three"));
    drop(host);
    assert_eq!(read("stdout"), "three\n");
}

#[tokio::test]
async fn a_directory_below_a_file_cannot_be_made() {
    let mut host = Host::new();
    let path = "/dev/null/x".into();
    host.apply(HostOutput::MakeDirectory { path });
    let HostInput::DirectoryMade { result } = next(&mut host).await else {
        panic!("not about the directory");
    };
    assert!(result.is_err());
}

const CHILD: ChildId = ChildId {
    unit: 1,
    generation: 1,
};

fn shell(script: &str, control: Control) -> Launch {
    Launch {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: Vec::new(),
        node: None,
        directory: None,
        control,
    }
}

/// A directory for one test, not made yet and removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("supervisor-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn next(host: &mut Host) -> HostInput {
    let limit = Duration::from_secs(30);
    timeout(limit, host.next()).await.expect("nothing happens")
}

async fn spawn(host: &mut Host, launch: Launch) -> u32 {
    let child = CHILD;
    host.apply(HostOutput::Spawn { child, launch });
    let HostInput::Spawned { pid, .. } = next(host).await else {
        panic!("not started");
    };
    pid
}

/// What the child prints until it ends, and how it ends.
async fn until_exit(host: &mut Host, pid: u32) -> (Vec<(Stream, String)>, Ending) {
    let (seen, ending, _) = until_end(host, pid).await;
    (seen, ending)
}

async fn until_end(host: &mut Host, pid: u32) -> (Vec<(Stream, String)>, Ending, Group) {
    let mut seen = Vec::new();
    let mut input = next(host).await;
    while let HostInput::Printed { stream, chunk, .. } = input {
        seen.push((stream, String::from_utf8(chunk.into()).unwrap()));
        input = next(host).await;
    }
    let HostInput::Exited {
        pid: ended,
        ending,
        group,
        ..
    } = input
    else {
        panic!("unexpected {input:?}");
    };
    assert_eq!(ended, pid);
    (seen, ending, group)
}

fn printed(stream: Stream, text: &str) -> (Stream, String) {
    (stream, text.to_owned())
}

fn tell(text: &str) -> HostOutput {
    let (child, message) = (CHILD, text.to_owned().into());
    HostOutput::Tell { child, message }
}

fn signal(pid: u32, target: Target, signal: Signal) -> HostOutput {
    HostOutput::Signal {
        child: CHILD,
        pid,
        target,
        signal,
    }
}

fn write(node: &str, line: &str) -> HostOutput {
    HostOutput::WriteLine {
        node: node.into(),
        stream: Stream::Stdout,
        line: line.to_owned().into(),
    }
}
