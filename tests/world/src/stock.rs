//! Stock Zeek as its peers see it, release by release.
//!
//! | module | is |
//! | --- | --- |
//! | [`release`] | what differs between releases, as data |
//! | [`shapes`] | which events a release takes, and of what types |
//! | [`wire`], [`peer`] | bytes and endpoint, apart from the code under test |
//! | [`agent`], [`controller`], [`supervisor`], [`node`] | what the scripts do |
//! | [`drive`] | how an agent commands a supervisor and nodes |

pub mod agent;
pub mod controller;
pub mod drive;
pub mod node;
pub mod peer;
pub mod release;
pub mod shapes;
pub mod supervisor;
pub mod wire;

use std::time::Duration;

use broker_proto::Data;

/// What the scripts of a process do when something happens.
pub trait Scripts {
    /// A peering stands.
    fn up(&mut self) -> Vec<Act>;
    /// An event came.
    fn hear(&mut self, topic: &str, name: &str, args: &[Data]) -> Vec<Act>;
}

/// What a process does.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Publishes.
    Say {
        after: Duration,
        topic: String,
        name: String,
        args: Vec<Data>,
    },
    /// Starts a node; only supervisors do.
    Start(NodeOrder),
    /// Ends a node.
    Stop(String),
}

/// What a node that starts knows.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeOrder {
    pub name: String,
    /// Where its agent is, as its environment says.
    pub agent_port: Option<u16>,
}

impl Act {
    pub fn say(topic: impl Into<String>, name: impl Into<String>, args: Vec<Data>) -> Self {
        let (topic, name) = (topic.into(), name.into());
        let after = Duration::ZERO;
        Self::Say {
            after,
            topic,
            name,
            args,
        }
    }

    /// The same later.
    pub fn after(self, wait: Duration) -> Self {
        match self {
            Self::Say {
                topic, name, args, ..
            } => Self::Say {
                after: wait,
                topic,
                name,
                args,
            },
            other @ (Self::Start(_) | Self::Stop(_)) => other,
        }
    }
}

/// A `Management::Result` (API §1.4).
#[derive(Clone, Debug)]
pub struct Outcome {
    pub reqid: String,
    pub instance: Option<String>,
    pub data: Data,
    pub error: Option<String>,
    pub node: Option<String>,
}

impl Outcome {
    pub fn of(reqid: &str, instance: Option<&str>) -> Self {
        Self {
            reqid: reqid.to_owned(),
            instance: instance.map(str::to_owned),
            data: Data::None,
            error: None,
            node: None,
        }
    }

    pub fn failed(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }

    pub fn on(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    pub fn with(mut self, data: Data) -> Self {
        self.data = data;
        self
    }

    pub fn record(self) -> Data {
        let optional = |text: Option<String>| text.map_or(Data::None, Data::string);
        Data::Vector(vec![
            Data::string(self.reqid),
            Data::Boolean(self.error.is_none()),
            optional(self.instance),
            self.data,
            optional(self.error),
            optional(self.node),
        ])
    }

    /// Reads one.
    pub fn read(record: &Data) -> Self {
        let fields = items(record);
        let optional = |field: &Data| (*field != Data::None).then(|| text(field).to_owned());
        let error = optional(&fields[4]);
        let is_success = fields[1] == Data::Boolean(true);
        Self {
            reqid: text(&fields[0]).to_owned(),
            instance: optional(&fields[2]),
            data: fields[3].clone(),
            error: error.or_else(|| (!is_success).then(String::new)),
            node: optional(&fields[5]),
        }
    }
}

/// The elements of a vector.
pub fn items(data: &Data) -> &[Data] {
    let Data::Vector(items) = data else {
        panic!("no vector: {data:?}");
    };
    items
}

/// A text.
pub fn text(data: &Data) -> &str {
    let Data::String(text) = data else {
        panic!("no text: {data:?}");
    };
    text.to_str().unwrap()
}

/// The names in a set.
pub fn names(data: &Data) -> Vec<String> {
    let Data::Set(set) = data else {
        panic!("no set: {data:?}");
    };
    set.iter().map(|name| text(name).to_owned()).collect()
}
