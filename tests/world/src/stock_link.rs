//! A stock process on the world's network: one link at a time.

use std::collections::VecDeque;

use broker_proto::Data;
use broker_proto::peering::{Input, LinkId, Output, PeerAddr};

use crate::stock::peer::{Heard, Peer, Side};

/// It speaks with bytes and rules of its own.
#[derive(Debug)]
pub(crate) struct StockLink {
    peer: Peer,
    link: Option<LinkId>,
    dialed: u64,
    out: VecDeque<Output>,
}

impl StockLink {
    /// Nobody is at its other end, but whoever dials this port will be.
    pub(crate) fn new(peer: Peer, port: u16) -> Self {
        let host = "0.0.0.0".to_owned();
        let addr = PeerAddr { host, port };
        Self {
            peer,
            link: None,
            dialed: 0,
            out: [Output::Listen { addr }].into(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.link.is_some()
    }

    pub(crate) fn dial(&mut self, addr: PeerAddr) {
        let link = LinkId::Dialed(self.dialed);
        self.dialed += 1;
        self.out.push_back(Output::Dial { link, addr });
    }

    pub(crate) fn handle(&mut self, input: Input) {
        match input {
            Input::Opened { link, .. } => {
                // One at a time: whoever comes last is there.
                if let Some(former) = self.link.replace(link) {
                    self.peer.lost();
                    self.out.push_back(Output::Close { link: former });
                }
                self.peer.open(match link {
                    LinkId::Dialed(_) => Side::Dialer,
                    LinkId::Accepted(_) => Side::Acceptor,
                });
            }
            Input::Bytes { link, chunk } if self.link == Some(link) => self.peer.feed(&chunk),
            Input::Closed { link, .. } if self.link == Some(link) => {
                self.link = None;
                self.peer.lost();
            }
            // It has no limits, and nobody in it asks for anything.
            Input::Bytes { .. }
            | Input::Closed { .. }
            | Input::Sent { .. }
            | Input::Listen { .. }
            | Input::Dial { .. }
            | Input::Subscribe { .. }
            | Input::Publish { .. }
            | Input::PublishFrame { .. }
            | Input::PublishParts { .. }
            | Input::Unpeer { .. }
            | Input::Restrict { .. }
            | Input::Expel { .. }
            | Input::CheckAlive { .. }
            | Input::Shutdown => {}
        }
    }

    /// What it has heard next.
    pub(crate) fn hear(&mut self) -> Option<Heard> {
        self.peer.heard.pop_front()
    }

    /// Publishes, if somebody is there.
    pub(crate) fn say(&mut self, topic: &str, name: &str, args: Vec<Data>) {
        if self.peer.is_up() {
            self.peer.publish(topic, name, args);
        }
    }

    /// What was said goes on its way.
    pub(crate) fn flush(&mut self) {
        let (frames, is_closed) = self.peer.take_out();
        let Some(link) = self.link else {
            return;
        };
        for bytes in frames {
            let bytes = bytes.into();
            self.out.push_back(Output::Send { link, bytes });
        }
        if is_closed {
            self.out.push_back(Output::Close { link });
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }
}
