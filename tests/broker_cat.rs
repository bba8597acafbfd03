//! `broker-cat` as operators run it: one process listens and prints, another one publishes to it,
//! and what was recorded goes through `decode` and back.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests may unwrap and index, and real processes have real deadlines"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use harness::certificates::{Authority, Identity};
use harness::command::{self, Finished};
use harness::{binaries, typed};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

const TOPIC: &str = "/zeek-mgmt/cat";

/// What is published, and its bytes behind the topic, by WIRE §3.7 and §8.2.
const EVENTS: [(&[&str], &str); 3] = [
    (
        &["Cat::ping", "count:7", "string:hi"],
        "0e03020000000000000001020000000000000001\
         0e0305094361743a3a70696e670e02020000000000000007050268690e00",
    ),
    (
        &["Cat::net", "address:127.0.0.1", "port:8080/tcp", "none"],
        "0e03020000000000000001020000000000000001\
         0e0305084361743a3a6e65740e0306000000000000000000\
         00ffff7f000001081f9001000e00",
    ),
    (
        &[
            "Cat::set",
            r#"{"type": "set", "elements": [{"type": "integer", "value": "-1"}, {"type": "integer", "value": "1"}]}"#,
        ],
        "0e03020000000000000001020000000000000001\
         0e0305084361743a3a7365740e010c02\
         03ffffffffffffffff0300000000000000010e00",
    ),
];

#[test]
fn one_prints_and_records_what_others_publish_in_cleartext() {
    converse(&["--tls", "off"], &["--tls", "off"]);
}

#[test]
fn one_prints_and_records_what_others_publish_with_anonymous_tls() {
    converse(&[], &[]);
}

#[test]
fn one_prints_and_records_what_others_publish_with_certificates() {
    let ca = Authority::new("CA").unwrap();
    let listener = ca.issue("listener").unwrap();
    let publisher = ca.issue_encrypted("publisher", "open sesame").unwrap();
    let cafile = ca.cafile();
    let trust = ["--ssl-cafile", path(&cafile)];
    let listens = [&own(&listener)[..], &trust].concat();
    let passphrase = ["--ssl-passphrase", "open sesame"];
    let trust = ["--ssl-capath", path(ca.folder())];
    converse(
        &listens,
        &[&own(&publisher)[..], &passphrase, &trust].concat(),
    );
}

#[test]
fn certificates_are_all_or_nothing() {
    let ca = Authority::new("CA").unwrap();
    let cafile = ca.cafile();
    let identity = ca.issue("listener").unwrap();
    let trust = ["--ssl-cafile", path(&cafile)];
    let mut listener = Listener::start(&[&own(&identity)[..], &trust].concat(), &[]);
    let event = ["/t", "Cat::ping"];

    // Who shows none is refused, and nobody takes cleartext then.
    for tls in ["anonymous", "off"] {
        let refused = publish(&listener.addr, &["--tls", tls], &event);
        assert_eq!(refused.code, Some(1), "{refused:?}");
    }
    // Nor is one of another CA taken.
    let other = Authority::new("other CA").unwrap();
    let stranger = other.issue("stranger").unwrap();
    let refused = publish(
        &listener.addr,
        &[&own(&stranger)[..], &trust].concat(),
        &event,
    );
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("trust"), "{refused:?}");

    let lacking = publish(&listener.addr, &trust, &event);
    assert_eq!(lacking.code, Some(1), "{lacking:?}");
    let text = "broker-cat: Broker::ssl_certificate: not set, and TLS with certificates needs it\n\
                Broker::ssl_keyfile: not set, and TLS with certificates needs it\n";
    assert_eq!(lacking.stderr, text);
    let both = publish(
        &listener.addr,
        &[&trust[..], &["--tls", "off"]].concat(),
        &event,
    );
    assert_eq!(both.code, Some(2), "{both:?}");
    assert!(both.stderr.contains("cannot be used with"), "{both:?}");
    listener.child.kill().unwrap();
    listener.child.wait().unwrap();
}

/// One listens with these options, for each event a process with those publishes it.
fn converse(listens: &[&str], publishes: &[&str]) {
    let name = std::env::temp_dir().join(format!("broker-cat-{}", std::process::id()));
    let recording = Recording(name.with_extension(listens.len().to_string()));
    let count = EVENTS.len().to_string();
    let print = [
        "--json",
        "--topic",
        TOPIC,
        "--count",
        &count,
        "--record",
        path(&recording.0),
    ];
    let listener = Listener::start(listens, &print);
    for (event, _) in EVENTS {
        let published = publish(&listener.addr, publishes, &[&[TOPIC], event].concat());
        assert_eq!(published.code, Some(0), "{published:?}");
        assert_eq!(published.stdout, "");
    }
    let printed = listener.finish();

    let entries = parse(&fs::read_to_string(&recording.0).unwrap());
    let entries = entries.as_array().unwrap();
    let lines: Vec<Value> = printed.lines().map(parse).collect();
    assert_eq!((entries.len(), lines.len()), (EVENTS.len(), EVENTS.len()));
    for ((entry, line), (_, payload)) in entries.iter().zip(&lines).zip(EVENTS) {
        // WIRE §5.1: any sender, no receiver, data, ttl 16, the topic.
        let hex = entry["hex"].as_str().unwrap();
        let receiver_and_on = format!(
            "00000000000000000000000000000000010010000e{}{payload}",
            "2f7a65656b2d6d676d742f636174"
        );
        assert_eq!(hex[32..], receiver_and_on);
        // WIRE §12.
        assert_eq!(entry["kind"], "envelope");
        assert_eq!(entry["json"], *line);
        assert_eq!(line["type"], "data");
        assert_eq!(line["topic"], TOPIC);
        assert_eq!(line["ttl"], json!(16));
        let value = broker_proto::codec::data::decode(&typed::unhex(payload), &Default::default());
        assert_eq!(typed::data(&line["data"]), value.unwrap());
        // And through `decode` to the same JSON, and from both back to the same bytes.
        assert_eq!(parse(&cat(&["decode", "--kind", "envelope"], hex)), *line);
        for input in [hex, &line.to_string()] {
            assert_eq!(
                cat(&["decode", "--kind", "envelope", "--reencode"], input),
                format!("{hex}\n")
            );
        }
    }
}

/// A `broker-cat listen` that has said where.
struct Listener {
    child: Child,
    addr: String,
    stderr: BufReader<ChildStderr>,
}

impl Listener {
    fn start(tls: &[&str], print: &[&str]) -> Self {
        let mut command = Command::new(program());
        command
            .args(["listen", "127.0.0.1:0"])
            .args(tls)
            .args(print);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let addr = line
            .trim_end()
            .strip_prefix("listening at ")
            .unwrap_or_else(|| panic!("{line}"));
        let addr = addr.to_owned();
        Self {
            child,
            addr,
            stderr,
        }
    }

    /// Waits for its end and returns what it printed.
    fn finish(mut self) -> String {
        let ended = command::wait(&mut self.child, LIMIT).unwrap();
        let mut told = String::new();
        self.stderr.read_to_string(&mut told).unwrap();
        assert!(
            ended.is_some_and(|status| status.success()),
            "{ended:?}: {told}"
        );
        let mut printed = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut printed)
            .unwrap();
        printed
    }
}

/// A file that is gone when it is dropped.
struct Recording(PathBuf);

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn publish(addr: &str, tls: &[&str], what: &[&str]) -> Finished {
    let mut command = Command::new(program());
    command.arg("publish").args(tls).arg(addr).args(what);
    command::run(&mut command, LIMIT).unwrap()
}

/// Runs it with this line as standard input.
fn cat(args: &[&str], input: &str) -> String {
    let mut command = Command::new(program());
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{input}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn program() -> PathBuf {
    binaries::built().unwrap().broker_cat
}

fn own(identity: &Identity) -> [&str; 4] {
    let (certificate, keyfile) = (path(&identity.certificate), path(&identity.keyfile));
    ["--ssl-certificate", certificate, "--ssl-keyfile", keyfile]
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn parse(text: &str) -> Value {
    typed::parse(text)
}
