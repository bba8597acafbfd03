//! Who waits for which answer, and for how long.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mgmt::api::ApiResult;
use mgmt::api::controller::{ControllerRequest, ControllerResponse};

use super::{Rule, Violation};
use crate::seen::Client;

/// How long any request may take, and no shorter if it is told to have timed out (API §3 R5, §15.1
/// D13).
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How many requests of one client may be open at a time; more are refused at once (API §16).
pub(super) const MANY: usize = 256;

/// A deployment starts nodes after it has waited for agents (API §15.1 D13).
const DEPLOYMENT: Duration = Duration::from_secs(19);

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) client: Client,
    pub(super) asked: Duration,
    pub(super) request: ControllerRequest,
    /// Whether it was asked when everything must have been in order ([`super::SETTLED`]).
    pub(super) is_settled: bool,
}

/// An answer to a request, and the time in which it must have been true.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) request: &'a Request,
    pub(super) results: &'a [ApiResult],
    pub(super) from: Duration,
    pub(super) at: Duration,
}

/// All requests that ever were, by id.
#[derive(Debug, Default)]
pub(super) struct Requests {
    all: BTreeMap<String, (Arc<Request>, Fate)>,
    due: BTreeSet<(Duration, String)>,
}

/// What has become of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// Its client waits.
    Open,
    /// Its client has gone; what it asked for may go on.
    Left,
    /// It was answered.
    Answered(Duration),
    /// The controller that was asked is gone.
    Lost,
}

impl Requests {
    pub(super) fn ask(&mut self, request: Request) -> Result<Arc<Request>, Violation> {
        let (asked, reqid) = (request.asked, request.reqid().to_owned());
        let request = Arc::new(request);
        if self.all.contains_key(&reqid) {
            let text = format!("the id of {request} was used before");
            return Err(Violation::new(Rule::Nonsense, asked, text));
        }
        let open = self.open_of(request.client);
        if open > MANY {
            let text = format!("{open} requests of one client are open");
            return Err(Violation::new(Rule::Overfull, asked, text).about(&request));
        }
        if let Some(patience) = request.patience() {
            self.due.insert((asked + patience, reqid.clone()));
        }
        let entry = (Arc::clone(&request), Fate::Open);
        self.all.insert(reqid, entry);
        Ok(request)
    }

    /// The request that is answered with this; `None` for the copy of an answer to somebody else,
    /// since all clients see all answers (API §2.1).
    pub(super) fn answer(
        &mut self,
        at: Duration,
        client: Client,
        response: &ControllerResponse,
    ) -> Result<Option<Arc<Request>>, Violation> {
        let reqid = response.reqid();
        let mut errors = response.results().iter().map(|it| it.error.as_deref());
        let is_refused = errors.any(|error| error.is_some_and(is_about_number));
        let is_overload = is_refused && self.open_of(client) >= MANY;
        let Some((request, fate)) = self.all.get_mut(reqid) else {
            let name = response.event_name();
            let text = format!("{name} {reqid} answers what nobody asked");
            return Err(Violation::new(Rule::Unasked, at, text));
        };
        let wrong = |rule, text| Err(Violation::new(rule, at, text).about(request));
        match *fate {
            Fate::Lost => {
                let text = "a controller answers what one before it was asked";
                return wrong(Rule::Unasked, text);
            }
            Fate::Open | Fate::Left | Fate::Answered(_) if request.client != client => {
                return Ok(None);
            }
            Fate::Answered(before) => {
                let text = format!(
                    "answered a second time, after {:.3} s",
                    before.as_secs_f64()
                );
                return Err(Violation::new(Rule::AnsweredTwice, at, text).about(request));
            }
            Fate::Open | Fate::Left => {}
        }
        let Some(patience) = request.patience() else {
            if is_overload {
                return Ok(None);
            }
            return wrong(Rule::Unasked, "answered, though it has no answer");
        };
        if kind(request.request.event_name()) != kind(response.event_name()) {
            let text = format!("answered with {}", response.event_name());
            return Err(Violation::new(Rule::WrongAnswer, at, text).about(request));
        }
        *fate = Fate::Answered(at);
        self.due
            .remove(&(request.asked + patience, reqid.to_owned()));
        Ok(Some(Arc::clone(request)))
    }

    /// A client is sent a copy of this request.
    pub(super) fn check_overheard(
        &self,
        at: Duration,
        client: Client,
        reqid: &str,
    ) -> Result<(), Violation> {
        match self.all.get(reqid) {
            Some((request, _)) if request.client == client => {
                let text = "it is sent back to who has asked";
                Err(Violation::new(Rule::Repeated, at, text).about(request))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A client has gone.
    pub(super) fn leave(&mut self, client: Client) {
        let due = self.due.iter();
        let left: Vec<(Duration, String)> = due
            .filter(|(_, id)| self.all.get(id).is_some_and(|it| it.0.client == client))
            .cloned()
            .collect();
        for entry in left {
            self.due.remove(&entry);
            if let Some((_, fate)) = self.all.get_mut(&entry.1) {
                *fate = Fate::Left;
            }
        }
    }

    /// The controller is gone.
    pub(super) fn lose(&mut self) {
        self.due.clear();
        for (_, fate) in self.all.values_mut() {
            *fate = Fate::Lost;
        }
    }

    /// How many of a controller's requests are open.
    pub(super) fn open(&self) -> usize {
        self.due.len()
    }

    /// How many of one client.
    pub(super) fn open_of(&self, client: Client) -> usize {
        let open = self.due.iter();
        let own = open.filter(|(_, id)| self.all.get(id).is_some_and(|it| it.0.client == client));
        own.count()
    }

    /// Whether a request was open at this time or later.
    pub(super) fn was_open_since(&self, reqid: &str, since: Duration) -> bool {
        match self.fate(reqid) {
            Some(Fate::Open | Fate::Left) => true,
            Some(Fate::Answered(at)) => since <= at,
            Some(Fate::Lost) | None => false,
        }
    }

    pub(super) fn fate(&self, reqid: &str) -> Option<Fate> {
        self.all.get(reqid).map(|(_, fate)| *fate)
    }

    /// Whether anybody has waited too long.
    pub(super) fn check_due(&self, at: Duration) -> Result<(), Violation> {
        match self.due.first() {
            Some((due, reqid)) if *due < at => Err(self.unanswered(*due, reqid)),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether anybody waits at all.
    pub(super) fn check_idle(&self, at: Duration) -> Result<(), Violation> {
        match self.due.first() {
            Some((_, reqid)) => Err(self.unanswered(at, reqid)),
            None => Ok(()),
        }
    }

    fn unanswered(&self, at: Duration, reqid: &str) -> Violation {
        let violation = Violation::new(Rule::Unanswered, at, "a client waits in vain");
        match self.all.get(reqid) {
            Some((request, _)) => violation.about(request),
            None => violation,
        }
    }
}

impl Request {
    pub(super) fn reqid(&self) -> &str {
        self.request.reqid()
    }

    /// How long it may take; `None` if it has no answer (API §4.7 C24).
    fn patience(&self) -> Option<Duration> {
        match &self.request {
            ControllerRequest::TestTimeout { with_state, .. } => with_state.then_some(PATIENCE),
            ControllerRequest::Deploy { .. } => Some(DEPLOYMENT),
            ControllerRequest::GetInstances { .. }
            | ControllerRequest::StageConfiguration { .. }
            | ControllerRequest::GetConfiguration { .. }
            | ControllerRequest::GetNodes { .. }
            | ControllerRequest::GetIdValue { .. }
            | ControllerRequest::Restart { .. } => Some(PATIENCE),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Client(client) = self.client;
        let name = self.request.event_name();
        let name = name.rsplit("::").next().unwrap_or(name);
        write!(f, "{name} {} of client {client}", self.reqid())?;
        match &self.request {
            ControllerRequest::StageConfiguration { config, .. } => write!(f, ": {}", config.id),
            ControllerRequest::GetConfiguration { deployed: true, .. } => write!(f, ": deployed"),
            ControllerRequest::GetConfiguration { .. } => write!(f, ": staged"),
            ControllerRequest::GetIdValue { nodes, .. }
            | ControllerRequest::Restart { nodes, .. } => write!(f, ": {nodes:?}"),
            ControllerRequest::GetInstances { .. }
            | ControllerRequest::Deploy { .. }
            | ControllerRequest::GetNodes { .. }
            | ControllerRequest::TestTimeout { .. } => Ok(()),
        }
    }
}

impl Answer<'_> {
    /// The answer is not as it must be.
    pub(super) fn wrong(&self, rule: Rule, text: impl Into<String>) -> Violation {
        Violation::new(rule, self.at, text).about(self.request)
    }

    /// How long it took.
    pub(super) fn took(&self) -> Duration {
        self.at.saturating_sub(self.from)
    }

    /// The errors that are about no instance and no node.
    pub(super) fn refusals(&self) -> impl Iterator<Item = &str> {
        let all = self.results.iter();
        let own = all.filter(|it| !it.success && it.instance.is_none() && it.node.is_none());
        own.map(|it| it.error.as_deref().unwrap_or_default())
    }
}

/// Whether a request is refused because of how many there are.
pub(super) fn is_about_number(error: &str) -> bool {
    error.starts_with("too many")
}

fn kind(event: &str) -> Option<&str> {
    let ends = ["request", "response"];
    ends.into_iter().find_map(|end| event.strip_suffix(end))
}
