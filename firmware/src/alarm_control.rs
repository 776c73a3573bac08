//! When the alarm is on. The rule of k of n is the core's watch; the hold time and the
//! acknowledgement are added here.

use anchorwatch_core::link::{Alarm, Judge};
use anchorwatch_core::{RegionsFull, State, Transition, Verdict, Watch, WatchConfig, WatchConfigError};

/// How many regions can be watched, the host's and the companion's own together.
pub const REGIONS: usize = 64;

/// The alarm.
#[derive(Debug)]
pub struct AlarmControl {
    watch: Watch<REGIONS>,
    hold_ms: u32,
    alarm: Alarm,
    raised_ms: u64,
}

impl AlarmControl {
    /// An alarm that is quiet.
    ///
    /// # Errors
    ///
    /// When k of n make no sense.
    pub fn new(watch: WatchConfig, hold_ms: u32) -> Result<Self, WatchConfigError> {
        Ok(Self { watch: Watch::new(watch)?, hold_ms, alarm: Alarm::Quiet, raised_ms: 0 })
    }

    /// Takes one verdict in. Regions of the host and of the companion are told apart.
    ///
    /// # Errors
    ///
    /// When there is no room for another region. An unknown verdict turns the alarm on all the same:
    /// better once too often.
    pub fn verdict(
        &mut self,
        region: u16,
        judge: Judge,
        verdict: &Verdict,
        now_ms: u64,
    ) -> Result<Transition, RegionsFull> {
        let transition = self.watch.update(key(region, judge), verdict);
        let raise = match &transition {
            Ok(transition) => *transition == Transition::Raised,
            Err(_) => verdict.is_unknown(),
        };
        if raise {
            self.alarm = Alarm::On;
            self.raised_ms = now_ms;
        }
        transition
    }

    /// Silences the alarm until something raises it again; false when it was not on.
    pub fn acknowledge(&mut self) -> bool {
        let on = self.alarm == Alarm::On;
        if on {
            self.alarm = if self.raised() > 0 { Alarm::Acknowledged } else { Alarm::Quiet };
        }
        on
    }

    /// Looks at the time; true when the alarm has just gone off by itself.
    pub fn tick(&mut self, now_ms: u64) -> bool {
        if self.alarm == Alarm::Quiet {
            return false;
        }
        if self.raised() > 0 {
            self.raised_ms = now_ms;
        } else if self.alarm == Alarm::Acknowledged {
            self.alarm = Alarm::Quiet;
        } else if now_ms.saturating_sub(self.raised_ms) >= u64::from(self.hold_ms) {
            self.alarm = Alarm::Quiet;
            return true;
        }
        false
    }

    /// A host has come that knows nothing of the regions before it. What was acknowledged is
    /// forgotten, so that it can be raised again; what was not stays.
    pub fn new_host(&mut self) {
        if self.alarm == Alarm::Acknowledged {
            self.watch.retain(|region, _| region >> 16 != Judge::Host as u32);
        }
    }

    /// The alarm's state.
    pub fn alarm(&self) -> Alarm {
        self.alarm
    }

    /// How many regions are raised.
    pub fn raised(&self) -> u8 {
        self.watch.regions().filter(|&(_, state)| state == State::Raised).count() as u8
    }
}

/// The watch's number for a region.
fn key(region: u16, judge: Judge) -> u32 {
    (judge as u32) << 16 | u32::from(region)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_core::judge;

    fn control() -> AlarmControl {
        let watch = WatchConfig { raise_k: 2, raise_n: 3, clear_k: 2, clear_n: 2, clear_ratio: 1.0 };
        AlarmControl::new(watch, 1000).unwrap()
    }

    fn feed(control: &mut AlarmControl, region: u16, scores: &[f32], now_ms: u64) {
        for &score in scores {
            control.verdict(region, Judge::Host, &judge(&[score], 1.0).unwrap(), now_ms).unwrap();
        }
    }

    #[test]
    fn it_is_on_from_k_of_n_until_the_hold_time_after_the_last_region_is_cleared() {
        let mut control = control();
        feed(&mut control, 0, &[5.0, 0.5], 0);
        assert_eq!(control.alarm(), Alarm::Quiet);
        feed(&mut control, 0, &[5.0], 10);
        assert_eq!((control.alarm(), control.raised()), (Alarm::On, 1));
        assert!(!control.tick(1_000_000)); // as long as it is there
        feed(&mut control, 0, &[0.5, 0.5], 1_000_100);
        assert_eq!(control.raised(), 0);
        assert!(!control.tick(1_000_999));
        assert!(control.tick(1_001_000));
        assert_eq!(control.alarm(), Alarm::Quiet);
    }

    #[test]
    fn once_acknowledged_only_another_region_turns_it_on() {
        let mut control = control();
        assert!(!control.acknowledge());
        feed(&mut control, 0, &[5.0, 5.0], 0);
        assert!(control.acknowledge());
        feed(&mut control, 0, &[5.0, 5.0, 5.0], 10);
        assert_eq!(control.alarm(), Alarm::Acknowledged);
        feed(&mut control, 1, &[5.0, 5.0], 20);
        assert_eq!(control.alarm(), Alarm::On);
        assert!(control.acknowledge());
        feed(&mut control, 0, &[0.5, 0.5], 30);
        feed(&mut control, 1, &[0.5, 0.5], 30);
        assert!(!control.tick(30));
        assert_eq!(control.alarm(), Alarm::Quiet);
        // And now region 0 counts again.
        feed(&mut control, 0, &[5.0, 5.0], 40);
        assert_eq!(control.alarm(), Alarm::On);
    }

    #[test]
    fn a_new_host_can_raise_what_was_acknowledged_but_ends_no_alarm() {
        let mut control = control();
        feed(&mut control, 0, &[5.0, 5.0], 0);
        control.new_host();
        control.tick(100_000);
        assert_eq!(control.alarm(), Alarm::On);
        control.acknowledge();
        control.new_host();
        control.tick(100_001);
        assert_eq!(control.alarm(), Alarm::Quiet);
        feed(&mut control, 0, &[5.0, 5.0], 100_002);
        assert_eq!(control.alarm(), Alarm::On);
    }

    #[test]
    fn too_many_regions_are_an_error_and_unknown_ones_an_alarm() {
        let mut control = control();
        for region in 0..REGIONS as u16 {
            feed(&mut control, region, &[0.5], 0);
        }
        let (calm, unknown) = (judge(&[0.5], 1.0).unwrap(), judge(&[5.0], 1.0).unwrap());
        assert!(control.verdict(99, Judge::Host, &calm, 0).is_err());
        assert_eq!(control.alarm(), Alarm::Quiet);
        assert!(control.verdict(99, Judge::Host, &unknown, 0).is_err());
        assert_eq!(control.alarm(), Alarm::On);
    }

    #[test]
    fn the_hosts_regions_and_the_companions_are_not_the_same() {
        let mut control = control();
        let unknown = judge(&[5.0], 1.0).unwrap();
        control.verdict(0, Judge::Host, &unknown, 0).unwrap();
        control.verdict(0, Judge::Companion, &unknown, 0).unwrap();
        assert_eq!(control.alarm(), Alarm::Quiet);
    }
}
