//! Telling others what happens: programs that listen ([`Stream`]), and the service manager
//! ([`Systemd`]). The companion microcontroller has a module of its own, [`crate::link`].

mod stream;
mod systemd;

pub use stream::Stream;
pub use systemd::Systemd;
