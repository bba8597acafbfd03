//! A stock controller with one agent and one configuration (API §4).

use std::collections::BTreeMap;

use broker_proto::data::{Set, Table};
use broker_proto::{Address, Data, Port};

use super::release::{Metrics, PortOrder, Release};
use super::{Act, Outcome, Scripts, items, text};

pub struct Controller {
    release: &'static Release,
    agent: String,
    /// The ids by which agents named themselves.
    pub hellos: Vec<String>,
    is_ready: bool,
    /// Sent when the agent has answered the welcome.
    wanted: Option<Data>,
    /// Answers by request id.
    pub answers: BTreeMap<String, Vec<Outcome>>,
    /// Names of other events that came.
    pub notices: Vec<String>,
}

/// A node as a client describes it: name, role, instance.
pub type NodeSpec<'a> = (&'a str, &'a str, &'a str);

impl Controller {
    pub const FILTER: [&'static str; 4] = [
        "___sync_store_Management::Controller::Runtime::g_configs/<$>/data/master",
        "zeek/management/agent",
        "zeek/management/controller",
        "zeek/supervisor",
    ];

    pub fn new(release: &'static Release, agent: &str) -> Self {
        Self {
            release,
            agent: agent.to_owned(),
            hellos: Vec::new(),
            is_ready: false,
            wanted: None,
            answers: BTreeMap::new(),
            notices: Vec::new(),
        }
    }

    /// A deployment; its answer is that to `deploy`.
    pub fn deploy(&mut self, id: &str, nodes: &[NodeSpec<'_>]) -> Vec<Act> {
        self.wanted = Some(self.configuration(id, nodes));
        if self.is_ready {
            return self.deploy_wanted();
        }
        vec![self.ask("agent_welcome_request", vec![Data::string("welcome")])]
    }

    /// Any request of the agent's API.
    pub fn ask(&self, request: &str, args: Vec<Data>) -> Act {
        let topic = format!("zeek/management/agent/{}", self.agent);
        Act::say(topic, format!("Management::Agent::API::{request}"), args)
    }

    fn deploy_wanted(&mut self) -> Vec<Act> {
        let Some(config) = self.wanted.take() else {
            return vec![];
        };
        let args = vec![Data::string("deploy"), config, Data::Boolean(false)];
        vec![self.ask("deploy_request", args)]
    }

    /// Instances are on 127.0.0.1 if their name is the agent's, and on 127.0.0.2 otherwise.
    fn configuration(&self, id: &str, nodes: &[NodeSpec<'_>]) -> Data {
        let mut instances: Vec<&str> = nodes.iter().map(|node| node.2).collect();
        instances.push(&self.agent);
        let instances = instances.into_iter().map(|name| {
            let host = Data::Address(self.host(name));
            Data::Vector(vec![Data::string(name), host, Data::None])
        });
        let ports = self.broker_ports(nodes);
        let metrics = self.metrics_ports(nodes);
        let nodes = nodes.iter().map(|(name, role, instance)| {
            let port = |ports: &BTreeMap<&str, u16>| {
                let port = ports.get(name).copied().map(Port::tcp);
                port.map_or(Data::None, Data::Port)
            };
            let mut node = vec![
                Data::string(*name),
                Data::string(*instance),
                Data::enum_value(format!("Supervisor::{role}")),
                Data::enum_value("Management::RUNNING"),
                port(&ports),
                Data::None,
                Data::None,
                Data::None,
                Data::None,
                Data::Table(Table::from([])),
            ];
            if self.release.metrics != Metrics::None {
                node.push(port(&metrics));
            }
            Data::Vector(node)
        });
        let nodes: Set = nodes.collect();
        let instances: Set = instances.collect();
        Data::Vector(vec![
            Data::string(id),
            Data::Set(instances),
            Data::Set(nodes),
        ])
    }

    fn host(&self, instance: &str) -> Address {
        let host = if instance == self.agent { 1 } else { 2 };
        std::net::IpAddr::from([127, 0, 0, host]).into()
    }

    /// API §7.2.
    pub fn broker_ports<'a>(&self, nodes: &[NodeSpec<'a>]) -> BTreeMap<&'a str, u16> {
        let rank = |role: &str| {
            ["MANAGER", "LOGGER", "PROXY"]
                .iter()
                .position(|it| *it == role)
        };
        let listening = nodes.iter().filter_map(|(name, role, instance)| {
            let rank = rank(role)?;
            Some(match self.release.port_order {
                PortOrder::RoleFirst => (format!("{rank} {instance} {name}"), *name),
                PortOrder::InstanceFirst => (format!("{instance} {rank} {name}"), *name),
            })
        });
        let mut listening: Vec<_> = listening.collect();
        listening.sort();
        let names = listening.into_iter().map(|(_, name)| name);
        names.zip(2200..).collect()
    }

    /// API §7.3; one node each of a role.
    fn metrics_ports<'a>(&self, nodes: &[NodeSpec<'a>]) -> BTreeMap<&'a str, u16> {
        let mut next: BTreeMap<&str, u16> = BTreeMap::new();
        let numbered = nodes.iter().map(|(name, _, instance)| {
            let counter = match self.release.metrics {
                Metrics::None | Metrics::PerConfiguration => "",
                Metrics::PerHost => *instance,
            };
            let port = next.entry(counter).or_insert(9000);
            *port += 1;
            (*name, *port - 1)
        });
        numbered.collect()
    }
}

impl Scripts for Controller {
    fn up(&mut self) -> Vec<Act> {
        vec![]
    }

    fn hear(&mut self, topic: &str, name: &str, args: &[Data]) -> Vec<Act> {
        let Some(event) = name.strip_prefix("Management::Agent::API::") else {
            return vec![];
        };
        assert_eq!(topic, format!("zeek/management/agent/{}", self.agent));
        let (results, reqid) = match event {
            "notify_agent_hello" => {
                self.hellos.push(text(&args[1]).to_owned());
                return vec![];
            }
            "agent_welcome_response" => {
                self.is_ready = true;
                return self.deploy_wanted();
            }
            "deploy_response" | "node_dispatch_response" | "restart_response" => (
                items(&args[1]).iter().map(Outcome::read).collect(),
                &args[0],
            ),
            "get_nodes_response" => (vec![Outcome::read(&args[1])], &args[0]),
            notice => {
                self.notices.push(notice.to_owned());
                return vec![];
            }
        };
        let former = self.answers.insert(text(reqid).to_owned(), results);
        assert!(former.is_none(), "a second answer to {reqid:?}");
        vec![]
    }
}
