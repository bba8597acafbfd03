//! What endpoints send to each other, judged by the bytes on their links alone (WIRE §4 – §6).
//!
//! Every link is read along, in both directions, from its first byte. What an endpoint may know of a
//! peer's filter is what has arrived of it by then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use broker_proto::Filter;
use broker_proto::codec::envelope::{Envelope, MessageKind};
use broker_proto::codec::frame::FrameDecoder;
use broker_proto::codec::handshake::HandshakeMsg;
use broker_proto::codec::{Limits, decode_filter};
use bytes::Bytes;

use super::{Rule, Violation};

/// When nothing fails, what is told to one peer is told to the others within this time.
const SOON: Duration = Duration::from_secs(10);

/// The name of an event is that close to the beginning of a message.
const HEAD: usize = 160;

/// One process on the network. No number is used twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Speaker {
    /// Which.
    pub number: u32,
    /// Stock's agents have habits of their own (API §12.2); only what they want counts.
    pub is_stock: bool,
}

/// One of the two directions of a link: from the side of this number, 0 or 1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Way {
    /// Which link. No number is used twice.
    pub link: u64,
    /// Who sends: the first side has dialed.
    pub side: usize,
}

/// All links there are, and what was said.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    links: BTreeMap<u64, [Direction; 2]>,
    /// Who has said what is said once only.
    said: BTreeSet<(Speaker, u64)>,
    /// And to whom.
    told: BTreeSet<(Speaker, Speaker, u64)>,
    /// The directions that lack what was told to another peer that wants it: since when, and which
    /// event.
    owed: BTreeMap<(Way, u64), (Duration, String)>,
}

#[derive(Debug)]
struct Direction {
    from: Speaker,
    frames: FrameDecoder,
    is_peered: bool,
    /// Bytes sent up to the end of the last frame, and arrived.
    sent: u64,
    arrived: u64,
    /// What of that the other side has to know, by where it ends.
    news: VecDeque<(u64, News)>,
    /// What the sender wants, as far as the other side can know.
    wants: Option<Filter>,
    /// The sender knows that the handshake is over.
    is_up: bool,
}

#[derive(Debug)]
enum News {
    Filter(Filter),
    /// The end of the handshake.
    Ack,
}

impl Traffic {
    pub(super) fn open(&mut self, link: u64, speakers: [Speaker; 2]) {
        let directions = speakers.map(|from| Direction {
            from,
            frames: FrameDecoder::default(),
            is_peered: false,
            sent: 0,
            arrived: 0,
            news: VecDeque::new(),
            wants: None,
            is_up: false,
        });
        self.links.insert(link, directions);
    }

    /// An endpoint hands out bytes for a peer.
    pub(super) fn send(&mut self, at: Duration, way: Way, bytes: Bytes) -> Result<(), Violation> {
        let Some(directions) = self.links.get_mut(&way.link) else {
            return Ok(());
        };
        directions[way.side].frames.push_bytes(bytes);
        while let Some(directions) = self.links.get_mut(&way.link) {
            let direction = &mut directions[way.side];
            let frame = direction.frames.next_frame(Limits::default().frame);
            let Ok(Some(frame)) = frame else {
                break;
            };
            direction.sent += 4 + u64::try_from(frame.len()).unwrap();
            if direction.is_peered {
                self.on_envelope(at, way, &frame)?;
            } else {
                direction.on_handshake(&frame);
            }
        }
        Ok(())
    }

    /// So many bytes more have reached the other side.
    pub(super) fn arrive(&mut self, way: Way, len: usize) {
        let Some(directions) = self.links.get_mut(&way.link) else {
            return;
        };
        let direction = &mut directions[way.side];
        direction.arrived += u64::try_from(len).unwrap();
        let mut is_up = false;
        while let Some((end, _)) = direction.news.front()
            && *end <= direction.arrived
            && let Some((_, news)) = direction.news.pop_front()
        {
            match news {
                News::Filter(filter) => direction.wants = Some(filter),
                News::Ack => is_up = true,
            }
        }
        directions[1 - way.side].is_up |= is_up;
    }

    /// A side sends nothing more.
    pub(super) fn close(&mut self, way: Way) {
        let owed = self.owed.range((way, 0)..=(way, u64::MAX));
        let owed: Vec<(Way, u64)> = owed.map(|(key, _)| *key).collect();
        for key in owed {
            self.owed.remove(&key);
        }
        if let Some(directions) = self.links.get_mut(&way.link) {
            directions[way.side].is_up = false;
        }
    }

    pub(super) fn forget(&mut self, link: u64) {
        for side in [0, 1] {
            self.close(Way { link, side });
        }
        self.links.remove(&link);
    }

    /// Nothing fails: all peers have been told what others were that want the same.
    pub(super) fn check_calm(&self, at: Duration) -> Result<(), Violation> {
        let mut late = self
            .owed
            .iter()
            .filter(|(_, (since, _))| *since + SOON <= at);
        let Some(((way, _), (since, event))) = late.next() else {
            return Ok(());
        };
        let text = format!("{} lacks a {event} that others have", self.between(*way));
        let mut violation = Violation::new(Rule::Misrouted, at, text);
        violation
            .about
            .push((*since, "another peer is told".to_owned()));
        Err(violation)
    }

    fn on_envelope(&mut self, at: Duration, way: Way, frame: &Bytes) -> Result<(), Violation> {
        // Empty frames mean nothing.
        let Ok(Envelope {
            kind,
            topic,
            payload,
            ..
        }) = Envelope::decode(frame)
        else {
            return Ok(());
        };
        let directions = self.links.get_mut(&way.link).unwrap();
        let (from, to) = (directions[way.side].from, directions[1 - way.side].from);
        match kind {
            MessageKind::RoutingUpdate => {
                if let Ok(filter) = decode_filter(&payload, &Limits::default()) {
                    directions[way.side].tell(News::Filter(filter));
                }
            }
            MessageKind::Data if !from.is_stock => {
                let wanted = directions[1 - way.side].wants.as_ref();
                if !wanted.is_some_and(|filter| filter.matches(&topic)) {
                    let text = format!("{} has a message on {topic}", self.between(way));
                    let text = format!("{text}, which was not asked for");
                    return Err(Violation::new(Rule::Misrouted, at, text));
                }
                if let Some(event) = said_once(&payload) {
                    let mut hasher = DefaultHasher::new();
                    (topic.as_bytes(), &payload[..]).hash(&mut hasher);
                    let message = hasher.finish();
                    if !self.told.insert((from, to, message)) {
                        let text = format!("{} has a {event} twice", self.between(way));
                        return Err(Violation::new(Rule::Repeated, at, text));
                    }
                    if self.said.contains(&(to, message)) {
                        let text = format!("{} has the receiver's {event}", self.between(way));
                        return Err(Violation::new(Rule::Repeated, at, text));
                    }
                    self.owed.remove(&(way, message));
                    // What supervisors are asked is not for every peer that wants it (API §18).
                    let is_for_all = event.starts_with("Management::");
                    if self.said.insert((from, message)) && is_for_all {
                        let owed = (at, event);
                        self.expect(owed, way, message, |filter| filter.matches(&topic));
                    }
                }
            }
            MessageKind::Data | MessageKind::Command | MessageKind::Ping | MessageKind::Pong => {}
        }
        Ok(())
    }

    /// What is said on one link shall be said on all others whose peers want it.
    fn expect(
        &mut self,
        owed: (Duration, String),
        way: Way,
        message: u64,
        is_it: impl Fn(&Filter) -> bool,
    ) {
        let from = self.links[&way.link][way.side].from;
        for (link, directions) in &self.links {
            for side in [0, 1] {
                let (here, there) = (&directions[side], &directions[1 - side]);
                let is_wanted = there.wants.as_ref().is_some_and(&is_it);
                if here.from == from && here.is_up && is_wanted && *link != way.link {
                    let link = *link;
                    self.owed
                        .insert((Way { link, side }, message), owed.clone());
                }
            }
        }
    }

    fn between(&self, way: Way) -> String {
        let directions = &self.links[&way.link];
        let [from, to] = [way.side, 1 - way.side].map(|side| directions[side].from.number);
        format!("link {} from process {from} to process {to}", way.link)
    }
}

impl Direction {
    fn on_handshake(&mut self, frame: &[u8]) {
        match HandshakeMsg::decode(frame, &Limits::default()) {
            Ok(HandshakeMsg::OriginatorSyn(filter)) => self.tell(News::Filter(filter)),
            Ok(HandshakeMsg::ResponderSynAck(filter)) => {
                self.is_peered = true;
                self.tell(News::Filter(filter));
            }
            Ok(HandshakeMsg::OriginatorAck) => {
                self.is_peered = true;
                self.is_up = true;
                self.tell(News::Ack);
            }
            Ok(
                HandshakeMsg::Hello { .. }
                | HandshakeMsg::Probe
                | HandshakeMsg::VersionSelect { .. }
                | HandshakeMsg::DropConn(_),
            )
            | Err(_) => {}
        }
    }

    fn tell(&mut self, news: News) {
        self.news.push_back((self.sent, news));
    }
}

/// The event, if it is a request or an answer with an id of its own.
///
/// Agents that do not answer are welcomed again, standbys have no id (API §4.2, §4.5), and
/// supervisors that were away are asked again how their nodes are.
fn said_once(payload: &[u8]) -> Option<String> {
    let head = &payload[..payload.len().min(HEAD)];
    let ends = [&b"_request"[..], &b"_response"[..]];
    let ends = ends.map(|end| Some(find(head, end)? + end.len()));
    let end = ends.into_iter().flatten().min()?;
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || [b'_', b':'].contains(byte);
    let len = head[..end].iter().rev().take_while(|it| is_word(it));
    let name = &head[end - len.count()..end];
    let again = ["agent_welcome_", "agent_standby_", "::status_", "::lives_"];
    let mut again = again.iter().map(|part| find(name, part.as_bytes()));
    let is_once = again.all(|found| found.is_none());
    is_once.then(|| String::from_utf8_lossy(name).into_owned())
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|it| it == part)
}
