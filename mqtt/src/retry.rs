//! What is done after a connection that failed: it is said once, and tried again after a while.

use crate::backoff::Backoff;
use crate::{MqttError, Stop};
use std::time::{Duration, Instant};

/// A connection that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// The attempts of one thread.
pub(crate) struct Retry {
    backoff: Backoff,
    said: String,
}

impl Retry {
    pub(crate) fn new(first_ms: u64, most_ms: u64) -> Self {
        Self { backoff: Backoff::new(first_ms, most_ms), said: String::new() }
    }

    /// Says what failed, and waits for the next attempt. `progress`: the attempt, which began `since`, got
    /// something done.
    pub(crate) async fn after(&mut self, error: &MqttError, since: Instant, progress: bool, stop: &Stop) {
        // The same error every few minutes, for days, is no news.
        let level = if self.said == error.to_string() { log::Level::Debug } else { log::Level::Warn };
        log::log!(level, "{error}");
        self.said = error.to_string();
        if progress || since.elapsed() > GOOD {
            self.backoff.reset();
        }
        let wait = if error.needs_a_change() { self.backoff.long_wait() } else { self.backoff.wait() };
        stop.within(wait).await;
    }
}
