//! When the next frame may be judged: the clock and the sensors beside the rule in [`crate::board`].

use super::Tally;
use crate::board::{Heat, Pace, PaceRule};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the sensors are read. A board's temperature needs some seconds to follow its load.
const EVERY: Duration = Duration::from_secs(5);

pub(super) struct Pacer {
    pace: Pace,
    began: Option<Instant>,
    next: Option<Instant>,
    looked: Option<Instant>,
}

impl Pacer {
    pub(super) fn new(rule: PaceRule) -> Self {
        Self { pace: Pace::new(rule), began: None, next: None, looked: None }
    }

    /// Reads the sensors, if it is time to, and tells of what has changed.
    pub(super) fn look(&mut self, tally: &mut Tally) {
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now - looked < EVERY) {
            return;
        }
        self.looked = Some(now);
        let heat = Heat::read(Path::new("/sys"));
        for why in heat.now.iter().filter(|why| !tally.heat.now.contains(why)) {
            tally.slowed += 1;
            log::warn!("the board is slowed down: {why}{}", degrees(&heat));
        }
        if heat.now.is_empty() && !tally.heat.now.is_empty() {
            log::info!("the board is no longer slowed down{}", degrees(&heat));
        }
        if let Some(share) = self.pace.heed(&heat) {
            let change = if share < tally.pace { "less" } else { "more" };
            log::warn!("judging {change}, for {:.0} % of the time{}", share * 100.0, degrees(&heat));
        }
        tally.pace = self.pace.share();
        tally.heat = heat;
    }

    /// How long to wait before the next frame.
    pub(super) fn rest(&self) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()))
    }

    /// A frame begins to be judged.
    pub(super) fn begins(&mut self) {
        self.began = Some(Instant::now());
    }

    /// It has been judged.
    pub(super) fn ends(&mut self) {
        self.next = self.began.map(|began| began + self.pace.period(began.elapsed()));
    }
}

fn degrees(heat: &Heat) -> String {
    heat.celsius.map_or(String::new(), |celsius| format!(" ({celsius:.1} °C)"))
}
