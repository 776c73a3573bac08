//! A board's pins and buses, for a program that watches: a pin that is on while something unknown is in
//! view, one that shows that frames come, inputs that arm it or ask for one verdict, and buses that
//! messages are sent on. What is unknown, and what the messages are, is not known here.
//!
//! Pins are driven by a thread of their own ([`Pins`]): nothing that a pin does, or fails to do, holds up
//! a frame. On a Raspberry Pi they are reached through its registers (rppal), elsewhere through the
//! kernel (gpiocdev).

mod bus;
mod error;
mod line;
mod pin;
mod pins;
mod signals;

pub use bus::{Bus, BusAddress};
pub use error::PinError;
pub use line::Chip;
pub use pin::Pin;
pub use pins::{Inputs, PinSettings, Pins};
