//! The audit log: who asked the controller what, and what came of it (API §17).
//!
//! One [`Entry`] is one line of JSON. Requests have a line each. What strangers do has no end, so
//! lines about those are [hushed](hush) per address; how many were left out is told in the next.

use std::net::SocketAddr;
use std::time::Duration;

use broker_proto::Timestamp;
use broker_proto::source::Source;
use serde::Serialize;

use crate::api::controller::ControllerResponse;
use crate::log::ascii::utc;
use crate::policy::audit::{Audit, What, Who};

pub mod hush;
#[cfg(test)]
mod tests;

/// One line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A request was answered.
    Request {
        /// By whom.
        who: Who,
        /// What was asked.
        asked: Asked,
        /// What came of it.
        outcome: Outcome,
        /// Whether the asker had left by then.
        is_gone: bool,
        /// From request to answer.
        took: Duration,
    },
    /// Somebody did what it may not, or more than it may.
    Refused {
        /// Who.
        who: Who,
        /// What it was about, such as an event and its topic.
        what: String,
        /// Why.
        reason: String,
    },
    /// A link that never became a peer or a client.
    Stranger {
        /// The port.
        listener: &'static str,
        /// The other end.
        remote: SocketAddr,
        /// Why not.
        reason: String,
    },
}

/// What was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// The event's full name.
    pub event: String,
    /// The id that the asker gave it.
    pub reqid: String,
    /// The configuration it is about, if it is about one.
    pub config: Option<String>,
}

/// What came of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Everything worked.
    Done,
    /// Some of it failed.
    Failed {
        /// How many results of how many.
        failed: usize,
        /// All results.
        results: usize,
        /// The first error.
        error: String,
    },
    /// The time was over before all had answered.
    TimedOut {
        /// The first error, which may say who did not answer.
        error: String,
    },
    /// It was not looked at.
    Refused {
        /// Why.
        reason: String,
    },
    /// It has no answer: a `test_timeout_request` that asks for none, or the controller ended.
    Unanswered,
}

impl Outcome {
    /// What an answer says.
    pub fn of(response: &ControllerResponse) -> Self {
        let results = response.results();
        let errors = results.iter().filter(|result| !result.success);
        let mut errors = errors.map(|result| result.error.as_deref().unwrap_or_default());
        let has_timed_out = errors.clone().any(|error| error == TIMED_OUT);
        let failed = errors.clone().count();
        let Some(error) = errors.next() else {
            return Self::Done;
        };
        let error = error.to_owned();
        if has_timed_out {
            return Self::TimedOut { error };
        }
        Self::Failed {
            failed,
            results: results.len(),
            error,
        }
    }
}

impl From<Audit> for Entry {
    fn from(audit: Audit) -> Self {
        let what = match audit.what {
            What::Connect => "connection".to_owned(),
            What::Message => "message".to_owned(),
            What::Publish { topic, event } => format!("{event} on {topic}"),
        };
        let Audit { who, reason, .. } = audit;
        Self::Refused { who, what, reason }
    }
}

impl Entry {
    /// Whom lines like this are left out for when there are too many; `None` for lines that are all
    /// written.
    pub fn hushed(&self) -> Option<Source> {
        match self {
            Self::Request {
                outcome: Outcome::Refused { .. },
                who,
                ..
            }
            | Self::Refused { who, .. } => who.address.map(|address| Source::of(address.ip())),
            Self::Request { .. } => None,
            Self::Stranger { remote, .. } => Some(Source::of(remote.ip())),
        }
    }

    /// The line, with its end; `left_out` lines about the same address were not written.
    pub fn line(&self, at: Timestamp, left_out: u64) -> Vec<u8> {
        let mut line = begun(at);
        match self {
            Self::Request {
                who,
                asked,
                outcome,
                is_gone,
                took,
            } => {
                put(&mut line, "kind", "request");
                put_who(&mut line, who);
                put(&mut line, "event", cut(&asked.event));
                put(&mut line, "request", cut(&asked.reqid));
                put_some(&mut line, "config", asked.config.as_deref().map(cut));
                put_outcome(&mut line, outcome);
                if *is_gone {
                    put(&mut line, "client_gone", true);
                }
                let micros = took.as_micros().min(MAX_MICROS);
                let micros = u32::try_from(micros).map_or(f64::MAX, f64::from);
                put(&mut line, "ms", micros / 1000.0);
            }
            Self::Refused { who, what, reason } => {
                put(&mut line, "kind", "refused");
                put_who(&mut line, who);
                put(&mut line, "what", cut(what));
                put(&mut line, "reason", cut(reason));
            }
            Self::Stranger {
                listener,
                remote,
                reason,
            } => {
                put(&mut line, "kind", "stranger");
                put(&mut line, "listener", *listener);
                put(&mut line, "address", remote.to_string());
                put(&mut line, "reason", cut(reason));
            }
        }
        if left_out > 0 {
            put(&mut line, "left_out", left_out);
        }
        ended(line)
    }
}

/// A line for so many lines about one address that were left out, and that no line followed.
pub fn left_out_line(at: Timestamp, source: &str, count: u64) -> Vec<u8> {
    let mut line = begun(at);
    put(&mut line, "kind", "left_out");
    put(&mut line, "address", source);
    put(&mut line, "left_out", count);
    ended(line)
}

/// A line for so many lines that could not be written.
pub fn lost_line(at: Timestamp, count: u64, reason: &str) -> Vec<u8> {
    let mut line = begun(at);
    put(&mut line, "kind", "lost");
    put(&mut line, "lost", count);
    put(&mut line, "reason", reason);
    ended(line)
}

/// The text of stock's result for what took too long.
const TIMED_OUT: &str = "request timed out";

/// Longest text of others in a line, in characters.
const MAX_TEXT: usize = 512;

/// Over an hour.
const MAX_MICROS: u128 = 0xffff_ffff;

/// What a request's line takes, about, in bytes.
const LINE_SIZE: usize = 512;

fn begun(at: Timestamp) -> Vec<u8> {
    let mut line = Vec::with_capacity(LINE_SIZE);
    line.extend_from_slice(b"{\"time\":");
    put_value(&mut line, utc(at));
    line
}

fn ended(mut line: Vec<u8>) -> Vec<u8> {
    line.extend_from_slice(b"}\n");
    line
}

fn put(line: &mut Vec<u8>, name: &str, value: impl Serialize) {
    line.push(b',');
    put_value(line, name);
    line.push(b':');
    put_value(line, value);
}

fn put_value(line: &mut Vec<u8>, value: impl Serialize) {
    // Texts and numbers have a form in JSON, and there is room for it.
    let _ = serde_json::to_writer(line, &value);
}

fn put_some(line: &mut Vec<u8>, name: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        put(line, name, value);
    }
}

fn put_who(line: &mut Vec<u8>, who: &Who) {
    put(line, "peer", who.id.as_str());
    put(line, "listener", who.listener.as_str());
    let address = who.address.map(|address| address.to_string());
    put_some(line, "address", address);
    put_some(line, "application", who.application.as_deref().map(cut));
    let certificate = who.certificate.as_ref();
    put_some(line, "certificate", certificate.map(|it| it.to_string()));
    if !who.roles.is_empty() {
        put(line, "roles", who.roles.as_str());
    }
}

fn put_outcome(line: &mut Vec<u8>, outcome: &Outcome) {
    match outcome {
        Outcome::Done => put(line, "outcome", "ok"),
        Outcome::Failed {
            failed,
            results,
            error,
        } => {
            put(line, "outcome", "failed");
            put(line, "failed", *failed);
            put(line, "results", *results);
            put(line, "error", cut(error));
        }
        Outcome::TimedOut { error } => {
            put(line, "outcome", "timed out");
            put(line, "error", cut(error));
        }
        Outcome::Refused { reason } => {
            put(line, "outcome", "refused");
            put(line, "error", cut(reason));
        }
        Outcome::Unanswered => put(line, "outcome", "unanswered"),
    }
}

/// The start of a text that may be of any length.
pub(crate) fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_TEXT).map(|(at, _)| at);
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}
