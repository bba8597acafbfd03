//! The whole program without the operating system: peering endpoint, typed events, supervisor.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use broker_proto::codec::Limits;
use broker_proto::peering::{self, Endpoint, Options};
use broker_proto::zeek::{Event, EventError};
use broker_proto::{EndpointId, IdGen, Topic};
use bytes::Bytes;
use tracing::{debug, trace, warn};

use crate::api::{EXIT_TOPIC, NODE_STATUS_TOPIC, SupervisorRequest, TOPIC};
use crate::host::{HostInput, HostOutput};
use crate::settings::Settings;
use crate::supervisor::{self, Supervisor};

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// On the network.
    Peering {
        /// What.
        input: peering::Input,
    },
    /// To child processes and directories.
    Host {
        /// What.
        input: HostInput,
    },
    /// The program shall log how its units are.
    LogStatus,
    /// The program shall end.
    Shutdown,
}

/// What the caller must do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// On the network: `Listen`, `Send` or `Close`.
    Peering {
        /// What.
        output: peering::Output,
    },
    /// With child processes, directories and files.
    Host {
        /// What.
        output: HostOutput,
    },
    /// End the program: no process and no link is left.
    Stopped,
}

/// A supervisor with its Broker endpoint.
#[derive(Debug)]
pub struct SupervisorProcess {
    endpoint: Endpoint,
    supervisor: Supervisor,
    limits: Limits,
    out: VecDeque<Output>,
}

impl SupervisorProcess {
    /// Listens, subscribes, and starts the supervisor's own units.
    pub fn new(settings: Settings, id: EndpointId, ids: IdGen, now: Instant) -> Self {
        let mut endpoint = Endpoint::new(id, Options::default(), ids);
        endpoint.handle(now, peering::Input::Subscribe { topic: TOPIC });
        let addr = settings.listen.clone();
        endpoint.handle(now, peering::Input::Listen { addr });
        let mut process = Self {
            endpoint,
            supervisor: Supervisor::new(settings, now),
            limits: Limits::default(),
            out: VecDeque::new(),
        };
        process.settle(now);
        process
    }

    /// One thing happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Peering { input } => self.endpoint.handle(now, input),
            Input::Host { input } => {
                let input = supervisor::Input::Host { input };
                self.supervisor.handle(now, input);
            }
            Input::LogStatus => self.supervisor.handle(now, supervisor::Input::LogStatus),
            Input::Shutdown => self.supervisor.handle(now, supervisor::Input::Shutdown),
        }
        self.settle(now);
    }

    /// A deadline passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.supervisor.handle_timeout(now);
        self.settle(now);
    }

    /// What the caller must do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`SupervisorProcess::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [self.endpoint.poll_timeout(), self.supervisor.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }

    /// Passes on what endpoint and supervisor have for each other until both are calm.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.endpoint.poll_output() {
                self.on_peering(now, output);
            } else if let Some(output) = self.supervisor.poll_output() {
                self.on_supervisor(now, output);
            } else {
                return;
            }
        }
    }

    fn on_peering(&mut self, now: Instant, output: peering::Output) {
        match output {
            peering::Output::Deliver { payload, from, .. } => self.on_message(now, &payload, from),
            peering::Output::PeerUp { id, network } => {
                debug!(peer = %id, remote = %network.remote, "peer connected");
            }
            peering::Output::PeerDown { id, reason } => {
                debug!(peer = %id, reason, "peer lost");
            }
            peering::Output::PeerUnreachable { addr, reason } => {
                debug!(%addr, reason, "peer unreachable");
            }
            peering::Output::Listen { .. }
            | peering::Output::Dial { .. }
            | peering::Output::Send { .. }
            | peering::Output::Close { .. } => self.out.push_back(Output::Peering { output }),
            peering::Output::Stopped => self.out.push_back(Output::Stopped),
        }
    }

    fn on_message(&mut self, now: Instant, payload: &[u8], from: EndpointId) {
        let event = Event::decode(payload, &self.limits);
        match event.and_then(SupervisorRequest::try_from) {
            Ok(request) => {
                trace!(peer = %from, event = request.event_name(), "request");
                let input = supervisor::Input::Request { request };
                self.supervisor.handle(now, input);
            }
            Err(error @ (EventError::ArgCount { .. } | EventError::Arg { .. })) => {
                warn!(peer = %from, %error, "request is malformed");
            }
            Err(
                error @ (EventError::Undecodable(_)
                | EventError::Shape { .. }
                | EventError::OtherMessage(_)
                | EventError::UnknownName(_)),
            ) => trace!(peer = %from, %error, "message is none of ours"),
        }
    }

    fn on_supervisor(&mut self, now: Instant, output: supervisor::Output) {
        match output {
            supervisor::Output::Respond { response } => {
                self.publish(now, response.topic(), Event::from(response).encode());
            }
            supervisor::Output::NodeStatus { event } => {
                self.publish(now, NODE_STATUS_TOPIC, Event::from(event).encode());
            }
            supervisor::Output::NodeExit { event } => {
                self.publish(now, EXIT_TOPIC, Event::from(event).encode());
            }
            supervisor::Output::Host { output } => self.out.push_back(Output::Host { output }),
            supervisor::Output::Stopped => self.endpoint.handle(now, peering::Input::Shutdown),
        }
    }

    fn publish(&mut self, now: Instant, topic: Topic, payload: Bytes) {
        let input = peering::Input::Publish { topic, payload };
        self.endpoint.handle(now, input);
    }
}
