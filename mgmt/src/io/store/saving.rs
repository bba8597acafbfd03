//! Saves beside everything else that a controller does.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::warn;

use super::Store;
use crate::controller::configs::Saved;

/// For so long after a save there is peace before the state file is made whole by itself: another
/// save need not wait for that, and a client that asks again at once has it done once.
const PEACE: Duration = Duration::from_millis(200);

/// The save under way, on a thread of its own: a disk may take its time.
pub(in crate::io) struct Saving {
    store: Arc<Store>,
    task: Option<JoinHandle<Result<(), String>>>,
    settling: Option<JoinHandle<()>>,
}

impl Saving {
    pub(in crate::io) fn new(store: Store) -> Self {
        Self {
            store: Arc::new(store),
            task: None,
            settling: None,
        }
    }

    /// Starts the next one; there is one at a time.
    pub(in crate::io) fn start(&mut self, state: Saved) {
        if let Some(settling) = self.settling.take() {
            settling.abort();
        }
        let store = Arc::clone(&self.store);
        let save = move || store.save(&state).map_err(|error| error.to_string());
        self.task = Some(tokio::task::spawn_blocking(save));
    }

    /// Waits for its end, for ever if there is none.
    pub(in crate::io) async fn end(&mut self) -> Result<(), String> {
        let Some(task) = &mut self.task else {
            return future::pending().await;
        };
        let result = task.await;
        self.task = None;
        self.settling = Some(tokio::spawn(settle(Arc::clone(&self.store))));
        result.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// Makes the state file whole once there is peace, as soon as nobody reads it.
async fn settle(store: Arc<Store>) {
    loop {
        tokio::time::sleep(PEACE).await;
        let store = Arc::clone(&store);
        let settled = tokio::task::spawn_blocking(move || store.settle()).await;
        match settled {
            Ok(Ok(false)) => {}
            Ok(Err(error)) => return warn!(%error, "what was saved stays in the state file's log"),
            Ok(Ok(true)) | Err(_) => return,
        }
    }
}
