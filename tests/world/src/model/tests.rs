//! Histories by hand: for each rule some that keep it, and some that break it.

use std::collections::BTreeSet;
use std::time::Duration;

use broker_proto::zeek::ToData;
use broker_proto::{Data, Port};
use mgmt::api::ApiResult;
use mgmt::api::controller::{ControllerRequest as Request, ControllerResponse as Response};
use mgmt::model::{ClusterRole, Configuration, Instance, Node, NodeStatus, Role, State};

use super::{Model, Rule};
use crate::seen::{CONFIG_VARIABLE, Client, Pid, Program, Seen};

mod calm;
mod configs;
mod nodes;
mod requests;
mod results;
mod traffic;

/// Milliseconds since the start, and what was seen then.
type Step = (u64, Seen);

/// The rule that a history breaks, if any does.
fn broken(history: &[Step]) -> Option<Rule> {
    broken_with(Model::default(), history)
}

fn broken_with(mut model: Model, history: &[Step]) -> Option<Rule> {
    for (at, seen) in history {
        if let Err(violation) = model.see(ms(*at), seen) {
            return Some(violation.rule);
        }
    }
    let last = history.last().map_or(0, |(at, _)| *at);
    model
        .end(ms(last), &names(&[]))
        .err()
        .map(|violation| violation.rule)
}

/// One after the other.
fn history(parts: &[&[Step]]) -> Vec<Step> {
    parts.concat()
}

/// `a` on instance i with worker w, staged by s1 and deployed by d1, all in order within 3 s.
fn deployed() -> Vec<Step> {
    let a = config("a", &[("i", "w")]);
    history(&[&staged("s1", 1000, &a), &taken("d1", 2000, &a, 1)])
}

/// A configuration is staged in 100 ms.
fn staged(reqid: &str, at: u64, config: &Configuration) -> [Step; 3] {
    [
        (at, ask(stage(reqid, config))),
        (at + 50, stored(Some(config), None)),
        (at + 100, tell(staged_ok(reqid, &config.id))),
    ]
}

/// A configuration with one node is deployed in a second; its process has this number.
fn taken(reqid: &str, at: u64, config: &Configuration, pid: u32) -> [Step; 6] {
    let prepared = prepared(config);
    let node = config.nodes.first().unwrap();
    [
        (at, start(agent(&node.instance))),
        (at, ask(deploy(reqid))),
        (at + 50, stored(Some(config), Some(&prepared))),
        (at + 100, born(pid, &node.instance, &node.name, &config.id)),
        (at + 500, heard(pid)),
        (
            at + 1000,
            tell(deployed_ok(
                reqid,
                &config.id,
                &[up(&node.instance, &node.name)],
            )),
        ),
    ]
}

/// Nodes are marked with the configuration's id.
fn config(id: &str, nodes: &[(&str, &str)]) -> Configuration {
    let nodes = nodes.iter().map(|(instance, name)| {
        let mut node = Node::new(*instance, *name, ClusterRole::Worker);
        node.env.insert(CONFIG_VARIABLE.to_owned(), id.to_owned());
        node
    });
    let nodes: BTreeSet<Node> = nodes.collect();
    let instances = nodes.iter().map(|node| Instance {
        name: node.instance.clone(),
        host: "127.0.0.1".parse().unwrap(),
        listen_port: None,
    });
    Configuration {
        id: id.to_owned(),
        instances: instances.collect(),
        nodes,
    }
}

/// With metrics ports, which is all that workers get.
fn prepared(config: &Configuration) -> Configuration {
    let nodes = config
        .nodes
        .iter()
        .cloned()
        .zip(9000..)
        .map(|(mut node, port)| {
            node.metrics_port = Some(Port::tcp(port));
            node
        });
    Configuration {
        nodes: nodes.collect(),
        ..config.clone()
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn ask(request: Request) -> Seen {
    let client = Client(1);
    Seen::Asked { client, request }
}

fn tell(response: Response) -> Seen {
    let client = Client(1);
    Seen::Answered { client, response }
}

fn stored(staged: Option<&Configuration>, deployed: Option<&Configuration>) -> Seen {
    Seen::Stored {
        staged: staged.cloned(),
        deployed: deployed.cloned(),
    }
}

fn agent(name: &str) -> Program {
    Program::Agent(name.to_owned())
}

fn start(program: Program) -> Seen {
    Seen::Started { program }
}

fn kill(program: Program) -> Seen {
    Seen::Killed { program }
}

fn born(pid: u32, instance: &str, node: &str, config: &str) -> Seen {
    Seen::NodeBorn {
        pid: Pid(pid),
        instance: instance.to_owned(),
        node: node.to_owned(),
        config: config.to_owned(),
    }
}

fn heard(pid: u32) -> Seen {
    Seen::NodeHeard { pid: Pid(pid) }
}

fn died(pid: u32) -> Seen {
    Seen::NodeDied { pid: Pid(pid) }
}

fn stage(reqid: &str, config: &Configuration) -> Request {
    Request::StageConfiguration {
        reqid: reqid.to_owned(),
        config: config.clone(),
    }
}

fn staged_ok(reqid: &str, id: &str) -> Response {
    Response::StageConfiguration {
        reqid: reqid.to_owned(),
        results: vec![ApiResult::ok(reqid).with_data(Data::string(id))],
    }
}

fn staged_failed(reqid: &str, error: &str) -> Response {
    Response::StageConfiguration {
        reqid: reqid.to_owned(),
        results: vec![ApiResult::failed(reqid, error)],
    }
}

fn show(reqid: &str, deployed: bool) -> Request {
    let reqid = reqid.to_owned();
    Request::GetConfiguration { reqid, deployed }
}

fn shown(reqid: &str, config: &Configuration) -> Response {
    Response::GetConfiguration {
        reqid: reqid.to_owned(),
        result: ApiResult::ok(reqid).with_data(config.clone().into_data()),
    }
}

fn shown_none(reqid: &str, error: &str) -> Response {
    Response::GetConfiguration {
        reqid: reqid.to_owned(),
        result: ApiResult::failed(reqid, error),
    }
}

fn deploy(reqid: &str) -> Request {
    let reqid = reqid.to_owned();
    Request::Deploy { reqid }
}

fn up(instance: &str, node: &str) -> ApiResult {
    ApiResult::ok("child").on_instance(instance).on_node(node)
}

fn down(instance: &str, node: &str) -> ApiResult {
    ApiResult::failed("child", "it died")
        .on_instance(instance)
        .on_node(node)
}

fn deployed_ok(reqid: &str, id: &str, nodes: &[ApiResult]) -> Response {
    let mut results = nodes.to_vec();
    results.push(ApiResult::ok(reqid).with_data(Data::string(id)));
    let reqid = reqid.to_owned();
    Response::Deploy { reqid, results }
}

fn deployed_failed(reqid: &str, error: &str) -> Response {
    Response::Deploy {
        reqid: reqid.to_owned(),
        results: vec![ApiResult::failed(reqid, error)],
    }
}

fn nodes(reqid: &str) -> Request {
    let reqid = reqid.to_owned();
    Request::GetNodes { reqid }
}

fn listed(reqid: &str, instance: &str, nodes: &[(&str, State)]) -> Response {
    let rows = nodes.iter().map(|(node, state)| NodeStatus {
        node: (*node).to_owned(),
        state: *state,
        mgmt_role: Role::None,
        cluster_role: ClusterRole::Worker,
        pid: None,
        p: None,
        metrics_port: None,
    });
    let data = Vec::from_iter(rows).into_data();
    Response::GetNodes {
        reqid: reqid.to_owned(),
        results: vec![ApiResult::ok("child").on_instance(instance).with_data(data)],
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
