//! How often what went wrong in worlds, and what became of the requests.

use std::collections::BTreeMap;
use std::fmt;

use mgmt::api::controller::{ControllerRequest, ControllerResponse};

use crate::fault::{Fault, PROMISES};
use crate::seen::{Client, Program, Seen};

/// What happened in a world.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How often each kind of fault hit something.
    pub faults: BTreeMap<Fault, u64>,
    /// What became of the requests.
    pub requests: Requests,
    /// Who waits for what.
    open: BTreeMap<String, Client>,
    /// Nothing is meant to be a fault any more.
    is_calm: bool,
}

/// What became of requests. Those that are left are still open.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Requests {
    /// That the controller was handed.
    pub asked: u64,
    /// Answered to who asked.
    pub answered: u64,
    /// That nobody answers, by design (API §4.7 C24).
    pub unanswerable: u64,
    /// Whose client went away.
    pub left: u64,
    /// That were open when the controller was killed.
    pub lost: u64,
    /// Deployments of which a client was told that all went well; they are among the answered.
    pub deployed: u64,
}

impl Tally {
    /// A fault has hit something.
    pub(crate) fn note(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// The same, if there was one.
    pub(crate) fn note_all(&mut self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.note(fault);
        }
    }

    /// What is seen tells what becomes of requests.
    pub(crate) fn see(&mut self, seen: &Seen) {
        match seen {
            Seen::Asked { client, request } => self.on_asked(*client, request),
            Seen::Answered { client, response } => self.on_answered(*client, response),
            Seen::ClientGone { client } => {
                let before = self.open.len();
                self.open.retain(|_, owner| owner != client);
                self.requests.left += number(before - self.open.len());
            }
            Seen::Killed {
                program: Program::Controller,
            } => self.requests.lost += number(std::mem::take(&mut self.open).len()),
            Seen::Calm => self.is_calm = true,
            Seen::Killed { .. }
            | Seen::Started { .. }
            | Seen::Stored { .. }
            | Seen::NodeBorn { .. }
            | Seen::NodeHeard { .. }
            | Seen::NodeDied { .. } => {}
        }
    }

    fn on_asked(&mut self, client: Client, request: &ControllerRequest) {
        self.requests.asked += 1;
        if !self.is_calm && self.is_waiting(client) {
            self.note(Fault::AskedMeanwhile);
        }
        let is_answered = !matches!(
            request,
            ControllerRequest::TestTimeout {
                with_state: false,
                ..
            }
        );
        match is_answered {
            true => drop(self.open.insert(request.reqid().to_owned(), client)),
            false => self.requests.unanswerable += 1,
        }
    }

    fn on_answered(&mut self, client: Client, response: &ControllerResponse) {
        if self.open.get(response.reqid()) != Some(&client) {
            return;
        }
        self.open.remove(response.reqid());
        self.requests.answered += 1;
        let results = response.results();
        let is_deployed = matches!(response, ControllerResponse::Deploy { .. })
            && !results.is_empty()
            && results.iter().all(|result| result.success);
        self.requests.deployed += u64::from(is_deployed);
    }

    /// Whether this client waits for an answer.
    pub(crate) fn is_waiting(&self, client: Client) -> bool {
        self.open.values().any(|owner| *owner == client)
    }
}

/// What happened in many worlds; displayed as the tables of `tests/README.md`.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    rows: BTreeMap<Fault, Row>,
    all: Row,
    requests: Requests,
}

/// What became of the worlds with a fault.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    rounds: u64,
    worlds: u64,
    losses: u64,
}

impl Totals {
    /// Adds a world. One that is violated is a loss to all the faults that were in it.
    pub fn add(&mut self, tally: &Tally, is_violated: bool) {
        for (fault, rounds) in &tally.faults {
            self.rows
                .entry(*fault)
                .or_default()
                .add(*rounds, is_violated);
        }
        self.all.add(tally.faults.values().sum(), is_violated);
        let (sum, one) = (&mut self.requests, tally.requests);
        sum.asked += one.asked;
        sum.answered += one.answered;
        sum.unanswerable += one.unanswerable;
        sum.left += one.left;
        sum.lost += one.lost;
        sum.deployed += one.deployed;
    }
}

impl Row {
    fn add(&mut self, rounds: u64, is_violated: bool) {
        self.rounds += rounds;
        self.worlds += 1;
        self.losses += u64::from(is_violated);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [self.rounds, self.worlds, self.losses].map(grouped);
        write!(f, "{}", numbers.join(" | "))
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        for promise in PROMISES {
            let mut text = promise.text;
            for fault in promise.faults {
                let row = self.rows.get(fault).copied().unwrap_or_default();
                writeln!(f, "| {} | {text} | {row} |", fault.name())?;
                text = "〃";
            }
        }
        writeln!(f, "| {ALL} | {} |", self.all)?;
        let it = self.requests;
        let numbers = [it.asked, it.answered, it.left, it.lost, it.unanswerable];
        let [asked, answered, left, lost, unanswerable] = numbers.map(grouped);
        writeln!(
            f,
            "\n{asked} requests: {answered} answered, {left} of clients that went away, {lost} of \
             controllers that were killed, {unanswerable} that have no answer. {} deployments were \
             told to have succeeded.",
            grouped(it.deployed)
        )
    }
}

/// As people write it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn number(len: usize) -> u64 {
    u64::try_from(len).unwrap()
}

const HEAD: &str = "| fault | promised meanwhile and afterwards | rounds | worlds | losses |\n\
                    | --- | --- | --- | --- | --- |";

const ALL: &str = "all of it, and then nothing more | within 90 s all agents are ready, what is \
                   deployed runs everywhere and nothing else does, clients are told so, nobody waits";

#[cfg(test)]
mod tests;
