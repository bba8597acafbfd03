//! The configurations that a controller keeps, and how they get to disk (API §4.3, §4.9).
//!
//! What is kept changes only once it is stored: a change is ordered with [`Output::Save`], one at a
//! time, and takes effect with the [`Input::Saved`] that answers it. If that fails, the request
//! behind the change fails and everything stays as it was. Requests about configurations that come
//! meanwhile are held, so that clients see their requests done in order; all others go on.
//!
//! [`Input::Saved`]: super::Input::Saved

pub mod rows;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use broker_proto::codec::data;
use broker_proto::zeek::ToData;
use broker_proto::{Address, Data};
use tracing::{info, warn};

use super::{Controller, Output, TIMED_OUT};
use crate::api::ApiResult;
use crate::api::controller::{ControllerRequest, ControllerResponse};
use crate::model::Configuration;

/// Most requests held behind a save.
const MAX_HELD: usize = 1024;

/// Most bytes of configurations held behind a save, as Broker encodes them.
const MAX_HELD_BYTES: usize = 64 << 20;

/// Why a request behind too many others is refused.
const TOO_MANY: &str = "too many open requests";

/// Why a save is given up on; it may still succeed.
pub(super) const SLOW_DISK: &str = "the disk has not answered in time";

/// What a controller keeps over a restart (API §4.9).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Saved {
    /// As the client sent it.
    pub staged: Option<Configuration>,
    /// The same with hosts and ports.
    pub ready: Option<Configuration>,
    /// What runs.
    pub deployed: Option<Configuration>,
}

/// What is stored, what is about to be, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Configs {
    saved: Saved,
    /// The first one is ordered, the others wait for it.
    changes: VecDeque<Change>,
    held: VecDeque<Held>,
}

/// Something to store.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A client staged a configuration.
    Staged {
        /// Whom to answer; `None` once the answer was that it takes too long.
        asker: Option<Asker>,
        /// As the client sent it.
        staged: Configuration,
        /// The same with hosts and ports.
        ready: Configuration,
    },
    /// A configuration is in force.
    Deployed {
        /// Which.
        reqid: String,
        /// What runs.
        config: Configuration,
    },
    /// Agents are there for the first time since their configuration is in force. Says nothing about
    /// which one that is: another one may have been stored by then.
    Learned {
        /// Where they are, by instance.
        hosts: BTreeMap<String, Address>,
    },
}

/// A client that staged a configuration.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) reqid: String,
    pub(super) deadline: Instant,
}

/// A request that waits for a save.
#[derive(Debug)]
struct Held {
    asked: Instant,
    deadline: Instant,
    bytes: usize,
    request: ControllerRequest,
}

impl Configs {
    /// With what was stored when the controller started.
    pub(super) fn new(saved: Saved) -> Self {
        Self {
            saved,
            ..Self::default()
        }
    }

    /// What the client staged last.
    pub(super) fn staged(&self) -> Option<&Configuration> {
        self.saved.staged.as_ref()
    }

    /// What runs.
    pub(super) fn deployed(&self) -> Option<&Configuration> {
        self.saved.deployed.as_ref()
    }

    /// Where a deployment starts. Ports depend on hosts, which may have become known since the
    /// staging, so it is the configuration without either.
    pub(super) fn to_deploy(&self) -> Option<&Configuration> {
        self.saved.staged.as_ref().or(self.saved.ready.as_ref())
    }

    /// Whether a save is under way.
    pub(super) fn is_saving(&self) -> bool {
        !self.changes.is_empty()
    }

    /// When the next client has waited long enough.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let askers = self.changes.iter().filter_map(Change::deadline);
        askers.chain(self.held.front().map(|h| h.deadline)).min()
    }
}

impl Change {
    fn apply(self, saved: &mut Saved) {
        match self {
            Self::Staged { staged, ready, .. } => {
                saved.staged = Some(staged);
                saved.ready = Some(ready);
            }
            Self::Deployed { config, .. } => saved.deployed = Some(config),
            Self::Learned { hosts } => {
                if let Some(config) = &mut saved.deployed {
                    config.learn_hosts(&hosts);
                }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Staged { asker, .. } => asker.as_ref().map(|asker| asker.deadline),
            // The deployment has a deadline of its own.
            Self::Deployed { .. } | Self::Learned { .. } => None,
        }
    }
}

impl Controller {
    pub(super) fn on_get_configuration(&mut self, reqid: String, deployed: bool) {
        let (config, error) = if deployed {
            let error = "no deployed configuration available";
            (self.configs.deployed(), error)
        } else {
            (self.configs.staged(), "no staged configuration available")
        };
        let result = match config {
            Some(config) => ApiResult::ok(&reqid).with_data(config.clone().into_data()),
            None => ApiResult::failed(&reqid, error),
        };
        self.respond(ControllerResponse::GetConfiguration { reqid, result });
    }

    /// Whether a request must wait for the save under way; if so, it is kept or refused.
    pub(super) fn hold(
        &mut self,
        asked: Instant,
        request: ControllerRequest,
    ) -> Option<ControllerRequest> {
        if !self.configs.is_saving() || reqid_about_configs(&request).is_none() {
            return Some(request);
        }
        let bytes = encoded_len(&request);
        let held: usize = self.configs.held.iter().map(|held| held.bytes).sum();
        if self.configs.held.len() >= MAX_HELD || held + bytes > MAX_HELD_BYTES {
            self.refuse_held(&request, TOO_MANY);
            return None;
        }
        self.configs.held.push_back(Held {
            asked,
            deadline: asked + self.settings.request_timeout,
            bytes,
            request,
        });
        None
    }

    /// Stores a change, behind those that are being stored.
    pub(super) fn change(&mut self, change: Change) {
        self.configs.changes.push_back(change);
        if self.configs.changes.len() == 1 {
            self.order_save();
        }
    }

    /// A save has ended.
    pub(super) fn on_saved(&mut self, now: Instant, result: Result<(), String>) {
        let Some(change) = self.configs.changes.pop_front() else {
            warn!(?result, "nothing was to be saved");
            return;
        };
        self.conclude(change, result);
        self.order_save();
        self.advance(now);
        while !self.configs.is_saving()
            && let Some(held) = self.configs.held.pop_front()
        {
            self.on_request(now, held.asked, held.request);
        }
    }

    /// Answers whoever waited for a save in vain.
    pub(super) fn expire_saves(&mut self, now: Instant) {
        let mut late = Vec::new();
        for change in &mut self.configs.changes {
            match change {
                Change::Staged { asker, .. } => late.extend(asker.take_if(|a| a.deadline <= now)),
                Change::Deployed { .. } | Change::Learned { .. } => {}
            }
        }
        for asker in late {
            self.answer_stage(asker, Err(SLOW_DISK));
        }
        while self.configs.held.front().is_some_and(|h| h.deadline <= now)
            && let Some(held) = self.configs.held.pop_front()
        {
            self.refuse_held(&held.request, TIMED_OUT);
        }
    }

    /// Orders the next save; a change that changes nothing is done without.
    fn order_save(&mut self) {
        while let Some(change) = self.configs.changes.front() {
            let mut state = self.configs.saved.clone();
            change.clone().apply(&mut state);
            if state != self.configs.saved {
                self.outputs.push_back(Output::Save { state });
                return;
            }
            if let Some(change) = self.configs.changes.pop_front() {
                self.conclude(change, Ok(()));
            }
        }
    }

    fn conclude(&mut self, change: Change, result: Result<(), String>) {
        if result.is_ok() {
            change.clone().apply(&mut self.configs.saved);
        }
        match change {
            Change::Staged { asker, staged, .. } => {
                match &result {
                    Ok(()) => info!(config = %staged.id, "staged"),
                    Err(reason) => {
                        warn!(config = %staged.id, reason, "cannot store what is staged")
                    }
                }
                if let Some(asker) = asker {
                    let result = result.as_ref().map(|()| staged.id.as_str());
                    self.answer_stage(asker, result.map_err(String::as_str));
                }
            }
            Change::Deployed { reqid, .. } => self.on_deployment_stored(&reqid, result),
            Change::Learned { hosts } => {
                if let Err(reason) = result {
                    let names: Vec<String> = hosts.into_keys().collect();
                    warn!(?names, reason, "cannot store where instances are");
                }
            }
        }
    }

    fn refuse_held(&mut self, request: &ControllerRequest, error: &str) {
        let name = request.event_name();
        warn!(event = name, error, "refused a request behind a save");
        let reqid = reqid_about_configs(request).unwrap_or_default();
        if let Some(response) = ControllerResponse::refusal(name, reqid, error) {
            self.respond(response);
        }
    }

    fn answer_stage(&mut self, asker: Asker, result: Result<&str, &str>) {
        let reqid = asker.reqid;
        let result = match result {
            Ok(id) => ApiResult::ok(&reqid).with_data(Data::string(id)),
            Err(reason) => {
                let error = format!("cannot store the staged configuration: {reason}");
                ApiResult::failed(&reqid, error)
            }
        };
        let results = vec![result];
        self.respond(ControllerResponse::StageConfiguration { reqid, results });
    }
}

/// The id of a request that reads or changes what is stored.
fn reqid_about_configs(request: &ControllerRequest) -> Option<&str> {
    match request {
        ControllerRequest::StageConfiguration { reqid, .. }
        | ControllerRequest::GetConfiguration { reqid, .. }
        | ControllerRequest::Deploy { reqid } => Some(reqid),
        ControllerRequest::GetInstances { .. }
        | ControllerRequest::GetNodes { .. }
        | ControllerRequest::GetIdValue { .. }
        | ControllerRequest::Restart { .. }
        | ControllerRequest::TestTimeout { .. } => None,
    }
}

/// What a held request weighs.
fn encoded_len(request: &ControllerRequest) -> usize {
    match request {
        ControllerRequest::StageConfiguration { config, .. } => {
            data::encode(&config.clone().into_data()).len()
        }
        ControllerRequest::GetConfiguration { .. }
        | ControllerRequest::Deploy { .. }
        | ControllerRequest::GetInstances { .. }
        | ControllerRequest::GetNodes { .. }
        | ControllerRequest::GetIdValue { .. }
        | ControllerRequest::Restart { .. }
        | ControllerRequest::TestTimeout { .. } => 0,
    }
}
