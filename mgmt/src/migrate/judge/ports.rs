//! Ports that stock opens to every host, and ours only with certificates (API §18.1).

use super::super::Change;
use super::super::findings::Tree;
use super::super::found::in_force;
use super::{differs, lost};
use crate::settings::{Program, Settings};

const TODO: &str = "certificates for all hosts: `zeek-mgmt ca`; or, as stock, for whoever comes: \
                    `zeek-mgmt migrate --allow-unauthenticated` has the commands for that";

pub(super) fn changes(tree: &Tree, settings: &Settings, found: &mut Vec<Change>) {
    let mut programs: Vec<Program> = tree.roles.iter().map(|role| role.program()).collect();
    programs.push(Program::Supervisor);
    let mut confined = settings.clone();
    match confined.confine(&tree.given, &programs, tree.unauthenticated) {
        Err(errors) => {
            let errors = errors
                .iter()
                .map(|error| format!("ours does not start: {error}"));
            found.extend(errors.map(|what| lost(what, TODO)));
        }
        Ok(mut remarks) if settings != &confined => {
            remarks.sort();
            let told =
                remarks
                    .into_iter()
                    .map(|remark| match needs_others(tree, settings, &remark) {
                        true => lost(remark, TODO),
                        false => differs(remark, TODO),
                    });
            found.extend(told);
        }
        // All of them stay where they are.
        Ok(_) => {}
    }
}

/// Whether the port that a remark begins with has to be reached from other hosts, as far as can be
/// told. Who uses zeek-client from where is not known.
fn needs_others(tree: &Tree, settings: &Settings, remark: &str) -> bool {
    let (option, _) = remark.split_once(": ").unwrap_or_default();
    match option {
        "Management::Controller::listen_address" => {
            let instances = in_force(tree).map(|config| &config.instances);
            let dialing = instances
                .into_iter()
                .flatten()
                .filter(|it| it.listen_port.is_none());
            let elsewhere = |host: &broker_proto::Address| {
                !host.to_ip().is_loopback() && !host.is_unspecified()
            };
            // Agents of one host are one.
            dialing.clone().count() > 1 || dialing.into_iter().any(|it| elsewhere(&it.host))
        }
        "Management::Agent::listen_address" => {
            settings.agent.controller.is_none() && !is_dialed_from_here(tree, settings)
        }
        _ => false,
    }
}

/// Whether it is the controller of this tree that dials this agent, by loopback.
fn is_dialed_from_here(tree: &Tree, settings: &Settings) -> bool {
    let instances = in_force(tree).map(|config| &config.instances);
    instances
        .into_iter()
        .flatten()
        .any(|it| it.name == settings.agent.name && it.host.to_ip().is_loopback())
}
