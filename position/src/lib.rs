//! Where a unit is, from gpsd: a thread keeps the newest fix, and gives it for as long as it is fresh.
//! gpsd may start later, restart or go: the thread connects again, for ever. Nobody waits for it.
//!
//! It sets no clock, configures no receiver, and knows nothing of events: what it gives is
//! [`anchorwatch_store::Position`], or the whole [`Fix`]. `docs/position.md` says how to set gpsd up.

mod connection;
mod error;
mod fix;
mod locator;
mod report;
mod settings;

pub use error::PositionError;
pub use fix::{Fix, FixMode};
pub use locator::{Locator, LocatorStatus};
pub use settings::GpsdSettings;
