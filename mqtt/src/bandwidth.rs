//! A limit of bytes a second, on average. A message is not cut in pieces: after a large one it is quiet
//! for as long as that one should have taken.

use std::time::{Duration, Instant};

/// What may be sent when.
#[derive(Clone, Debug)]
pub(crate) struct Bandwidth {
    /// Bytes a second; 0 is no limit.
    rate: u64,
    free_at: Option<Instant>,
}

impl Bandwidth {
    pub(crate) fn new(rate: u64) -> Self {
        Self { rate, free_at: None }
    }

    /// When the next message may go, if not now.
    pub(crate) fn not_before(&self, now: Instant) -> Option<Instant> {
        self.free_at.filter(|at| *at > now)
    }

    /// So many bytes were sent.
    pub(crate) fn sent(&mut self, bytes: usize, now: Instant) {
        if self.rate > 0 {
            let takes = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
            self.free_at = Some(self.free_at.unwrap_or(now).max(now) + takes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_kept() {
        let start = Instant::now();
        let mut bandwidth = Bandwidth::new(1000);
        let mut now = start;
        for bytes in [300, 5000, 10, 700] {
            assert_eq!(bandwidth.not_before(now), None);
            bandwidth.sent(bytes, now);
            now = bandwidth.not_before(now).unwrap();
        }
        assert_eq!((now - start).as_millis(), 6010);
        // A quiet hour is not saved up.
        let later = now + Duration::from_secs(3600);
        bandwidth.sent(500, later);
        assert_eq!(bandwidth.not_before(later), Some(later + Duration::from_millis(500)));
        let mut unlimited = Bandwidth::new(0);
        unlimited.sent(usize::MAX, start);
        assert_eq!(unlimited.not_before(start), None);
    }
}
