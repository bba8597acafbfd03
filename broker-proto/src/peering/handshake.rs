//! One link before it is a peering (WIRE §4.2).

use super::Refused;
use super::interest::FilterError;
use crate::codec::handshake::{DropConn, HandshakeMsg, VERSION};
use crate::codec::{DecodeError, DecodeErrorKind};
use crate::topic::Filter;
use crate::{ByteString, EndpointId};

/// Which side of the handshake this endpoint plays. Independent of who dialed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// Has the smaller id and selects the version.
    Originator,
    /// Has the larger id.
    Responder,
}

/// Where one link stands before it is a peering.
#[derive(Debug)]
pub(super) enum Handshake {
    /// We dialed and said hello.
    Dialed,
    /// They dialed; only their hello can come.
    Accepted,
    /// We answered a smaller id's hello; that peer selects the version.
    AwaitVersion { peer: EndpointId },
    /// The version is selected; the originator's filter comes next.
    AwaitSyn { peer: EndpointId },
    /// Our filter went out as originator.
    AwaitSynAck { peer: EndpointId },
    /// Our filter went out as responder.
    AwaitAck { peer: EndpointId, filter: Filter },
}

/// What one message leads to.
#[derive(Debug)]
pub(super) enum Step {
    /// Send these and wait.
    Next {
        state: Handshake,
        send: Vec<HandshakeMsg>,
    },
    /// The peer is known: ask the registry, then send these and wait.
    Claim {
        peer: EndpointId,
        role: Role,
        state: Handshake,
        send: Vec<HandshakeMsg>,
    },
    /// Send these; the peering is established.
    Done {
        peer: EndpointId,
        filter: Filter,
        send: Vec<HandshakeMsg>,
    },
}

/// What a link needs to know of its endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local<'a> {
    pub(super) id: EndpointId,
    pub(super) filter: &'a Filter,
}

/// Why a handshake failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("undecodable {message}: {error}")]
    Decode {
        message: &'static str,
        #[source]
        error: DecodeError,
    },
    #[error("empty handshake frame")]
    EmptyFrame,
    #[error("unexpected {got} while {state}")]
    OutOfOrder {
        state: &'static str,
        got: &'static str,
    },
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("peer dropped the connection: {} (code {})", excerpt(&.0.description), .0.code)]
    Dropped(DropConn),
    #[error("peer has endpoint id {0}, which is nil or our own")]
    InvalidId(EndpointId),
    #[error("version_select comes from {got}, hello came from {hello}")]
    IdChanged { hello: EndpointId, got: EndpointId },
    #[error("{0} originates although its id is the larger one")]
    WrongOriginator(EndpointId),
}

impl HandshakeError {
    /// A payload that did not decode.
    pub(super) fn undecodable(payload: &[u8], error: DecodeError) -> Self {
        let message = match payload.first() {
            Some(6) => "hello_msg",
            Some(7) => "probe_msg",
            Some(8) => "version_select_msg",
            Some(9) => "drop_conn_msg",
            Some(10) => "originator_syn_msg",
            Some(11) => "responder_syn_ack_msg",
            Some(12) => "originator_ack_msg",
            Some(_) | None => "handshake message",
        };
        Self::Decode { message, error }
    }

    /// What the peer is told before the link is closed: code and text (WIRE §4.1, §4.5).
    pub(super) fn drop_conn(&self) -> Option<(u8, ByteString)> {
        match self {
            Self::Decode { message, error } => Some(match &error.kind {
                DecodeErrorKind::UnknownTag { .. } => (20, "invalid message type tag".into()),
                DecodeErrorKind::WrongMagic => (38, "wrong magic number".into()),
                DecodeErrorKind::Version { .. } if *message == "hello_msg" => {
                    (2, "unsupported versions offered".into())
                }
                DecodeErrorKind::Version { .. } => (2, "unsupported version selected".into()),
                DecodeErrorKind::Truncated
                | DecodeErrorKind::Trailing(_)
                | DecodeErrorKind::SizeOverflow
                | DecodeErrorKind::SizeExceedsInput { .. }
                | DecodeErrorKind::SubnetLength(_)
                | DecodeErrorKind::Duplicate
                | DecodeErrorKind::TooDeep
                | DecodeErrorKind::TooMany => (20, format!("failed to parse {message}").into()),
            }),
            Self::Dropped(drop) if drop.code > 41 => Some((1, drop.description.clone())),
            Self::InvalidId(_) | Self::IdChanged { .. } | Self::WrongOriginator(_) => {
                Some((3, self.to_string().into()))
            }
            Self::Filter(_) => Some((20, self.to_string().into())),
            Self::Dropped(_) | Self::EmptyFrame | Self::OutOfOrder { .. } => None,
        }
    }

    /// The counter of this reason.
    pub(super) fn counter<'a>(&self, refused: &'a mut Refused) -> &'a mut u64 {
        match self {
            Self::Decode { .. } if matches!(self.drop_conn(), Some((2, _))) => &mut refused.version,
            Self::Decode { .. } | Self::EmptyFrame => &mut refused.malformed,
            Self::OutOfOrder { .. } => &mut refused.out_of_order,
            Self::Filter(_) => &mut refused.filter,
            Self::Dropped(_) => &mut refused.by_peer,
            Self::InvalidId(_) | Self::IdChanged { .. } | Self::WrongOriginator(_) => {
                &mut refused.identity
            }
        }
    }
}

/// The start of a text that a stranger sent, fit for a log.
fn excerpt(text: &ByteString) -> String {
    let text = text.to_lossy();
    text.chars()
        .take(128)
        .flat_map(char::escape_debug)
        .collect()
}

impl Handshake {
    /// Takes one message and returns what follows.
    ///
    /// # Errors
    /// If the message has no place here. The caller sends [`HandshakeError::drop_conn`] and closes.
    pub(super) fn step(self, msg: HandshakeMsg, me: Local<'_>) -> Result<Step, HandshakeError> {
        match (self, msg) {
            // A probe only tests the socket. Broker: connector.cc, await_hello.
            (
                state @ (Self::Dialed | Self::Accepted | Self::AwaitVersion { .. }),
                HandshakeMsg::Probe,
            ) => Ok(Step::Next {
                state,
                send: Vec::new(),
            }),
            (Self::Dialed | Self::Accepted, HandshakeMsg::Hello { sender, .. }) => {
                Self::on_hello(sender, me)
            }
            (Self::Dialed, HandshakeMsg::VersionSelect { sender, .. }) => {
                Self::on_version_select(sender, me)
            }
            (Self::AwaitVersion { peer }, HandshakeMsg::VersionSelect { sender, .. }) => {
                if sender != peer {
                    return Err(HandshakeError::IdChanged {
                        hello: peer,
                        got: sender,
                    });
                }
                Self::on_version_select(sender, me)
            }
            (
                Self::Dialed | Self::Accepted | Self::AwaitVersion { .. },
                HandshakeMsg::DropConn(drop),
            ) => Err(HandshakeError::Dropped(drop)),
            (Self::AwaitSyn { peer }, HandshakeMsg::OriginatorSyn(filter)) => Ok(Step::Next {
                state: Self::AwaitAck { peer, filter },
                send: vec![HandshakeMsg::ResponderSynAck(me.filter.clone())],
            }),
            (Self::AwaitSynAck { peer }, HandshakeMsg::ResponderSynAck(filter)) => Ok(Step::Done {
                peer,
                filter,
                send: vec![HandshakeMsg::OriginatorAck],
            }),
            (Self::AwaitAck { peer, filter }, HandshakeMsg::OriginatorAck) => Ok(Step::Done {
                peer,
                filter,
                send: Vec::new(),
            }),
            (state, msg) => Err(HandshakeError::OutOfOrder {
                state: state.name(),
                got: msg.name(),
            }),
        }
    }

    /// The peer, once it has said who it is and the registry was asked.
    pub(super) fn peer(&self) -> Option<EndpointId> {
        match self {
            Self::Dialed | Self::Accepted | Self::AwaitVersion { .. } => None,
            Self::AwaitSyn { peer } | Self::AwaitSynAck { peer } | Self::AwaitAck { peer, .. } => {
                Some(*peer)
            }
        }
    }

    fn on_hello(sender: EndpointId, me: Local<'_>) -> Result<Step, HandshakeError> {
        if sender.is_nil() || sender == me.id {
            return Err(HandshakeError::InvalidId(sender));
        }
        if me.id < sender {
            let select = HandshakeMsg::VersionSelect {
                sender: me.id,
                version: VERSION,
            };
            let syn = HandshakeMsg::OriginatorSyn(me.filter.clone());
            let state = Self::AwaitSynAck { peer: sender };
            let role = Role::Originator;
            return Ok(Step::Claim {
                peer: sender,
                role,
                state,
                send: vec![select, syn],
            });
        }
        let state = Self::AwaitVersion { peer: sender };
        Ok(Step::Next {
            state,
            send: vec![hello(me.id)],
        })
    }

    fn on_version_select(sender: EndpointId, me: Local<'_>) -> Result<Step, HandshakeError> {
        if sender.is_nil() || sender == me.id {
            return Err(HandshakeError::InvalidId(sender));
        }
        if sender > me.id {
            return Err(HandshakeError::WrongOriginator(sender));
        }
        let state = Self::AwaitSyn { peer: sender };
        Ok(Step::Claim {
            peer: sender,
            role: Role::Responder,
            state,
            send: Vec::new(),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Dialed => "waiting for hello or version_select",
            Self::Accepted => "waiting for hello",
            Self::AwaitVersion { .. } => "waiting for version_select",
            Self::AwaitSyn { .. } => "waiting for originator_syn",
            Self::AwaitSynAck { .. } => "waiting for responder_syn_ack",
            Self::AwaitAck { .. } => "waiting for originator_ack",
        }
    }
}

/// Our hello.
pub(super) fn hello(id: EndpointId) -> HandshakeMsg {
    HandshakeMsg::Hello {
        sender: id,
        min_version: VERSION,
        max_version: VERSION,
    }
}
