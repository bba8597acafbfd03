//! The controller's host: its program, and the disk that it saves to.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use broker_proto::peering::PeerAddr;
use mgmt::api::controller::ControllerResponse;
use mgmt::controller::configs::Saved;
use mgmt::controller::process::{ControllerProcess, Input};

use super::net::Loss;
use super::{Event, Host, Kind, Process, Who, World, settings};
use crate::fault::Fault;
use crate::script::Maker;
use crate::seen::{Program, Seen};
use crate::stock_controller::StockController;

/// A save that takes so long is late.
const LATE: Duration = Duration::from_millis(200);

/// What a controller keeps over its death.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// What is there for good.
    pub(crate) stored: Saved,
    /// What is being written.
    saving: Option<Saved>,
}

impl World {
    pub(super) fn boot_controller(&mut self) {
        if self.controller.is_some() {
            return;
        }
        if self.header.controller == Maker::Stock {
            return self.boot_stock_controller();
        }
        let mut settings = settings("unused").controller;
        let listen = |port| PeerAddr {
            host: "0.0.0.0".to_owned(),
            port,
        };
        settings.listen = Some(listen(2150));
        settings.listen_websocket = Some(listen(2149));
        let mut ids = self.ids();
        let id = ids.endpoint_id();
        let saved = self.disk.stored.clone();
        self.see(Seen::Started {
            program: Program::Controller,
        });
        let process = ControllerProcess::new(settings, "simulated", id, ids, saved, self.now);
        let who = self.start(Host::CONTROLLER, Process::Controller(Box::new(process)));
        self.controller = Some(who);
        self.obey(who);
        self.reconnect_clients();
    }

    /// It has the agent of the first sensor, and nobody asks it for anything but its host.
    fn boot_stock_controller(&mut self) {
        let release = self.chance.next();
        let id = self.chance.endpoint_id();
        let controller = StockController::new(release, id, &Host(1).instance());
        let controller = Process::StockController(Box::new(controller));
        let who = self.start(Host::CONTROLLER, controller);
        self.controller = Some(who);
        self.obey(who);
    }

    /// The stock controller, and what it then does.
    pub(crate) fn stock_controller<T>(
        &mut self,
        act: impl FnOnce(&mut StockController, Instant) -> T,
    ) -> T {
        let (who, now) = (self.controller.unwrap(), self.now);
        let Some(Process::StockController(controller)) = self.process_mut(who) else {
            panic!("the controller is ours");
        };
        let result = act(controller, now);
        self.obey(who);
        result
    }

    pub(super) fn save(&mut self, who: Who, state: Saved) {
        if self.disk.saving.is_some() {
            self.violate("the controller saves before the last save has ended".to_owned());
        }
        self.disk.saving = Some(state);
        let is_bad = self.header.chances.disk && !self.is_calm;
        let (wait, result) = match self.chance.below(12) {
            0 | 1 if is_bad => {
                let reason = ["no space left on device", "sync failed"];
                let reason = reason[usize::from(self.chance.is_one_in(2))];
                let wait = self.chance.millis(1..3000);
                (wait, Err(reason.to_owned()))
            }
            2 if is_bad => (self.chance.millis(3000..40_000), Ok(())),
            3 if is_bad => (self.chance.millis(200..3000), Ok(())),
            _ => (self.chance.millis(1..40), Ok(())),
        };
        if result.is_ok() && wait >= LATE {
            self.note(Fault::SaveLate);
        }
        self.tell(format_args!(
            "{} saves until {wait:?}: {result:?}",
            Host::CONTROLLER
        ));
        self.later(self.now + wait, Event::Saved(who, result));
    }

    pub(super) fn on_saved(&mut self, who: Who, result: Result<(), String>) {
        if self.controller != Some(who) {
            return;
        }
        let state = self.disk.saving.take();
        self.record
            .tally
            .note_all(result.as_ref().err().map(|_| Fault::SaveFailed));
        if let (Ok(()), Some(state)) = (&result, state) {
            self.store(state);
        }
        self.tell_controller(who, Input::Saved { result });
    }

    fn store(&mut self, state: Saved) {
        let (deployed, staged) = (state.deployed.clone(), state.staged.clone());
        self.disk.stored = state;
        self.see(Seen::Stored { deployed, staged });
    }

    /// A save that is under way has come to its end, or is as if it had never begun: a torn one is
    /// rolled back by the journal.
    pub(crate) fn kill_controller(&mut self, how: Loss, back_in: Option<Duration>) {
        let Some(who) = self.controller.take() else {
            return;
        };
        if how == Loss::Process {
            self.note(Fault::ControllerKilled);
        }
        if let Some(state) = self.disk.saving.take() {
            self.note(Fault::SaveTorn);
            if self.chance.is_one_in(2) {
                self.store(state);
            }
        }
        self.note_forgotten();
        self.see(Seen::Killed {
            program: Program::Controller,
        });
        self.kill(who, how);
        self.lose_clients();
        if let Some(wait) = back_in {
            self.later(
                self.now + wait,
                Event::Boot(Host::CONTROLLER, Kind::Controller),
            );
        }
    }

    /// Who was dropped and has not heard of it is not known to the next controller (API §15.1 D15).
    fn note_forgotten(&mut self) {
        let deployed = self.disk.stored.deployed.as_ref();
        let is_wanted = |name: &str| {
            let mut instances = deployed.iter().flat_map(|config| &config.instances);
            instances.any(|instance| instance.name == name)
        };
        let is_forgotten =
            |host: &Host| !is_wanted(&host.instance()) && self.sensors[host.0 - 1].may_have_nodes();
        let forgotten = self.sensor_hosts().filter(is_forgotten);
        let forgotten: Vec<Host> = forgotten.collect();
        let now = self.now;
        self.excused
            .extend(forgotten.into_iter().map(|host| (host, now)));
    }

    /// Where a client is told that everything was deployed, it has to run again. What has failed since
    /// it asked may be later than what it is told.
    pub(super) fn note_deployed(&mut self, asked: Instant, response: &ControllerResponse) {
        let results = response.results();
        let is_deployment = matches!(response, ControllerResponse::Deploy { .. });
        if !is_deployment || !results.iter().all(|result| result.success) {
            return;
        }
        let deployed = self.disk.stored.deployed.as_ref();
        let instances = deployed.iter().flat_map(|config| &config.instances);
        let names: BTreeSet<&str> = instances.map(|it| it.name.as_str()).collect();
        let is_other = |host: &Host| !names.contains(host.instance().as_str());
        self.excused
            .retain(|host, since| *since > asked || is_other(host));
    }
}
