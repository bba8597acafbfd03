//! What differs between the releases of Zeek for those who talk to them, as data (API §14,
//! WIRE §10). Records were compared with the sources of each release.

use std::fmt;

/// One release of Zeek, by what its peers notice.
pub struct Release {
    /// As in `zeek --version`, the patch level left out.
    pub name: &'static str,
    /// The fields of `Supervisor::NodeConfig` in the order of the wire (API §1.5).
    pub node_config: &'static [&'static str],
    /// The fields of `Supervisor::ClusterEndpoint` (API §1.5).
    pub endpoint: &'static [&'static str],
    /// Whether `Management::Node` and `Management::NodeStatus` end in `metrics_port` (API §1.4),
    /// and which counters hand such ports out (API §7.3).
    pub metrics: Metrics,
    /// What a supervisor reports of a port that does not exist (API §1.5, §5.5).
    pub null_port: NullPort,
    /// Who comes first when a controller hands out Broker ports (API §7.2).
    pub port_order: PortOrder,
    /// Whether an agent is silent until it is peered with its supervisor (API §5.1 A2).
    pub hello: Hello,
    /// How an agent spells a node's state in an error (API §5.6 A19).
    pub running: &'static str,
    /// The third field of the events it publishes (WIRE §8.2).
    pub metadata: Metadata,
    /// The same for its supervisor, which publishes through the cluster backend from 8.1 on
    /// (API §2.5, WIRE §8.2).
    pub supervisor_metadata: Metadata,
    /// Whether its supervisor hears anybody unless a script has chosen a cluster backend
    /// (API §2.5, §13.4).
    pub backend: Backend,
    /// How it leaves (WIRE §6.6).
    pub leaving: Leaving,
    /// Where it sends pongs (WIRE §6.5).
    pub pong_topic: PongTopic,
    /// What it makes of a pong (WIRE §6.5).
    pub pong_input: Input,
    /// What it makes of an empty topic or an empty payload (WIRE §5.2).
    pub empty: Input,
    /// What it makes of an envelope whose header does not read (WIRE §5.5).
    pub bad_header: Input,
    /// What it makes of a payload that is no value (WIRE §5.5).
    pub bad_value: Input,
    /// What it makes of bytes behind a value (WIRE §3.9).
    pub surplus: Input,
    /// What it makes of elements that a set repeats (WIRE §3.8).
    pub repeated: Input,
    /// What it makes of a wrong count before the topics of a filter (WIRE §6.1).
    pub filter_count: Count,
    /// What it takes a nil sender for (WIRE §5.3).
    pub nil_sender: NilSender,
    /// The ttl of its pongs (WIRE §5.4).
    pub pong_ttl: u16,
    /// The last error code it knows in a drop_conn (WIRE §4.5).
    pub last_error: u8,
    /// What happens when more waits for a peer than fits (WIRE §6.8).
    pub overflow: Overflow,
    /// Seconds between dials if the script does not say (WIRE §4.6).
    pub retry_secs: u64,
    /// How often it dials (WIRE §4.6).
    pub attempts: Option<u32>,
    /// Members of a node's JSON without which a stem does not start it (API §10.3).
    pub stem_members: &'static [&'static str],
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zeek {}", self.name)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Metrics {
    None,
    PerConfiguration,
    PerHost,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NullPort {
    Tcp,
    Unknown,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PortOrder {
    RoleFirst,
    InstanceFirst,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hello {
    AtOnce,
    BehindSupervisor,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Metadata {
    Absent,
    Timestamp,
    Empty,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Backend {
    Broker,
    ToBeChosen,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leaving {
    Close,
    Goodbye,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PongTopic {
    OfThePing,
    Internal,
}

/// What becomes of an input that is not as it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Input {
    /// The link is closed.
    Closes,
    /// It is not delivered.
    Dropped,
    /// It is taken without remark.
    Taken,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Count {
    Used,
    Ignored,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NilSender {
    Foreign,
    Local,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overflow {
    Waits,
    DropsOldest(usize),
}

/// All releases that are to be met.
pub static RELEASES: [&Release; 9] = [
    &V5_0, &V5_2, &V6_0, &V6_2, &V7_0, &V7_2, &V8_0, &V8_2, &V9_0,
];

const CONFIG_4_1: &[&str] = &[
    "name",
    "interface",
    "directory",
    "stdout_file",
    "stderr_file",
    "bare_mode",
    "scripts",
    "env",
    "cpu_affinity",
    "cluster",
];

const CONFIG_5_1: &[&str] = &[
    "name",
    "interface",
    "directory",
    "stdout_file",
    "stderr_file",
    "bare_mode",
    "addl_base_scripts",
    "addl_user_scripts",
    "scripts",
    "env",
    "cpu_affinity",
    "cluster",
];

const CONFIG_6_0: &[&str] = &[
    "name",
    "interface",
    "pcap_file",
    "directory",
    "stdout_file",
    "stderr_file",
    "bare_mode",
    "addl_base_scripts",
    "addl_user_scripts",
    "scripts",
    "env",
    "cpu_affinity",
    "cluster",
];

const CONFIG_6_1: &[&str] = &[
    "name",
    "interface",
    "pcap_file",
    "directory",
    "stdout_file",
    "stderr_file",
    "bare_mode",
    "addl_base_scripts",
    "addl_user_scripts",
    "env",
    "cpu_affinity",
    "cluster",
];

const ENDPOINT_5_0: &[&str] = &["role", "host", "p", "interface"];
const ENDPOINT_6_0: &[&str] = &["role", "host", "p", "interface", "pcap_file"];
const ENDPOINT_7_0: &[&str] = &[
    "role",
    "host",
    "p",
    "interface",
    "pcap_file",
    "metrics_port",
];

const STEM_5_0: &[&str] = &["scripts", "env", "cluster"];
const STEM_5_1: &[&str] = &[
    "addl_base_scripts",
    "addl_user_scripts",
    "scripts",
    "env",
    "cluster",
];
const STEM_6_1: &[&str] = &["addl_base_scripts", "addl_user_scripts", "env", "cluster"];

static V5_0: Release = Release {
    name: "5.0",
    node_config: CONFIG_4_1,
    endpoint: ENDPOINT_5_0,
    metrics: Metrics::None,
    null_port: NullPort::Tcp,
    port_order: PortOrder::RoleFirst,
    hello: Hello::AtOnce,
    running: "runnning",
    metadata: Metadata::Absent,
    supervisor_metadata: Metadata::Absent,
    backend: Backend::Broker,
    leaving: Leaving::Close,
    pong_topic: PongTopic::OfThePing,
    pong_input: Input::Closes,
    empty: Input::Closes,
    bad_header: Input::Closes,
    bad_value: Input::Dropped,
    surplus: Input::Taken,
    repeated: Input::Taken,
    filter_count: Count::Used,
    nil_sender: NilSender::Foreign,
    pong_ttl: 1,
    last_error: 40,
    overflow: Overflow::Waits,
    retry_secs: 30,
    attempts: Some(10),
    stem_members: STEM_5_0,
};

static V5_2: Release = Release {
    name: "5.2",
    node_config: CONFIG_5_1,
    hello: Hello::BehindSupervisor,
    running: "running",
    leaving: Leaving::Goodbye,
    pong_ttl: 16,
    attempts: None,
    stem_members: STEM_5_1,
    ..V5_0
};

static V6_0: Release = Release {
    name: "6.0",
    node_config: CONFIG_6_0,
    endpoint: ENDPOINT_6_0,
    metadata: Metadata::Timestamp,
    supervisor_metadata: Metadata::Timestamp,
    ..V5_2
};

static V6_2: Release = Release {
    name: "6.2",
    node_config: CONFIG_6_1,
    pong_topic: PongTopic::Internal,
    pong_input: Input::Taken,
    empty: Input::Taken,
    bad_header: Input::Closes,
    bad_value: Input::Closes,
    surplus: Input::Closes,
    repeated: Input::Closes,
    filter_count: Count::Ignored,
    nil_sender: NilSender::Local,
    stem_members: STEM_6_1,
    ..V6_0
};

static V7_0: Release = Release {
    name: "7.0",
    endpoint: ENDPOINT_7_0,
    metrics: Metrics::PerConfiguration,
    null_port: NullPort::Unknown,
    port_order: PortOrder::InstanceFirst,
    last_error: 41,
    ..V6_2
};

static V7_2: Release = Release {
    name: "7.2",
    metrics: Metrics::PerHost,
    overflow: Overflow::DropsOldest(8192),
    retry_secs: 1,
    ..V7_0
};

static V8_0: Release = Release {
    name: "8.0",
    metadata: Metadata::Empty,
    supervisor_metadata: Metadata::Empty,
    bad_header: Input::Dropped,
    bad_value: Input::Dropped,
    surplus: Input::Dropped,
    repeated: Input::Dropped,
    ..V7_2
};

static V8_2: Release = Release {
    name: "8.2",
    supervisor_metadata: Metadata::Absent,
    backend: Backend::ToBeChosen,
    ..V8_0
};

static V9_0: Release = Release {
    name: "9.0",
    ..V8_2
};
