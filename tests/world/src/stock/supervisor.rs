//! A stock supervisor whose nodes always start (API §2.5, §9).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker_proto::{Data, Port};

use super::release::{NullPort, Release};
use super::{Act, NodeOrder, Scripts, items, text};

/// From an order to the start of a node.
const START: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Supervisor {
    release: &'static Release,
    stem: Stem,
    nodes: BTreeMap<String, Running>,
    last_pid: i64,
    /// Node configurations as they were ordered.
    pub ordered: Vec<Vec<Data>>,
    /// What was refused.
    pub refused: Vec<String>,
    /// Nodes that have ever started, and so have written something (API §12.3 D64).
    written: BTreeSet<String>,
}

/// Where its nodes' processes are.
#[derive(Debug)]
enum Stem {
    /// Nowhere: they begin and end when that is ordered.
    Imagined,
    /// Below somebody who does what is ordered in his own time, and reports.
    Apart,
}

#[derive(Debug)]
struct Running {
    config: Vec<Data>,
    /// As reported last (API §12.3 D68).
    pid: Option<i64>,
}

impl Supervisor {
    pub const FILTER: [&'static str; 1] = ["zeek/supervisor"];

    pub fn new(release: &'static Release) -> Self {
        Self {
            release,
            stem: Stem::Imagined,
            nodes: BTreeMap::new(),
            last_pid: 500,
            ordered: Vec::new(),
            refused: Vec::new(),
            written: BTreeSet::new(),
        }
    }

    /// Its nodes start and end when somebody says so ([`Self::on_status`]).
    pub fn with_stem(self) -> Self {
        let stem = Stem::Apart;
        Self { stem, ..self }
    }

    /// A field of a node's configuration by its name in this release.
    pub fn field<'a>(&self, config: &'a [Data], name: &str) -> &'a Data {
        let mut fields = self.release.node_config.iter();
        &config[fields.position(|field| *field == name).unwrap()]
    }

    fn respond(kind: &str, reqid: &str, result: Data) -> Act {
        let topic = format!("zeek/supervisor/{kind}_response/{reqid}");
        let name = format!("SupervisorControl::{kind}_response");
        Act::say(topic, name, vec![Data::string(reqid), result])
    }

    /// API §9.2.
    fn create(&mut self, reqid: &str, config: &Data) -> Vec<Act> {
        let config = items(config)[..self.release.node_config.len()].to_vec();
        let name = text(&config[0]).to_owned();
        let refusal = if name.is_empty() {
            "node names must not be an empty string".to_owned()
        } else if name.contains(' ') {
            format!("node names must not contain spaces: '{name}'")
        } else if self.nodes.contains_key(&name) {
            format!("node with name '{name}' already exists")
        } else {
            String::new()
        };
        if !refusal.is_empty() {
            self.refused.push(refusal.clone());
            return vec![Self::respond("create", reqid, Data::string(refusal))];
        }
        self.ordered.push(config.clone());
        self.last_pid += 1;
        let pid = self.last_pid;
        let kept = Running {
            config: self.kept(config),
            pid: match self.stem {
                Stem::Imagined => Some(pid),
                Stem::Apart => None,
            },
        };
        let order = self.order(&name, &kept.config);
        self.nodes.insert(name.clone(), kept);
        let answer = Self::respond("create", reqid, Data::string(""));
        let acts = vec![answer, Act::Start(order)];
        self.with_news(acts, vec![status(&name, pid)])
    }

    /// What comes of an order beside the answer, if there is nobody else to tell it.
    fn with_news(&self, mut acts: Vec<Act>, news: Vec<Act>) -> Vec<Act> {
        match self.stem {
            Stem::Imagined => acts.extend(news),
            Stem::Apart => {}
        }
        acts
    }

    fn order(&self, name: &str, config: &[Data]) -> NodeOrder {
        let Data::Table(env) = self.field(config, "env") else {
            panic!("no environment");
        };
        let port = env.get(&Data::string("ZEEK_AGENT_PORT")).map(text);
        NodeOrder {
            name: name.to_owned(),
            agent_port: port.map(|port| port.trim_end_matches("/tcp").parse().unwrap()),
        }
    }

    /// What its C++ side keeps of a configuration, and reports: of ports up to 6.2 the number alone
    /// (API §1.5).
    fn kept(&self, mut config: Vec<Data>) -> Vec<Data> {
        let Some(Data::Table(cluster)) = config.last() else {
            panic!("no cluster");
        };
        let members = cluster.iter().map(|(name, endpoint)| {
            let mut endpoint = items(endpoint)[..self.release.endpoint.len()].to_vec();
            if let (NullPort::Tcp, Data::Port(port)) = (self.release.null_port, &endpoint[2]) {
                endpoint[2] = Data::Port(Port::tcp(port.number));
            }
            (name.clone(), Data::Vector(endpoint))
        });
        let cluster = Data::Table(members.collect());
        config.pop();
        config.push(cluster);
        config
    }

    fn restart(&mut self, reqid: &str, name: &str) -> Vec<Act> {
        self.last_pid += 1;
        let pid = self.last_pid;
        let Some(node) = self.nodes.get_mut(name) else {
            return vec![Self::respond("restart", reqid, Data::Boolean(false))];
        };
        match self.stem {
            Stem::Imagined => node.pid = Some(pid),
            Stem::Apart => {}
        }
        let config = node.config.clone();
        let order = self.order(name, &config);
        let acts = vec![
            Self::respond("restart", reqid, Data::Boolean(true)),
            Act::Stop(name.to_owned()),
            Act::Start(order),
        ];
        self.with_news(acts, vec![status(name, pid), exit(name).after(START)])
    }

    /// Its stem has started a node, whether that is still listed or not (API §9.5 S13, S15).
    pub fn on_status(&mut self, name: &str, pid: i64) -> Vec<Act> {
        if let Some(node) = self.nodes.get_mut(name) {
            node.pid = Some(pid);
        }
        let mut acts = vec![status(name, pid).after(Duration::ZERO)];
        if !self.written.insert(name.to_owned()) {
            acts.push(exit(name));
        }
        acts
    }

    /// A variable in the environment of a node that is listed.
    pub fn variable(&self, node: &str, variable: &str) -> String {
        let Data::Table(env) = self.field(&self.nodes[node].config, "env") else {
            panic!("no environment");
        };
        let value = env.get(&Data::string(variable));
        value.map(text).unwrap_or_default().to_owned()
    }

    /// A node dies by itself, and is started again.
    pub fn revive(&mut self, name: &str) -> Vec<Act> {
        let acts = self.restart("", name);
        let is_news =
            |act: &Act| !matches!(act, Act::Say { name, .. } if name.ends_with("restart_response"));
        acts.into_iter().filter(is_news).collect()
    }
}

/// What a node wrote in its former life (API §9.5 S15).
fn exit(name: &str) -> Act {
    let said = Data::Vector(vec![Data::string("out"), Data::string("last words")]);
    Act::say(
        "zeek/management/supervisor",
        "Management::Supervisor::API::notify_node_exit",
        vec![Data::string(name), said],
    )
}

fn status(name: &str, pid: i64) -> Act {
    let pid = Data::Count(pid.unsigned_abs());
    let topic = "zeek/supervisor/node_status";
    let args = vec![Data::string(name), pid];
    Act::say(topic, "SupervisorControl::node_status", args).after(START)
}

impl Scripts for Supervisor {
    fn up(&mut self) -> Vec<Act> {
        vec![]
    }

    fn hear(&mut self, topic: &str, name: &str, args: &[Data]) -> Vec<Act> {
        let Some(request) = name.strip_prefix("SupervisorControl::") else {
            return vec![];
        };
        assert_eq!(topic, "zeek/supervisor");
        let reqid = text(&args[0]);
        match request {
            "create_request" => self.create(reqid, &args[1]),
            "status_request" => {
                let asked = text(&args[1]);
                let nodes = self.nodes.iter();
                let nodes = nodes.filter(|(name, _)| asked.is_empty() || *name == asked);
                let rows = nodes.map(|(name, node)| {
                    let config = Data::Vector(node.config.clone());
                    let pid = node.pid.map_or(Data::None, Data::Integer);
                    let status = vec![config, pid];
                    (Data::string(name.clone()), Data::Vector(status))
                });
                let rows = Data::Table(rows.collect());
                vec![Self::respond("status", reqid, Data::Vector(vec![rows]))]
            }
            "restart_request" => self.restart(reqid, text(&args[1])),
            "destroy_request" => {
                let name = text(&args[1]).to_owned();
                let is_known = self.nodes.remove(&name).is_some();
                let answer = Self::respond("destroy", reqid, Data::Boolean(is_known));
                let stop = is_known.then_some(Act::Stop(name));
                std::iter::once(answer).chain(stop).collect()
            }
            other => panic!("agents do not say {other}"),
        }
    }
}
