//! A stock cluster node as its agent sees it (API §6).

use broker_proto::Data;

use super::{Act, Outcome, Scripts, items, names, text};

pub struct Node {
    name: String,
}

const TOPIC: &str = "zeek/management/node";

impl Node {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// Its subscriptions in the order in which it makes them; a worker's (WIRE §8.7).
    pub fn filter(name: &str) -> [String; 5] {
        [
            "zeek/supervisor".to_owned(),
            TOPIC.to_owned(),
            "zeek/cluster/pool/worker".to_owned(),
            "zeek/cluster/worker".to_owned(),
            format!("zeek/cluster/node/{name}/"),
        ]
    }
}

impl Scripts for Node {
    fn up(&mut self) -> Vec<Act> {
        let name = Data::string(self.name.clone());
        let hello = "Management::Node::API::notify_node_hello";
        vec![Act::say(TOPIC, hello, vec![name])]
    }

    fn hear(&mut self, topic: &str, name: &str, args: &[Data]) -> Vec<Act> {
        if name != "Management::Node::API::node_dispatch_request" {
            return vec![];
        }
        assert_eq!(topic, TOPIC);
        let asked = names(&args[2]);
        if !asked.is_empty() && !asked.contains(&self.name) {
            return vec![];
        }
        let reqid = text(&args[0]);
        let result = Outcome::of(reqid, None).on(&self.name);
        let action: Vec<_> = items(&args[1]).iter().map(text).collect();
        let result = match action.as_slice() {
            ["get_id_value", "bits_per_uid"] => result.with(Data::string("96")),
            ["get_id_value", _] => result.failed("unknown id"),
            _ => result.failed("no dispatch arguments provided"),
        };
        let answer = "Management::Node::API::node_dispatch_response";
        let args = vec![Data::string(reqid), result.record()];
        vec![Act::say(TOPIC, answer, args)]
    }
}
