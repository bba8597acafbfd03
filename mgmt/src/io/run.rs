//! The pumps: each turns the outputs of one process into what the operating system does, and what
//! happens there into its inputs.

use std::future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use broker_proto::IdGen;
use broker_proto::io::entropy;
use broker_proto::io::gate::Gate;
use broker_proto::io::tls::{Acceptor, TlsErrors};
use broker_proto::io::transport::Transport;
use broker_proto::peering::{self, PeerAddr};
use supervisor::api::MANAGEMENT_NODE_VARIABLE;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};
use zeek_client_compat::hub;
use zeek_client_compat::io::server::Server;

use super::archiver::Archiver;
use super::audit::AuditLog;
use super::descriptors;
use super::guard::{self, AuditTo};
use super::kept::Kept;
use super::keyring::Keyring;
use super::log::Log;
use super::node_script;
use super::options;
use super::rules::Rules;
use super::store::saving::Saving;
use super::store::{OpenError, Store};
use crate::agent::node_script::NodeScript;
use crate::agent::process::{AgentProcess, Output as AgentOutput};
use crate::controller::process::{ControllerProcess, Input, Output};
use crate::limits::Limits;
use crate::log::LogRole;
use crate::model::Configuration;
use crate::settings::{Deploying, Settings};

/// Why a program could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsErrors),
    /// The signal handlers could not be installed.
    #[error("cannot handle signals")]
    Signals(#[source] io::Error),
    /// The current directory is not to be had.
    #[error("cannot tell where this runs")]
    Directory(#[source] io::Error),
    /// The state file is not to be had.
    #[error("cannot start on this state")]
    State(#[from] OpenError),
    /// The script that nodes load cannot be put where they find it.
    #[error("cannot write a node script below {dir}")]
    NodeScript {
        /// Where.
        dir: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The audit log is not to be had.
    #[error("cannot open the audit log {path}")]
    Audit {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The WebSocket port is not to be had.
    #[error("cannot listen for clients on {addr}")]
    Listen {
        /// Where.
        addr: PeerAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// SIGTERM, SIGINT and SIGHUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
enum Told {
    /// To stop, with SIGTERM or SIGINT.
    Stop,
    /// With SIGHUP: to read again what can change while the program runs.
    Reload,
}

impl Signals {
    /// A program that a supervisor started is named as a supervised node, and also ends with that
    /// supervisor (API §9.3 S2, S6).
    fn new(name: &str) -> Result<Self, RunError> {
        if std::env::var_os(MANAGEMENT_NODE_VARIABLE).is_some() {
            name_process(name);
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
                .map_err(|error| RunError::Signals(error.into()))?;
        }
        let on = |kind| signal(kind).map_err(RunError::Signals);
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        let told = tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        };
        match told {
            Told::Stop => info!("told to stop"),
            Told::Reload => info!("told to reload"),
        }
        told
    }
}

/// `zeek.<name>`, of which Linux keeps 15 bytes.
fn name_process(name: &str) {
    let mut name = format!("zeek.{name}").into_bytes();
    name.truncate(15);
    if let Ok(name) = std::ffi::CString::new(name)
        && let Err(error) = rustix::thread::set_name(&name)
    {
        warn!(%error, "this process keeps its name");
    }
}

/// A size limit of the system makes a write fail; without this it would end the program.
fn outlive_size_limits() -> Result<(), RunError> {
    let number = rustix::process::Signal::XFSZ.as_raw();
    // The handler stays for good.
    let handled = signal(SignalKind::from_raw(number));
    handled.map(drop).map_err(RunError::Signals)
}

/// What a controller is told besides stock's settings.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ControllerChoices {
    /// Where requests are kept, with who asked them.
    pub audit: AuditTo,
}

/// Runs a controller until SIGTERM or SIGINT. SIGHUP has it read again what can change meanwhile.
///
/// # Errors
/// If TLS, the signal handlers, the WebSocket port, the audit log or the state file are not to be had.
/// The Broker port is tried again every second, as stock does.
pub async fn controller(
    settings: Settings,
    choices: ControllerChoices,
    mut rules: Rules,
) -> Result<(), RunError> {
    let mut signals = Signals::new(&settings.controller.name)?;
    outlive_size_limits()?;
    let protection = settings.protection();
    let (dir, name) = (&settings.controller_dir, &settings.controller.name);
    let log = log(dir, name, LogRole::Controller, &settings);
    let audit = choices.audit.start(dir)?;
    let limits = descriptors::fit(rules.limits().clone());
    let Settings {
        controller: settings,
        tls,
        websocket_tls,
        store_dir,
        listen_retry,
        ..
    } = settings;
    let mut keyring = Keyring::load(tls, websocket_tls)?;
    let transport = keyring.transport(listen_retry);
    let mut transport = transport.gate(guard::broker(&limits, &audit));
    let addr = settings.listen_websocket.as_ref();
    let mut server =
        listen_websocket(addr, keyring.client_acceptor.clone(), &limits, &audit).await?;
    let mut ids = IdGen::new(entropy::seed());
    let version = concat!("zeek-mgmt-", env!("CARGO_PKG_VERSION"));
    let id = ids.endpoint_id();
    let (store, saved) = Store::open(store_dir)?;
    let mut saving = Saving::new(store);
    let now = Instant::now();
    let mut process = ControllerProcess::within(&limits, settings, version, id, ids, saved, now)
        .with_policy(rules.policy(protection));
    loop {
        while let Some(output) = process.poll_output() {
            match (output, &mut server) {
                (Output::Broker(peering::Output::Stopped), _) => {
                    tell_counters(&process, &transport);
                    finish(server).await;
                    log.finish();
                    audit.finish();
                    return Ok(());
                }
                (Output::Broker(output), _) => transport.apply(output),
                (Output::Audited(entry), _) => audit.write(entry),
                (Output::WebSocket(output), Some(server)) => server.apply(output),
                (Output::WebSocket(_), None) => {}
                (Output::Log(record), _) => log.write(record),
                (Output::Save { state }, _) => saving.start(state),
                // What is refused is in the log already.
                (Output::Audit(refused), _) => audit.write(refused.into()),
            }
        }
        let deadline = process.poll_timeout();
        let input = tokio::select! {
            input = transport.next() => Some(Input::Broker(input)),
            input = next_client(&mut server) => Some(Input::WebSocket(input)),
            result = saving.end() => Some(Input::Saved { result }),
            told = signals.next() => match told {
                Told::Stop => Some(Input::Shutdown),
                Told::Reload => {
                    audit.reopen();
                    keyring.reload();
                    tell_counters(&process, &transport);
                    // Whatever is read again keeps what it has if the new is no good.
                    let Some(policy) = rules.reload(protection) else {
                        continue;
                    };
                    process.set_limits(rules.limits());
                    Some(Input::Policy(policy))
                }
            },
            () = keyring.watch() => continue,
            () = until(deadline) => None,
        };
        match input {
            Some(input) => tell(&mut process, &mut keyring, input),
            None => process.handle_timeout(Instant::now()),
        }
    }
}

/// What an agent is told besides stock's settings.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AgentChoices {
    /// What its nodes load.
    pub node_script: NodeScript,
    /// How it deploys.
    pub deploying: Deploying,
    /// What it makes of the nodes of a former life.
    pub former_nodes: FormerNodes,
}

/// What a restarted agent makes of the nodes of its former life (API §12.2 D43).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FormerNodes {
    /// It knows nothing of them, and the next deployment ends them.
    #[default]
    Forget,
    /// It goes on with them.
    Adopt,
}

/// Runs an agent until SIGTERM or SIGINT. SIGHUP has it read again what can change meanwhile.
///
/// # Errors
/// If TLS, the signal handlers or a place for the node script are not to be had.
pub async fn agent(
    mut settings: Settings,
    choices: AgentChoices,
    mut rules: Rules,
) -> Result<(), RunError> {
    let protection = settings.protection();
    node_script::apply(choices.node_script, &mut settings).map_err(|source| {
        let dir = settings.state_dir.clone();
        RunError::NodeScript { dir, source }
    })?;
    settings.agent.deploying = choices.deploying;
    let options_dir = std::path::absolute(&settings.agent.options_dir);
    settings.agent.options_dir = options_dir.map_err(RunError::Directory)?;
    let mut signals = Signals::new(&settings.agent.name)?;
    outlive_size_limits()?;
    let limits = descriptors::fit(rules.limits().clone());
    let (dir, name) = (&settings.agent_dir, &settings.agent.name);
    let log = log(dir, name, LogRole::Agent, &settings);
    let mut archiver = Archiver::new(settings.archive.as_ref(), dir);
    let (mut kept, former) = memory(choices.former_nodes, dir, name);
    let Settings {
        agent: settings,
        tls,
        listen_retry,
        ..
    } = settings;
    let mut keyring = Keyring::load(tls, None)?;
    let transport = keyring.transport(listen_retry);
    let mut transport = transport.gate(Gate::new(limits.capacity(), limits.tls()));
    let mut ids = IdGen::new(entropy::seed());
    let id = ids.endpoint_id();
    let mut process =
        AgentProcess::new(settings, id, ids, Instant::now()).with_policy(rules.policy(protection));
    if let Some(former) = former {
        process = process.with_memory(former);
    }
    loop {
        while let Some(output) = process.poll_output() {
            match output {
                AgentOutput::Broker(peering::Output::Stopped) => {
                    tell_refusals(&process, &transport);
                    archiver.finish(&log).await;
                    kept.finish().await;
                    log.finish();
                    return Ok(());
                }
                AgentOutput::Broker(output) => transport.apply(output),
                AgentOutput::Log(record) => log.write(record),
                AgentOutput::Keep(config) => kept.write(config),
                AgentOutput::WriteOptions { path, text } => {
                    if let Err(error) = options::write(&path, &text) {
                        warn!(path = %path.display(), %error, "cannot write a node's options");
                    }
                }
            }
        }
        let deadline = process.poll_timeout();
        let input = tokio::select! {
            input = transport.next() => Some(input),
            record = archiver.next() => {
                log.write(record);
                continue;
            }
            () = kept.run() => None,
            told = signals.next() => match told {
                Told::Stop => Some(peering::Input::Shutdown),
                Told::Reload => {
                    keyring.reload();
                    if let Some(policy) = rules.reload(protection) {
                        process.replace_policy(Instant::now(), policy);
                    }
                    tell_refusals(&process, &transport);
                    continue;
                }
            },
            () = keyring.watch() => continue,
            () = until(deadline) => None,
        };
        match input {
            Some(input) => process.handle(Instant::now(), keyring.seen(input)),
            None => process.handle_timeout(Instant::now()),
        }
    }
}

/// What an agent of this name kept; `None` for one without a memory.
fn memory(nodes: FormerNodes, dir: &Path, name: &str) -> (Kept, Option<Option<Configuration>>) {
    let kept = Kept::new(dir, name);
    match nodes {
        FormerNodes::Forget => {
            kept.forget();
            (kept, None)
        }
        FormerNodes::Adopt => {
            let former = kept.read();
            (kept, Some(former))
        }
    }
}

/// The management log, in the directory that a supervisor would start the node in (API §8.3).
fn log(dir: &Path, node: &str, role: LogRole, settings: &Settings) -> Log {
    Log::start(dir.to_owned(), node, role, settings.log.clone())
}

/// Whoever shows a certificate that ends soon is known before what comes of it.
fn tell(process: &mut ControllerProcess, keyring: &mut Keyring, input: Input) {
    keyring.on_input(&input);
    if let Some(peers) = keyring.ending() {
        process.handle(Instant::now(), Input::Ending(peers));
    }
    process.handle(Instant::now(), input);
}

/// What limits and policy have met until now.
fn tell_refusals(process: &AgentProcess, transport: &Transport) {
    let (links, refused) = (transport.gate_counters(), process.gate().counters());
    info!(?links, ?refused, "what limits have met");
}

/// What limits have met until now; those of the WebSocket port are told when it closes.
fn tell_counters(process: &ControllerProcess, transport: &Transport) {
    let (links, requests) = (transport.gate_counters(), process.excess());
    let peering::Counters { refused, cut, .. } = process.broker_counters();
    info!(?links, ?refused, ?cut, ?requests, "what limits have met");
}

/// `None` if there shall be no such port.
async fn listen_websocket(
    addr: Option<&PeerAddr>,
    acceptor: Acceptor,
    limits: &Limits,
    audit: &AuditLog,
) -> Result<Option<Server>, RunError> {
    let Some(addr) = addr else {
        return Ok(None);
    };
    let limits = guard::server(limits);
    let gate = guard::websocket(&limits, audit);
    let server = Server::bind_behind(addr, acceptor, limits, gate).await;
    let server = server.map_err(|source| RunError::Listen {
        addr: addr.clone(),
        source,
    })?;
    Ok(Some(server))
}

/// Lets clients read what was sent to them.
async fn finish(server: Option<Server>) {
    if let Some(server) = server {
        server.finish().await;
    }
}

async fn next_client(server: &mut Option<Server>) -> hub::Input {
    match server {
        Some(server) => server.next().await,
        None => future::pending().await,
    }
}

pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => future::pending().await,
    }
}
