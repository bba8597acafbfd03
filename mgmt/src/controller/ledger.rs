//! Who asked what: clients' requests from their arrival to their answer.
//!
//! The controller knows requests by ids that clients choose, and answers to everybody. Who asked, and
//! how much each may ask, is kept here, in front of it. If two ask the same under one id at the same
//! time, the later one's goes under another id inside, so that each answer is known for whose it is;
//! clients never see that id.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use broker_proto::EndpointId;
use zeek_client_compat::hub::ClientId;

use crate::api::controller::{ControllerRequest, ControllerResponse};
use crate::audit::{Asked, Entry, Outcome, cut};
use crate::limits::Limits;
use crate::policy::audit::Who;
use crate::quota::{Quota, Rate};

#[cfg(test)]
mod tests;

/// Who can ask.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Asker {
    /// Over WebSocket.
    Client(ClientId),
    /// Over Broker.
    Peer(EndpointId),
}

/// What requests came to nothing because of their number or size. Nothing is ever reset.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// More in too short a time ([`Limits::requests_per_second`]).
    pub too_fast: u64,
    /// More at the same time ([`Limits::open_requests`]).
    pub too_many: u64,
    /// An id longer than any client needs.
    pub long_ids: u64,
}

impl Counters {
    /// All of them.
    pub fn all(self) -> u64 {
        self.too_fast + self.too_many + self.long_ids
    }
}

/// Why a request is not looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Excess {
    /// [`Counters::too_fast`].
    TooFast { per_second: u64 },
    /// [`Counters::too_many`].
    TooMany { open: u64 },
    /// [`Counters::long_ids`].
    LongId,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFast { per_second } => write!(
                f,
                "too many requests of this client: {per_second} a second are allowed"
            ),
            Self::TooMany { open } => write!(
                f,
                "too many open requests of this client: {open} are allowed"
            ),
            Self::LongId => write!(f, "the request's id is longer than {MAX_ID} bytes"),
        }
    }
}

/// Requests that are not answered, and what everybody may still ask.
#[derive(Debug)]
pub(super) struct Ledger {
    rate: Rate,
    per_second: u64,
    max_open: u64,
    /// By the id that the controller knows.
    open: BTreeMap<Key, Request>,
    askers: BTreeMap<Asker, Account>,
    counters: Counters,
    /// How long the controller may take, whatever happens.
    longest: Duration,
    /// When a request may be older than that; means nothing if none is open.
    sweep: Option<Instant>,
}

/// Which answer a request waits for.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    reqid: String,
    /// The event's name up to `request` or `response`.
    kind: &'static str,
}

#[derive(Debug)]
struct Request {
    asker: Asker,
    who: Who,
    asked: Asked,
    since: Instant,
    is_gone: bool,
}

#[derive(Debug, Default)]
struct Account {
    quota: Quota,
    open: u64,
}

impl Ledger {
    /// Nobody has asked anything.
    pub(super) fn new(limits: &Limits, request_timeout: Duration) -> Self {
        Self {
            rate: Rate::per_second(limits.requests_per_second, limits.request_burst),
            per_second: limits.requests_per_second,
            max_open: limits.open_requests,
            open: BTreeMap::new(),
            askers: BTreeMap::new(),
            counters: Counters::default(),
            longest: LONGEST + request_timeout.saturating_mul(4),
            sweep: None,
        }
    }

    /// Other limits, for what is asked from now on.
    pub(super) fn set_limits(&mut self, limits: &Limits) {
        self.rate = Rate::per_second(limits.requests_per_second, limits.request_burst);
        self.per_second = limits.requests_per_second;
        self.max_open = limits.open_requests;
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// Somebody asks something, be it readable or not: counts it against what it may.
    ///
    /// # Errors
    /// If that is more than it may.
    pub(super) fn admit(&mut self, now: Instant, asker: Asker, reqid: &str) -> Result<(), Excess> {
        let account = self.askers.entry(asker).or_default();
        if !account.quota.take(now, self.rate) {
            self.counters.too_fast += 1;
            let per_second = self.per_second;
            return Err(Excess::TooFast { per_second });
        }
        if account.open >= self.max_open {
            self.counters.too_many += 1;
            let open = self.max_open;
            return Err(Excess::TooMany { open });
        }
        if reqid.len() > MAX_ID {
            self.counters.long_ids += 1;
            return Err(Excess::LongId);
        }
        Ok(())
    }

    /// Opens a request that was admitted. Returns it as the controller shall see it, or, if it has no
    /// answer, its line at once.
    pub(super) fn open(
        &mut self,
        now: Instant,
        asker: Asker,
        who: Who,
        request: ControllerRequest,
    ) -> (ControllerRequest, Option<Entry>) {
        let asked = asked(&request);
        let record = Request {
            asker,
            who,
            asked,
            since: now,
            is_gone: false,
        };
        if matches!(
            request,
            ControllerRequest::TestTimeout {
                with_state: false,
                ..
            }
        ) {
            return (request, Some(record.entry(now, Outcome::Unanswered)));
        }
        let mut key = Key {
            reqid: request.reqid().to_owned(),
            kind: kind(request.event_name()),
        };
        let mut n = 2_u64;
        while self.open.contains_key(&key) {
            key.reqid = format!("{}#{n}", request.reqid());
            n += 1;
        }
        let request = request.with_reqid(key.reqid.clone());
        if self.open.is_empty() {
            self.sweep = Some(now + self.longest);
        }
        self.open.insert(key, record);
        self.askers.entry(asker).or_default().open += 1;
        (request, None)
    }

    /// The controller answers: the answer as clients shall see it, and the request's line.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        response: ControllerResponse,
    ) -> (ControllerResponse, Option<Entry>) {
        let key = Key {
            reqid: response.reqid().to_owned(),
            kind: kind(response.event_name()),
        };
        let Some(mut request) = self.open.remove(&key) else {
            // One that was refused before it was opened.
            return (response, None);
        };
        self.close(request.asker);
        if let Some(config) = response.configuration() {
            request.asked.config = Some(config);
        }
        let response = response.with_reqid(&request.asked.reqid);
        let outcome = Outcome::of(&response);
        (response, Some(request.entry(now, outcome)))
    }

    /// Somebody has left; what it asked goes on.
    pub(super) fn left(&mut self, asker: Asker) {
        self.askers.remove(&asker);
        let requests = self.open.values_mut();
        for request in requests.filter(|request| request.asker == asker) {
            request.is_gone = true;
        }
    }

    /// Forgets requests that the controller should have answered long ago.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Entry> {
        if self.next_deadline().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let longest = self.longest;
        let ended = self.end(now, |request| request.since + longest <= now);
        let oldest = self.open.values().map(|request| request.since).min();
        self.sweep = oldest.map(|since| since + longest);
        ended
    }

    /// The lines of all requests that will have no answer, because the controller ends.
    pub(super) fn end_all(&mut self, now: Instant) -> Vec<Entry> {
        self.end(now, |_| true)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.sweep.filter(|_| !self.open.is_empty())
    }

    fn end(&mut self, now: Instant, is_due: impl Fn(&Request) -> bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        let (due, open) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|(_, request)| is_due(request));
        self.open = open;
        let due: BTreeMap<Key, Request> = due;
        for request in due.into_values() {
            self.close(request.asker);
            entries.push(request.entry(now, Outcome::Unanswered));
        }
        entries
    }

    fn close(&mut self, asker: Asker) {
        if let Some(account) = self.askers.get_mut(&asker) {
            account.open = account.open.saturating_sub(1);
        }
    }
}

impl Request {
    fn entry(self, now: Instant, outcome: Outcome) -> Entry {
        Entry::Request {
            took: now.saturating_duration_since(self.since),
            who: self.who,
            asked: self.asked,
            outcome,
            is_gone: self.is_gone,
        }
    }
}

/// The line of a request that was refused unopened.
pub(super) fn refused(who: Who, event: &str, reqid: &str, reason: String) -> Entry {
    let asked = Asked {
        event: cut(event).to_owned(),
        reqid: cut(reqid).to_owned(),
        config: None,
    };
    let reason = cut(&reason).to_owned();
    Entry::Request {
        who,
        asked,
        outcome: Outcome::Refused { reason },
        is_gone: false,
        took: Duration::ZERO,
    }
}

fn asked(request: &ControllerRequest) -> Asked {
    let config = match request {
        ControllerRequest::StageConfiguration { config, .. } => {
            Some(config.id.clone()).filter(|id| !id.is_empty())
        }
        ControllerRequest::GetInstances { .. }
        | ControllerRequest::GetConfiguration { .. }
        | ControllerRequest::Deploy { .. }
        | ControllerRequest::GetNodes { .. }
        | ControllerRequest::GetIdValue { .. }
        | ControllerRequest::Restart { .. }
        | ControllerRequest::TestTimeout { .. } => None,
    };
    Asked {
        event: request.event_name().to_owned(),
        reqid: request.reqid().to_owned(),
        config,
    }
}

fn kind(event: &'static str) -> &'static str {
    let ends = ["request", "response"];
    let ends = ends.into_iter().find_map(|end| event.strip_suffix(end));
    ends.unwrap_or(event)
}

/// Longest id of a request, in bytes. Stock's clients send UUIDs.
const MAX_ID: usize = 1024;

/// Beside all request timeouts that a deployment may consist of.
const LONGEST: Duration = Duration::from_secs(60);
