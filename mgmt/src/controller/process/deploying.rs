//! A configuration on its way to agents: encoded once, and in memory once, however many get it.

use std::sync::Arc;
use std::time::Instant;

use broker_proto::Data;
use broker_proto::codec::data;
use broker_proto::peering;
use broker_proto::zeek::{Event, ToData};
use bytes::Bytes;
use tracing::{trace, warn};

use super::ControllerProcess;
use crate::api::agent::DEPLOY_REQUEST;
use crate::api::agent_topic;
use crate::log::{Record, message};
use crate::model::Configuration;

/// From this size on, in bytes, what an agent is sent shares the configuration with what others are
/// sent. Below that, one message in one piece is less work.
const SHARED: usize = 16 * 1024;

/// A configuration and its bytes.
#[derive(Debug)]
pub(super) struct Encoded {
    config: Arc<Configuration>,
    bytes: Bytes,
}

impl Encoded {
    fn of(config: Arc<Configuration>) -> Self {
        let bytes = data::encode(&Configuration::clone(&config).into_data());
        Self { config, bytes }
    }

    /// The request to deploy it.
    fn request(&self, reqid: &str, force: bool) -> Vec<Bytes> {
        let mut at = 0;
        let around = Event::encode_with(DEPLOY_REQUEST, 3, |out| {
            out.extend_from_slice(&data::encode(&Data::string(reqid)));
            at = out.len();
            out.extend_from_slice(&data::encode(&Data::Boolean(force)));
        });
        let after = around.slice(at..);
        vec![around.slice(..at), self.bytes.clone(), after]
    }
}

impl ControllerProcess {
    pub(super) fn send_configuration(
        &mut self,
        now: Instant,
        instance: &str,
        reqid: &str,
        config: Arc<Configuration>,
        force: bool,
    ) {
        trace!(event = DEPLOY_REQUEST, instance, "tx");
        self.log(Record::info(message::deploy_to_agent(instance, reqid)));
        let topic = match agent_topic(instance) {
            Ok(topic) => topic,
            Err(error) => {
                return warn!(%error, "the instance's name makes its topic too long");
            }
        };
        let known = self.encoded.take();
        let encoded = known.filter(|known| Arc::ptr_eq(&known.config, &config));
        let encoded = encoded.unwrap_or_else(|| Encoded::of(config));
        let parts = encoded.request(reqid, force);
        let publish = if encoded.bytes.len() < SHARED {
            let payload = parts.concat().into();
            peering::Input::Publish { topic, payload }
        } else {
            peering::Input::PublishParts { topic, parts }
        };
        self.encoded = Some(encoded);
        self.endpoint.handle(now, publish);
    }
}

#[cfg(test)]
mod tests {
    use broker_proto::codec::Limits;

    use super::*;
    use crate::api::agent::AgentRequest;
    use crate::model::{ClusterRole, Node};

    #[test]
    fn the_request_is_the_one_that_agents_read() {
        let config = config();
        let encoded = Encoded::of(Arc::new(config.clone()));
        for force in [false, true] {
            let payload = encoded.request("r", force).concat();
            let event = Event::decode(&payload, &Limits::default()).unwrap();
            let (reqid, config) = ("r".to_owned(), config.clone());
            let request = AgentRequest::Deploy {
                reqid,
                config,
                force,
            };
            assert_eq!(AgentRequest::try_from(event.clone()), Ok(request));
            assert_eq!(event.metadata, Some(Vec::new()));
        }
    }

    #[test]
    fn all_agents_are_sent_the_same_bytes() {
        let encoded = Encoded::of(Arc::new(config()));
        let [one, other] = ["r", "s"].map(|reqid| encoded.request(reqid, false));
        assert_eq!(one[1].as_ptr(), other[1].as_ptr());
        assert_ne!(one[0], other[0]);
    }

    fn config() -> Configuration {
        Configuration {
            id: "c".to_owned(),
            instances: [].into(),
            nodes: [Node::new("a", "n", ClusterRole::Worker)].into(),
        }
    }
}
