//! Ctrl-C (and SIGTERM): asked for once, work ends at the next good place; asked for twice, at once.

use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status when training was interrupted and saved: `--resume` continues.
pub const EXIT_INTERRUPTED: u8 = 3;

/// Whether the user asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
}

/// The user asked to stop, and work stopped.
#[derive(Debug, thiserror::Error)]
#[error("interrupted{0}")]
pub struct Interrupted(pub String);

impl Interrupt {
    /// Listens from now on.
    pub fn listen() -> Result<Self> {
        let interrupt = Self::default();
        let flag = interrupt.flag.clone();
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("stopping: finishing what is in hand (Ctrl-C again stops at once)");
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(interrupt)
    }

    /// One that nobody asks for.
    #[cfg(test)]
    pub fn never() -> Self {
        Self::default()
    }

    /// One that was asked for already.
    #[cfg(test)]
    pub fn already() -> Self {
        Self { flag: Arc::new(AtomicBool::new(true)) }
    }

    /// Whether it was asked for.
    pub fn requested(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// An error once it was asked for.
    pub fn check(&self) -> Result<()> {
        if self.requested() { Err(Interrupted(String::new()).into()) } else { Ok(()) }
    }
}
