//! One recorded connection, with our program at one end.

use std::collections::VecDeque;
use std::time::Duration;

use broker_proto::Topic;
use broker_proto::codec::envelope::{Envelope, MessageKind};
use broker_proto::codec::frame::{self, FrameDecoder};
use broker_proto::codec::handshake::HandshakeMsg;
use broker_proto::codec::{Limits, data};
use broker_proto::peering::LinkId;
use broker_proto::zeek::Event;
use bytes::{BufMut, Bytes};
use harness::recorded::{self, Frame, SentEvent};
use harness::transcript::{Connection, Kind, Side};
use zeek_client_compat::hub::ClientId;
use zeek_client_compat::json;

use super::Entry;
use crate::unify::Ids;

/// A recorded connection in a run.
pub(super) struct Leg<'a> {
    pub(super) connection: &'a Connection,
    /// Our program's end.
    pub(super) side: Side,
    /// While it is open, if it is a peering.
    pub(super) link: Option<LinkId>,
    /// Whose it is, if it is a client's.
    pub(super) client: Option<ClientId>,
    /// What the recorded program sent and ours has not yet.
    pub(super) expected: VecDeque<SentEvent>,
    /// What a client was told before the first event.
    pub(super) acks: VecDeque<String>,
    /// Frames of the peer whose time has come.
    pub(super) due: VecDeque<(Bytes, Frame)>,
    decoder: FrameDecoder,
    in_handshake: bool,
}

/// What happens at a time.
pub(super) enum Step {
    Open,
    Frame(Bytes, Box<Frame>),
    Text(String),
    Close,
}

impl<'a> Leg<'a> {
    /// Clients are counted as they came.
    pub(super) fn all(connections: Vec<(&'a Connection, Side)>) -> Vec<Self> {
        let mut clients = (0..).map(ClientId);
        let legs = connections.into_iter().map(|(connection, side)| {
            let client = match connection.kind {
                Kind::WebSocket => clients.next(),
                Kind::Broker => None,
            };
            Self::new(connection, side, client)
        });
        legs.collect()
    }

    fn new(connection: &'a Connection, side: Side, client: Option<ClientId>) -> Self {
        let (expected, acks) = match connection.kind {
            Kind::Broker => (recorded::events(connection, side), VecDeque::new()),
            Kind::WebSocket => (events(connection, side), acks(connection, side)),
        };
        Self {
            connection,
            side,
            link: None,
            client,
            expected: expected.into(),
            acks,
            due: VecDeque::new(),
            decoder: FrameDecoder::default(),
            in_handshake: true,
        }
    }

    /// What the other end does, in order.
    pub(super) fn steps(&self) -> Vec<(Duration, Step)> {
        let messages = &self.connection.messages;
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
            return Vec::new();
        };
        let peer = self.side.other();
        let mut steps = vec![(first.at, Step::Open)];
        match self.connection.kind {
            Kind::Broker => {
                let frames = recorded::frames(self.connection, peer).into_iter();
                let frames = frames.map(|(at, b, frame)| (at, Step::Frame(b, Box::new(frame))));
                steps.extend(frames);
            }
            Kind::WebSocket => {
                let texts = self.connection.texts(peer);
                steps.extend(texts.map(|(at, text)| (at, Step::Text(text.to_owned()))));
            }
        }
        if self.connection.kind == Kind::WebSocket || self.ends() {
            steps.push((last.at, Step::Close));
        }
        // At one time: open, messages, close.
        steps.sort_by_key(|(at, step)| (*at, step.rank()));
        steps
    }

    /// The next frame to feed, if the ids in it are known.
    pub(super) fn next_due(&mut self, ids: &Ids) -> Option<(LinkId, Bytes)> {
        let link = self.link?;
        let (bytes, frame) = self.due.front()?;
        let chunk = translated(ids, bytes, frame)?;
        self.due.pop_front();
        Some((link, chunk))
    }

    /// The events in what our program wrote.
    pub(super) fn read(&mut self, bytes: &Bytes, at: Duration) -> Vec<SentEvent> {
        self.decoder.push(bytes);
        let mut events = Vec::new();
        while let Some(frame) = self.decoder.next_frame(usize::MAX).unwrap() {
            if self.in_handshake {
                let msg = HandshakeMsg::decode(&frame, &Limits::default()).unwrap();
                self.in_handshake = !recorded::is_last(&msg);
                continue;
            }
            let frame = Frame::Envelope(Envelope::decode(&frame).unwrap());
            if let Some((topic, event)) = recorded::event(frame) {
                let from = self.side;
                events.push(SentEvent {
                    at,
                    from,
                    topic,
                    event,
                });
            }
        }
        events
    }

    pub(super) fn entry(&self, sent: &SentEvent) -> Entry {
        let Connection {
            name, client_port, ..
        } = self.connection;
        let SentEvent {
            topic, event, at, ..
        } = sent;
        let short = event.name.rsplit("::").next().unwrap_or_default();
        let at = at.as_secs_f64();
        Entry {
            label: format!("{name}: {short}"),
            text: format!(
                "{at:.3} {name} {client_port}: {topic} {} {:?}",
                event.name, event.args
            ),
        }
    }

    /// Whether the recording shows the end of this peering.
    fn ends(&self) -> bool {
        [Side::Client, Side::Server].into_iter().any(|side| {
            let mut frames = recorded::frames(self.connection, side).into_iter();
            frames.any(|(_, _, frame)| is_bye(&frame))
        })
    }
}

impl Step {
    fn rank(&self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Frame(..) | Self::Text(_) => 1,
            Self::Close => 2,
        }
    }
}

/// The event in a data message.
pub(super) fn event_in(text: &str) -> Option<(Topic, Event)> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let topic = Topic::new(json.get("topic")?.as_str()?).ok()?;
    let data = json::decode(&json).ok()?;
    Some((topic, Event::from_data(data).ok()?))
}

fn events(connection: &Connection, side: Side) -> Vec<SentEvent> {
    let texts = connection.texts(side);
    let events = texts.filter_map(|(at, text)| {
        let (topic, event) = event_in(text)?;
        let from = side;
        Some(SentEvent {
            at,
            from,
            topic,
            event,
        })
    });
    events.collect()
}

fn acks(connection: &Connection, side: Side) -> VecDeque<String> {
    let texts = connection.texts(side).map(|(_, text)| text);
    let acks = texts.filter(|text| event_in(text).is_none());
    acks.map(str::to_owned).collect()
}

/// The bytes of a recorded frame with its length, and with the ids of this run if it has others.
fn translated(ids: &Ids, bytes: &Bytes, frame: &Frame) -> Option<Bytes> {
    let as_recorded = || frame::put_frame(bytes.len(), |out| out.put_slice(bytes));
    let Frame::Envelope(envelope) = frame else {
        return Some(as_recorded());
    };
    let Some(value) = recorded::value(envelope) else {
        return Some(as_recorded());
    };
    let topic = ids.translate_topic(&envelope.topic)?;
    let ours = ids.translate(&value)?;
    if topic == envelope.topic && ours == value {
        return Some(as_recorded());
    }
    let payload = data::encode(&ours);
    let envelope = envelope.clone();
    Some(
        Envelope {
            topic,
            payload,
            ..envelope
        }
        .to_frame(),
    )
}

/// A leaving endpoint's ping (WIRE §6.6).
fn is_bye(frame: &Frame) -> bool {
    let Frame::Envelope(envelope) = frame else {
        return false;
    };
    envelope.kind == MessageKind::Ping && envelope.payload.starts_with(b"BYE")
}
