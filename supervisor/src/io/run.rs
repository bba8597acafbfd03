//! The program: a supervisor that ends with the process it is.
//!
//! To run one beside other things, and to talk to it, see [`crate::io::handle`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use broker_proto::io::tls::TlsErrors;
use broker_proto::tls::Tls;
use tokio::signal::unix::{SignalKind, signal};

use crate::io::notify::Notifier;
use crate::io::pump::{Hook, News, Pump, clock};
use crate::process::{Door, Input};
use crate::settings::Settings;

/// Why a supervisor cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No TLS for those who connect.
    #[error(transparent)]
    Tls(TlsErrors),
    /// Signals cannot be handled.
    #[error("cannot handle signals")]
    Signals(#[source] io::Error),
}

/// Runs a supervisor until SIGTERM, SIGINT or a stop request has ended all its units. A second
/// signal does not wait for the order in which they end. SIGHUP logs how each unit is, and has
/// certificates read again, here and in the programs of ours below.
///
/// Peers may connect in cleartext or with TLS; if `tls` has certificates, only with one of their
/// own; `door` may turn away any of them. An address that is taken is tried again after `retry`. Systemd is told of start and end, and
/// that the pump lives, if it asks for that. Needs a tokio runtime with io and time.
///
/// ```no_run
/// use std::time::Duration;
///
/// use broker_proto::tls::Tls;
/// use supervisor::{Policy, Settings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = Settings {
///     listen: Some("127.0.0.1:9999".parse()?),
///     zeek: "/opt/zeek/bin/zeek".into(),
///     args: vec!["local.zeek".into()],
///     own: Vec::new(),
///     policy: Policy::default(),
/// };
/// supervisor::io::run::run(settings, &Tls::Off, Duration::from_secs(10), None).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If it cannot start.
pub async fn run(
    settings: Settings,
    tls: &Tls,
    retry: Duration,
    door: Option<Arc<dyn Door>>,
) -> Result<(), RunError> {
    let mut term = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut int = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(RunError::Signals)?;
    let mut pump = Pump::new(settings, tls, retry, Hook::Unset, door).map_err(RunError::Tls)?;
    let mut systemd = Notifier::from_env(clock());
    systemd.ready();
    loop {
        while let Some(news) = pump.work() {
            match news {
                News::Stopped => return Ok(()),
                // Nobody here asked.
                News::Line(..) | News::Answer(_) | News::AnswerLives(_) | News::Unanswered(_) => {}
            }
        }
        let input = tokio::select! {
            input = pump.wait(systemd.deadline()) => input,
            _ = term.recv() => Some(Input::Shutdown),
            _ = int.recv() => Some(Input::Shutdown),
            _ = hangup.recv() => {
                pump.reload();
                Some(Input::LogStatus)
            }
        };
        systemd.on_due(clock());
        if input == Some(Input::Shutdown) {
            systemd.stopping();
        }
        pump.handle(input);
    }
}
