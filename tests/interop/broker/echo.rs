//! What an endpoint elsewhere has to do, done by one of ours.

use std::time::Duration;

use broker_proto::Data;
use broker_proto::io::handle::{Handle, Subscription, spawn};
use broker_proto::peering::PeerAddr;
use broker_proto::tls::Tls;
use broker_proto::zeek::Event;

use super::steps::{self, DIAL, TOPIC, UNDIAL};

pub(super) struct Echo {
    endpoint: Handle,
    messages: Subscription,
}

/// Listens; [`Echo::run`] does the rest.
pub(super) async fn start(tls: &Tls) -> (Echo, PeerAddr) {
    let endpoint = spawn(steps::options(tls));
    let messages = endpoint.subscribe(TOPIC).await.unwrap();
    let addr = endpoint.listen(&"127.0.0.1:0".parse().unwrap()).await;
    let echo = Echo { endpoint, messages };
    (echo, addr.unwrap().into())
}

impl Echo {
    /// Echoes and obeys for ever.
    pub(super) async fn run(mut self) {
        while let Some(message) = self.messages.next().await {
            if let Ok(event) = message.event() {
                self.obey(&event).await;
            }
            let (topic, payload) = (message.topic, message.payload);
            self.endpoint.publish(topic, payload).await.unwrap();
        }
    }

    async fn obey(&self, event: &Event) {
        let [Data::String(host), Data::Port(port)] = event.args.as_slice() else {
            return;
        };
        let addr = PeerAddr {
            host: host.to_string(),
            port: port.number,
        };
        if event.name == DIAL {
            let retry = Some(Duration::from_secs(1));
            self.endpoint.peer(&addr, retry).await.unwrap();
        } else if event.name == UNDIAL {
            self.endpoint.unpeer(&addr).await.unwrap();
        }
    }
}
