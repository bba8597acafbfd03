//! How a stock agent commands a supervisor and nodes (API §5.4, §5.6).

use std::collections::{BTreeMap, BTreeSet};

use broker_proto::data::Table;
use broker_proto::{Data, Port};

use super::release::{NullPort, Release};
use super::{Act, Outcome, items, text};

/// What is under way.
#[derive(Debug)]
pub struct Drive {
    release: &'static Release,
    port: u16,
    deployment: Option<Deployment>,
    dispatch: Option<Dispatch>,
}

#[derive(Debug)]
struct Deployment {
    reqid: String,
    /// To be ordered when the status has come.
    orders: Vec<Data>,
    nodes: Vec<String>,
    awaited: BTreeSet<String>,
}

#[derive(Debug)]
struct Dispatch {
    reqid: String,
    awaited: BTreeSet<String>,
    values: Vec<(String, Data)>,
}

/// What comes of an event.
#[derive(Default)]
pub struct Step {
    pub acts: Vec<Act>,
    /// A request that is done.
    pub done: Option<Done>,
}

/// What to answer: the event, the request, and what each node has.
pub struct Done {
    pub event: &'static str,
    pub reqid: String,
    pub nodes: Vec<(String, Data)>,
}

const STATUS: &str = "status";

impl Drive {
    pub fn new(release: &'static Release, port: u16) -> Self {
        Self {
            release,
            port,
            deployment: None,
            dispatch: None,
        }
    }

    /// Asks what runs first.
    pub fn deploy(&mut self, reqid: &str, config: &[Data], own: &[Vec<Data>]) -> Vec<Act> {
        let cluster = self.cluster(config);
        let orders = own.iter().map(|node| self.order(node, &cluster));
        let names = own.iter().map(|node| text(&node[0]).to_owned());
        let nodes: Vec<_> = names.collect();
        self.deployment = Some(Deployment {
            reqid: reqid.to_owned(),
            orders: orders.collect(),
            awaited: nodes.iter().cloned().collect(),
            nodes,
        });
        vec![ask("status_request", STATUS, Data::string(""))]
    }

    pub fn dispatch(
        &mut self,
        reqid: &str,
        action: &Data,
        nodes: &Data,
        targets: Vec<String>,
    ) -> Vec<Act> {
        self.dispatch = Some(Dispatch {
            reqid: reqid.to_owned(),
            awaited: targets.into_iter().collect(),
            values: Vec::new(),
        });
        let args = vec![Data::string("child"), action.clone(), nodes.clone()];
        let event = "Management::Node::API::node_dispatch_request";
        vec![Act::say("zeek/management/node", event, args)]
    }

    pub fn hear(&mut self, name: &str, args: &[Data]) -> Step {
        match name {
            "SupervisorControl::status_response" if args[0] == Data::string(STATUS) => {
                let orders = self
                    .deployment
                    .iter_mut()
                    .flat_map(|it| it.orders.drain(..));
                let orders = orders.zip(0..).map(|(order, number)| {
                    ask("create_request", &format!("create-{number}"), order)
                });
                Step {
                    acts: orders.collect(),
                    done: None,
                }
            }
            "SupervisorControl::create_response" => {
                assert_eq!(args[1], Data::string(""), "no node is refused");
                Step::default()
            }
            "Management::Node::API::notify_node_hello" => self.on_hello(text(&args[0])),
            "Management::Node::API::node_dispatch_response" => self.on_value(&args[1]),
            _ => Step::default(),
        }
    }

    fn on_hello(&mut self, node: &str) -> Step {
        let Some(deployment) = &mut self.deployment else {
            return Step::default();
        };
        deployment.awaited.remove(node);
        if !deployment.awaited.is_empty() {
            return Step::default();
        }
        let done = self.deployment.take().map(|it| {
            let nodes = it.nodes.into_iter().map(|node| (node, Data::None));
            Done {
                event: "deploy_response",
                reqid: it.reqid,
                nodes: nodes.collect(),
            }
        });
        Step {
            acts: Vec::new(),
            done,
        }
    }

    fn on_value(&mut self, result: &Data) -> Step {
        let result = Outcome::read(result);
        let node = result.node.unwrap();
        let Some(dispatch) = &mut self.dispatch else {
            return Step::default();
        };
        if dispatch.awaited.remove(&node) {
            dispatch.values.push((node, result.data));
        }
        if !dispatch.awaited.is_empty() {
            return Step::default();
        }
        let done = self.dispatch.take();
        Step {
            acts: Vec::new(),
            done: done.map(|it| Done {
                event: "node_dispatch_response",
                reqid: it.reqid,
                nodes: it.values,
            }),
        }
    }

    /// Every node of the configuration, as each node is told (API §5.4 A10).
    fn cluster(&self, config: &[Data]) -> Data {
        let (Data::Set(instances), Data::Set(nodes)) = (&config[1], &config[2]) else {
            panic!("no sets");
        };
        let hosts = instances.iter().map(items);
        let hosts: BTreeMap<_, _> = hosts.map(|it| (it[0].clone(), it[1].clone())).collect();
        let members = nodes.iter().map(items).map(|node| {
            let null = match self.release.null_port {
                NullPort::Tcp => Port::tcp(0),
                NullPort::Unknown => Port::NONE,
            };
            let port = if node[4] == Data::None {
                Data::Port(null)
            } else {
                node[4].clone()
            };
            let fields = self.release.endpoint.iter().map(|field| match *field {
                "role" => node[2].clone(),
                "host" => hosts[&node[1]].clone(),
                "p" => port.clone(),
                "interface" => node[7].clone(),
                "metrics_port" => node[10].clone(),
                _ => Data::None,
            });
            (node[0].clone(), Data::Vector(fields.collect()))
        });
        let members: Table = members.collect();
        Data::Table(members)
    }

    /// API §5.4 A11, §6 N4.
    fn order(&self, node: &[Data], cluster: &Data) -> Data {
        let name = text(&node[0]);
        let scripts = Data::Vector(vec![Data::string("policy/frameworks/management/node")]);
        let has_addl = self.release.node_config.contains(&"addl_user_scripts");
        let fields = self.release.node_config.iter().map(|field| match *field {
            "name" => Data::string(name),
            "directory" => Data::string(format!("nodes/{name}")),
            "addl_user_scripts" => scripts.clone(),
            "scripts" if !has_addl => scripts.clone(),
            "addl_base_scripts" | "scripts" => Data::Vector(vec![]),
            "env" => {
                let port = format!("{}/tcp", self.port);
                let env = [("ZEEK_AGENT_ADDR", "127.0.0.1"), ("ZEEK_AGENT_PORT", &port)];
                let env = env.map(|(name, value)| (Data::string(name), Data::string(value)));
                Data::Table(Table::from(env))
            }
            "cluster" => cluster.clone(),
            _ => Data::None,
        });
        Data::Vector(fields.collect())
    }
}

fn ask(request: &str, reqid: &str, about: Data) -> Act {
    let name = format!("SupervisorControl::{request}");
    let args = vec![Data::string(reqid), about];
    Act::say("zeek/supervisor", name, args)
}
