//! The machine under test time. Outputs are compared as short lines; ids that the controller makes
//! appear as `#1`, `#2`, … in the order of their first appearance.

mod agents;
mod corners;
mod crowd;
mod defects;
mod deployments;
mod queries;
mod recorded;
mod saves;
mod texts;

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::{Address, Data, Port};

use super::*;
use crate::api::ApiResult;
use crate::model::{ClusterRole, Configuration, Instance, Node, State};
use crate::settings::AutoAssign;

/// A controller, the time, and the ids seen so far.
struct Rig {
    controller: Controller,
    now: Instant,
    ids: Vec<String>,
    /// The configuration last sent to an agent.
    sent: Option<Configuration>,
    disk: Disk,
}

/// What becomes of what is to be saved.
enum Disk {
    /// It is saved at once; this is what was saved last.
    Works(Saved),
    /// The test says when and how each save ends; these have not ended.
    ByHand(Vec<Saved>),
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut ControllerSettings)) -> Self {
        Self::restarted(Saved::default(), change)
    }

    /// With what a former controller saved.
    fn restarted(saved: Saved, change: impl FnOnce(&mut ControllerSettings)) -> Self {
        let any = |port| {
            Some(PeerAddr {
                host: "0.0.0.0".into(),
                port,
            })
        };
        let mut settings = ControllerSettings {
            name: "controller".into(),
            listen: any(2150),
            listen_websocket: any(2149),
            request_timeout: Duration::from_secs(10),
            connect_retry: Duration::from_secs(1),
            broker_ports: AutoAssign::From(2200),
            metrics_ports: AutoAssign::Off,
        };
        change(&mut settings);
        let now = start();
        Self {
            controller: Controller::new(settings, IdGen::new(1), saved.clone()),
            now,
            ids: Vec::new(),
            sent: None,
            disk: Disk::Works(saved),
        }
    }

    /// With these instances configured, deployed and ready; each has one worker, `w-` and its name.
    fn deployed(names: &[&str]) -> Self {
        let mut rig = Self::new();
        for name in names {
            rig.join(name);
        }
        rig.stage(config("c0", names, names));
        rig.request(deploy("d0"));
        for name in names {
            let welcome = rig.last_id("welcome", name);
            rig.agent(name, welcomed(&welcome));
        }
        for name in names {
            let child = rig.last_id("deploy", name);
            rig.agent(name, deployed(&child, vec![]));
        }
        let lines = rig.lines();
        let last = lines.last().unwrap();
        assert!(last.starts_with("deploy d0:"), "{lines:?}");
        rig.ids.clear();
        rig
    }

    fn input(&mut self, input: Input) {
        self.controller.handle(self.now, input);
        self.save();
    }

    /// Takes orders to save out of the outputs.
    fn save(&mut self) {
        let is_save = |output: &Output| matches!(output, Output::Save { .. });
        while let Some(at) = self.controller.outputs.iter().position(is_save) {
            let Some(Output::Save { state }) = self.controller.outputs.remove(at) else {
                unreachable!();
            };
            match &mut self.disk {
                Disk::Works(saved) => {
                    *saved = state;
                    let result = Ok(());
                    self.controller.handle(self.now, Input::Saved { result });
                }
                Disk::ByHand(open) => open.push(state),
            }
        }
    }

    fn request(&mut self, request: ControllerRequest) {
        self.input(Input::Request { request });
    }

    fn stage(&mut self, config: Configuration) {
        let before = self.controller.outputs.len();
        let reqid = "s".into();
        self.request(ControllerRequest::StageConfiguration { reqid, config });
        self.controller.outputs.truncate(before);
    }

    /// A message on the agent's topic from the endpoint of that agent.
    fn agent(&mut self, name: &str, message: AgentResponse) {
        self.agent_from(name, endpoint(name), message);
    }

    fn agent_from(&mut self, topic: &str, from: EndpointId, message: AgentResponse) {
        self.input(Input::Agent {
            from,
            topic_instance: topic.into(),
            message,
        });
    }

    fn peer_up(&mut self, name: &str, dialed: Option<u16>) {
        let host = "10.0.0.1".to_owned();
        let port = dialed.unwrap_or(40_000);
        let network = PeerNetwork {
            certificate: None,
            remote: format!("{host}:{port}").parse().unwrap(),
            dialed: dialed.map(|port| PeerAddr { host, port }),
        };
        let id = endpoint(name);
        self.input(Input::PeerUp { id, network });
    }

    fn peer_down(&mut self, name: &str) {
        let reason = "gone".into();
        let id = endpoint(name);
        self.input(Input::PeerDown { id, reason });
    }

    /// The agent dials the controller and says hello.
    fn join(&mut self, name: &str) {
        self.peer_up(name, None);
        self.agent(name, hello(name));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.controller.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.controller.handle_timeout(due);
            self.save();
        }
        self.now = end;
    }

    /// What get-config says.
    fn configuration(&mut self, deployed: bool) -> Option<Configuration> {
        let reqid = "c".into();
        self.request(ControllerRequest::GetConfiguration { reqid, deployed });
        match self.controller.outputs.pop_back() {
            Some(Output::Respond {
                response: ControllerResponse::GetConfiguration { result, .. },
            }) => result.data.map(|data| data.read().unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// What get-instances says.
    fn instances(&mut self) -> Vec<Instance> {
        self.request(ControllerRequest::GetInstances { reqid: "i".into() });
        match self.controller.outputs.pop_back() {
            Some(Output::Respond {
                response: ControllerResponse::GetInstances { result, .. },
            }) => result.data.unwrap().read().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// What came out since the last call, but for the log.
    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(output) = self.controller.poll_output() {
            if matches!(output, Output::Log { .. }) {
                continue;
            }
            if let Output::Deploy { config, .. } = &output {
                self.sent = Some(Configuration::clone(config));
            }
            lines.push(self.line(output));
        }
        lines
    }

    fn line(&mut self, output: Output) -> String {
        match output {
            Output::Respond { response } => respond_line(response),
            Output::ToAgent { instance, request } => {
                let (what, reqid, rest) = request_parts(request);
                let id = self.short(&reqid);
                format!("{instance} <- {what} {id}{rest}")
            }
            Output::Deploy {
                instance,
                reqid,
                config,
                force,
            } => {
                let force = if force { " by force" } else { "" };
                let id = self.short(&reqid);
                format!("{instance} <- deploy {id} {}{force}", config.id)
            }
            Output::Peer { addr, retry } => format!("peer {addr} every {retry:?}"),
            Output::Unpeer { addr } => format!("unpeer {addr}"),
            Output::Save { .. } => unreachable!(),
            Output::Log { record } => record.message,
        }
    }

    fn short(&mut self, id: &str) -> String {
        if id.is_empty() {
            return "-".into();
        }
        let at = self.ids.iter().position(|known| known == id);
        let at = at.unwrap_or_else(|| {
            self.ids.push(id.into());
            self.ids.len() - 1
        });
        format!("#{}", at + 1)
    }

    /// The id behind `#n`.
    fn id(&self, n: usize) -> String {
        self.ids[n - 1].clone()
    }

    /// The id of the last such request among the outputs not yet taken.
    fn last_id(&self, what: &str, name: &str) -> String {
        let mut outputs = self.controller.outputs.iter().rev();
        let found = outputs.find_map(|output| match output {
            Output::ToAgent { instance, request } if instance == name => {
                let (kind, reqid, _) = request_parts(request.clone());
                (kind == what).then_some(reqid)
            }
            Output::Deploy {
                instance, reqid, ..
            } if instance == name && what == "deploy" => Some(reqid.clone()),
            Output::ToAgent { .. }
            | Output::Deploy { .. }
            | Output::Respond { .. }
            | Output::Peer { .. }
            | Output::Unpeer { .. }
            | Output::Save { .. }
            | Output::Log { .. } => None,
        });
        found.unwrap()
    }
}

fn request_parts(request: AgentRequest) -> (&'static str, String, String) {
    let join = |nodes: BTreeSet<String>| Vec::from_iter(nodes).join(",");
    match request {
        AgentRequest::Welcome { reqid } => ("welcome", reqid, String::new()),
        AgentRequest::Standby { reqid } => ("standby", reqid, String::new()),
        AgentRequest::Deploy { .. } => unreachable!("that has an output of its own"),
        AgentRequest::GetNodes { reqid } => ("get_nodes", reqid, String::new()),
        AgentRequest::NodeDispatch {
            reqid,
            action,
            nodes,
        } => {
            let rest = format!(" {} on [{}]", action.join(" "), join(nodes));
            ("dispatch", reqid, rest)
        }
        AgentRequest::Restart { reqid, nodes } => ("restart", reqid, format!(" [{}]", join(nodes))),
    }
}

fn respond_line(response: ControllerResponse) -> String {
    let (what, reqid, results) = match response {
        ControllerResponse::GetInstances { reqid, result } => ("instances", reqid, vec![result]),
        ControllerResponse::StageConfiguration { reqid, results } => ("stage", reqid, results),
        ControllerResponse::GetConfiguration { reqid, result } => ("config", reqid, vec![result]),
        ControllerResponse::Deploy { reqid, results } => ("deploy", reqid, results),
        ControllerResponse::GetNodes { reqid, results } => ("nodes", reqid, results),
        ControllerResponse::GetIdValue { reqid, results } => ("value", reqid, results),
        ControllerResponse::Restart { reqid, results } => ("restart", reqid, results),
        ControllerResponse::TestTimeout { reqid, result } => ("timeout", reqid, vec![result]),
    };
    let results: Vec<String> = results.iter().map(result_text).collect();
    format!("{what} {reqid}: {}", results.join("; "))
}

/// `ok` or `failed`, `@instance`, `/node`, `= data`, `(error)`.
fn result_text(result: &ApiResult) -> String {
    let mut text = String::from(if result.success { "ok" } else { "failed" });
    let instance = result.instance.iter().map(|name| format!(" @{name}"));
    let node = result.node.iter().map(|name| format!(" /{name}"));
    let data = result.data.iter().map(|data| {
        if let Data::Vector(items) = data.to_data() {
            return format!(" = {} items", items.len());
        }
        let text = data.clone().read::<String>().unwrap();
        format!(" = {text}")
    });
    let error = result.error.iter().map(|error| format!(" ({error})"));
    text.extend(instance.chain(node).chain(data).chain(error));
    text
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn start() -> Instant {
    Instant::now()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The endpoint of the agent of this name.
fn endpoint(name: &str) -> EndpointId {
    let mut bytes = [0; 16];
    for (byte, of_name) in bytes.iter_mut().zip(name.bytes()) {
        *byte = of_name;
    }
    EndpointId::from_bytes(bytes)
}

fn hello(name: &str) -> AgentResponse {
    AgentResponse::Hello {
        instance: name.into(),
        id: endpoint(name).to_string(),
        connecting: true,
        api_version: 1,
    }
}

fn hello_of_dialed(name: &str) -> AgentResponse {
    AgentResponse::Hello {
        instance: name.into(),
        id: endpoint(name).to_string(),
        connecting: false,
        api_version: 1,
    }
}

fn welcomed(reqid: &str) -> AgentResponse {
    AgentResponse::Welcome {
        reqid: reqid.into(),
        result: ApiResult::ok(reqid),
    }
}

fn stands_by() -> AgentResponse {
    AgentResponse::Standby {
        reqid: String::new(),
        result: ApiResult::ok(""),
    }
}

fn deployed(reqid: &str, results: Vec<ApiResult>) -> AgentResponse {
    AgentResponse::Deploy {
        reqid: reqid.into(),
        results,
    }
}

/// Success of these nodes.
fn came_up(instance: &str, nodes: &[&str]) -> Vec<ApiResult> {
    let nodes = nodes.iter();
    nodes
        .map(|node| ApiResult::ok("child").on_instance(instance).on_node(*node))
        .collect()
}

fn deploy(reqid: &str) -> ControllerRequest {
    ControllerRequest::Deploy {
        reqid: reqid.into(),
    }
}

fn get_nodes(reqid: &str) -> ControllerRequest {
    ControllerRequest::GetNodes {
        reqid: reqid.into(),
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A configuration of these instances, the second list with a worker each.
fn config(id: &str, instances: &[&str], with_worker: &[&str]) -> Configuration {
    let instances = instances.iter().map(|name| instance(name, None));
    let nodes = with_worker.iter();
    let nodes = nodes.map(|name| Node::new(*name, format!("w-{name}"), ClusterRole::Worker));
    Configuration {
        id: id.into(),
        instances: instances.collect(),
        nodes: nodes.collect(),
    }
}

fn instance(name: &str, dialed: Option<(&str, u16)>) -> Instance {
    Instance {
        name: name.into(),
        host: dialed.map_or(Address::UNSPECIFIED, |(host, _)| host.parse().unwrap()),
        listen_port: dialed.map(|(_, port)| Port::tcp(port)),
    }
}
