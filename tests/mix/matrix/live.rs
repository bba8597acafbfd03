//! The same with a real Zeek in the place of the simulated one, if `ZEEK_BIN` names one. Without it
//! the tests say that they did not run.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::binaries::live_zeek;

use super::cell::through_ours;
use super::ours::Programs;
use super::{Cell, Dialer, Kind, Protection};
use crate::stock::release::RELEASES;

/// Starts a part of the cluster, as API §13 has it.
const AGENT: &str = "policy/frameworks/management/agent";
const CONTROLLER: &str = "policy/frameworks/management/controller";

/// A supervisor for an agent of ours (API §13.4).
const SUPERVISOR: &str = r#"
@if ( Supervisor::is_supervisor() )
@load policy/frameworks/management/supervisor
redef SupervisorControl::enable_listen = T;
redef Broker::default_listen_address = "127.0.0.1";
@ifdef ( Cluster::CLUSTER_BACKEND_NONE )
@load policy/frameworks/cluster/backend/broker
@endif
@endif
"#;

#[test]
fn our_controller_commands_a_live_zeek() {
    let Some(zeek) = live_zeek() else { return };
    let mut programs = Programs::new();
    programs.protection = cleartext();
    programs.controller();
    let port = programs.ports.supervisor;
    live(
        &mut programs,
        &zeek,
        "agent",
        &[AGENT.to_owned(), default_port(port)],
    );
    ask(&programs, Kind::Stock, Kind::Stock);
}

#[test]
fn our_agent_has_a_live_zeek_for_its_supervisor() {
    let Some(zeek) = live_zeek() else { return };
    let mut programs = Programs::new();
    programs.protection = cleartext();
    programs.controller();
    programs.agent(Some(programs.ports.controller));
    let script = programs.folder.join("supervisor.zeek");
    fs::write(&script, SUPERVISOR).unwrap();
    let port = default_port(programs.ports.supervisor);
    let script = script.to_string_lossy().into_owned();
    live(&mut programs, &zeek, "supervisor", &[script, port]);
    ask(&programs, Kind::Ours, Kind::Stock);
}

#[test]
fn a_live_controller_commands_our_agent() {
    let Some(zeek) = live_zeek() else { return };
    let mut programs = Programs::new();
    programs.protection = cleartext();
    programs.agent(Some(programs.ports.controller));
    programs.supervisor(&zeek);
    let unlike_the_supervisor = harness::ports::free(1);
    let port = default_port(unlike_the_supervisor);
    live(
        &mut programs,
        &zeek,
        "controller",
        &[CONTROLLER.to_owned(), port],
    );
    ask(&programs, Kind::Ours, Kind::Ours);
}

fn cleartext() -> Vec<String> {
    vec!["Broker::disable_ssl=T".to_owned()]
}

fn default_port(port: u16) -> String {
    format!("Broker::default_port={port}/tcp")
}

/// Starts `zeek -j`, which ends with the other programs.
fn live(programs: &mut Programs, zeek: &Path, name: &'static str, arguments: &[String]) {
    let mut command = Command::new(zeek);
    command.arg("-j").args(arguments).args(&programs.protection);
    programs.prepare(&mut command);
    let log = fs::File::create(programs.folder.join(format!("{name}.log"))).unwrap();
    command.stderr(log);
    programs.adopt(name, command.spawn().unwrap());
}

/// Deploys through whatever listens for clients, and asks all nodes for a value.
fn ask(programs: &Programs, agent: Kind, supervisor: Kind) {
    let cell = Cell {
        controller: Kind::Ours,
        agent,
        supervisor,
        dialer: Dialer::Agent,
        protection: Protection::Cleartext,
        release: RELEASES[0],
    };
    let values = through_ours(&cell, programs.ports);
    let nodes: Vec<_> = values.iter().map(|(node, _)| node.as_str()).collect();
    assert_eq!(nodes, ["manager", "worker"], "{values:?}");
}
