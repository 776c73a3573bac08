//! The bounded queue between judging and the serial line. When the line is too slow, old verdicts are
//! given up, known ones first: the companion hears of what is unknown.

use anchorwatch_core::link::RegionVerdict;
use std::collections::VecDeque;

/// How many verdicts wait.
pub(super) const ROOM: usize = 64;

/// Verdicts on their way.
#[derive(Debug, Default)]
pub(super) struct VerdictQueue {
    waiting: VecDeque<RegionVerdict>,
    dropped: u64,
}

impl VerdictQueue {
    /// Puts one in; when there is no room, the oldest known one is given up, or else the oldest.
    pub(super) fn push(&mut self, verdict: RegionVerdict) {
        if self.waiting.len() >= ROOM {
            let known = self.waiting.iter().position(|waiting| !waiting.verdict().is_unknown());
            self.waiting.remove(known.unwrap_or(0));
            self.dropped += 1;
        }
        self.waiting.push_back(verdict);
    }

    /// The oldest.
    pub(super) fn pop(&mut self) -> Option<RegionVerdict> {
        self.waiting.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets all: they are old by now.
    pub(super) fn clear(&mut self) {
        self.dropped += self.waiting.len() as u64;
        self.waiting.clear();
    }

    /// How many were given up.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(region: usize, score: f32) -> RegionVerdict {
        RegionVerdict { region: region as u16, class: Some(0), score, threshold: 1.0 }
    }

    #[test]
    fn unknown_verdicts_outlive_known_ones() {
        let mut queue = VerdictQueue::default();
        for region in 0..ROOM {
            queue.push(verdict(region, if region % 2 == 0 { 2.0 } else { 0.5 }));
        }
        for region in ROOM..ROOM + 40 {
            queue.push(verdict(region, 2.0));
        }
        assert_eq!(queue.dropped(), 40);
        let left: Vec<u16> = std::iter::from_fn(|| queue.pop()).map(|verdict| verdict.region).collect();
        // All 32 known ones went, then the 8 oldest.
        let wanted: Vec<u16> = (16..64).step_by(2).chain(64..104).collect();
        assert_eq!(left, wanted);
    }
}
