//! A recorded session replayed against one of our programs, in the place of its recorded self.
//!
//! The program gets the endpoint id of the one it stands for, so that every handshake goes the
//! recorded way. Each message of its peers and clients is fed at its recorded time. Only where a
//! peer answers an id that the recorded program drew, the frame gets the id that ours drew for the
//! same request, and it waits until ours has made that request. What ours sends is matched,
//! connection by connection, with what was recorded: the same events in the same order, each when
//! its cause has come ([`HASTE`]). Only equally named neighbours may change places, because stock
//! orders them as it iterates its tables.

mod leg;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use broker_proto::Data;
use broker_proto::peering::{self, LinkId};
use harness::recorded::SentEvent;
use harness::transcript::{Connection, Side};
use mgmt::controller::configs::Saved;
use mgmt::controller::process::Output;
use zeek_client_compat::hub::{self, ClientId};

use crate::unify::Ids;
use leg::{Leg, Step};

/// How much earlier than the recorded program ours may send something. Both react to the same
/// inputs at the same times, but ours takes no time for it, and stock's packets may wait 40 ms for an
/// acknowledgement (API §12.2 D73). What is sent without its cause is earlier than that, or has no
/// match; what ours is late with has none either.
const HASTE: Duration = Duration::from_millis(100);

/// The same where stock waits for the end of a request; it looks every 2 s (API §3 R5).
const HASTE_OF_TIMEOUTS: Duration = Duration::from_secs(2);

/// A program of ours.
pub(crate) trait Subject {
    fn broker(&mut self, now: Instant, input: peering::Input);
    fn timeout(&mut self, now: Instant);
    fn output(&mut self) -> Option<Output>;
    fn deadline(&self) -> Option<Instant>;
    /// Only a controller has clients.
    fn websocket(&mut self, _now: Instant, input: hub::Input) {
        panic!("nobody takes {input:?}");
    }
    /// Only a controller has something to keep.
    fn saved(&mut self, _now: Instant) {
        panic!("nothing was to be saved");
    }
}

/// What was recorded and not sent, and what was sent and not recorded.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Events that were recorded and sent.
    same: usize,
    missing: Vec<Entry>,
    surplus: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Connection and event.
    label: String,
    /// All of it.
    text: String,
}

/// A run in progress.
pub(crate) struct Replay<'a, S> {
    subject: S,
    start: Instant,
    now: Instant,
    legs: Vec<Leg<'a>>,
    ids: Ids,
    dials: Vec<(LinkId, u16)>,
    difference: Difference,
    log: Vec<String>,
    kept: Option<Saved>,
}

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) difference: Difference,
    /// The messages of our management log.
    pub(crate) log: Vec<String>,
    /// Which id of ours stands for which recorded one.
    pub(crate) ids: Ids,
    /// What a controller kept last.
    pub(crate) kept: Option<Saved>,
}

impl Difference {
    /// All but an agent's notices, which stock's controller ignores (API §15.2 D37).
    pub(crate) fn without_notices(mut self) -> Self {
        let is_notice = |entry: &Entry| entry.label.ends_with(": notify_change");
        assert!(self.surplus.iter().any(is_notice), "no notice was sent");
        self.surplus.retain(|entry| !is_notice(entry));
        self
    }

    /// All but what the supervisor is asked, where stock sends it to nodes, too (API §2.5).
    pub(crate) fn without_orders_to_nodes(mut self) -> Self {
        let is_order = |entry: &Entry| {
            let order = entry.label.strip_prefix("node-agent: ");
            let order = order.or_else(|| entry.label.strip_prefix("to-agent: "));
            let orders = [
                "create_request",
                "destroy_request",
                "restart_request",
                "status_request",
            ];
            order.is_some_and(|order| orders.contains(&order))
        };
        assert!(self.missing.iter().any(is_order), "nodes were sent orders");
        self.missing.retain(|entry| !is_order(entry));
        self
    }

    /// Fails if more or fewer events are the same, or if the differences are others than these, each
    /// given as connection and event.
    pub(crate) fn assert(&self, count: usize, missing: &[&str], surplus: &[&str]) {
        let labels = |entries: &[Entry]| {
            let labels = entries.iter().map(|entry| entry.label.clone());
            labels.collect::<Vec<_>>()
        };
        let texts = |entries: &[Entry]| {
            let texts = entries.iter().map(|entry| entry.text.clone());
            texts.collect::<Vec<_>>().join("\n")
        };
        let expected = labels(&self.missing) == missing && labels(&self.surplus) == surplus;
        let (lacks, has) = (texts(&self.missing), texts(&self.surplus));
        assert_eq!(self.same, count, "events that are the same");
        assert!(
            expected,
            "recorded, not sent:\n{lacks}\n\nsent, not recorded:\n{has}\n"
        );
    }
}

impl<'a, S: Subject> Replay<'a, S> {
    /// `legs` are the connections to replay, with the end that our program takes.
    pub(crate) fn new(subject: S, start: Instant, legs: Vec<(&'a Connection, Side)>) -> Self {
        let mut ids = Ids::default();
        let legs: Vec<Leg<'_>> = Leg::all(legs);
        let recorded = legs.iter().flat_map(|leg| &leg.expected);
        let requests = recorded.filter(|sent| sent.event.name.ends_with("_request"));
        for request in requests {
            if let Some(Data::String(id)) = request.event.args.first() {
                ids.declare(&id.to_lossy());
            }
        }
        Self {
            subject,
            start,
            now: start,
            legs,
            ids,
            dials: Vec::new(),
            difference: Difference::default(),
            log: Vec::new(),
            kept: None,
        }
    }

    /// Replays everything up to this time.
    pub(crate) fn run(mut self, until: Duration) -> Outcome {
        self.drain();
        for (at, leg, step) in self.steps() {
            if at > until {
                break;
            }
            self.advance(self.start + at);
            self.step(leg, step);
            self.flush();
        }
        self.advance(self.start + until);
        for leg in &self.legs {
            let missing = leg.expected.iter().filter(|sent| sent.at <= until);
            self.difference
                .missing
                .extend(missing.map(|sent| leg.entry(sent)));
            let name = &leg.connection.name;
            let stuck = leg.due.iter().map(|(_, frame)| Entry {
                label: format!("{name}: undelivered"),
                text: format!("{name}: waits for a request of ours: {frame:?}"),
            });
            self.difference.surplus.extend(stuck);
        }
        Outcome {
            difference: self.difference,
            log: self.log,
            ids: self.ids,
            kept: self.kept,
        }
    }

    fn steps(&self) -> Vec<(Duration, usize, Step)> {
        let legs = self.legs.iter().enumerate();
        let mut steps: Vec<_> = legs
            .flat_map(|(at, leg)| {
                leg.steps()
                    .into_iter()
                    .map(move |(time, step)| (time, at, step))
            })
            .collect();
        steps.sort_by_key(|(time, ..)| *time);
        steps
    }

    fn step(&mut self, at: usize, step: Step) {
        let client = self.legs[at].client;
        match (step, client) {
            (Step::Open, None) => self.open(at),
            (Step::Open, Some(client)) => {
                let port = self.legs[at].connection.client_port;
                let (remote, application) = (local(port), None);
                self.websocket(hub::Input::Opened {
                    client,
                    remote,
                    application,
                    certificate: None,
                });
            }
            (Step::Frame(bytes, frame), _) => self.legs[at].due.push_back((bytes, *frame)),
            (Step::Text(text), Some(client)) => self.websocket(hub::Input::Text { client, text }),
            (Step::Text(text), None) => panic!("a peering carries {text}"),
            (Step::Close, Some(client)) => {
                let reason = "end of stream".to_owned();
                self.websocket(hub::Input::Closed { client, reason });
            }
            (Step::Close, None) => {
                if let Some(link) = self.legs[at].link.take() {
                    let reason = "end of stream".to_owned();
                    self.subject
                        .broker(self.now, peering::Input::Closed { link, reason });
                }
            }
        }
        self.drain();
    }

    fn websocket(&mut self, input: hub::Input) {
        self.subject.websocket(self.now, input);
    }

    fn open(&mut self, at: usize) {
        let leg = &mut self.legs[at];
        let (link, port) = match leg.side {
            Side::Client => {
                let port = leg.connection.server_port;
                let dialed = self.dials.iter().position(|(_, dialed)| *dialed == port);
                let Some(dialed) = dialed else {
                    let label = format!("{}: not dialed", leg.connection.name);
                    let text = label.clone();
                    return self.difference.missing.push(Entry { label, text });
                };
                (self.dials.remove(dialed).0, port)
            }
            Side::Server => {
                let count = u64::try_from(at).unwrap();
                (LinkId::Accepted(count), leg.connection.client_port)
            }
        };
        leg.link = Some(link);
        let remote = local(port);
        self.subject.broker(
            self.now,
            peering::Input::Opened {
                link,
                remote,
                certificate: None,
            },
        );
    }

    /// Lets time pass, deadline by deadline.
    fn advance(&mut self, to: Instant) {
        while let Some(deadline) = self.subject.deadline().filter(|deadline| *deadline <= to) {
            self.now = self.now.max(deadline);
            self.subject.timeout(self.now);
            self.drain();
            self.flush();
        }
        self.now = self.now.max(to);
    }

    /// Feeds frames that are due and whose ids are known.
    fn flush(&mut self) {
        let mut progress = true;
        while progress {
            progress = false;
            for at in 0..self.legs.len() {
                let Some((link, chunk)) = self.legs[at].next_due(&self.ids) else {
                    continue;
                };
                self.subject
                    .broker(self.now, peering::Input::Bytes { link, chunk });
                self.drain();
                progress = true;
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.subject.output() {
            match output {
                Output::Broker(output) => self.on_broker(output),
                Output::WebSocket(output) => self.on_websocket(output),
                Output::Log(record) => self.log.push(record.message),
                // Stock has no such log.
                Output::Audit(_) | Output::Audited(_) => {}
                Output::Save { state } => {
                    self.kept = Some(state);
                    self.subject.saved(self.now);
                }
            }
        }
    }

    fn on_broker(&mut self, output: peering::Output) {
        let leg_of = |legs: &[Leg<'_>], link| legs.iter().position(|leg| leg.link == Some(link));
        match output {
            peering::Output::Dial { link, addr } => self.dials.push((link, addr.port)),
            peering::Output::Send { link, bytes } => {
                let messages = 1;
                self.subject
                    .broker(self.now, peering::Input::Sent { link, messages });
                if let Some(at) = leg_of(&self.legs, link) {
                    let sent = self.legs[at].read(&bytes, self.now - self.start);
                    self.compare(at, sent);
                }
            }
            peering::Output::Close { link } => {
                if let Some(at) = leg_of(&self.legs, link) {
                    let label = format!("{}: closed", self.legs[at].connection.name);
                    let text = label.clone();
                    self.difference.surplus.push(Entry { label, text });
                }
            }
            peering::Output::Listen { .. }
            | peering::Output::Deliver { .. }
            | peering::Output::PeerUp { .. }
            | peering::Output::PeerDown { .. }
            | peering::Output::PeerUnreachable { .. }
            | peering::Output::Misbehaved { .. }
            | peering::Output::Stopped => {}
        }
    }

    fn on_websocket(&mut self, output: hub::Output) {
        let leg_of = |legs: &[Leg<'_>], client: ClientId| {
            legs.iter()
                .position(|leg| leg.client == Some(client))
                .unwrap()
        };
        match output {
            hub::Output::Send { client, text } => {
                let at = leg_of(&self.legs, client);
                if self.legs[at].acks.front().is_some_and(|ack| **ack == *text) {
                    self.legs[at].acks.pop_front();
                    return;
                }
                match leg::event_in(&text) {
                    Some((topic, event)) => {
                        let (at_time, from) = (self.now - self.start, Side::Server);
                        self.compare(
                            at,
                            vec![SentEvent {
                                at: at_time,
                                from,
                                topic,
                                event,
                            }],
                        );
                    }
                    None => self.difference.surplus.push(Entry {
                        label: text.to_string(),
                        text: text.to_string(),
                    }),
                }
            }
            hub::Output::Close { client, reason, .. } => {
                let label = format!("{client}: closed");
                let text = format!("{client}: closed: {reason}");
                self.difference.surplus.push(Entry { label, text });
            }
            hub::Output::Deliver { .. }
            | hub::Output::Refused { .. }
            | hub::Output::Unread { .. }
            | hub::Output::Unsent { .. } => {}
        }
    }

    fn compare(&mut self, at: usize, sent: Vec<SentEvent>) {
        for ours in sent {
            let leg = &mut self.legs[at];
            let ids = &mut self.ids;
            let overdue = leg.expected.iter().take_while(|next| next.at < ours.at);
            let overdue = overdue.count();
            let missed: Vec<_> = leg.expected.drain(..overdue).collect();
            let missed = missed.iter().map(|missed| leg.entry(missed));
            self.difference.missing.extend(missed);
            let name = leg.expected.front().map(|next| next.event.name.clone());
            let next = leg.expected.iter();
            let mut next = next.take_while(|recorded| Some(&recorded.event.name) == name.as_ref());
            let fits = next.position(|recorded| {
                let is_due = recorded.at - ours.at <= haste(recorded);
                let recorded = (&recorded.topic, &recorded.event);
                is_due && ids.unify(recorded, (&ours.topic, &ours.event)).is_ok()
            });
            match fits {
                Some(fits) => {
                    leg.expected.remove(fits);
                    self.difference.same += 1;
                }
                None => self.difference.surplus.push(leg.entry(&ours)),
            }
        }
    }
}

fn haste(recorded: &SentEvent) -> Duration {
    match recorded.event.name.ends_with("::test_timeout_response") {
        true => HASTE_OF_TIMEOUTS,
        false => HASTE,
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
