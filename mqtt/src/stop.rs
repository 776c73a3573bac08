//! Ends what runs on a thread of its own, and wakes it up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Given to what is to be ended; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inside>);

#[derive(Debug, Default)]
struct Inside {
    stopped: AtomicBool,
    changed: Notify,
}

impl Stop {
    /// Ends it, as soon as it can be ended cleanly.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.changed.notify_one();
    }

    /// Whether it was ended.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    /// There is something new to do.
    pub(crate) fn wake(&self) {
        self.0.changed.notify_one();
    }

    /// Waits for either. One waits at a time.
    pub(crate) async fn changed(&self) {
        if !self.is_stopped() {
            self.0.changed.notified().await;
        }
    }

    /// Waits for the end, or as long as this.
    pub(crate) async fn within(&self, time: std::time::Duration) {
        let until = tokio::time::Instant::now() + time;
        while !self.is_stopped() {
            if tokio::time::timeout_at(until, self.0.changed.notified()).await.is_err() {
                return;
            }
        }
    }
}
