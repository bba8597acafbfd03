//! The Supervisor framework's types and events: what an agent and a supervisor say to each other
//! (API §1.5, §2.4, §2.5).

mod cluster;
mod exit;
mod layout;
mod lives;
mod short;
mod status;

use std::collections::BTreeMap;

use broker_proto::{Address, ByteString, Port, Topic, zeek_enum, zeek_events, zeek_record};

pub use cluster::Cluster;
pub use exit::{NodeEnd, NodeExit};
pub use layout::Layout;
pub use lives::{LivesRequest, LivesResponse, NodeLife};
pub use short::accept_short;
pub(crate) use short::{accepts_short, short_topic};

/// Requests travel on exactly this topic (`SupervisorControl::topic_prefix`).
pub const TOPIC: Topic = Topic::from_static("zeek/supervisor");

/// [`NodeStatusEvent`]s travel here.
pub const NODE_STATUS_TOPIC: Topic = Topic::from_static("zeek/supervisor/node_status");

/// [`ExitEvent`]s travel here (`Management::Supervisor::topic_prefix`).
pub const EXIT_TOPIC: Topic = Topic::from_static("zeek/management/supervisor");

/// The environment variable that marks controller and agent among supervised processes.
pub const MANAGEMENT_NODE_VARIABLE: &str = "ZEEK_MANAGEMENT_NODE";

zeek_enum! {
    /// What a node does in its cluster.
    pub enum ClusterRole("Supervisor::") {
        /// Nothing known.
        None = "NONE",
        /// Writes the logs.
        Logger = "LOGGER",
        /// Coordinates.
        Manager = "MANAGER",
        /// Shares work between workers.
        Proxy = "PROXY",
        /// Reads packets.
        Worker = "WORKER",
    }
}

zeek_record! {
    /// One member of the cluster layout that every node is given.
    pub struct ClusterEndpoint("Supervisor::ClusterEndpoint") {
        /// Its role.
        pub role: ClusterRole,
        /// Where the others reach it.
        pub host: Address,
        /// Its Broker port; [`Port::NONE`] if it does not listen.
        pub p: Port,
        /// The interface it reads.
        pub interface: Option<String>,
        /// The trace it reads instead.
        pub pcap_file: Option<String>,
        /// Its metrics port.
        pub metrics_port: Option<Port>,
    }
}

/// How to run one node.
///
/// Reads every layout of the record ([`Layout`]); writes the youngest unless told otherwise.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct NodeConfig {
    /// Its name; no blanks.
    pub name: String,
    /// The interface it reads.
    pub interface: Option<String>,
    /// The trace it reads instead.
    pub pcap_file: Option<String>,
    /// Its working directory, created with all parents.
    pub directory: Option<String>,
    /// File for its standard output, relative to the directory.
    pub stdout_file: Option<String>,
    /// File for its standard error, relative to the directory.
    pub stderr_file: Option<String>,
    /// Whether it runs in bare mode; the supervisor's own mode if unset.
    pub bare_mode: Option<bool>,
    /// Scripts before those of the supervisor's command line.
    pub addl_base_scripts: Vec<String>,
    /// Scripts after those of the supervisor's command line.
    pub addl_user_scripts: Vec<String>,
    /// Further scripts, in the layouts before 6.1; `None` if the layout has none.
    pub scripts: Option<Vec<String>>,
    /// Its additional environment.
    pub env: BTreeMap<String, String>,
    /// The CPU it is pinned to.
    pub cpu_affinity: Option<i64>,
    /// The whole cluster.
    pub cluster: Cluster,
}

impl NodeConfig {
    /// A configuration with nothing but a name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            interface: None,
            pcap_file: None,
            directory: None,
            stdout_file: None,
            stderr_file: None,
            bare_mode: None,
            addl_base_scripts: Vec::new(),
            addl_user_scripts: Vec::new(),
            scripts: None,
            env: BTreeMap::new(),
            cpu_affinity: None,
            cluster: Cluster::default(),
        }
    }

    /// Its own place in the cluster.
    #[must_use]
    pub fn own_endpoint(&self) -> Option<&ClusterEndpoint> {
        self.cluster.get(&self.name)
    }

    /// Zeek's `Cluster::node`: its name, or nothing outside a cluster (API §11 L1).
    #[must_use]
    pub fn cluster_node(&self) -> &str {
        if self.cluster.is_empty() {
            return "";
        }
        &self.name
    }
}

zeek_record! {
    /// One supervised node.
    pub struct NodeStatus("Supervisor::NodeStatus") {
        /// As it was created.
        pub node: NodeConfig,
        /// Its last known process id; unset before the first start.
        pub pid: Option<i64>,
    }
}

zeek_record! {
    /// All supervised nodes, or those asked for.
    pub struct Status("Supervisor::Status") {
        /// By name.
        pub nodes: BTreeMap<String, NodeStatus>,
    }
}

zeek_record! {
    /// The last lines a node wrote, joined by newlines.
    pub struct NodeOutputs("Management::NodeOutputs") {
        /// Standard output.
        pub stdout: ByteString,
        /// Standard error.
        pub stderr: ByteString,
    }
}

zeek_events! {
    /// Asked of a supervisor, on [`TOPIC`]. An empty node name means all nodes.
    pub enum SupervisorRequest("SupervisorControl::") {
        /// Start a node.
        Create = "create_request" { reqid: String, node: NodeConfig },
        /// Tell what runs.
        Status = "status_request" { reqid: String, node: String },
        /// Stop and start a node.
        Restart = "restart_request" { reqid: String, node: String },
        /// Stop and forget a node.
        Destroy = "destroy_request" { reqid: String, node: String },
        /// End the whole process tree.
        Stop = "stop_request" {},
    }
}

impl SupervisorRequest {
    /// The request's id; a stop request has none.
    pub fn reqid(&self) -> Option<&str> {
        match self {
            Self::Create { reqid, .. }
            | Self::Status { reqid, .. }
            | Self::Restart { reqid, .. }
            | Self::Destroy { reqid, .. } => Some(reqid),
            Self::Stop {} => None,
        }
    }
}

zeek_events! {
    /// Answered by a supervisor, on [`SupervisorResponse::topic`].
    pub enum SupervisorResponse("SupervisorControl::") {
        /// Empty if the node was taken on, else what is wrong.
        Create = "create_response" { reqid: String, result: String },
        /// What runs.
        Status = "status_response" { reqid: String, result: Status },
        /// Whether the order was taken.
        Restart = "restart_response" { reqid: String, result: bool },
        /// Whether the order was taken.
        Destroy = "destroy_response" { reqid: String, result: bool },
    }
}

impl SupervisorResponse {
    /// `zeek/supervisor/<kind>_response/<reqid>`; plain [`TOPIC`] if the id is too long for that.
    pub fn topic(&self) -> Topic {
        let (kind, reqid) = match self {
            Self::Create { reqid, .. } => ("create", reqid),
            Self::Status { reqid, .. } => ("status", reqid),
            Self::Restart { reqid, .. } => ("restart", reqid),
            Self::Destroy { reqid, .. } => ("destroy", reqid),
        };
        answer_topic(kind, reqid)
    }

    /// The request's id.
    pub fn reqid(&self) -> &str {
        match self {
            Self::Create { reqid, .. }
            | Self::Status { reqid, .. }
            | Self::Restart { reqid, .. }
            | Self::Destroy { reqid, .. } => reqid,
        }
    }
}

fn answer_topic(kind: &str, reqid: &str) -> Topic {
    let text = format!("{TOPIC}/{kind}_response/{reqid}");
    Topic::new(text).unwrap_or(TOPIC)
}

zeek_events! {
    /// Told by a supervisor after every start of a node, on [`NODE_STATUS_TOPIC`].
    pub enum NodeStatusEvent("SupervisorControl::") {
        /// The node has this process id.
        NodeStatus = "node_status" { node: String, pid: u64 },
    }
}

zeek_events! {
    /// Told by a supervisor about a node's former life, on [`EXIT_TOPIC`].
    pub enum ExitEvent("Management::Supervisor::API::") {
        /// What the node wrote last, and how it ended.
        NotifyNodeExit = "notify_node_exit" { node: String, outputs: NodeExit },
    }
}
