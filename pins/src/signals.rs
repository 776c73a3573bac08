//! When the pins are on: from what happens to levels, without a pin or a clock of its own.

use std::time::{Duration, Instant};

/// The heartbeat is on for so long, then off for so long.
const HALF_BEAT: Duration = Duration::from_millis(500);

/// What the levels depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signals {
    /// The unknown pin stays on at least so long.
    pulse: Duration,
    /// Without a sign of life for so long, the heart stands still.
    patience: Duration,
    unknown: bool,
    raised: Option<Instant>,
    alive: Option<Instant>,
    began: Instant,
}

impl Signals {
    /// Nothing unknown, and no life yet.
    pub(crate) fn new(pulse: Duration, patience: Duration, now: Instant) -> Self {
        Self { pulse, patience, unknown: false, raised: None, alive: None, began: now }
    }

    /// Something unknown is there, or no more.
    pub(crate) fn unknown(&mut self, there: bool, now: Instant) {
        if there && !self.unknown {
            self.raised = Some(now);
        }
        self.unknown = there;
    }

    /// A frame has come.
    pub(crate) fn alive(&mut self, now: Instant) {
        self.alive = Some(now);
    }

    /// Whether the unknown pin is on: while something unknown is there, and to the end of its pulse.
    pub(crate) fn unknown_level(&self, now: Instant) -> bool {
        self.unknown || self.raised.is_some_and(|raised| now.duration_since(raised) < self.pulse)
    }

    /// Whether the heartbeat pin is on.
    pub(crate) fn heartbeat_level(&self, now: Instant) -> bool {
        let lives = self.alive.is_some_and(|alive| now.duration_since(alive) < self.patience);
        let half_beats = now.duration_since(self.began).as_millis() / HALF_BEAT.as_millis();
        lives && half_beats.is_multiple_of(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn the_unknown_pin_is_on_as_long_as_the_thing_and_its_pulse() {
        let start = Instant::now();
        let mut signals = Signals::new(Duration::from_millis(200), Duration::from_secs(3), start);
        assert!(!signals.unknown_level(start));
        signals.unknown(true, after(start, 100));
        signals.unknown(false, after(start, 150));
        assert!(signals.unknown_level(after(start, 299)));
        assert!(!signals.unknown_level(after(start, 300)));
        signals.unknown(true, after(start, 400));
        signals.unknown(true, after(start, 900)); // the same thing: the pulse began at 400
        assert!(signals.unknown_level(after(start, 5000)));
        signals.unknown(false, after(start, 5000));
        assert!(!signals.unknown_level(after(start, 5000)));
    }

    #[test]
    fn the_heart_beats_while_frames_come() {
        let start = Instant::now();
        let mut signals = Signals::new(Duration::ZERO, Duration::from_secs(3), start);
        assert!(!signals.heartbeat_level(start));
        signals.alive(start);
        let beats: Vec<bool> = (0..8).map(|half| signals.heartbeat_level(after(start, half * 500))).collect();
        // Three seconds after the last frame it stands still, off.
        assert_eq!(beats, [true, false, true, false, true, false, false, false]);
        signals.alive(after(start, 4000));
        assert!(signals.heartbeat_level(after(start, 4000)));
    }
}
