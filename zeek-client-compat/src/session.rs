//! One client, from its subscriptions to its end (CLIENT §A2, §A8).

use broker_proto::topic::INTERNAL_TOPIC;
use broker_proto::zeek::Event;
use broker_proto::{Filter, Topic};

use crate::json::ParseError;
use crate::message::{self, DataMessage, ErrorCode, MessageError};

/// WebSocket close code: the client broke a rule that is not one of framing.
pub(crate) const POLICY_VIOLATION: u16 = 1008;

/// WebSocket close code: the server stops.
pub(crate) const GOING_AWAY: u16 = 1001;

/// The reason that goes with it, as stock words it (CLIENT §A9).
pub(crate) const TERMINATING: &str = "Terminating";

/// Where a client stands.
///
/// There is no state between the subscriptions and the ack: subscribing is immediate here, so what
/// a client sends before it sees the ack is handled in order like everything else.
#[derive(Debug)]
pub(crate) enum Session {
    /// Only the list of subscriptions can come.
    AwaitSubscriptions,
    /// It has its ack.
    Active {
        /// What it wants to receive.
        subscriptions: Filter,
    },
    /// It was told to go; what it still sends is ignored.
    Closed,
}

/// What a session wants done, in order.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// Send it this message.
    Send(String),
    /// Close its socket.
    Close { code: u16, reason: String },
    /// Hand this to the program.
    Publish { topic: Topic, event: Event },
    /// Tell the program of a message that was not read and begins like this.
    Unread { event: Event, reason: String },
    /// Tell the program of what was refused for its topic.
    Refused {
        topic: Topic,
        event: Option<String>,
        reason: String,
    },
}

/// What all sessions of a server have in common, and this client's own name.
pub(crate) struct Local<'a> {
    /// The `endpoint` of the ack.
    pub(crate) endpoint: &'a str,
    /// The `version` of the ack.
    pub(crate) version: &'a str,
    /// The topics that clients may publish to.
    pub(crate) publish: &'a Filter,
}

impl Session {
    /// Takes one message of the client, appends what has to be done to `out`, returns the next
    /// state.
    pub(crate) fn on_text(self, text: &str, local: &Local<'_>, out: &mut Vec<Effect>) -> Self {
        match self {
            Self::AwaitSubscriptions => Self::on_subscriptions(text, local, out),
            Self::Active { subscriptions } => {
                on_data(text, local, out);
                Self::Active { subscriptions }
            }
            Self::Closed => Self::Closed,
        }
    }

    /// The same for a message of which only the start is known.
    pub(crate) fn on_too_long(self, start: &str, reason: String, out: &mut Vec<Effect>) -> Self {
        match self {
            Self::AwaitSubscriptions => {
                out.push(refusal(ErrorCode::DeserializationFailed, &reason));
                self.close(POLICY_VIOLATION, reason, out)
            }
            Self::Active { subscriptions } => {
                out.push(unread(start, reason));
                Self::Active { subscriptions }
            }
            Self::Closed => Self::Closed,
        }
    }

    /// Tells the client to go, unless it was told before.
    pub(crate) fn close(self, code: u16, reason: String, out: &mut Vec<Effect>) -> Self {
        match self {
            Self::AwaitSubscriptions | Self::Active { .. } => {
                out.push(Effect::Close { code, reason });
                Self::Closed
            }
            Self::Closed => Self::Closed,
        }
    }

    /// Whether what is published on this topic is for the client.
    pub(crate) fn wants(&self, topic: &Topic) -> bool {
        match self {
            Self::Active { subscriptions } => subscriptions.matches(topic),
            Self::AwaitSubscriptions | Self::Closed => false,
        }
    }

    /// Stock leaves a client without an ack and without an end here; ours lets it go.
    fn on_subscriptions(text: &str, local: &Local<'_>, out: &mut Vec<Effect>) -> Self {
        match message::parse_subscriptions(text) {
            Ok(subscriptions) => {
                out.push(Effect::Send(message::ack(local.endpoint, local.version)));
                Self::Active { subscriptions }
            }
            Err(error) => {
                let reason = error.to_string();
                out.push(refusal(ErrorCode::DeserializationFailed, &reason));
                Self::AwaitSubscriptions.close(POLICY_VIOLATION, reason, out)
            }
        }
    }
}

/// An error message about the client's own input.
pub(crate) fn refusal(code: ErrorCode, context: &str) -> Effect {
    Effect::Send(message::error(code, context))
}

/// The text for a value that is no event, or not one that the program takes.
pub(crate) fn not_an_event(reason: &str) -> String {
    format!("failed to create Zeek event: {reason}")
}

/// Who waits for an answer understands one, and no error message (CLIENT §A8); whoever sent something
/// else gets that.
fn unread(start: &str, reason: String) -> Effect {
    if let Some(event) = message::opening(start) {
        return Effect::Unread { event, reason };
    }
    let context = format!("failed to decode JSON object: {reason}");
    refusal(ErrorCode::DeserializationFailed, &context)
}

fn on_data(text: &str, local: &Local<'_>, out: &mut Vec<Effect>) {
    let message = match DataMessage::parse(text) {
        Ok(message) => message,
        Err(MessageError::Syntax(error @ ParseError::TooMany)) => {
            out.push(unread(text, error.to_string()));
            return;
        }
        Err(error) => {
            out.push(refusal(
                ErrorCode::DeserializationFailed,
                &error.to_string(),
            ));
            return;
        }
    };
    let DataMessage { topic, data } = message;
    // What is below `<$>` steers endpoints themselves, so even a filter for everything leaves it out.
    if INTERNAL_TOPIC.is_prefix_of(&topic) || !local.publish.matches(&topic) {
        let context = format!(
            "publishing to topic '{}' is not allowed",
            crate::json::excerpt(&topic.to_string())
        );
        out.push(refusal(ErrorCode::BrokerError, &context));
        out.push(Effect::Refused {
            topic,
            event: Event::from_data(data).ok().map(|event| event.name),
            reason: context,
        });
        return;
    }
    match Event::from_data(data) {
        Ok(event) => out.push(Effect::Publish { topic, event }),
        Err(error) => {
            let context = not_an_event(&error.to_string());
            out.push(refusal(ErrorCode::DeserializationFailed, &context));
        }
    }
}
