//! A stock agent with a supervisor and nodes that always work (API §5).

use std::collections::BTreeSet;
use std::time::Duration;

use broker_proto::{Data, Port};

use super::drive::{Done, Drive};
use super::release::{Hello, Metrics, NullPort, Release};
use super::{Act, Outcome, Scripts, items, names, text};

/// From start to the peering with its supervisor.
const SUPERVISOR: Duration = Duration::from_millis(200);
/// From an order to the last hello of a node.
const NODES: Duration = Duration::from_millis(400);
/// The agent's request timeout (API §3 R5).
const TIMEOUT: Duration = Duration::from_secs(5);

const TIMED_OUT: &str = "request timed out";

#[derive(Debug)]
pub struct Agent {
    release: &'static Release,
    name: String,
    /// The id of its endpoint.
    id: String,
    connecting: bool,
    config: Option<String>,
    /// Local nodes as configured.
    nodes: Vec<Vec<Data>>,
    /// Nodes that have not said hello.
    pub pending: BTreeSet<String>,
    /// Lists of nodes are lost, or come so much later.
    pub stuck: Option<Option<Duration>>,
    /// How many peerings there were.
    pub peerings: usize,
    /// A supervisor and nodes that are really there.
    drive: Option<Drive>,
}

impl Agent {
    pub fn new(release: &'static Release, name: &str, id: &str, connecting: bool) -> Self {
        Self {
            release,
            name: name.to_owned(),
            id: id.to_owned(),
            connecting,
            config: None,
            nodes: Vec::new(),
            pending: BTreeSet::new(),
            stuck: None,
            peerings: 0,
            drive: None,
        }
    }

    /// The same with a supervisor to command; its nodes find it at this port.
    pub fn driving(self, port: u16) -> Self {
        let drive = Some(Drive::new(self.release, port));
        Self { drive, ..self }
    }

    /// Its subscriptions in the order in which it makes them (WIRE §8.7).
    pub fn filter(name: &str) -> [String; 4] {
        [
            "zeek/supervisor".to_owned(),
            format!("zeek/management/agent/{name}"),
            "zeek/management/node".to_owned(),
            "zeek/management/supervisor".to_owned(),
        ]
    }

    fn say(&self, event: &str, args: Vec<Data>) -> Act {
        let topic = format!("zeek/management/agent/{}", self.name);
        Act::say(topic, format!("Management::Agent::API::{event}"), args)
    }

    fn hello(&self) -> Act {
        let args = vec![
            Data::string(self.name.clone()),
            Data::string(self.id.clone()),
            Data::Boolean(self.connecting),
            Data::Count(1),
        ];
        self.say("notify_agent_hello", args)
    }

    fn outcome(&self, reqid: &str) -> Outcome {
        Outcome::of(reqid, Some(&self.name))
    }

    fn answer(&self, event: &str, reqid: &str, results: Vec<Outcome>) -> Act {
        let results = results.into_iter().map(Outcome::record).collect();
        self.say(event, vec![Data::string(reqid), Data::Vector(results)])
    }

    /// API §5.3, §5.4.
    fn deploy(&mut self, reqid: &str, config: &Data, force: bool) -> Vec<Act> {
        let config = items(config);
        let id = text(&config[0]).to_owned();
        if self.config.as_ref() == Some(&id) && !force {
            let results = vec![self.outcome(reqid)];
            return vec![self.answer("deploy_response", reqid, results)];
        }
        self.config = Some(id);
        let Data::Set(nodes) = &config[2] else {
            panic!("no set of nodes");
        };
        let own = nodes.iter().map(|node| items(node).to_vec());
        let own = own.filter(|node| text(&node[1]) == self.name);
        self.nodes = own.collect();
        self.pending.clear();
        if let Some(drive) = &mut self.drive {
            return drive.deploy(reqid, config, &self.nodes);
        }
        let late = self.outcome(reqid).failed(TIMED_OUT);
        let late = self.answer("deploy_response", reqid, vec![late]);
        // D31: answered, and open all the same.
        if nodes.is_empty() {
            let results = vec![self.outcome(reqid)];
            let first = self.answer("deploy_response", reqid, results);
            return vec![first, late.after(TIMEOUT)];
        }
        // D02.
        if self.nodes.is_empty() {
            return vec![late.after(TIMEOUT)];
        }
        let started = self.nodes.iter();
        let started = started.map(|node| self.outcome(reqid).on(text(&node[0])));
        let answer = self.answer("deploy_response", reqid, started.collect());
        // One hello more for each node that connects (WIRE §8.7).
        vec![self.hello().after(NODES / 2), answer.after(NODES)]
    }

    /// API §5.5.
    fn rows(&self) -> Data {
        let own = vec![
            Data::string(self.name.clone()),
            Data::enum_value("Management::RUNNING"),
            Data::enum_value("Management::AGENT"),
            Data::enum_value("Supervisor::NONE"),
            Data::Integer(1000),
            Data::None,
        ];
        let rows = self.nodes.iter().zip(1001..).map(|(node, pid)| {
            // What a supervisor of up to 6.2 says of no port is taken for one.
            let null = match self.release.null_port {
                NullPort::Tcp => Data::Port(Port::tcp(0)),
                NullPort::Unknown => Data::None,
            };
            let port = if node[4] == Data::None {
                null
            } else {
                node[4].clone()
            };
            let state = if self.pending.contains(text(&node[0])) {
                "Management::PENDING"
            } else {
                "Management::RUNNING"
            };
            let row = vec![
                node[0].clone(),
                Data::enum_value(state),
                Data::enum_value("Management::NONE"),
                node[2].clone(),
                Data::Integer(pid),
                port,
            ];
            (row, node.get(10).cloned().unwrap_or(Data::None))
        });
        let all = std::iter::once((own, Data::None)).chain(rows);
        let all = all.map(|(mut row, metrics_port)| {
            if self.release.metrics != Metrics::None {
                row.push(metrics_port);
            }
            Data::Vector(row)
        });
        Data::Vector(all.collect())
    }

    /// Local nodes, each with what this variable is in its environment, sorted.
    pub fn nodes_with(&self, variable: &str) -> Vec<(String, String)> {
        let value = |node: &[Data]| {
            let Data::Table(env) = &node[9] else {
                return None;
            };
            let value = env.get(&Data::string(variable))?;
            Some(text(value).to_owned())
        };
        let nodes = self.nodes.iter();
        let nodes = nodes.map(|node| (text(&node[0]).to_owned(), value(node).unwrap_or_default()));
        let mut nodes: Vec<_> = nodes.collect();
        nodes.sort();
        nodes
    }

    /// Local nodes that are meant.
    fn targets(&self, asked: &Data) -> Vec<String> {
        let asked = names(asked);
        let own = self.nodes.iter().map(|node| text(&node[0]).to_owned());
        own.filter(|name| asked.is_empty() || asked.contains(name))
            .collect()
    }

    /// API §5.6.
    fn dispatch(&mut self, reqid: &str, action: &Data, nodes: &Data) -> Vec<Act> {
        let targets = self.targets(nodes);
        if let Some(drive) = &mut self.drive {
            return drive.dispatch(reqid, action, nodes, targets);
        }
        assert_eq!(text(&items(action)[0]), "get_id_value");
        let results = targets.into_iter().map(|node| {
            let result = self.outcome(reqid).on(&node);
            if self.pending.contains(&node) {
                let running = self.release.running;
                return result.failed(format!("cluster node {node} not in {running} state"));
            }
            result.with(Data::string("96"))
        });
        vec![self.answer("node_dispatch_response", reqid, results.collect())]
    }
}

impl Scripts for Agent {
    fn up(&mut self) -> Vec<Act> {
        self.peerings += 1;
        let later = self.hello().after(SUPERVISOR);
        match self.release.hello {
            Hello::AtOnce => vec![self.hello(), later],
            Hello::BehindSupervisor => vec![later],
        }
    }

    fn hear(&mut self, topic: &str, name: &str, args: &[Data]) -> Vec<Act> {
        if let Some(drive) = &mut self.drive {
            let step = drive.hear(name, args);
            let acts = step.acts.into_iter();
            let answer = step.done.map(|done| {
                let Done {
                    event,
                    reqid,
                    nodes,
                } = done;
                let results = nodes
                    .into_iter()
                    .map(|(node, data)| Outcome::of(&reqid, Some(&self.name)).on(&node).with(data));
                self.answer(event, &reqid, results.collect())
            });
            let acts: Vec<_> = acts.chain(answer).collect();
            if !acts.is_empty() {
                return acts;
            }
        }
        let Some(request) = name.strip_prefix("Management::Agent::API::") else {
            return vec![];
        };
        assert_eq!(topic, format!("zeek/management/agent/{}", self.name));
        let reqid = text(&args[0]);
        match request {
            "agent_welcome_request" => {
                let result = self.outcome(reqid).record();
                vec![self.say("agent_welcome_response", vec![Data::string(reqid), result])]
            }
            "agent_standby_request" => {
                self.nodes.clear();
                self.config = None;
                let result = self.outcome(reqid).record();
                vec![self.say("agent_standby_response", vec![Data::string(reqid), result])]
            }
            "deploy_request" => self.deploy(reqid, &args[1], args[2] == Data::Boolean(true)),
            "get_nodes_request" => {
                let result = self.outcome(reqid).with(self.rows()).record();
                let args = vec![Data::string(reqid), result];
                let answer = self.say("get_nodes_response", args);
                match self.stuck {
                    None => vec![answer],
                    Some(None) => vec![],
                    Some(Some(wait)) => vec![answer.after(wait)],
                }
            }
            "node_dispatch_request" => self.dispatch(reqid, &args[1], &args[2]),
            "restart_request" => {
                let restarted = self.targets(&args[1]).into_iter();
                let results = restarted.map(|node| self.outcome(reqid).on(&node));
                vec![self.answer("restart_response", reqid, results.collect())]
            }
            _ => vec![],
        }
    }
}
