//! When to send again what has not been answered. What is sent is the caller's affair.

/// How patient a sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long it waits for the first answer, in milliseconds; the wait doubles each time …
    pub first_ms: u32,
    /// … up to this.
    pub longest_ms: u32,
    /// After how many times it gives up; 0 for never.
    pub attempts: u16,
}

/// What is under way, in time only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retransmission {
    timing: Timing,
    attempts: u16,
    wait_ms: u32,
    due_ms: u64,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Send (again).
    Send,
    /// Nothing before this time.
    At(u64),
    /// Sent often enough, and never answered.
    GiveUp,
}

impl Retransmission {
    /// Something that is to be sent at once.
    pub const fn new(timing: Timing, now_ms: u64) -> Self {
        Self { timing, attempts: 0, wait_ms: timing.first_ms, due_ms: now_ms }
    }

    /// What is to be done. [`Due::Send`] is said once, and counts as done.
    pub fn poll(&mut self, now_ms: u64) -> Due {
        if now_ms < self.due_ms {
            return Due::At(self.due_ms);
        }
        if self.timing.attempts != 0 && self.attempts >= self.timing.attempts {
            return Due::GiveUp;
        }
        self.attempts = self.attempts.saturating_add(1);
        self.due_ms = now_ms.saturating_add(u64::from(self.wait_ms));
        self.wait_ms = self.wait_ms.saturating_mul(2).min(self.timing.longest_ms);
        Due::Send
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_the_longest_and_then_it_gives_up() {
        let timing = Timing { first_ms: 10, longest_ms: 30, attempts: 4 };
        let mut under_way = Retransmission::new(timing, 100);
        let mut sent = std::vec::Vec::new();
        let mut now = 90;
        let gave_up = loop {
            match under_way.poll(now) {
                Due::Send => sent.push(now),
                Due::At(next) => now = next,
                Due::GiveUp => break now,
            }
        };
        assert_eq!(sent, [100, 110, 130, 160]);
        assert_eq!(gave_up, 190);
    }

    #[test]
    fn without_a_limit_it_never_gives_up() {
        let mut under_way = Retransmission::new(Timing { first_ms: 1, longest_ms: 1, attempts: 0 }, 0);
        for now in 0..100_000 {
            assert_eq!(under_way.poll(now), Due::Send);
        }
        assert_eq!(under_way.poll(u64::MAX), Due::Send);
        assert_eq!(under_way.poll(u64::MAX - 1), Due::At(u64::MAX));
    }
}
