//! QEMU's mps2-an386 (a Cortex-M4 with floating point): what of its hardware the firmware needs. The
//! tests watch and drive it from outside; see `firmware/test-qemu.sh`.
#![no_std]

mod clock;
mod memory;
mod pins;
mod registers;
mod stack;
mod uart;

pub use clock::{Clock, Cycles, LongestTurn, Watchdog, forget_wakers, sleep, wake_without_handlers};
pub use memory::{BadRange, Memory};
pub use pins::{Button, Led};
pub use registers::Register;
pub use stack::deepest;
pub use uart::{Port, Uart};

/// Nothing can panic: there is no such function, so that a program is not linked if anything calls
/// this.
#[macro_export]
macro_rules! nothing_panics {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo) -> ! {
            unsafe extern "C" {
                fn something_can_panic() -> !;
            }
            // SAFETY: it is never linked.
            unsafe { something_can_panic() }
        }
    };
}
