//! Who may come in: the places of one listener, as its tasks share them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::places::{Capacity, Full, PlaceId, Places};
use crate::source::Source;

use lines::Lines;

mod lines;

/// Lets links in as long as there are places, and counts those it does not. Clones are the same
/// gate.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
    timeout: Duration,
    watch: Option<Watch>,
}

/// Is told of every link that did not come through. It must not wait.
type Watch = Arc<dyn Fn(Refused) + Send + Sync>;

/// A link that did not come through.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// The other end.
    pub remote: SocketAddr,
    /// Why, for people.
    pub reason: String,
}

/// What happened at a gate. Nothing is ever reset.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Links that were let in.
    pub entered: u64,
    /// Links that were closed at once because there were too many.
    pub full: u64,
    /// Strangers that lost their place to newcomers.
    pub pushed_out: u64,
    /// Links that had not done their TLS handshake in time.
    pub late: u64,
    /// Links that failed before they were open: a TLS handshake, or the peer left.
    pub failed: u64,
}

/// There were too many lines of late.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeftOut;

/// Which of [`Counters`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Late,
    Failed,
}

struct Shared {
    state: Mutex<State>,
    entered: AtomicU64,
    full: AtomicU64,
    pushed_out: AtomicU64,
    late: AtomicU64,
    failed: AtomicU64,
    lines: Mutex<Lines>,
}

struct State {
    places: Places,
    /// Strangers are told when they have to go.
    strangers: BTreeMap<PlaceId, oneshot::Sender<()>>,
}

impl Gate {
    /// A gate with nobody inside. A link has `timeout` for its TLS handshake.
    #[must_use]
    pub fn new(capacity: Capacity, timeout: Duration) -> Self {
        let state = State {
            places: Places::new(capacity),
            strangers: BTreeMap::new(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            entered: AtomicU64::default(),
            full: AtomicU64::default(),
            pushed_out: AtomicU64::default(),
            late: AtomicU64::default(),
            failed: AtomicU64::default(),
            lines: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            timeout,
            watch: None,
        }
    }

    /// The same with somebody who is told of every link that does not come through, also of those
    /// that are only closed because there are too many. `watch` must not wait.
    #[must_use]
    pub fn watched(mut self, watch: impl Fn(Refused) + Send + Sync + 'static) -> Self {
        self.watch = Some(Arc::new(watch));
        self
    }

    /// What happened until now.
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            entered: read(&self.shared.entered),
            full: read(&self.shared.full),
            pushed_out: read(&self.shared.pushed_out),
            late: read(&self.shared.late),
            failed: read(&self.shared.failed),
        }
    }

    /// How many links are inside, strangers included.
    pub fn links(&self) -> usize {
        self.shared.state().places.len()
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A link comes.
    pub(crate) fn enter(&self, remote: SocketAddr) -> Result<Pass, Full> {
        let mut state = self.shared.state();
        let entered = state.places.enter(Source::of(remote.ip()));
        let (place, gone) = match entered {
            Ok(entered) => entered,
            Err(full) => {
                drop(state);
                self.shared.full.fetch_add(1, Ordering::Relaxed);
                self.tell(remote, || full.to_string());
                return Err(full);
            }
        };
        for stranger in gone {
            self.shared.pushed_out.fetch_add(1, Ordering::Relaxed);
            // Its task may be at its end already.
            let told = state.strangers.remove(&stranger);
            let _ = told.map(|told| told.send(()));
        }
        let (tell, told) = oneshot::channel();
        state.strangers.insert(place, tell);
        drop(state);
        self.shared.entered.fetch_add(1, Ordering::Relaxed);
        Ok(Pass {
            known: Known {
                shared: Arc::clone(&self.shared),
                place,
                is_known: Arc::default(),
            },
            told,
        })
    }

    pub(crate) fn count(&self, count: Count) {
        let counter = match count {
            Count::Late => &self.shared.late,
            Count::Failed => &self.shared.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a line about a link that did not come through may go to the log: there are at most 100
    /// a minute, as opening links costs nothing. It is to say how many were left out since the one
    /// before it, if any were.
    ///
    /// # Errors
    /// If this line is left out.
    #[allow(clippy::disallowed_methods, reason = "this is `io`")]
    pub fn line(&self) -> Result<Option<u64>, LeftOut> {
        let lines = self.shared.lines.lock();
        let mut lines = lines.unwrap_or_else(PoisonError::into_inner);
        lines.line(Instant::now())
    }

    /// Tells who watches this gate of a link that came through, and was refused later by whoever
    /// took it.
    pub fn tell(&self, remote: SocketAddr, reason: impl FnOnce() -> String) {
        if let Some(watch) = &self.watch {
            let reason = reason();
            watch(Refused { remote, reason });
        }
    }
}

impl Default for Gate {
    /// With [`Capacity`]'s defaults, and 10 s for the TLS handshake.
    fn default() -> Self {
        Self::new(Capacity::default(), Duration::from_secs(10))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Shared {
    /// Places stay in order whatever happens to a task that holds the lock: nothing there panics.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link's place inside, until it is dropped.
#[derive(Debug)]
pub struct Pass {
    known: Known,
    told: oneshot::Receiver<()>,
}

impl Pass {
    /// What tells the gate that this is no stranger any more.
    pub fn known(&self) -> Known {
        self.known.clone()
    }

    /// Waits until this stranger has to make room for another. Cancel safe.
    pub async fn pushed_out(&mut self) {
        std::future::poll_fn(|cx| self.poll_pushed_out(cx)).await;
    }

    /// The same for those who poll. Must not be called again when it was ready.
    pub fn poll_pushed_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.known.is_known() {
            return Poll::Pending;
        }
        match Pin::new(&mut self.told).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            // The gate forgets whom it knows.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.known.shared.state();
        state.strangers.remove(&self.known.place);
        state.places.leave(self.known.place);
    }
}

/// Tells the gate that a link is no stranger's any more. Keeps no place.
#[derive(Clone)]
pub struct Known {
    shared: Arc<Shared>,
    place: PlaceId,
    is_known: Arc<AtomicBool>,
}

impl Known {
    /// From now on nobody pushes this link out. `false` if somebody has: then it has no place, and
    /// has to go.
    pub fn settle(&self) -> bool {
        let mut state = self.shared.state();
        let is_held = state.places.settle(self.place);
        if is_held {
            self.is_known.store(true, Ordering::Relaxed);
            state.strangers.remove(&self.place);
        }
        is_held
    }

    /// Whether that was told.
    pub fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Known").field(&self.place).finish()
    }
}

#[cfg(test)]
mod tests;
