//! What a node says to its agent (API §2.3, §6 N5 and N6).

use std::collections::BTreeMap;

use broker_proto::Data;
use broker_proto::zeek::Event;
use serde_json::Value;

const HELLO: &str = "Management::Node::API::notify_node_hello";
const REQUEST: &str = "Management::Node::API::node_dispatch_request";
const RESPONSE: &str = "Management::Node::API::node_dispatch_response";

/// A stream as Zeek 8.0.10 renders it; the real table has some forty.
const ACTIVE_STREAMS: &str = r#"{"Broker::LOG":{"columns":null,"path":"broker","policy":"Broker::log_policy: Log::PolicyHook","event_groups":[],"max_delay_interval":"200.0 msecs","max_delay_queue_size":1000},"Cluster::LOG":{"columns":null,"path":"cluster","policy":"Cluster::log_policy: Log::PolicyHook","event_groups":[],"max_delay_interval":"200.0 msecs","max_delay_queue_size":1000}}"#;

/// Declared in every Zeek, but types: they have no value.
const TYPES: [&str; 4] = ["Conn::Info", "Log::Stream", "connection", "conn_id"];

/// The node API of one node.
pub(super) struct NodeApi {
    node: String,
    globals: BTreeMap<&'static str, String>,
}

impl NodeApi {
    /// `node` is Zeek's `Cluster::node`.
    pub(super) fn new(node: &str) -> Self {
        let globals = [
            ("bits_per_uid", "96".to_owned()),
            (
                "Broker::default_port",
                r#"{"port":9999,"proto":"tcp"}"#.to_owned(),
            ),
            ("Cluster::node", Value::from(node).to_string()),
            ("Log::active_streams", ACTIVE_STREAMS.to_owned()),
            ("Log::default_rotation_interval", r#""0 secs""#.to_owned()),
            ("peer_description", Value::from(node).to_string()),
        ];
        Self {
            node: node.to_owned(),
            globals: BTreeMap::from(globals),
        }
    }

    /// Tells a new agent that this node is there.
    pub(super) fn hello(&self) -> Event {
        Event::new(HELLO, vec![Data::string(self.node.as_str())])
    }

    /// Answers a request that is meant for this node. Other events are none of its business: it
    /// gets copies of much that others say to each other (WIRE §8.7).
    ///
    /// # Errors
    /// If a request has other arguments than it must: the warning Zeek prints, and no answer.
    pub(super) fn on_event(&self, event: Event) -> Result<Option<Event>, String> {
        if event.name != REQUEST {
            return Ok(None);
        }
        let got = event.args.len();
        let Ok([reqid, action, nodes]) = <[Data; 3]>::try_from(event.args) else {
            return Err(format!(
                "got event message '{REQUEST}' with invalid # of args, got {got}, expected 3"
            ));
        };
        let (Data::String(_), Some(action), Data::Set(nodes)) = (&reqid, texts(&action), &nodes)
        else {
            return Err(format!("failed to convert args of event '{REQUEST}'"));
        };
        if !nodes.is_empty() && !nodes.contains(&Data::string(self.node.as_str())) {
            return Ok(None);
        }
        let (data, error) = match self.run(&action) {
            Ok(json) => (Data::string(json), Data::None),
            Err(error) => (Data::None, Data::string(error)),
        };
        let result = vec![
            reqid.clone(),
            Data::Boolean(matches!(error, Data::None)),
            Data::None,
            data,
            error,
            Data::string(self.node.as_str()),
        ];
        Ok(Some(Event::new(
            RESPONSE,
            vec![reqid, Data::Vector(result)],
        )))
    }

    fn run(&self, action: &[String]) -> Result<String, String> {
        match action {
            [] => Err("no dispatch arguments provided".to_owned()),
            [command] if command == "get_id_value" => {
                Err("get_id_value expects name of global identifier".to_owned())
            }
            [command, id, ..] if command == "get_id_value" => self.id_value(id),
            [command, ..] => Err(format!("dispatch {command} unknown")),
        }
    }

    fn id_value(&self, id: &str) -> Result<String, String> {
        if TYPES.contains(&id) {
            return Err("no ID value".to_owned());
        }
        let value = self.globals.get(id);
        value.cloned().ok_or_else(|| "unknown id".to_owned())
    }
}

fn texts(data: &Data) -> Option<Vec<String>> {
    let Data::Vector(items) = data else {
        return None;
    };
    let texts = items.iter().map(|item| {
        let Data::String(text) = item else {
            return None;
        };
        text.to_str().map(str::to_owned)
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(action: &[&str], nodes: &[&str]) -> Event {
        let action = action.iter().map(|&text| Data::string(text));
        let nodes = nodes.iter().map(|&text| Data::string(text)).collect();
        let action = Data::Vector(action.collect());
        Event::new(
            "Management::Node::API::node_dispatch_request",
            vec![Data::string("r1"), action, Data::Set(nodes)],
        )
    }

    fn result(data: Data, error: Data) -> Event {
        let success = Data::Boolean(error == Data::None);
        let reqid = Data::string("r1");
        let node = Data::string("w");
        Event::new(
            "Management::Node::API::node_dispatch_response",
            vec![
                reqid.clone(),
                Data::Vector(vec![reqid, success, Data::None, data, error, node]),
            ],
        )
    }

    fn answer(action: &[&str]) -> Event {
        let api = NodeApi::new("w");
        api.on_event(request(action, &[])).unwrap().unwrap()
    }

    fn error(action: &[&str], text: &str) {
        assert_eq!(answer(action), result(Data::None, Data::string(text)));
    }

    #[test]
    fn values_are_json_text() {
        let value = |id| answer(&["get_id_value", id]);
        assert_eq!(
            value("bits_per_uid"),
            result(Data::string("96"), Data::None)
        );
        assert_eq!(
            value("Cluster::node"),
            result(Data::string("\"w\""), Data::None)
        );
        for json in NodeApi::new("w").globals.values() {
            serde_json::from_str::<Value>(json).unwrap();
        }
    }

    #[test]
    fn what_has_no_value_is_told_apart() {
        error(&["get_id_value", "nosuch"], "unknown id");
        error(&["get_id_value", "Conn::Info"], "no ID value");
        error(
            &["get_id_value"],
            "get_id_value expects name of global identifier",
        );
        error(&["reboot", "now"], "dispatch reboot unknown");
        error(&[], "no dispatch arguments provided");
    }

    #[test]
    fn a_set_of_nodes_is_a_filter() {
        let api = NodeApi::new("w");
        let action = ["get_id_value", "bits_per_uid"];
        assert_eq!(api.on_event(request(&action, &["v"])), Ok(None));
        assert!(
            api.on_event(request(&action, &["v", "w"]))
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn malformed_requests_get_a_warning_and_no_answer() {
        let api = NodeApi::new("w");
        let mut short = request(&[], &[]);
        short.args.pop();
        assert!(
            api.on_event(short)
                .unwrap_err()
                .ends_with("got 2, expected 3")
        );
        let mut wrong = request(&[], &[]);
        wrong.args[2] = Data::Vector(vec![]);
        assert!(api.on_event(wrong).is_err());
    }

    #[test]
    fn what_others_say_is_ignored() {
        let api = NodeApi::new("w");
        assert_eq!(api.on_event(api.hello()), Ok(None));
    }
}
