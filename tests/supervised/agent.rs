//! A supervisor, and as much of an agent as it sees.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use broker_proto::codec::Limits;
use broker_proto::io::tls::{Acceptor, Connector};
use broker_proto::io::transport::Transport;
use broker_proto::peering::{Endpoint, Input, Options, Output, PeerAddr};
use broker_proto::zeek::Event;
use broker_proto::{Data, IdGen, Port, Topic};
use harness::processes::{self, MARKER, Process};
use harness::{binaries, ports};
use rustix::process::{Pid, Signal, kill_process};
use supervisor::api::{
    ClusterEndpoint, ClusterRole, ExitEvent, NodeConfig, NodeExit, NodeStatusEvent, Status,
    SupervisorRequest, SupervisorResponse, TOPIC,
};

use crate::patiently;

const NODE_TOPIC: Topic = Topic::from_static("zeek/management/node");
const NODE_SCRIPT: &str = "policy/frameworks/management/node";

/// What comes of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum News {
    Started(String, u64),
    Died(String, NodeExit),
    Hello(String),
}

/// A running supervisor and the connection to it.
pub(crate) struct Agent {
    endpoint: Endpoint,
    transport: Transport,
    news: VecDeque<News>,
    answers: VecDeque<SupervisorResponse>,
    asked: u64,
    pub(crate) supervisor: Child,
    supervisor_port: u16,
    agent_port: u16,
    mark: String,
    folder: PathBuf,
    zeek: PathBuf,
    env: Vec<(String, String)>,
}

impl Agent {
    /// Starts a supervisor whose nodes are stand-ins with this environment, and connects to it.
    pub(crate) async fn start(env: &[(&str, &str)]) -> Self {
        let standin = binaries::built().unwrap().standin;
        Self::start_on(standin, env).await
    }

    /// The same with another program in the place of `zeek`.
    pub(crate) async fn start_on(zeek: PathBuf, env: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("supervised-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(&mark);
        fs::create_dir_all(&folder).unwrap();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let env: Vec<_> = env.collect();
        let (supervisor_port, agent_port) = (ports::free(1), ports::free(1));
        let ports = (supervisor_port, agent_port);
        let supervisor = spawn(&zeek, ports, &mark, &folder, &env);
        let mut ids = IdGen::new(7);
        let mut endpoint = Endpoint::new(ids.endpoint_id(), Options::default(), ids);
        let now = Instant::now();
        for topic in ["zeek/supervisor/", "zeek/management/"] {
            let topic = Topic::new(topic).unwrap();
            endpoint.handle(now, Input::Subscribe { topic });
        }
        let acceptor = Acceptor::self_signed();
        let mut transport = Transport::new(Connector::cleartext(), acceptor);
        let addr = local(agent_port);
        transport.listen(&addr).await.unwrap();
        endpoint.handle(now, dial(supervisor_port));
        let mut agent = Self {
            endpoint,
            transport,
            news: VecDeque::new(),
            answers: VecDeque::new(),
            asked: 0,
            supervisor,
            supervisor_port,
            agent_port,
            mark,
            folder,
            zeek,
            env,
        };
        agent.await_supervisor().await;
        agent
    }

    /// A supervisor in the place of one that is gone.
    pub(crate) async fn start_again(&mut self) {
        self.supervisor = spawn(
            &self.zeek,
            (self.supervisor_port, self.agent_port),
            &self.mark,
            &self.folder,
            &self.env,
        );
        self.await_supervisor().await;
    }

    pub(crate) fn folder(&self, node: &str) -> PathBuf {
        self.folder.join(node)
    }

    /// Creates a worker; the answer is empty if all is well.
    pub(crate) async fn create(&mut self, name: &str, env: &[(&str, &str)]) -> String {
        let node = self.node(name, ClusterRole::Worker, env);
        self.create_node(node).await
    }

    /// A node with a directory of its own that says hello.
    pub(crate) fn node(&self, name: &str, role: ClusterRole, env: &[(&str, &str)]) -> NodeConfig {
        let mut node = NodeConfig::named(name);
        node.directory = Some(self.folder(name).display().to_string());
        node.addl_user_scripts = vec![NODE_SCRIPT.into()];
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        node.env = env.collect();
        // Without a place in a cluster it would say hello without a name.
        let own = ClusterEndpoint {
            role,
            host: "127.0.0.1".parse().unwrap(),
            p: Port::NONE,
            interface: None,
            pcap_file: None,
            metrics_port: None,
        };
        node.cluster.insert(name.to_owned(), own);
        node
    }

    pub(crate) async fn create_node(&mut self, node: NodeConfig) -> String {
        let reqid = self.next_id();
        let answer = self.ask(SupervisorRequest::Create { reqid, node }).await;
        let SupervisorResponse::Create { result, .. } = answer else {
            panic!("{answer:?}");
        };
        result
    }

    pub(crate) async fn restart(&mut self, node: &str) {
        let (reqid, node) = (self.next_id(), node.to_owned());
        let answer = self.ask(SupervisorRequest::Restart { reqid, node }).await;
        let SupervisorResponse::Restart { result, .. } = answer else {
            panic!("{answer:?}");
        };
        assert!(result);
    }

    pub(crate) async fn destroy(&mut self, node: &str) {
        let (reqid, node) = (self.next_id(), node.to_owned());
        let answer = self.ask(SupervisorRequest::Destroy { reqid, node }).await;
        let SupervisorResponse::Destroy { result, .. } = answer else {
            panic!("{answer:?}");
        };
        assert!(result);
    }

    pub(crate) async fn status(&mut self) -> Status {
        let (reqid, node) = (self.next_id(), String::new());
        let answer = self.ask(SupervisorRequest::Status { reqid, node }).await;
        let SupervisorResponse::Status { result, .. } = answer else {
            panic!("{answer:?}");
        };
        result
    }

    /// Waits until each of these has said hello once more.
    pub(crate) async fn hellos(&mut self, nodes: &[String]) {
        let mut missing = nodes.to_vec();
        while !missing.is_empty() {
            if let News::Hello(node) = self.news().await {
                missing.retain(|other| *other != node);
            }
        }
    }

    /// Waits until this node starts; its process.
    pub(crate) async fn started(&mut self, node: &str) -> u64 {
        loop {
            match self.news().await {
                News::Started(name, pid) if name == node => return pid,
                News::Started(..) | News::Died(..) | News::Hello(_) => {}
            }
        }
    }

    /// Waits for the next exit notice of this node.
    pub(crate) async fn died(&mut self, node: &str) -> NodeExit {
        loop {
            match self.news().await {
                News::Died(name, exit) if name == node => return exit,
                News::Started(..) | News::Died(..) | News::Hello(_) => {}
            }
        }
    }

    pub(crate) fn forget_news(&mut self) {
        self.news.clear();
    }

    /// All processes of the tree.
    pub(crate) fn processes(&self) -> Vec<Process> {
        processes::marked(&self.mark)
    }

    /// Waits until no more than so many processes are left. Goodbyes are answered meanwhile.
    pub(crate) async fn await_processes(&mut self, count: usize) {
        self.until(|agent| agent.processes().len() <= count).await;
    }

    async fn until(&mut self, mut fits: impl FnMut(&mut Self) -> bool) {
        let pause = Duration::from_millis(10);
        patiently(async {
            while !fits(self) {
                // A look may take as long as the pause, so not one after every message.
                let pumping = async { while !self.pump().await {} };
                let _ = tokio::time::timeout(pause, pumping).await;
            }
        })
        .await;
    }

    /// Goes on for so long, for the sake of a measurement.
    pub(crate) async fn live_on(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.until(|_| Instant::now() >= end).await;
    }

    pub(crate) fn supervisor_pid(&self) -> i32 {
        i32::try_from(self.supervisor.id()).unwrap()
    }

    pub(crate) async fn stop(mut self) {
        self.end().await;
    }

    /// SIGTERM, and a look at what is left.
    pub(crate) async fn end(&mut self) {
        kill(self.supervisor_pid(), Signal::TERM);
        let mut status = None;
        self.until(|agent| {
            status = agent.supervisor.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert_eq!(status.and_then(|status| status.code()), Some(0));
        self.await_processes(0).await;
    }

    async fn news(&mut self) -> News {
        patiently(async {
            while self.news.is_empty() {
                self.pump().await;
            }
        })
        .await;
        self.news.pop_front().unwrap()
    }

    async fn ask(&mut self, request: SupervisorRequest) -> SupervisorResponse {
        let payload = Event::from(request).encode();
        let input = Input::Publish {
            topic: TOPIC,
            payload,
        };
        self.endpoint.handle(Instant::now(), input);
        patiently(async {
            while self.answers.is_empty() {
                self.pump().await;
            }
        })
        .await;
        self.answers.pop_front().unwrap()
    }

    async fn await_supervisor(&mut self) {
        patiently(async { while !self.pump().await {} }).await;
    }

    /// Handles what comes next. Returns whether the supervisor was connected.
    async fn pump(&mut self) -> bool {
        let mut connected = false;
        let before = (self.news.len(), self.answers.len());
        while let Some(output) = self.endpoint.poll_output() {
            match &output {
                Output::PeerUp { network, .. } => {
                    connected |= network.dialed == Some(local(self.supervisor_port));
                }
                Output::Deliver { payload, topic, .. } => {
                    let event = Event::decode(payload, &Limits::default()).unwrap();
                    self.on_event(topic.clone(), event);
                }
                Output::Listen { .. }
                | Output::Dial { .. }
                | Output::Send { .. }
                | Output::Close { .. }
                | Output::PeerDown { .. }
                | Output::PeerUnreachable { .. }
                | Output::Misbehaved { .. }
                | Output::Stopped => {}
            }
            self.transport.apply(output);
        }
        if connected || before != (self.news.len(), self.answers.len()) {
            return connected;
        }
        let deadline = self.endpoint.poll_timeout();
        let wake = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
        tokio::select! {
            input = self.transport.next() => self.endpoint.handle(Instant::now(), input),
            () = tokio::time::sleep_until(wake.into()) => {
                self.endpoint.handle_timeout(Instant::now());
            }
        }
        false
    }

    fn on_event(&mut self, topic: Topic, event: Event) {
        if topic == NODE_TOPIC {
            if let ("Management::Node::API::notify_node_hello", [Data::String(node)]) =
                (event.name.as_str(), event.args.as_slice())
            {
                self.news.push_back(News::Hello(node.to_string()));
            }
        } else if let Ok(NodeStatusEvent::NodeStatus { node, pid }) =
            NodeStatusEvent::try_from(event.clone())
        {
            self.news.push_back(News::Started(node, pid));
        } else if let Ok(ExitEvent::NotifyNodeExit { node, outputs }) =
            ExitEvent::try_from(event.clone())
        {
            self.news.push_back(News::Died(node, outputs));
        } else if let Ok(answer) = SupervisorResponse::try_from(event) {
            self.answers.push_back(answer);
        }
    }

    fn next_id(&mut self) -> String {
        self.asked += 1;
        format!("r{}", self.asked)
    }
}

impl Drop for Agent {
    /// After a failed assertion.
    fn drop(&mut self) {
        for process in self.processes() {
            kill(process.pid, Signal::KILL);
        }
        let _ = self.supervisor.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may be gone already.
        let _ = kill_process(pid, signal);
    }
}

fn spawn(
    zeek: &Path,
    (port, agent_port): (u16, u16),
    mark: &str,
    folder: &Path,
    env: &[(String, String)],
) -> Child {
    let programs = binaries::built().unwrap();
    let mut command = Command::new(&programs.mgmt);
    command.args(["supervisor", "--zeek"]).arg(zeek);
    command.arg(format!("Broker::default_port={port}/tcp"));
    command.arg("Broker::disable_ssl=T");
    command.env("ZEEK_AGENT_ADDR", "127.0.0.1");
    command.env("ZEEK_AGENT_PORT", format!("{agent_port}/tcp"));
    command.env(MARKER, mark).envs(env.iter().cloned());
    command.env_remove("NOTIFY_SOCKET").env("RUST_LOG", "error");
    command.current_dir(folder).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn local(port: u16) -> PeerAddr {
    let host = "127.0.0.1".to_owned();
    PeerAddr { host, port }
}

fn dial(port: u16) -> Input {
    Input::Dial {
        addr: local(port),
        retry: Some(Duration::from_secs(1)),
    }
}
