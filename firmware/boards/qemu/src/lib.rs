//! QEMU's mps2-an386 (a Cortex-M4 with floating point): what of its hardware the firmware needs. The
//! tests watch and drive it from outside; see `firmware/test-qemu.sh`.
#![no_std]

mod clock;
mod memory;
mod pins;
mod registers;
mod uart;

pub use clock::{Clock, Watchdog, forget_wakers, sleep, wake_without_handlers};
pub use memory::{BadRange, Memory};
pub use pins::{Button, Led};
pub use registers::Register;
pub use uart::{Port, Uart};
