//! What to set when a node does not come up for want of a cluster backend (API §11 L8).
//!
//! From Zeek 8.1 on somebody has to choose one. The script by which nodes find their agent chooses
//! Broker's if nobody has, or, as Zeek's own does, whatever others chose before it; so this is for
//! nodes whose other scripts choose otherwise, or want of a backend what it has not.

use crate::model::NodeOutputs;

/// The first text of Zeek's scripts that is in what a node wrote says what helps.
const REMEDIES: [(&str, &str); 4] = [
    (
        "please select a cluster backend to use",
        "its Zeek has no cluster backend; add policy/frameworks/cluster/backend/broker to the \
         node's scripts",
    ),
    (
        "non-Broker backend",
        "its scripts chose another cluster backend than Broker, and use what only Broker has; add \
         policy/frameworks/cluster/backend/broker to the node's scripts",
    ),
    ("Failed to spawn ZeroMQ proxy thread", ZEROMQ),
    ("Failed initialize ZeroMQ backend", ZEROMQ),
];

const ZEROMQ: &str = "its scripts chose ZeroMQ as the cluster backend, which does not start there; \
                      set its endpoints (Cluster::Backend::ZeroMQ), or add \
                      policy/frameworks/cluster/backend/broker to the node's scripts";

/// Why a supervisor may be silent: one of 8.1 or later that only listens hears nobody (API §13.4).
pub(super) const SILENT_SUPERVISOR: &str = "the supervisor did not say what it runs; \
    that of Zeek 8.1 or later has to load policy/frameworks/cluster/backend/broker";

/// What helps a node that wrote this last.
pub(super) fn of(outputs: &NodeOutputs) -> Option<&'static str> {
    let text = outputs.stderr.to_lossy();
    let mut known = REMEDIES.iter();
    known
        .find(|(said, _)| text.contains(said))
        .map(|(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use broker_proto::ByteString;

    use super::*;

    fn of_text(stderr: &str) -> Option<&'static str> {
        of(&NodeOutputs {
            stdout: ByteString::default(),
            stderr: stderr.into(),
        })
    }

    #[test]
    fn what_zeek_says_of_backends_has_a_remedy_and_nothing_else_has() {
        // Zeek 9.0.0-rc1: base/frameworks/cluster/main.zeek and broker/store.zeek,
        // policy/frameworks/cluster/backend/zeromq/main.zeek.
        for said in [
            "fatal error in /opt/zeek/share/zeek/base/frameworks/cluster/main.zeek, line 426: \
             Cluster::node set to 'worker', but Cluster::backend is \
             Cluster::CLUSTER_BACKEND_NONE - please select a cluster backend to use.",
            "fatal error: Call to Broker::create_clone() with non-Broker backend \
             Cluster::CLUSTER_BACKEND_ZEROMQ selected",
            "error: table t uses Broker-specific attribute &backend, but non-Broker backend \
             Cluster::CLUSTER_BACKEND_ZEROMQ selected",
            "fatal error: Failed to spawn ZeroMQ proxy thread",
            "fatal error: Failed initialize ZeroMQ backend",
        ] {
            let remedy = of_text(said).unwrap();
            let script = "policy/frameworks/cluster/backend/broker to the node's scripts";
            assert!(remedy.ends_with(script), "{remedy}");
        }
        assert_eq!(of_text("fatal error: no such interface"), None);
        assert_eq!(of_text(""), None);
    }
}
