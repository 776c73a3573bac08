//! The companion: a microcontroller beside the Linux board whose alarm works when Linux does not.
//!
//! This library is everything but the hardware; a board (see `boards/`) adds pins, serial ports, a
//! clock and flash memory, and calls [`turn`] in a loop. The way of a message:
//!
//! ```text
//! serial port ─▶ FrameDecoder ─▶ Companion ─▶ AlarmControl (k of n, hold, acknowledge) ─▶ alarm pin
//!                                   │  │        HostWatch ─▶ host-lost pin         (neither) ─▶ permit
//!         reply, events ◀── EventRing  └─ Centres (f32 or fixed point) ◀─ CentresStore (flash)
//! ```
//!
//! What is said over the line is [`anchorwatch_core::link`]. Nothing here allocates, reads a clock or
//! waits; times are milliseconds since the board started. Nothing that comes over the line makes it
//! panic: the QEMU board is linked in a way that fails if anything could.
//!
//! # What is promised
//!
//! - The alarm depends on verdicts only, the host's or its own on logits from a network beside it. It
//!   stays on while the host is away, until it is acknowledged.
//! - An event is kept until the host has said that it is recorded, or until the ring (64 events) is
//!   full of unrecorded ones: then the oldest is given up, and counted.
//! - New centres are taken over whole or not at all, also when the power is cut at any moment.
//! - While flash memory is written, nothing else is done: at most the time to erase one of its blocks
//!   for each piece uploaded, and a whole slot when the threshold is changed.
#![no_std]

#[cfg(test)]
extern crate std;

mod alarm_control;
mod button;
mod byte_queue;
mod centres;
mod companion;
mod config;
mod event_ring;
mod exchange;
mod host_watch;
mod store;
#[cfg(test)]
mod test_flash;

pub use alarm_control::{AlarmControl, REGIONS};
pub use button::Button;
pub use byte_queue::ByteQueue;
pub use centres::{Centres, MAX_CLASSES, MAX_VALUES};
pub use companion::{Companion, Outputs};
pub use config::{Arithmetic, Config};
pub use event_ring::{EventRing, RING};
pub use exchange::{Pins, exchange, turn};
pub use host_watch::HostWatch;
pub use store::{CentresStore, Found, HEADER, StoreError, Upload};
