//! Requests on their way to the controller: how many each may make, and whose they are.

use std::time::Instant;

use broker_proto::Data;
use broker_proto::peering;
use broker_proto::zeek::Event;
use tracing::{trace, warn};
use zeek_client_compat::hub::{self, ClientId};

use super::{ControllerInput, ControllerProcess, Output, refusal};
use crate::api::CONTROLLER_TOPIC;
use crate::api::controller::{ControllerRequest, ControllerResponse};
use crate::audit::cut;
use crate::controller::ledger::{self, Asker, Counters};
use crate::log::{Record, message};
use crate::policy::Listener;
use crate::policy::audit::Who;

impl ControllerProcess {
    /// Requests that came to nothing because of their number or size.
    pub fn excess(&self) -> Counters {
        self.ledger.counters()
    }

    /// What happened on the Broker side.
    pub fn broker_counters(&self) -> peering::Counters {
        self.endpoint.counters()
    }

    /// Other limits for requests that come from now on. All other limits stay.
    pub fn set_limits(&mut self, limits: &crate::limits::Limits) {
        self.ledger.set_limits(limits);
    }

    /// Counts what somebody asks against what it may. If that is too much the answer says so, to
    /// nobody but whoever asked.
    pub(super) fn admits(&mut self, now: Instant, asker: Asker, event: &Event) -> bool {
        let reqid = reqid(event).unwrap_or_default();
        let Err(excess) = self.ledger.admit(now, asker, reqid) else {
            return true;
        };
        let reason = excess.to_string();
        // A flood would fill the logs.
        let refused = self.ledger.counters().all();
        if refused.is_power_of_two() {
            warn!(?asker, reason, refused, "request refused");
            let text = format!("refused a client's {}: {reason}", cut(&event.name));
            self.log(Record::warning(text));
        }
        self.refused_request(asker, event, reason.clone());
        let response = ControllerResponse::refusal(&event.name, reqid, &reason);
        self.answer_only(now, asker, response, reason);
        false
    }

    /// A request comes to nothing: the answer, if it can be told which one it waits for, and its line
    /// in the management log.
    pub(super) fn decline(&mut self, now: Instant, asker: Asker, event: &Event, reason: String) {
        let response = refusal(event, &reason);
        if let Some(response) = &response {
            self.log(Record::info(message::to_client(response)));
            trace!(event = response.event_name(), "tx");
        }
        self.answer_only(now, asker, response, reason);
    }

    /// Others may wait for an answer under the id that a refused request has, so they do not hear of
    /// this one. Broker's peers share a topic: they hear what is for one of them.
    fn answer_only(
        &mut self,
        now: Instant,
        asker: Asker,
        response: Option<ControllerResponse>,
        reason: String,
    ) {
        match (asker, response) {
            (Asker::Client(client), Some(response)) => {
                let (topic, event) = (CONTROLLER_TOPIC, response.into());
                let tell = hub::Input::Tell {
                    client,
                    topic,
                    event,
                };
                self.hub.handle(now, tell);
            }
            (Asker::Client(client), None) => {
                self.hub.handle(now, hub::Input::Reject { client, reason });
            }
            (Asker::Peer(_), Some(response)) if self.endpoint.is_wanted(&CONTROLLER_TOPIC) => {
                self.publish(now, CONTROLLER_TOPIC, response.encode());
            }
            (Asker::Peer(_), Some(_) | None) => {}
        }
    }

    /// An answer is too much for what a client has not read yet. It gets a short one instead, whether
    /// it asked or not: those who did not tell answers apart by the id.
    pub(super) fn on_unsent(&mut self, now: Instant, event: &Event, reason: &str, to: ClientId) {
        warn!(client = to.0, event = %cut(&event.name), reason, "not sent");
        let request = event.name.strip_suffix("_response");
        let request = request.map(|name| format!("{name}_request"));
        let response = request
            .zip(reqid(event))
            .and_then(|(request, reqid)| ControllerResponse::refusal(&request, reqid, reason));
        // Another client's request: it has been seen by whom it was for.
        let Some(response) = response else { return };
        let text = format!("the answer to client {to} was not sent: {reason}");
        self.log(Record::warning(text));
        self.answer_only(now, Asker::Client(to), Some(response), String::new());
    }

    /// Hands a request to the controller.
    pub(super) fn ask(&mut self, now: Instant, asker: Asker, request: ControllerRequest) {
        let who = self.who(asker);
        let (request, entry) = self.ledger.open(now, asker, who, request);
        self.outputs.extend(entry.map(Output::Audited));
        self.controller
            .handle(now, ControllerInput::Request { request });
    }

    /// The line of a request that the controller does not see.
    pub(super) fn refused_request(&mut self, asker: Asker, event: &Event, reason: String) {
        let reqid = reqid(event).unwrap_or_default();
        let entry = ledger::refused(self.who(asker), &event.name, reqid, reason);
        self.outputs.push_back(Output::Audited(entry));
    }

    fn who(&self, asker: Asker) -> Who {
        match asker {
            Asker::Peer(id) => self.gate.who(id),
            Asker::Client(client) => match self.hub.client(client) {
                Some(origin) => self.gate.who_client(client, origin),
                None => Who {
                    id: client.to_string(),
                    listener: Listener::WebSocket,
                    address: None,
                    application: None,
                    certificate: None,
                    roles: String::new(),
                },
            },
        }
    }
}

/// The id that a request begins with.
fn reqid(event: &Event) -> Option<&str> {
    match event.args.first() {
        Some(Data::String(reqid)) => reqid.to_str(),
        Some(_) | None => None,
    }
}
