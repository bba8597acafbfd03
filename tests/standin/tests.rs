//! Drives the built `zeek-standin` as a supervisor would, and talks to its nodes as their agent.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test, of real processes on the real clock"
)]

use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker_proto::codec::{self, Limits};
use broker_proto::io::tls::{Acceptor, Connector};
use broker_proto::io::transport::Transport;
use broker_proto::peering::{Endpoint, Input, Options, Output, PeerAddr};
use broker_proto::zeek::Event;
use broker_proto::{Data, IdGen, Topic};
use command_fds::{CommandFdExt, FdMapping};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};
use supervisor::standing::NODE_VARIABLE;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::pipe;

const NODE_TOPIC: Topic = Topic::from_static("zeek/management/node");

/// A machine that is busy with other tests is slow.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_created_node_is_reported_and_its_output_carries_its_name() {
    let mut stem = Stem::start(&[], &[]);
    stem.create("w", "NONE", &[]).await;
    assert!(stem.pid_of("w").await > 0);
    assert_eq!(
        line(&mut stem.stdout).await,
        "[w] zeek-standin: node 'w' stands in for Zeek: it speaks the node API and analyses no \
         packets"
    );
    stem.end().await;
}

#[tokio::test]
async fn an_early_end_is_reported_in_stocks_words_and_the_node_revived() {
    let mut stem = Stem::start(&[], &[("ZEEK_STANDIN_FAIL", "w:3")]);
    stem.create("w", "NONE", &[]).await;
    let first = stem.pid_of("w").await;
    assert_eq!(
        stem.message().await,
        format!("error Supervised node 'w' (PID {first}) exited prematurely with status 3")
    );
    let revived = stem.message().await;
    let second = stem.pid_of("w").await;
    assert_eq!(
        revived,
        format!("error Supervised node 'w' (PID {second}) revived after premature exit")
    );
    assert_eq!(
        line(&mut stem.stderr).await,
        "[w] error: zeek-standin was told to fail"
    );
    stem.end().await;
}

#[tokio::test]
async fn a_node_can_be_told_to_die_of_a_signal() {
    let orders = [
        ("ZEEK_STANDIN_SIGNAL", "w:11"),
        ("ZEEK_STANDIN_FAIL_AFTER", "10"),
    ];
    let mut stem = Stem::start(&[], &orders);
    stem.create("w", "NONE", &[]).await;
    let pid = stem.pid_of("w").await;
    assert_eq!(
        stem.message().await,
        format!("error Supervised node 'w' (PID {pid}) terminated prematurely by signal 11")
    );
    stem.end().await;
}

#[tokio::test]
async fn a_node_can_be_told_to_make_noise() {
    let orders = [
        ("ZEEK_STANDIN_FLOOD", "1000"),
        ("ZEEK_STANDIN_LONG_LINE", "5000"),
    ];
    let mut stem = Stem::start(&[], &orders);
    stem.create("w", "NONE", &[]).await;
    stem.pid_of("w").await;
    for number in 0..1000 {
        let start = format!("[w] line {number:010} ...");
        let line = line(&mut stem.stderr).await;
        assert!(line.starts_with(&start) && line.len() == 99 + 4, "{line}");
    }
    stem.send("destroy w").await;
    let last = line(&mut stem.stderr).await;
    let signs = ["xxx", "received termination signal"];
    assert!(signs.iter().any(|sign| last.contains(sign)), "{last}");
    stem.end().await;
}

#[tokio::test]
async fn a_restart_is_silent_but_for_the_new_process() {
    let mut stem = Stem::start(&[], &[]);
    stem.create("w", "NONE", &[]).await;
    let first = stem.pid_of("w").await;
    line(&mut stem.stdout).await;
    stem.send("restart w").await;
    assert_ne!(stem.pid_of("w").await, first);
    stem.end().await;
}

#[tokio::test]
async fn a_broken_rule_is_an_error_and_no_crash() {
    let mut stem = Stem::start(&[], &[]);
    stem.send("destroy w").await;
    assert_eq!(
        stem.message().await,
        "error zeek-standin: destroy of unknown node 'w'"
    );
    stem.send("reboot w").await;
    assert_eq!(
        stem.message().await,
        "error Stem got unknown supervisor message: reboot"
    );
    stem.end().await;
}

#[tokio::test]
async fn a_node_in_cleartext_says_hello_answers_and_leaves() {
    let mut agent = Agent::start().await;
    let port = agent.setting();
    let mut stem = Stem::start(&["Broker::disable_ssl=T", &port], &[]);
    serve_one_node(&mut agent, &mut stem).await;
}

#[tokio::test]
async fn a_node_in_anonymous_tls_says_hello_answers_and_leaves() {
    let mut agent = Agent::start().await;
    let port = agent.setting();
    let mut stem = Stem::start(&[&port], &[]);
    serve_one_node(&mut agent, &mut stem).await;
}

#[tokio::test]
async fn a_silent_node_still_answers() {
    let mut agent = Agent::start().await;
    let port = agent.setting();
    let silence = ("ZEEK_STANDIN_NO_HELLO", "w:1");
    let mut stem = Stem::start(&["Broker::disable_ssl=T", &port], &[silence]);
    stem.create("w", "WORKER", &["policy/frameworks/management/node"])
        .await;
    agent.peer_up().await;
    agent.ask("nosuch");
    assert_eq!(
        agent.event().await,
        response(Data::None, Data::string("unknown id"))
    );
    // It would wait 3 s for the goodbye of an agent that nobody pumps (WIRE §6.6).
    drop(agent);
    stem.end().await;
}

async fn serve_one_node(agent: &mut Agent, stem: &mut Stem) {
    stem.create("w", "WORKER", &["policy/frameworks/management/node"])
        .await;
    stem.pid_of("w").await;
    agent.peer_up().await;
    let hello = Event::new(
        "Management::Node::API::notify_node_hello",
        vec![Data::string("w")],
    );
    assert_eq!(agent.event().await, hello);
    agent.ask("bits_per_uid");
    assert_eq!(
        agent.event().await,
        response(Data::string("96"), Data::None)
    );
    stem.send("destroy w").await;
    agent.peer_down().await;
    assert_eq!(
        line(&mut stem.stderr).await,
        "[w] received termination signal"
    );
    stem.end().await;
}

fn response(data: Data, error: Data) -> Event {
    let success = Data::Boolean(error == Data::None);
    let (reqid, node) = (Data::string("r1"), Data::string("w"));
    let result = vec![reqid.clone(), success, Data::None, data, error, node];
    Event::new(
        "Management::Node::API::node_dispatch_response",
        vec![reqid, Data::Vector(result)],
    )
}

/// A stem, and this test in the place of its supervisor.
struct Stem {
    child: Child,
    orders: pipe::Sender,
    reports: BufReader<pipe::Receiver>,
    stdout: Lines<BufReader<pipe::Receiver>>,
    stderr: Lines<BufReader<pipe::Receiver>>,
}

impl Stem {
    fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        let (up_read, up_write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (down_read, down_write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let ends = [
            up_read.try_clone().unwrap(),
            up_write,
            down_read,
            down_write.try_clone().unwrap(),
        ];
        let mappings = ends.into_iter().zip(3..);
        let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
            parent_fd,
            child_fd,
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_zeek-standin"));
        command
            .args(args)
            .env("ZEEK_STEM", format!("{},3,4,5,6", std::process::id()))
            .env_remove(NODE_VARIABLE)
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .fd_mappings(mappings.collect())
            .unwrap();
        let mut child = command.spawn().unwrap();
        let stdout = OwnedFd::from(child.stdout.take().unwrap());
        let stderr = OwnedFd::from(child.stderr.take().unwrap());
        Self {
            child,
            orders: pipe::Sender::from_owned_fd(down_write).unwrap(),
            reports: receiver(up_read),
            stdout: receiver(stdout).lines(),
            stderr: receiver(stderr).lines(),
        }
    }

    async fn send(&mut self, order: &str) {
        let message = format!("{order}\0");
        self.orders.write_all(message.as_bytes()).await.unwrap();
    }

    async fn create(&mut self, name: &str, role: &str, scripts: &[&str]) {
        let scripts = serde_json::Value::from(scripts);
        self.send(&format!(
            r#"create {name} {{"name":"{name}","addl_base_scripts":[],"addl_user_scripts":{scripts},"env":{{}},"cluster":{{"{name}":{{"role":"Supervisor::{role}","host":"127.0.0.1","p":{{"port":0,"proto":"unknown"}}}}}}}}"#
        ))
        .await;
    }

    /// The next report.
    async fn message(&mut self) -> String {
        let mut message = Vec::new();
        let read = self.reports.read_until(0, &mut message);
        patiently(read).await.unwrap();
        assert_eq!(message.pop(), Some(0));
        String::from_utf8(message).unwrap()
    }

    /// The next report, which must be the status of this node.
    async fn pid_of(&mut self, name: &str) -> i32 {
        let message = self.message().await;
        let pid = message.strip_prefix(&format!("status {name} "));
        pid.expect(&message).parse().unwrap()
    }

    /// SIGTERM ends the stem, which then has left nothing behind that holds its pipes.
    async fn end(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        while patiently(self.stdout.next_line()).await.unwrap().is_some() {}
        while patiently(self.stderr.next_line()).await.unwrap().is_some() {}
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Stem {
    /// After a failed assertion: the nodes follow within a second.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As much of an agent as its nodes see.
struct Agent {
    endpoint: Endpoint,
    transport: Transport,
    port: u16,
}

impl Agent {
    async fn start() -> Self {
        let mut ids = IdGen::new(7);
        let mut endpoint = Endpoint::new(ids.endpoint_id(), Options::default(), ids);
        let topic = NODE_TOPIC;
        endpoint.handle(Instant::now(), Input::Subscribe { topic });
        let acceptor = Acceptor::self_signed();
        let mut transport = Transport::new(Connector::cleartext(), acceptor);
        let addr = PeerAddr {
            host: "127.0.0.1".into(),
            port: 0,
        };
        let port = transport.listen(&addr).await.unwrap().port();
        Self {
            endpoint,
            transport,
            port,
        }
    }

    fn setting(&self) -> String {
        format!("Management::Agent::listen_port={}/tcp", self.port)
    }

    fn ask(&mut self, id: &str) {
        let action = vec![Data::string("get_id_value"), Data::string(id)];
        let nodes = Data::Set([Data::string("w")].into());
        let event = Event::new(
            "Management::Node::API::node_dispatch_request",
            vec![Data::string("r1"), Data::Vector(action), nodes],
        );
        let input = Input::Publish {
            topic: NODE_TOPIC,
            payload: codec::data::encode(&event.into_data()),
        };
        self.endpoint.handle(Instant::now(), input);
    }

    /// Runs until `found` makes something of an output.
    async fn until<T>(&mut self, found: impl Fn(&Output) -> Option<T>) -> T {
        loop {
            while let Some(output) = self.endpoint.poll_output() {
                let result = found(&output);
                self.transport.apply(output);
                if let Some(result) = result {
                    return result;
                }
            }
            let input = patiently(self.transport.next()).await;
            self.endpoint.handle(Instant::now(), input);
        }
    }

    async fn peer_up(&mut self) {
        self.until(|output| matches!(output, Output::PeerUp { .. }).then_some(()))
            .await;
    }

    async fn peer_down(&mut self) {
        self.until(|output| matches!(output, Output::PeerDown { .. }).then_some(()))
            .await;
    }

    async fn event(&mut self) -> Event {
        self.until(|output| {
            let Output::Deliver { payload, topic, .. } = output else {
                return None;
            };
            assert_eq!(*topic, NODE_TOPIC);
            let data = codec::data::decode(payload, &Limits::default()).unwrap();
            Some(Event::from_data(data).unwrap())
        })
        .await
    }
}

fn receiver(fd: OwnedFd) -> BufReader<pipe::Receiver> {
    BufReader::new(pipe::Receiver::from_owned_fd(fd).unwrap())
}

async fn line(lines: &mut Lines<BufReader<pipe::Receiver>>) -> String {
    patiently(lines.next_line()).await.unwrap().unwrap()
}

async fn patiently<T>(wait: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(PATIENCE, wait).await;
    answer.expect("an answer within 30 s")
}
