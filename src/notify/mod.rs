//! Telling others what happens: programs that listen ([`Stream`]), the service manager ([`Systemd`]),
//! and the board's pins and buses (`BoardOutputs`). The companion microcontroller has a module of its own,
//! [`crate::link`].

#[cfg(feature = "gpio")]
mod board_outputs;
#[cfg(feature = "gpio")]
mod bus_reporter;
mod stream;
mod systemd;

#[cfg(feature = "gpio")]
pub use board_outputs::BoardOutputs;
#[cfg(feature = "gpio")]
pub use bus_reporter::BusReporter;
pub use stream::Stream;
pub use systemd::Systemd;
