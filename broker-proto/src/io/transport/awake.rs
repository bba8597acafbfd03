//! Which links something has happened to.
//!
//! One task looks after all links of an endpoint. Each link has a [`Bell`] as its waker, so that only
//! those are looked at that have something to say, however many there are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

use crate::peering::LinkId;

/// The links whose bell was rung, each at most once, in that order.
#[derive(Debug, Default)]
pub(super) struct Awake(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    links: Vec<LinkId>,
    waiting: Option<Waker>,
}

impl Awake {
    /// Hands them all over. If there is none, the first one will wake who asks here.
    pub(super) fn take(&self, cx: &Context<'_>, each: impl FnMut(LinkId)) {
        // Nothing panics while it is held.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.links.is_empty() {
            state.waiting = Some(cx.waker().clone());
        }
        state.links.drain(..).for_each(each);
    }

    fn add(&self, link: LinkId) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.links.push(link);
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

/// The waker of one link.
#[derive(Debug)]
pub(super) struct Bell {
    link: LinkId,
    is_rung: AtomicBool,
    awake: Arc<Awake>,
}

impl Bell {
    pub(super) fn new(link: LinkId, awake: Arc<Awake>) -> Arc<Self> {
        let is_rung = AtomicBool::new(false);
        Arc::new(Self {
            link,
            is_rung,
            awake,
        })
    }

    pub(super) fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            self.awake.add(self.link);
        }
    }

    /// The link is looked at after this: what happens from here on rings again.
    pub(super) fn heard(&self) {
        self.is_rung.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn taken(awake: &Awake, waiting: &Waker) -> Vec<LinkId> {
        let mut links = Vec::new();
        awake.take(&Context::from_waker(waiting), |link| links.push(link));
        links
    }

    #[test]
    fn each_is_named_once_until_it_was_heard_and_wakes_who_found_none() {
        let counted = Arc::new(Counted::default());
        let waiting = Arc::clone(&counted).into();
        let awake = Arc::new(Awake::default());
        let [first, second] = [1, 2].map(LinkId::Accepted);
        let bells = [first, second].map(|link| Bell::new(link, Arc::clone(&awake)));
        let woken = || counted.0.load(Ordering::Relaxed);

        assert_eq!(taken(&awake, &waiting), []);
        for bell in [1, 0, 1, 0].map(|n| &bells[n]) {
            bell.ring();
        }
        assert_eq!(woken(), 1);
        assert_eq!(taken(&awake, &waiting), [second, first]);

        assert_eq!(taken(&awake, &waiting), []);
        bells[0].ring();
        assert_eq!((woken(), taken(&awake, &waiting)), (1, vec![]));
        bells[0].heard();
        bells[0].ring();
        assert_eq!((woken(), taken(&awake, &waiting)), (2, vec![first]));
    }
}
