//! All links of an endpoint, looked after by one task.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::task::coop;
use tracing::debug;

use super::awake::{Awake, Bell};
use super::link::{Link, News, Room};
use crate::peering::{Input, LinkId};

#[derive(Debug)]
pub(super) struct Links {
    links: BTreeMap<LinkId, Entry>,
    awake: Arc<Awake>,
    /// Who was sent something since the last round began.
    sent: Vec<LinkId>,
    /// What is left of this round, in which each link has one turn to write and one to be looked at.
    round: VecDeque<(LinkId, Turn)>,
    is_reading: bool,
    /// Who may have more to read once links are read again.
    unread: BTreeSet<LinkId>,
    room: Room,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    /// It was sent something.
    Write,
    /// Its bell was rung.
    Look,
}

#[derive(Debug)]
struct Entry {
    link: Link,
    bell: Arc<Bell>,
    waker: Waker,
    /// It is among those that were sent something.
    is_sent: bool,
}

impl Links {
    pub(super) fn new() -> Self {
        Self {
            links: BTreeMap::new(),
            awake: Arc::default(),
            sent: Vec::new(),
            round: VecDeque::new(),
            is_reading: true,
            unread: BTreeSet::new(),
            room: Room::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn add(&mut self, id: LinkId, link: Link) {
        let bell = Bell::new(id, Arc::clone(&self.awake));
        bell.ring();
        let entry = Entry {
            link,
            waker: Arc::clone(&bell).into(),
            bell,
            is_sent: false,
        };
        self.links.insert(id, entry);
    }

    pub(super) fn send(&mut self, id: LinkId, bytes: Bytes) {
        let Some(entry) = self.links.get_mut(&id) else {
            return;
        };
        entry.link.send(bytes);
        if !std::mem::replace(&mut entry.is_sent, true) {
            self.sent.push(id);
        }
    }

    pub(super) fn close(&mut self, id: LinkId) {
        if let Some(entry) = self.links.get_mut(&id) {
            entry.link.close();
            entry.bell.ring();
        }
    }

    pub(super) fn set_reading(&mut self, is_reading: bool) {
        self.is_reading = is_reading;
        if is_reading {
            let unread = std::mem::take(&mut self.unread).into_iter();
            self.round.extend(unread.map(|id| (id, Turn::Look)));
        }
    }

    /// What happens next to any of them. Whoever polls is woken if that is not yet.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        loop {
            if self.round.is_empty() {
                let sent = self.sent.drain(..);
                self.round.extend(sent.map(|id| (id, Turn::Write)));
                let round = &mut self.round;
                self.awake.take(cx, |id| round.push_back((id, Turn::Look)));
            }
            if self.round.is_empty() {
                return Poll::Pending;
            }
            // Without one, no socket would do anything, whether it is ready or not.
            if !coop::has_budget_remaining() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let turn = self.round.pop_front();
            let input = turn.and_then(|(id, turn)| self.turn(id, turn));
            if let Some(input) = input {
                return Poll::Ready(input);
            }
        }
    }

    fn turn(&mut self, id: LinkId, turn: Turn) -> Option<Input> {
        let entry = self.links.get_mut(&id)?;
        let mut cx = Context::from_waker(&entry.waker);
        let news = match turn {
            Turn::Write => {
                entry.is_sent = false;
                entry.link.poll_write(&mut cx, &mut self.room)
            }
            Turn::Look => {
                entry.bell.heard();
                if !self.is_reading {
                    self.unread.insert(id);
                }
                entry.link.poll(&mut cx, &mut self.room, self.is_reading)
            }
        };
        if entry.link.has_more() {
            entry.bell.ring();
        }
        match news {
            Poll::Ready(news) => self.input(id, news),
            Poll::Pending => None,
        }
    }

    /// What of it is for the endpoint.
    fn input(&mut self, link: LinkId, news: News) -> Option<Input> {
        match news {
            News::Opened {
                remote,
                certificate,
            } => Some(Input::Opened {
                link,
                remote,
                certificate,
            }),
            News::Bytes(chunk) => Some(Input::Bytes { link, chunk }),
            News::Sent(messages) => Some(Input::Sent { link, messages }),
            News::Closed(reason) => {
                let entry = self.links.remove(&link)?;
                let reason = match entry.link.is_closing() {
                    true => "closed by this side".to_owned(),
                    false => reason,
                };
                debug!(%link, reason, "link closed");
                Some(Input::Closed { link, reason })
            }
        }
    }
}
