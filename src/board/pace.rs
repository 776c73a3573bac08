//! How fast frames may be judged: a limit, a share of the time, and less of it while the processor is hot.
//! Only numbers go in and out: reading sensors, waiting and logging are done elsewhere.

use super::Heat;
use std::time::Duration;

/// How much cooler than its limit it must be before it may work more again, in °C.
const COOLER: f64 = 5.0;
/// The least share of the time that heat leaves.
const LEAST: f64 = 1.0 / 16.0;

/// What is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PaceRule {
    /// Frames a second, at most.
    pub max_fps: Option<f64>,
    /// The share of the time that is spent on judging, at most: above 0, up to 1.
    pub max_load: Option<f64>,
    /// The processor's temperature from which less is done, in °C.
    pub max_temperature: Option<f64>,
}

/// The rule, and what is left of the time just now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    rule: PaceRule,
    /// What heat leaves: 1 is all.
    share: f64,
}

impl Pace {
    /// Nothing is hot yet.
    pub fn new(rule: PaceRule) -> Self {
        Self { rule, share: 1.0 }
    }

    /// Takes a reading; the new share, if it changes. It is halved while it is too hot, and doubled
    /// again once it is clearly cooler: readings between leave it as it is.
    pub fn heed(&mut self, heat: &Heat) -> Option<f64> {
        let limit = self.rule.max_temperature?;
        let degrees = heat.celsius;
        let share = if heat.is_too_hot() || degrees.is_some_and(|degrees| degrees >= limit) {
            (self.share / 2.0).max(LEAST)
        } else if degrees.is_none_or(|degrees| degrees <= limit - COOLER) {
            (self.share * 2.0).min(1.0)
        } else {
            self.share
        };
        (share != std::mem::replace(&mut self.share, share)).then_some(share)
    }

    /// What heat leaves of the time: 1 is all.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// How long after the beginning of a frame that took so long the next one may begin.
    pub fn period(&self, busy: Duration) -> Duration {
        let share = self.share * self.rule.max_load.unwrap_or(1.0);
        let by_rate = self.rule.max_fps.map_or(0.0, |fps| 1.0 / fps);
        let seconds = (busy.as_secs_f64() / share).max(by_rate);
        Duration::try_from_secs_f64(seconds).unwrap_or(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Slowed;

    fn at(celsius: f64) -> Heat {
        Heat { celsius: Some(celsius), ..Heat::default() }
    }

    #[test]
    fn a_frame_begins_no_sooner_than_the_rate_and_the_load_allow() {
        let busy = Duration::from_millis(20);
        assert_eq!(Pace::new(PaceRule::default()).period(busy), busy);
        let mut rule = PaceRule { max_fps: Some(10.0), ..PaceRule::default() };
        assert_eq!(Pace::new(rule).period(busy), Duration::from_millis(100));
        assert_eq!(Pace::new(rule).period(busy * 10), Duration::from_millis(200), "slower than that anyway");
        rule.max_load = Some(0.125);
        assert_eq!(Pace::new(rule).period(busy), Duration::from_millis(160));
    }

    #[test]
    fn heat_halves_the_share_and_only_clear_cooling_doubles_it() {
        let mut pace = Pace::new(PaceRule { max_temperature: Some(75.0), ..PaceRule::default() });
        assert_eq!(pace.heed(&at(74.0)), None);
        assert_eq!(pace.heed(&at(75.0)), Some(0.5));
        assert_eq!(pace.heed(&at(80.0)), Some(0.25));
        assert_eq!(pace.period(Duration::from_millis(10)), Duration::from_millis(40));
        // Neither hot nor cool: it does not swing.
        for degrees in [74.9, 72.0, 70.1, 74.0] {
            assert_eq!(pace.heed(&at(degrees)), None);
        }
        assert_eq!(pace.heed(&at(70.0)), Some(0.5));
        assert_eq!(pace.heed(&at(60.0)), Some(1.0));
        assert_eq!(pace.heed(&at(60.0)), None);
        for _ in 0..20 {
            pace.heed(&at(99.0));
        }
        assert_eq!(pace.share(), LEAST, "it never stops");
    }

    #[test]
    fn the_board_s_own_limit_counts_too_but_not_its_supply() {
        let mut pace = Pace::new(PaceRule { max_temperature: Some(90.0), ..PaceRule::default() });
        let slowed = |why| Heat { now: vec![why], ..at(60.0) };
        assert_eq!(pace.heed(&slowed(Slowed::UnderVoltage)), None);
        assert_eq!(pace.heed(&slowed(Slowed::Throttled)), Some(0.5));
    }

    #[test]
    fn without_a_limit_heat_changes_nothing() {
        let mut pace = Pace::new(PaceRule::default());
        assert_eq!(pace.heed(&at(99.0)), None);
        assert_eq!(pace.share(), 1.0);
    }
}
