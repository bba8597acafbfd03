//! What must not be seen, and how it is reported.

use std::fmt;
use std::time::Duration;

use super::requests::Request;

/// What the model looks after.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// Each request is answered in time if its client stays (API §15.1 D13).
    Unanswered,
    /// No request is answered twice (API §15.1 R2).
    AnsweredTwice,
    /// Nothing is answered that nobody asked, nor that an earlier controller was asked (API §2.1).
    Unasked,
    /// Each request has an answer of its own kind, with Results of the right shape (API §2.1).
    WrongAnswer,
    /// `request timed out` is not said before the request's time is over (API §15.1 D13).
    HastyTimeout,
    /// Requests are refused for reasons that are true, and configurations that are wrong are refused
    /// (API §4.8, §7.1).
    WrongRefusal,
    /// Success is not told before it is on disk (API §15.1 P1).
    NotStored,
    /// Only what was staged is staged, only what was staged is deployed, and only if somebody asked
    /// for it; with the ports and hosts that it lacked, and no other change (API §4.3, §4.4, §7.2).
    NotAskedFor,
    /// The configuration that is shown was the staged or the deployed one meanwhile (API §4.3 C11).
    StaleConfiguration,
    /// Nodes are started only on the instances and by the configurations that were deployed
    /// (API §4.4).
    NotDeployed,
    /// A node has one process at a time (API §9.4).
    TwoProcesses,
    /// A node that is told to have come up or run has said hello and was there (API §5.4, §15.2).
    NotUp,
    /// A node that is told to be restarted has said hello since (API §15.2 D39).
    NotRestarted,
    /// Nodes of former configurations are gone soon after a deployment has succeeded, and stay so
    /// (API §5.4 A7).
    Outdated,
    /// An agent that is told to be connected was there a short while ago (API §4.2).
    UnknownInstance,
    /// Results are about what was asked for: nothing more, nothing twice, nothing less (API §4.7).
    OtherResults,
    /// No peer is sent a request or an answer twice, or its own, and no client its own request (WIRE
    /// §6.3, CLIENT §A7).
    Repeated,
    /// Peers are sent what their filters ask for and nothing else, and all that want it are (WIRE
    /// §6.2, §6.3).
    Misrouted,
    /// Of no client more requests are open than it may have (API §16).
    Overfull,
    /// When nothing fails any more, what is deployed runs everywhere, nothing else does, and clients
    /// are told so (API §4.4 C16).
    NotSettled,
    /// What was seen cannot be: a fault of whoever watches. The last one.
    Nonsense,
}

impl Rule {
    /// All that programs can break.
    pub const ALL: [Self; Self::Nonsense as usize] = [
        Self::Unanswered,
        Self::AnsweredTwice,
        Self::Unasked,
        Self::WrongAnswer,
        Self::HastyTimeout,
        Self::WrongRefusal,
        Self::NotStored,
        Self::NotAskedFor,
        Self::StaleConfiguration,
        Self::NotDeployed,
        Self::TwoProcesses,
        Self::NotUp,
        Self::NotRestarted,
        Self::Outdated,
        Self::UnknownInstance,
        Self::OtherResults,
        Self::Repeated,
        Self::Misrouted,
        Self::Overfull,
        Self::NotSettled,
    ];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Something that must not be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// What forbids it.
    pub rule: Rule,
    /// When it was noticed, since the start.
    pub at: Duration,
    /// What was seen, in a sentence.
    pub text: String,
    /// What it follows from: when, and what was seen then.
    pub about: Vec<(Duration, String)>,
}

impl Violation {
    pub(crate) fn new(rule: Rule, at: Duration, text: impl Into<String>) -> Self {
        Self {
            rule,
            at,
            text: text.into(),
            about: Vec::new(),
        }
    }

    /// With a request that has to do with it.
    pub(super) fn about(mut self, request: &Request) -> Self {
        self.about.push((request.asked, request.to_string()));
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, text, .. } = self;
        write!(f, "{rule}: {text}")?;
        for (at, text) in &self.about {
            write!(f, "\n  {:.3} s: {text}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
