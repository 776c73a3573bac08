//! The watchdog for the host: no message for too long, and it is lost.

/// Watches for signs of life.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostWatch {
    heard_ms: u64,
    lost: bool,
}

impl HostWatch {
    /// A watch that begins when the board does: a host that never comes is lost too.
    pub const fn new() -> Self {
        Self { heard_ms: 0, lost: false }
    }

    /// A sign of life; true when the host was lost until now.
    pub fn heard(&mut self, now_ms: u64) -> bool {
        self.heard_ms = now_ms;
        core::mem::take(&mut self.lost)
    }

    /// Looks at the time; true when the host is lost from now on.
    pub fn tick(&mut self, timeout_ms: u32, now_ms: u64) -> bool {
        if self.lost || now_ms.saturating_sub(self.heard_ms) < u64::from(timeout_ms) {
            return false;
        }
        self.lost = true;
        true
    }

    /// Whether the host is lost.
    pub fn is_lost(&self) -> bool {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_noticed_once_and_a_word_ends_it() {
        let mut host = HostWatch::new();
        assert!(!host.tick(100, 99));
        assert!(host.tick(100, 100) && host.is_lost());
        assert!(!host.tick(100, 500));
        assert!(host.heard(600) && !host.is_lost());
        assert!(!host.heard(650));
        assert!(!host.tick(100, 749));
        assert!(host.tick(100, 750));
    }
}
