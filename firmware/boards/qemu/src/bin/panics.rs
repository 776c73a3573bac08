//! A program that can panic, for a byte from the line. It must not be linked: `firmware/test-qemu.sh` tries, to
//! see that the check of the other programs is one.
#![no_std]
#![no_main]

use anchorwatch_qemu::{Port, Uart};
use cortex_m_rt::entry;
use embedded_io::Write;

static TABLE: [u8; 100] = [1; 100];

#[entry]
fn main() -> ! {
    let mut port = Uart::new(Port::Host);
    loop {
        if let Some(byte) = port.byte() {
            let _ = port.write(&[TABLE[usize::from(byte)]]); // it waits, and cannot fail
        }
    }
}

anchorwatch_qemu::nothing_panics!();
