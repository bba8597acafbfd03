//! The programs, and what they want of the world.

use std::time::{Duration, Instant};

use broker_proto::peering;
use mgmt::agent::process::{AgentProcess, Output as AgentOutput};
use mgmt::controller::process::{ControllerProcess, Output as ControllerOutput};
use supervisor::host::{HostInput, HostOutput};
use supervisor::process::{
    Input as SupervisorInput, Output as SupervisorOutput, SupervisorProcess,
};
use zeek_client_compat::hub;

use crate::fault::Fault;
use crate::node::{Act, Node};
use crate::stock_agent::StockAgent;
use crate::stock_controller::StockController;
use crate::stock_supervisor::{self, StockSupervisor};

#[derive(Debug)]
pub(crate) enum Process {
    Controller(Box<ControllerProcess>),
    Agent(Box<AgentProcess>),
    Supervisor(Box<SupervisorProcess>),
    Node(Box<Node>),
    Stock(Box<StockAgent>),
    StockController(Box<StockController>),
    StockSupervisor(Box<StockSupervisor>),
}

/// What a process wants.
pub(super) enum Want {
    Broker(peering::Output),
    System(HostOutput),
    Client(hub::Output),
    Save(mgmt::controller::configs::Saved),
    Keep(Option<mgmt::model::Configuration>),
    Later(Duration, peering::Input),
    Log(mgmt::log::Record),
    Stock(stock_supervisor::Want),
    /// It is at fault itself.
    Note(Fault),
    /// Something that leaves no trace in the world.
    Nothing,
}

impl Process {
    pub(super) fn want(&mut self) -> Option<Want> {
        Some(match self {
            Self::Controller(it) => match it.poll_output()? {
                ControllerOutput::Broker(output) => Want::Broker(output),
                ControllerOutput::WebSocket(output) => Want::Client(output),
                ControllerOutput::Save { state } => Want::Save(state),
                ControllerOutput::Log(line) => Want::Log(line),
                ControllerOutput::Audit(_) | ControllerOutput::Audited(_) => Want::Nothing,
            },
            Self::Agent(it) => match it.poll_output()? {
                AgentOutput::Broker(output) => Want::Broker(output),
                AgentOutput::Keep(config) => Want::Keep(config),
                AgentOutput::Log(line) => Want::Log(line),
                AgentOutput::WriteOptions { .. } => Want::Nothing,
            },
            Self::Supervisor(it) => match it.poll_output()? {
                SupervisorOutput::Peering { output } => Want::Broker(output),
                SupervisorOutput::Host { output } => Want::System(output),
                SupervisorOutput::Answer { .. }
                | SupervisorOutput::AnswerLives { .. }
                | SupervisorOutput::Unanswered { .. }
                | SupervisorOutput::Stopped => panic!("nobody asked it directly"),
            },
            Self::Node(it) => match it.poll_output()? {
                Act::Broker(output) => Want::Broker(output),
                Act::Later(wait, input) => Want::Later(wait, input),
                Act::Note(fault) => Want::Note(fault),
            },
            Self::Stock(it) => match it.poll_fault() {
                Some(fault) => Want::Note(fault),
                None => Want::Broker(it.poll_output()?),
            },
            Self::StockController(it) => Want::Broker(it.poll_output()?),
            Self::StockSupervisor(it) => Want::Stock(it.poll_output()?),
        })
    }

    /// Something happens to a supervisor's children.
    pub(super) fn handle_host(&mut self, now: Instant, input: HostInput) {
        match self {
            Self::Supervisor(it) => it.handle(now, SupervisorInput::Host { input }),
            Self::StockSupervisor(it) => it.handle_host(now, input),
            Self::Controller(_)
            | Self::Agent(_)
            | Self::Node(_)
            | Self::Stock(_)
            | Self::StockController(_) => {}
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Controller(it) => it.poll_timeout(),
            Self::Agent(it) => it.poll_timeout(),
            Self::Supervisor(it) => it.poll_timeout(),
            Self::Node(it) => it.poll_timeout(),
            Self::Stock(it) => it.poll_timeout(),
            Self::StockController(it) => it.poll_timeout(),
            Self::StockSupervisor(it) => it.poll_timeout(),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Controller(_) => "the controller",
            Self::Agent(_) => "an agent",
            Self::Supervisor(_) => "a supervisor",
            Self::Node(_) => "a node",
            Self::Stock(_) => "a stock agent",
            Self::StockController(_) => "a stock controller",
            Self::StockSupervisor(_) => "a stock supervisor",
        }
    }
}
