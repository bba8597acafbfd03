//! The pump: feeds the supervisor with what happens and does what it says.

use std::io;
use std::time::{Duration, Instant};

use broker_proto::IdGen;
use broker_proto::io::entropy;
use broker_proto::io::tls::{TlsError, connector_and_acceptor};
use broker_proto::io::transport::Transport;
use broker_proto::tls::Tls;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep_until;

use crate::io::Host;
use crate::io::notify::Notifier;
use crate::process::{Input, Output, SupervisorProcess};
use crate::settings::Settings;

/// Why a supervisor cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No TLS for those who connect.
    #[error("cannot set up TLS")]
    Tls(#[source] TlsError),
    /// Signals cannot be handled.
    #[error("cannot handle signals")]
    Signals(#[source] io::Error),
}

/// Runs a supervisor until SIGTERM, SIGINT or a stop request has ended all its units. A second
/// signal does not wait for the order in which they end. SIGHUP logs how each unit is.
///
/// Peers may connect in cleartext or with TLS; if `tls` has certificates, only with one of their
/// own. An address that is taken is tried again after `retry`. Systemd is told of start and end, and
/// that the pump lives, if it asks for that. Needs a tokio runtime with io and time.
///
/// # Errors
/// If it cannot start.
#[allow(
    clippy::disallowed_methods,
    reason = "the pump is where the clock is read"
)]
pub async fn run(settings: Settings, tls: &Tls, retry: Duration) -> Result<(), RunError> {
    let mut term = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut int = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(RunError::Signals)?;
    let (connector, acceptor) = connector_and_acceptor(tls).map_err(RunError::Tls)?;
    let mut transport = Transport::new(connector, acceptor).listen_retry(retry);
    let mut host = Host::with(settings.policy.outputs.clone());
    let mut ids = IdGen::new(entropy::seed());
    let id = ids.endpoint_id();
    let mut process = SupervisorProcess::new(settings, id, ids, Instant::now());
    let mut systemd = Notifier::from_env(Instant::now());
    systemd.ready();
    loop {
        while let Some(output) = process.poll_output() {
            match output {
                Output::Peering { output } => transport.apply(output),
                Output::Host { output } => host.apply(output),
                Output::Stopped => return Ok(()),
            }
        }
        let deadlines = [process.poll_timeout(), systemd.deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        let wake = deadline.unwrap_or_else(|| Instant::now() + IDLE);
        let input = tokio::select! {
            input = transport.next() => Some(Input::Peering { input }),
            input = host.next() => Some(Input::Host { input }),
            _ = term.recv() => Some(Input::Shutdown),
            _ = int.recv() => Some(Input::Shutdown),
            _ = hangup.recv() => Some(Input::LogStatus),
            () = sleep_until(wake.into()) => None,
        };
        systemd.on_due(Instant::now());
        if input == Some(Input::Shutdown) {
            systemd.stopping();
        }
        match input {
            Some(input) => process.handle(Instant::now(), input),
            None => process.handle_timeout(Instant::now()),
        }
    }
}

/// How long to sleep without a deadline.
const IDLE: Duration = Duration::from_secs(3600);
