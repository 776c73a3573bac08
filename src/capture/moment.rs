//! When a frame was taken, by two clocks: the wall clock, which people read and which may be wrong
//! (a Raspberry Pi has no battery for it), and the monotonic one, which nobody sets.

use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// A moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the wall clock, as it was then.
    pub time: SystemTime,
    /// Since the system started (CLOCK_MONOTONIC). With [`boot_id`] it orders what happened, also
    /// before the wall clock was set.
    pub uptime: Duration,
    /// Whether the wall clock had been set by then: see [`clock_is_set`].
    pub clock_set: bool,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { time: SystemTime::now(), uptime: uptime(), clock_set: clock_is_set() }
    }

    /// At this time of the monotonic clock, which is not long ago. If it is none of the last
    /// minute, now.
    pub fn at_uptime(taken: Duration) -> Self {
        Self::now().back_to(taken)
    }

    fn back_to(self, taken: Duration) -> Self {
        match self.uptime.checked_sub(taken) {
            Some(age) if age < Duration::from_secs(60) => {
                Self { time: self.time - age, uptime: taken, ..self }
            }
            _ => self,
        }
    }

    /// A time of the wall clock, for tests and records of the past: the other clock is at 0.
    pub fn at(time: SystemTime) -> Self {
        Self { time, uptime: Duration::ZERO, clock_set: true }
    }

    /// How long before the present it was.
    pub fn age(&self) -> Duration {
        uptime().saturating_sub(self.uptime)
    }

    /// From an earlier moment to this one, whatever was done to the wall clock in between.
    pub fn since(&self, earlier: &Moment) -> Duration {
        if self.uptime.is_zero() || earlier.uptime.is_zero() {
            return self.time.duration_since(earlier.time).unwrap_or_default();
        }
        self.uptime.saturating_sub(earlier.uptime)
    }
}

/// Since the system started.
pub fn uptime() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

/// What tells this start of the system from every other; empty where the system does not say.
pub fn boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.trim().to_string()
    })
}

/// Whether the wall clock can be believed: a time service has set it (the kernel knows: adjtimex),
/// or it came from a clock with a battery when the system started. A year before this program was
/// written is never believed.
pub fn clock_is_set() -> bool {
    // Asked at most once a second.
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let second = uptime().as_secs() + 1;
    let last = ASKED.load(Ordering::Relaxed);
    if last >> 1 == second {
        return last & 1 == 1;
    }
    let set = is_plausible(SystemTime::now()) && (has_battery() || is_synchronised());
    ASKED.store(second << 1 | u64::from(set), Ordering::Relaxed);
    set
}

fn is_plausible(time: SystemTime) -> bool {
    const YEAR_2025: Duration = Duration::from_secs(1_735_689_600);
    time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since >= YEAR_2025)
}

/// Whether the kernel has taken the time from a clock with a battery. (A clock without a battery
/// starts at an implausible year, or was set from the saved time of the last run: those have no
/// device, or one that is not asked when the system starts.)
pub fn has_battery() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let clocks = std::fs::read_dir("/sys/class/rtc").into_iter().flatten().flatten();
        clocks
            .map(|clock| std::fs::read_to_string(clock.path().join("hctosys")))
            .any(|taken| taken.is_ok_and(|taken| taken.trim() == "1"))
    })
}

#[cfg(target_os = "linux")]
fn is_synchronised() -> bool {
    // SAFETY: all zeros is a valid timex, and with modes = 0 the call only reads the kernel's state
    // into it.
    let state = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        if libc::adjtimex(&mut timex) < 0 {
            return false;
        }
        timex.status
    };
    state & libc::STA_UNSYNC == 0
}

#[cfg(not(target_os = "linux"))]
fn is_synchronised() -> bool {
    true // such systems are PCs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_s_time_stamp_is_brought_to_the_wall_clock() {
        let now = Moment::now();
        let age = Duration::from_millis(40);
        let taken = now.back_to(now.uptime - age);
        assert_eq!((now.uptime - taken.uptime, now.time.duration_since(taken.time).unwrap()), (age, age));
        assert!(taken.age() >= age);
        // Of the future, or of another clock: not believed.
        assert_eq!(now.back_to(now.uptime + Duration::from_secs(1)), now);
        let now = Moment { uptime: Duration::from_secs(100), ..now };
        assert_eq!(now.back_to(Duration::from_secs(39)), now);
    }

    #[test]
    fn what_the_wall_clock_does_is_no_time() {
        let earlier =
            Moment { time: SystemTime::UNIX_EPOCH, uptime: Duration::from_secs(5), clock_set: false };
        let later = Moment { uptime: Duration::from_secs(7), ..Moment::now() };
        assert_eq!(later.since(&earlier), Duration::from_secs(2));
        assert_eq!(earlier.since(&later), Duration::ZERO);
    }

    #[test]
    fn a_year_before_this_program_is_no_time() {
        assert!(!is_plausible(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 30)));
        assert!(is_plausible(SystemTime::now()));
    }
}
