//! Sockets, processes and the clock around the whole program.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_proto::IdGen;
use broker_proto::io::entropy;
use broker_proto::io::tls::{Acceptor, Connector, TlsErrors, connector_and_acceptor};
use broker_proto::io::transport::Transport;
use broker_proto::tls::Tls;
use bytes::Bytes;
use tokio::time::sleep_until;
use tracing::{error, info};

use crate::api::{LivesResponse, SupervisorResponse};
use crate::host::{HostOutput, Stream};
use crate::io::Host;
use crate::process::{Door, Input, Output, SupervisorProcess};
use crate::settings::Settings;

/// How long to sleep without a deadline.
const IDLE: Duration = Duration::from_secs(3600);

/// The program and what it runs on.
pub(super) struct Pump {
    process: SupervisorProcess,
    transport: Transport,
    host: Host,
    hook: Hook,
    tls: Tls,
    connector: Connector,
    acceptor: Acceptor,
}

/// Whether somebody wants to see what units print.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hook {
    Set,
    Unset,
}

/// What those who run the pump must know.
pub(super) enum News {
    /// A unit printed this.
    Line(String, Stream, Bytes),
    /// Nothing is left to do, ever.
    Stopped,
    Answer(SupervisorResponse),
    AnswerLives(LivesResponse),
    Unanswered(Option<String>),
}

/// The clock.
#[allow(
    clippy::disallowed_methods,
    reason = "the pump is where the clock is read"
)]
pub(super) fn clock() -> Instant {
    Instant::now()
}

impl Pump {
    pub(super) fn new(
        settings: Settings,
        tls: &Tls,
        retry: Duration,
        hook: Hook,
        door: Option<Arc<dyn Door>>,
    ) -> Result<Self, TlsErrors> {
        let (connector, acceptor) = connector_and_acceptor(tls)?;
        let transport = Transport::new(connector.clone(), acceptor.clone());
        let transport = transport.listen_retry(retry);
        let host = Host::with(settings.policy.outputs.clone());
        let mut ids = IdGen::new(entropy::seed());
        let id = ids.endpoint_id();
        Ok(Self {
            process: SupervisorProcess::new(settings, id, ids, clock()).with_door(door),
            transport,
            host,
            hook,
            tls: tls.clone(),
            connector,
            acceptor,
        })
    }

    /// Reads certificates, key and CAs again, for the links to come. If they are no good, what was
    /// read before counts on.
    pub(super) fn reload(&mut self) {
        match (&self.tls, connector_and_acceptor(&self.tls)) {
            (Tls::Off | Tls::Anonymous, _) => {}
            (Tls::Certificates(_), Ok((connector, acceptor))) => {
                self.connector.replace(&connector);
                self.acceptor.replace(&acceptor);
                info!("certificates are read again");
            }
            (Tls::Certificates(_), Err(errors)) => {
                for error in errors.to_string().lines() {
                    error!(error, "certificates stay as they were");
                }
            }
        }
        self.handle(Some(Input::Reload));
    }

    /// Does what the program orders, up to the next news. `None`: now something must happen.
    pub(super) fn work(&mut self) -> Option<News> {
        while let Some(output) = self.process.poll_output() {
            match output {
                Output::Peering { output } => self.transport.apply(output),
                Output::Host { output } => {
                    let line = self.line(&output);
                    self.host.apply(output);
                    if line.is_some() {
                        return line;
                    }
                }
                Output::Answer { response } => return Some(News::Answer(response)),
                Output::AnswerLives { response } => return Some(News::AnswerLives(response)),
                Output::Unanswered { reqid } => return Some(News::Unanswered(reqid)),
                Output::Stopped => return Some(News::Stopped),
            }
        }
        None
    }

    fn line(&self, output: &HostOutput) -> Option<News> {
        match output {
            HostOutput::WriteLine { node, stream, line } if self.hook == Hook::Set => {
                Some(News::Line(node.clone(), *stream, line.clone()))
            }
            HostOutput::WriteLine { .. }
            | HostOutput::MakeDirectory { .. }
            | HostOutput::Spawn { .. }
            | HostOutput::Tell { .. }
            | HostOutput::Signal { .. }
            | HostOutput::OpenFiles { .. }
            | HostOutput::CloseFiles { .. } => None,
        }
    }

    /// Waits for what happens next; `None` if a deadline has passed, the program's or this one.
    /// Cancel safe.
    pub(super) async fn wait(&mut self, until: Option<Instant>) -> Option<Input> {
        let deadlines = [self.process.poll_timeout(), until];
        let deadline = deadlines.into_iter().flatten().min();
        let wake = deadline.unwrap_or_else(|| clock() + IDLE);
        tokio::select! {
            input = self.transport.next() => Some(Input::Peering { input }),
            input = self.host.next() => Some(Input::Host { input }),
            () = sleep_until(wake.into()) => None,
        }
    }

    /// Something has happened, or a deadline has passed.
    pub(super) fn handle(&mut self, input: Option<Input>) {
        match input {
            Some(input) => self.process.handle(clock(), input),
            None => self.process.handle_timeout(clock()),
        }
    }
}
