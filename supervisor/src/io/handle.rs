//! A supervisor to embed: a task of its own, a handle to it, and what its units print.
//!
//! [`spawn`] starts the task, with the Broker endpoint that [`Settings::listen`] says, if any. A
//! [`Handle`] asks what peers ask with `SupervisorControl` events (API §9.1), without a network in
//! between. [`Lines`] are stock's `stdout_hook` and `stderr_hook` (API §9.5 S12): every line of
//! every unit, in the order in which it was read; the files are written all the same.
//!
//! ```
//! use std::time::Duration;
//!
//! use broker_proto::tls::Tls;
//! use supervisor::api::NodeConfig;
//! use supervisor::host::Stream;
//! use supervisor::io::handle;
//! use supervisor::{OwnUnit, Policy, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let greeter = OwnUnit {
//!     node: NodeConfig::named("greeter"),
//!     argv: ["sh", "-c", "echo hello; exec sleep 1000"].map(String::from).to_vec(),
//! };
//! let settings = Settings {
//!     listen: None,
//!     zeek: "zeek".into(),
//!     args: Vec::new(),
//!     own: vec![greeter],
//!     policy: Policy::default(),
//! };
//! let (supervisor, mut lines) = handle::spawn(settings, &Tls::Off, Duration::from_secs(10))?;
//!
//! let line = lines.next().await.ok_or("the supervisor ended")?;
//! assert_eq!((line.node.as_str(), line.stream), ("greeter", Stream::Stdout));
//! assert_eq!(line.text, "hello");
//!
//! // Nodes are created, restarted and destroyed as with `Supervisor::create` and so on.
//! let refused = supervisor.create(NodeConfig::named("a name")).await.unwrap_err();
//! assert_eq!(refused.to_string(), "node names must not contain spaces: 'a name'");
//! assert!(!supervisor.destroy("nobody").await?);
//! assert_eq!(supervisor.lives("").await?["greeter"].restarts, 0);
//!
//! supervisor.stop().await;
//! # Ok(())
//! # }
//! ```

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use broker_proto::IdGen;
use broker_proto::io::entropy;
use broker_proto::io::tls::TlsErrors;
use broker_proto::tls::Tls;
use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::api::{
    LivesRequest, LivesResponse, NodeConfig, NodeLife, Status, SupervisorRequest,
    SupervisorResponse,
};
use crate::host::Stream;
use crate::io::pump::{Hook, News, Pump};
use crate::process::Input;
use crate::settings::Settings;

/// Lines that may wait for whoever reads [`Lines`].
const LINES: usize = 4096;

/// Questions that may wait for the task.
const COMMANDS: usize = 64;

/// Asks a supervisor. When the last one is dropped, the supervisor ends as with [`Handle::stop`].
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

/// What units print.
#[derive(Debug)]
pub struct Lines {
    receiver: mpsc::Receiver<Line>,
}

/// A line that a unit printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// The unit.
    pub node: String,
    /// Where to.
    pub stream: Stream,
    /// Without its newline; need not be UTF-8. At most 32 KiB, a longer one has lost its end.
    pub text: Bytes,
    /// Lines that were dropped before this one, because 4096 of them waited to be read.
    pub lost: u64,
}

/// Why a node was not created.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CreateError {
    /// What is wrong with it: stock's texts (API §9.2), and some more (API §15.3).
    #[error("{reason}")]
    Refused {
        /// In words.
        reason: String,
    },
    /// There is no supervisor to create it.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

/// The supervisor ends or has ended, or 4096 requests wait already.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the supervisor takes no requests")]
pub struct Stopping;

#[derive(Debug)]
enum Command {
    Ask {
        request: Box<SupervisorRequest>,
        reqid: String,
        answer: oneshot::Sender<SupervisorResponse>,
    },
    AskLives {
        request: LivesRequest,
        reqid: String,
        answer: oneshot::Sender<LivesResponse>,
    },
    /// Never answered; the task drops it when it ends.
    Stop { end: oneshot::Sender<()> },
}

/// Starts a supervisor in a task of its own.
///
/// Must be called within a tokio runtime with io and time. `tls` and `retry` are as in
/// [`run`](crate::io::run::run). No signal is handled: that is for the program around it. If the
/// runtime ends before the supervisor has stopped, its children are killed.
///
/// # Errors
/// If TLS cannot be set up.
pub fn spawn(settings: Settings, tls: &Tls, retry: Duration) -> Result<(Handle, Lines), TlsErrors> {
    let (commands, orders) = mpsc::channel(COMMANDS);
    let (sender, receiver) = mpsc::channel(LINES);
    let task = Task::new(settings, tls, retry, sender)?;
    #[allow(clippy::disallowed_methods, reason = "the one task of a supervisor")]
    tokio::spawn(task.run(orders));
    Ok((Handle { commands }, Lines { receiver }))
}

impl Handle {
    /// `Supervisor::create`: takes a node on, and begins to start it.
    ///
    /// # Errors
    /// If the node is refused, or the supervisor stops.
    pub async fn create(&self, node: NodeConfig) -> Result<(), CreateError> {
        let reqid = reqid();
        let request = SupervisorRequest::Create {
            reqid: reqid.clone(),
            node,
        };
        match self.ask(request, reqid).await? {
            SupervisorResponse::Create { result, .. } if result.is_empty() => Ok(()),
            SupervisorResponse::Create { result: reason, .. } => {
                Err(CreateError::Refused { reason })
            }
            SupervisorResponse::Status { .. }
            | SupervisorResponse::Restart { .. }
            | SupervisorResponse::Destroy { .. } => Err(Stopping.into()),
        }
    }

    /// `Supervisor::destroy`: forgets a node, or all if the name is empty, and begins to stop it.
    /// Whether there is such a node.
    ///
    /// # Errors
    /// If the supervisor stops.
    pub async fn destroy(&self, node: &str) -> Result<bool, Stopping> {
        let (reqid, node) = (reqid(), node.to_owned());
        let request = SupervisorRequest::Destroy {
            reqid: reqid.clone(),
            node,
        };
        self.order(request, reqid).await
    }

    /// `Supervisor::restart`: begins to stop and start a node, or all if the name is empty. Whether
    /// there is such a node.
    ///
    /// # Errors
    /// If the supervisor stops.
    pub async fn restart(&self, node: &str) -> Result<bool, Stopping> {
        let (reqid, node) = (reqid(), node.to_owned());
        let request = SupervisorRequest::Restart {
            reqid: reqid.clone(),
            node,
        };
        self.order(request, reqid).await
    }

    /// `Supervisor::status`: a node, or all if the name is empty.
    ///
    /// # Errors
    /// If the supervisor stops.
    pub async fn status(&self, node: &str) -> Result<Status, Stopping> {
        let (reqid, node) = (reqid(), node.to_owned());
        let request = SupervisorRequest::Status {
            reqid: reqid.clone(),
            node,
        };
        match self.ask(request, reqid).await? {
            SupervisorResponse::Status { result, .. } => Ok(result),
            SupervisorResponse::Create { .. }
            | SupervisorResponse::Restart { .. }
            | SupervisorResponse::Destroy { .. } => Err(Stopping),
        }
    }

    /// How a node fares, or all, if the name is empty: restarts and uptime, which stock does not
    /// tell.
    ///
    /// # Errors
    /// If the supervisor has ended.
    pub async fn lives(&self, node: &str) -> Result<BTreeMap<String, NodeLife>, Stopping> {
        let (reqid, node) = (reqid(), node.to_owned());
        let request = LivesRequest::Lives {
            reqid: reqid.clone(),
            node,
        };
        let (answer, answered) = oneshot::channel();
        let command = Command::AskLives {
            request,
            reqid,
            answer,
        };
        self.send(command).await?;
        let LivesResponse::Lives { lives, .. } = answered.await.map_err(|_| Stopping)?;
        Ok(lives)
    }

    /// Stops all units in their order, and waits for the end. Whoever asks a second time stops all
    /// that are left at once.
    pub async fn stop(&self) {
        let (end, ended) = oneshot::channel();
        // If that fails, it has ended.
        let _ = self.send(Command::Stop { end }).await;
        let _ = ended.await;
    }

    async fn order(&self, request: SupervisorRequest, reqid: String) -> Result<bool, Stopping> {
        match self.ask(request, reqid).await? {
            SupervisorResponse::Restart { result, .. }
            | SupervisorResponse::Destroy { result, .. } => Ok(result),
            SupervisorResponse::Create { .. } | SupervisorResponse::Status { .. } => Err(Stopping),
        }
    }

    async fn ask(
        &self,
        request: SupervisorRequest,
        reqid: String,
    ) -> Result<SupervisorResponse, Stopping> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Ask {
            request: Box::new(request),
            reqid,
            answer,
        };
        self.send(command).await?;
        answered.await.map_err(|_| Stopping)
    }

    async fn send(&self, command: Command) -> Result<(), Stopping> {
        self.commands.send(command).await.map_err(|_| Stopping)
    }
}

/// Peers choose theirs, so this one is not to be guessed.
fn reqid() -> String {
    IdGen::new(entropy::seed()).unique_id()
}

impl Lines {
    /// The next line; `None` after the end of the supervisor. Cancel safe.
    pub async fn next(&mut self) -> Option<Line> {
        self.receiver.recv().await
    }
}

struct Task {
    pump: Pump,
    asked: BTreeMap<String, oneshot::Sender<SupervisorResponse>>,
    asked_lives: BTreeMap<String, oneshot::Sender<LivesResponse>>,
    ends: Vec<oneshot::Sender<()>>,
    lines: mpsc::Sender<Line>,
    /// Lines that were dropped since the last one that was not.
    lost: u64,
}

impl Task {
    fn new(
        settings: Settings,
        tls: &Tls,
        retry: Duration,
        lines: mpsc::Sender<Line>,
    ) -> Result<Self, TlsErrors> {
        Ok(Self {
            pump: Pump::new(settings, tls, retry, Hook::Set, None)?,
            asked: BTreeMap::new(),
            asked_lives: BTreeMap::new(),
            ends: Vec::new(),
            lines,
            lost: 0,
        })
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Command>) {
        let mut has_handles = true;
        loop {
            while let Some(news) = self.pump.work() {
                if matches!(news, News::Stopped) {
                    return;
                }
                self.on_news(news);
            }
            let input = tokio::select! {
                input = self.pump.wait(None) => input,
                command = orders.recv(), if has_handles => match command {
                    Some(command) => Some(self.on_command(command)),
                    None => {
                        has_handles = false;
                        Some(Input::Shutdown)
                    }
                },
            };
            self.pump.handle(input);
        }
    }

    fn on_news(&mut self, news: News) {
        match news {
            News::Line(node, stream, text) => self.on_line(node, stream, text),
            News::Answer(response) => {
                if let Some(asker) = self.asked.remove(response.reqid()) {
                    // Whoever asked may not wait any more.
                    let _ = asker.send(response);
                }
            }
            News::AnswerLives(response) => {
                if let Some(asker) = self.asked_lives.remove(response.reqid()) {
                    let _ = asker.send(response);
                }
            }
            // Dropping the sender tells whoever asked.
            News::Unanswered(reqid) => drop(reqid.map(|reqid| self.asked.remove(&reqid))),
            News::Stopped => {}
        }
    }

    fn on_line(&mut self, node: String, stream: Stream, text: Bytes) {
        let line = Line {
            node,
            stream,
            text,
            lost: self.lost,
        };
        match self.lines.try_send(line) {
            Ok(()) => self.lost = 0,
            Err(TrySendError::Full(_)) => self.lost = self.lost.saturating_add(1),
            // Nobody wants them.
            Err(TrySendError::Closed(_)) => {}
        }
    }

    fn on_command(&mut self, command: Command) -> Input {
        match command {
            Command::Ask {
                request,
                reqid,
                answer,
            } => {
                self.asked.insert(reqid, answer);
                Input::Ask { request }
            }
            Command::AskLives {
                request,
                reqid,
                answer,
            } => {
                self.asked_lives.insert(reqid, answer);
                Input::AskLives { request }
            }
            Command::Stop { end } => {
                self.ends.push(end);
                Input::Shutdown
            }
        }
    }
}
