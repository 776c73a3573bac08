//! systemd's side of a service of `Type=notify`: that it is ready, alive (`WatchdogSec=`), how it is,
//! that it reads its configuration again, and that it ends. Where there is no systemd, nothing happens.

use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// How often the status line is told anew.
const STATUS: Duration = Duration::from_secs(10);

/// Speaks to systemd.
#[derive(Debug)]
pub struct Systemd {
    /// How often it wants to hear that the program is alive.
    watchdog: Option<Duration>,
    alive: Option<Instant>,
    status: Option<Instant>,
}

impl Systemd {
    /// Asks the environment what systemd wants.
    pub fn new() -> Self {
        // Twice in the time, as systemd advises.
        let watchdog = sd_notify::watchdog_enabled().map(|time| time / 2);
        Self { watchdog, alive: None, status: None }
    }

    /// Everything is set up.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The judging loop goes round. Called often, it tells seldom.
    pub fn alive(&mut self, status: impl FnOnce() -> String) {
        let now = Instant::now();
        let due = |last: Option<Instant>, every: Duration| last.is_none_or(|last| now - last >= every);
        if self.watchdog.is_some_and(|every| due(self.alive, every)) {
            self.alive = Some(now);
            tell(&[NotifyState::Watchdog]);
        }
        if due(self.status, STATUS) {
            self.status = Some(now);
            tell(&[NotifyState::Status(&status())]);
        }
    }

    /// The configuration is read again; [`ready`](Self::ready) says when that is done.
    pub fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => log::debug!("systemd: {error}"),
        }
    }

    /// The end has begun.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

impl Default for Systemd {
    fn default() -> Self {
        Self::new()
    }
}

/// A service manager that cannot be reached is no reason to stop watching.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("systemd: {error}");
    }
}
