//! A stock Broker endpoint with one link, as strict as its release: it fails the test when it is
//! sent what that release would close the link for, or drop.

use std::collections::VecDeque;

use broker_proto::{Data, EndpointId, Timestamp};

use super::release::{Count, Input, Leaving, Metadata, PongTopic, Release};
use super::shapes::{self, Known, Part};
use super::wire::{
    COMMAND, DATA, Envelope, INTERNAL, PING, PONG, ROUTING_UPDATE, Reader, frame, id_bytes,
    put_filter, put_value,
};

/// Who opened the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    Dialer,
    Acceptor,
}

/// What an endpoint notices.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The peering stands.
    Up,
    Event {
        topic: String,
        name: String,
        args: Vec<Data>,
    },
    /// The other side closed the link.
    Lost,
    /// The handshake ended in a drop_conn with this code.
    Refused(u8),
}

/// One endpoint.
#[derive(Debug)]
pub struct Peer {
    pub release: &'static Release,
    pub part: Part,
    pub id: EndpointId,
    /// What it subscribes to, in that order; the first one before it has peers (WIRE §8.7).
    pub filter: Vec<String>,
    /// What it has heard and nobody has taken yet.
    pub heard: VecDeque<Heard>,
    /// Orders that it could not read.
    pub dropped: usize,
    state: State,
    bytes: Vec<u8>,
    out: Vec<Vec<u8>>,
    /// Whether this side has closed the link.
    is_closed: bool,
    asked: Vec<Vec<u8>>,
}

/// WIRE §4.2.
#[derive(Clone, Debug, Eq, PartialEq)]
enum State {
    Off,
    Dialed,
    Accepted,
    AwaitVersion,
    AwaitSyn([u8; 16]),
    AwaitSynAck([u8; 16]),
    AwaitAck([u8; 16], Vec<String>),
    Peered([u8; 16], Vec<String>),
}

const MAGIC: [u8; 4] = *b"ZEEK";
const NIL: [u8; 16] = [0; 16];

impl Peer {
    pub fn new(release: &'static Release, part: Part, id: EndpointId, filter: &[&str]) -> Self {
        Self {
            release,
            part,
            id,
            filter: filter.iter().map(|topic| (*topic).to_owned()).collect(),
            heard: VecDeque::new(),
            dropped: 0,
            state: State::Off,
            bytes: Vec::new(),
            out: Vec::new(),
            is_closed: false,
            asked: Vec::new(),
        }
    }

    /// A link begins.
    pub fn open(&mut self, side: Side) {
        self.bytes.clear();
        self.out.clear();
        self.asked.clear();
        self.is_closed = false;
        match side {
            Side::Dialer => {
                self.state = State::Dialed;
                self.say_hello();
            }
            Side::Acceptor => {
                self.state = State::Accepted;
                self.send(&[&[7], &MAGIC]);
            }
        }
    }

    /// The other side is gone.
    pub fn lost(&mut self) {
        if self.state != State::Off {
            self.state = State::Off;
            self.heard.push_back(Heard::Lost);
        }
    }

    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Peered(..))
    }

    /// Frames to write, and whether the link is closed behind them.
    pub fn take_out(&mut self) -> (Vec<Vec<u8>>, bool) {
        let is_closed = std::mem::take(&mut self.is_closed);
        if is_closed {
            self.state = State::Off;
        }
        (std::mem::take(&mut self.out), is_closed)
    }

    /// Bytes arrived.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.bytes.extend(chunk);
        while let Some(size) = self.bytes.first_chunk() {
            let size = usize::try_from(u32::from_be_bytes(*size)).unwrap();
            if self.is_closed || self.bytes.len() < 4 + size {
                return;
            }
            let rest = self.bytes.split_off(4 + size);
            let payload = std::mem::replace(&mut self.bytes, rest).split_off(4);
            match self.state.clone() {
                State::Off => return,
                State::Peered(peer, filter) => self.on_envelope(peer, &filter, &payload),
                state @ (State::Dialed
                | State::Accepted
                | State::AwaitVersion
                | State::AwaitSyn(_)
                | State::AwaitSynAck(_)
                | State::AwaitAck(..)) => self.on_handshake(state, &payload),
            }
        }
    }

    /// Publishes an event, if the other side wants the topic.
    pub fn publish(&mut self, topic: &str, name: &str, args: Vec<Data>) {
        let payload = self.event(name, args);
        self.publish_payload(topic, payload);
    }

    /// The same with any payload.
    pub fn publish_payload(&mut self, topic: &str, payload: Vec<u8>) {
        let State::Peered(_, filter) = &self.state else {
            return;
        };
        if filter.iter().any(|prefix| topic.starts_with(prefix)) {
            self.envelope(DATA, NIL, topic, payload);
        }
    }

    /// Any envelope, under this endpoint's id.
    pub fn envelope(&mut self, kind: u8, receiver: [u8; 16], topic: &str, payload: Vec<u8>) {
        let is_pong = kind == PONG;
        let envelope = Envelope {
            sender: id_bytes(self.id),
            receiver,
            kind,
            ttl: if is_pong { self.release.pong_ttl } else { 16 },
            topic: topic.to_owned(),
            payload,
        };
        self.out.push(frame(&envelope.encode()));
    }

    /// Any frame.
    pub fn raw(&mut self, payload: &[u8]) {
        self.out.push(frame(payload));
    }

    /// To the other side alone.
    pub fn address(&mut self, kind: u8, payload: Vec<u8>) {
        if let State::Peered(peer, _) = self.state {
            self.envelope(kind, peer, INTERNAL, payload);
        }
    }

    /// A ping, which has to be answered.
    pub fn ping(&mut self, payload: &[u8]) {
        self.asked.push(payload.to_vec());
        self.address(PING, payload.to_vec());
    }

    /// How many pings have no answer yet.
    pub fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// Ends the peering as this release does (WIRE §6.6).
    pub fn leave(&mut self) {
        match self.release.leaving {
            Leaving::Close => self.is_closed = true,
            Leaving::Goodbye => self.ping(b"BYE\x01\0\0\0\0\0\0\x10"),
        }
    }

    /// The payload of an event as this release and part writes it (WIRE §8.2).
    fn event(&self, name: &str, args: Vec<Data>) -> Vec<u8> {
        let mut content = vec![Data::string(name), Data::Vector(args)];
        let metadata = match self.part {
            Part::Supervisor => self.release.supervisor_metadata,
            Part::Controller | Part::Agent | Part::Node => self.release.metadata,
        };
        match metadata {
            Metadata::Absent => {}
            Metadata::Empty => content.push(Data::Vector(Vec::new())),
            Metadata::Timestamp => {
                let time = Data::Timestamp(Timestamp(1_700_000_000_123_456_789));
                let entry = Data::Vector(vec![Data::Count(1), time]);
                content.push(Data::Vector(vec![entry]));
            }
        }
        message(1, content)
    }

    fn send(&mut self, parts: &[&[u8]]) {
        self.out.push(frame(&parts.concat()));
    }

    fn say_hello(&mut self) {
        self.send(&[&[6], &MAGIC, &id_bytes(self.id), &[1, 1]]);
    }

    fn send_filter(&mut self, tag: u8) {
        // A process that has just been started has not made its other subscriptions yet.
        let first = match self.part {
            Part::Agent | Part::Node => 1,
            Part::Controller | Part::Supervisor => self.filter.len(),
        };
        let mut out = vec![tag];
        put_filter(&mut out, &self.filter[..first]);
        self.send(&[&out]);
    }

    fn on_handshake(&mut self, state: State, payload: &[u8]) {
        let release = self.release.name;
        let (tag, rest) = payload.split_first().expect("a message is not empty");
        let mut rest = Reader(rest);
        if (6..=9).contains(tag) {
            assert_eq!(rest.take(4), Ok(MAGIC.as_slice()), "WIRE §4.1");
        }
        match (state, *tag) {
            (State::Dialed | State::Accepted | State::AwaitVersion, 7) => {}
            (State::Dialed | State::Accepted, 6) => {
                let peer = rest.array().unwrap();
                assert_eq!(rest.array(), Ok([1, 1]), "Zeek {release} speaks version 1");
                if id_bytes(self.id) < peer {
                    self.send(&[&[8], &MAGIC, &id_bytes(self.id), &[1]]);
                    self.send_filter(10);
                    self.state = State::AwaitSynAck(peer);
                } else {
                    self.say_hello();
                    self.state = State::AwaitVersion;
                }
            }
            (State::Dialed | State::AwaitVersion, 8) => {
                self.state = State::AwaitSyn(rest.array().unwrap());
                assert_eq!(rest.array(), Ok([1]), "Zeek {release} speaks version 1");
            }
            (State::AwaitSyn(peer), 10) => {
                self.send_filter(11);
                self.state = State::AwaitAck(peer, rest.filter().unwrap());
            }
            (State::AwaitSynAck(peer), 11) => {
                self.send(&[&[12]]);
                self.established(peer, rest.filter().unwrap());
            }
            (State::AwaitAck(peer, filter), 12) => self.established(peer, filter),
            (State::Dialed | State::Accepted | State::AwaitVersion, 9) => {
                self.state = State::Off;
                self.on_drop_conn(&mut rest);
            }
            // The responder has not noticed yet that a link before this one is lost (WIRE §4.4). So
            // late it is no message that is expected, and the link is closed without a word (§4.5).
            (State::AwaitSynAck(_), 9) => {
                self.is_closed = true;
                let code = self.on_drop_conn(&mut rest);
                assert_eq!(code, 40, "of a responder: WIRE §4.4");
            }
            (state, tag) => panic!("Zeek {release} closes: message {tag} in {state:?}, WIRE §4.2"),
        }
        assert!(rest.0.is_empty() || *tag == 9, "surplus bytes: WIRE §2");
    }

    fn on_drop_conn(&mut self, rest: &mut Reader<'_>) -> u8 {
        let release = self.release;
        let _: [u8; 16] = rest.array().unwrap();
        let [code] = rest.array().unwrap();
        assert!(
            code <= release.last_error,
            "Zeek {} knows no error {code}: WIRE §4.5",
            release.name
        );
        self.heard.push_back(Heard::Refused(code));
        code
    }

    fn established(&mut self, peer: [u8; 16], filter: Vec<String>) {
        self.state = State::Peered(peer, filter);
        // Subscriptions of the meantime (WIRE §6.1), then the writers that there are (§8.3).
        match self.part {
            Part::Agent | Part::Node => {
                for count in 2..=self.filter.len() {
                    let mut out = Vec::new();
                    put_filter(&mut out, &self.filter[..count]);
                    self.address(ROUTING_UPDATE, out);
                }
            }
            Part::Controller | Part::Supervisor => {}
        }
        if self.part != Part::Supervisor {
            self.create_log(peer);
        }
        self.heard.push_back(Heard::Up);
    }

    fn create_log(&mut self, peer: [u8; 16]) {
        let path = Data::Vector(vec![
            Data::string("broker"),
            Data::Real(0.0),
            Data::Real(3600.0),
            Data::Real(0.0),
            Data::Table(broker_proto::data::Table::from([])),
            Data::string(""),
        ]);
        let content = vec![
            Data::enum_value("Broker::LOG"),
            Data::enum_value("Log::WRITER_ASCII"),
            path,
            Data::Vector(Vec::new()),
        ];
        self.envelope(DATA, peer, "zeek/logs/Broker::LOG", message(2, content));
    }

    fn on_envelope(&mut self, peer: [u8; 16], filter: &[String], payload: &[u8]) {
        let release = self.release;
        let envelope = match Envelope::decode(payload) {
            Ok(envelope) => envelope,
            Err(error) => return self.judge(release.bad_header, &error, "WIRE §5.5"),
        };
        let me = id_bytes(self.id);
        if envelope.sender == NIL {
            let (name, taken) = (release.name, release.nil_sender);
            panic!("Zeek {name} takes a nil sender for {taken:?}: WIRE §5.3");
        }
        assert_eq!(envelope.sender, peer, "to Zeek {}: WIRE §5.3", release.name);
        assert_eq!(envelope.ttl, 16, "to Zeek {}: WIRE §5.4", release.name);
        let is_mine = envelope.receiver == me;
        if envelope.topic.is_empty() || envelope.payload.is_empty() {
            let error = format!("empty topic or payload: {envelope:?}");
            self.judge(release.empty, &error, "WIRE §5.2");
        }
        match envelope.kind {
            DATA => {
                let mut own = self.filter.iter();
                let is_wanted = own.any(|prefix| envelope.topic.starts_with(prefix));
                assert!(
                    is_mine || (envelope.receiver == NIL && is_wanted),
                    "Zeek {} asked for no {}: WIRE §6.3",
                    release.name,
                    envelope.topic
                );
                self.on_data(envelope.topic, &envelope.payload);
            }
            ROUTING_UPDATE => {
                assert!(is_mine && envelope.topic == INTERNAL, "WIRE §5.3");
                let mut rest = Reader(&envelope.payload);
                let filter = rest.filter().expect("WIRE §6.1");
                if release.filter_count == Count::Ignored {
                    assert!(rest.0.is_empty(), "Zeek {} reads on", release.name);
                }
                assert!(rest.0.is_empty(), "writers are exact: WIRE §6.1");
                self.state = State::Peered(peer, filter);
            }
            PING => {
                assert!(is_mine, "WIRE §5.3");
                let topic = match release.pong_topic {
                    PongTopic::OfThePing => envelope.topic,
                    PongTopic::Internal => INTERNAL.to_owned(),
                };
                self.envelope(PONG, peer, &topic, envelope.payload);
            }
            PONG => {
                assert!(is_mine, "WIRE §5.3");
                let asked = self.asked.iter().position(|it| *it == envelope.payload);
                let asked = asked.expect("no pong is sent that was not asked for: WIRE §6.5");
                self.asked.remove(asked);
                // What reads no pongs closes, which ends a goodbye just as well.
                let is_goodbye = envelope.payload.starts_with(b"BYE");
                self.is_closed |= is_goodbye || release.pong_input == Input::Closes;
            }
            COMMAND => panic!("Zeek {} has no such store: {filter:?}", release.name),
            kind => panic!("type {kind} was checked"),
        }
    }

    fn on_data(&mut self, topic: String, payload: &[u8]) {
        let release = self.release;
        let mut rest = Reader(payload);
        let mut repeated = 0;
        let value = match rest.value(&mut repeated) {
            Ok(value) => value,
            Err(error) => return self.judge(release.bad_value, &error, "WIRE §5.5"),
        };
        if !rest.0.is_empty() {
            self.judge(release.surplus, "bytes behind the value", "WIRE §3.9");
        }
        if repeated > 0 {
            self.judge(release.repeated, "repeated elements", "WIRE §3.8");
        }
        let (name, args) = event(value);
        match shapes::complaint(release, self.part, &name, &args) {
            Ok(Known::Yes | Known::No) => {}
            // How our agent learns what this supervisor reads (API §15.2): a node without name.
            Err(_) if name == "SupervisorControl::create_request" && is_nameless(&args) => {
                self.dropped += 1;
                return;
            }
            Err(error) => panic!("a Zeek {} {:?} drops it: {error}", release.name, self.part),
        }
        self.heard.push_back(Heard::Event { topic, name, args });
    }

    /// Fails unless this release takes it.
    fn judge(&self, input: Input, error: &str, section: &str) {
        let release = self.release.name;
        assert_eq!(input, Input::Taken, "Zeek {release}: {error} ({section})");
    }
}

/// A message of Zeek's (WIRE §8.1).
pub fn message(kind: u64, content: Vec<Data>) -> Vec<u8> {
    let parts = vec![Data::Count(1), Data::Count(kind), Data::Vector(content)];
    let mut out = Vec::new();
    put_value(&mut out, &Data::Vector(parts));
    out
}

/// Whether it asks for a node without name, which no supervisor creates (API §9.2).
pub fn is_nameless(args: &[Data]) -> bool {
    let config = args.get(1).map(super::items);
    config.and_then(<[_]>::first) == Some(&Data::string(""))
}

/// Name and arguments; our programs send nothing but events.
fn event(value: Data) -> (String, Vec<Data>) {
    let text = format!("no event: {value:?} (WIRE §8.2)");
    let Data::Vector(parts) = value else {
        panic!("{text}");
    };
    let [Data::Count(1), Data::Count(1), Data::Vector(content)] = parts.as_slice() else {
        panic!("{text}");
    };
    let (name, args) = match content.as_slice() {
        [Data::String(name), Data::Vector(args)] => (name, args),
        [
            Data::String(name),
            Data::Vector(args),
            Data::Vector(metadata),
        ] => {
            assert!(metadata.iter().all(is_free_metadata), "{text}");
            (name, args)
        }
        _ => panic!("{text}"),
    };
    (name.to_str().unwrap().to_owned(), args.clone())
}

/// Under a key that is not Zeek's, and so ignored by every release.
fn is_free_metadata(entry: &Data) -> bool {
    let key = super::items(entry).first();
    matches!(key, Some(Data::Count(200..)))
}

#[cfg(test)]
mod tests {
    use super::super::release::RELEASES;
    use super::*;

    #[test]
    fn an_originator_whose_link_is_redundant_closes_it() {
        let id = EndpointId::from_bytes([0x10; 16]);
        let mut peer = Peer::new(RELEASES[0], Part::Agent, id, &["/a"]);
        peer.open(Side::Acceptor);
        peer.feed(&message_of(6, &[1, 1]));
        assert_eq!(peer.state, State::AwaitSynAck([0x20; 16]));
        assert_eq!(peer.take_out().0.len(), 3, "probe, version_select and syn");

        // detected redundant connection at the responder, without the text
        peer.feed(&message_of(9, &[40, 0]));

        assert_eq!(peer.take_out(), (Vec::new(), true));
        assert_eq!(Vec::from(peer.heard), [Heard::Refused(40)]);
    }

    /// A frame of the endpoint with the larger id (WIRE §4.1).
    fn message_of(tag: u8, rest: &[u8]) -> Vec<u8> {
        let size = u8::try_from(21 + rest.len()).unwrap();
        let head = [0, 0, 0, size, tag, 0x5a, 0x45, 0x45, 0x4b];
        [&head[..], &[0x20; 16], rest].concat()
    }
}
