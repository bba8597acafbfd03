//! What waits to be sent to one client: bounded in messages and bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

use super::Limits;
use crate::hub::Text;

/// What a client's task is told to do.
#[derive(Debug)]
pub(super) enum Order {
    Send(Text),
    Close {
        code: u16,
        reason: String,
    },
    /// More waited than may; what still waits is not sent.
    GiveUp,
}

/// The server's end.
#[derive(Debug)]
pub(super) struct Outbox {
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
    max_bytes: usize,
}

/// The task's end.
#[derive(Debug)]
pub(super) struct OutboxReader {
    orders: mpsc::Receiver<Order>,
    shared: Arc<Shared>,
}

/// More than the client's limits allow.
#[derive(Debug)]
pub(super) struct Full;

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    overflow: Notify,
}

/// An empty outbox.
pub(super) fn new(limits: &Limits) -> (Outbox, OutboxReader) {
    let (sender, receiver) = mpsc::channel(limits.outbox_messages);
    let shared = Arc::new(Shared::default());
    let outbox = Outbox {
        orders: sender,
        shared: Arc::clone(&shared),
        max_bytes: limits.outbox_bytes,
    };
    let reader = OutboxReader {
        orders: receiver,
        shared,
    };
    (outbox, reader)
}

impl Outbox {
    /// Queues an order. A task that has ended takes everything and does nothing.
    pub(super) fn push(&self, order: Order) -> Result<(), Full> {
        let waiting = self.waiting();
        if waiting > 0 && waiting.saturating_add(order.len()) > self.max_bytes {
            return Err(Full);
        }
        self.shared.bytes.fetch_add(order.len(), Ordering::Relaxed);
        match self.orders.try_send(order) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Full),
        }
    }

    /// How many bytes are not written yet.
    pub(super) fn waiting(&self) -> usize {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// How many may be.
    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Makes the task give up, whatever it is doing.
    pub(super) fn overflow(&self) {
        self.shared.overflow.notify_one();
    }
}

impl OutboxReader {
    /// The next order; `None` when the server is gone. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Order> {
        tokio::select! {
            biased;
            () = self.shared.overflow.notified() => Some(Order::GiveUp),
            order = self.orders.recv() => order,
        }
    }

    /// The next order, if one waits.
    pub(super) fn try_next(&mut self) -> Option<Order> {
        self.orders.try_recv().ok()
    }

    /// So many bytes of messages are written.
    pub(super) fn written(&self, len: usize) {
        self.shared.bytes.fetch_sub(len, Ordering::Relaxed);
    }

    /// Waits until the server has more for the client than may wait. Cancel safe.
    pub(super) async fn overflowed(&self) {
        self.shared.overflow.notified().await;
    }

    /// Forgets what waits, and takes no more.
    pub(super) fn discard(&mut self) {
        self.orders.close();
        while self.try_next().is_some() {}
    }
}

impl Order {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Send(text) => text.len(),
            Self::Close { .. } | Self::GiveUp => 0,
        }
    }
}
