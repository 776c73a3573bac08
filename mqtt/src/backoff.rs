//! How long to wait before the next attempt: twice as long each time, and never all units at once.

use std::time::Duration;

/// The waits between attempts.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first_ms: u64, most_ms: u64) -> Self {
        let first = Duration::from_millis(first_ms.max(10));
        Self { first, most: Duration::from_millis(most_ms).max(first), next: first }
    }

    /// How long to wait now: between half of the step and all of it.
    pub(crate) fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.most);
        jittered(step)
    }

    /// How long to wait when only a person can help.
    pub(crate) fn long_wait(&self) -> Duration {
        jittered(self.most)
    }

    /// It worked: the next failure waits for a short time again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

fn jittered(step: Duration) -> Duration {
    step.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_limit_and_begins_anew() {
        let mut backoff = Backoff::new(1000, 10_000);
        for step in [1000, 2000, 4000, 8000, 10_000, 10_000] {
            let wait = backoff.wait().as_millis();
            assert!((step / 2..=step).contains(&wait), "{wait} of {step}");
        }
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_secs(1));
        assert!(backoff.long_wait() >= Duration::from_secs(5));
        assert!(Backoff::new(0, 0).wait() > Duration::ZERO, "never without a pause");
    }
}
