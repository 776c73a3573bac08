//! A whole network on QEMU's mps2-an386: the file that the environment variable ANCHORWATCH_NETWORK
//! names when this is built (`anchorwatch firmware` writes it). UART 0 takes pictures, each the four
//! bytes `PIC1` and then height × width × colours, and gives their logits as messages of the link, which
//! a companion beside it would judge. UART 1 tells what it cost.
#![no_std]
#![no_main]

use anchorwatch_core::link::{Logits, ToCompanion, encode_frame};
use anchorwatch_kernels::{FlatProgram, FlatSizes};
use anchorwatch_qemu::{Cycles, Port, Uart, deepest};
use core::alloc::{GlobalAlloc, Layout};
use cortex_m_rt::entry;
use embedded_io::{Read, Write};

static NETWORK: &[u8] = include_bytes!(env!("ANCHORWATCH_NETWORK"));
const SIZES: FlatSizes = FlatProgram::sizes_of(NETWORK);
const _: () = assert!(SIZES.picture > 0, "ANCHORWATCH_NETWORK is not a file of 'anchorwatch firmware'");

#[entry]
fn main() -> ! {
    static mut ARENA: [u8; SIZES.arena] = [0; SIZES.arena];
    static mut PICTURE: [u8; SIZES.picture] = [0; SIZES.picture];
    let (mut port, mut report) = (Uart::new(Port::Host), Uart::new(Port::Feed));
    let cycles = Cycles::new();
    loop {
        wait_for_mark(&mut port);
        for byte in PICTURE.iter_mut() {
            *byte = next(&mut port);
        }
        let mut logits = [0.0; SIZES.logits];
        let before = cycles.count();
        let result = FlatProgram::new(NETWORK).and_then(|program| program.run(PICTURE, ARENA, &mut logits));
        let taken = cycles.count().wrapping_sub(before);
        match result {
            Ok(()) => {
                let logits = Logits { region: 0, values: logits.into_iter().collect() };
                if let Ok(frame) = encode_frame(&ToCompanion::Logits(logits)) {
                    send(&mut port, &frame);
                }
                send(&mut report, b"cycles ");
                send_number(&mut report, taken);
                send(&mut report, b" stack ");
                send_number(&mut report, deepest() as u32);
                send(&mut report, b"\n");
            }
            Err(_) => send(&mut report, b"damaged\n"),
        }
    }
}

fn wait_for_mark(port: &mut Uart) {
    let mut last = 0u32;
    while last != u32::from_be_bytes(*b"PIC1") {
        last = last << 8 | u32::from(next(port));
    }
}

fn next(port: &mut Uart) -> u8 {
    let mut byte = [0];
    let _ = port.read(&mut byte); // it waits, and cannot fail
    byte[0]
}

fn send(port: &mut Uart, bytes: &[u8]) {
    for byte in bytes {
        let _ = port.write(&[*byte]); // it waits, and cannot fail
    }
}

/// In decimal digits; core's formatting calls by address, and nobody could say how deep the stack gets.
fn send_number(port: &mut Uart, number: u32) {
    let mut power = 1_000_000_000;
    while power > 0 {
        if number >= power || power == 1 {
            send(port, &[b'0' + (number / power % 10) as u8]);
        }
        power /= 10;
    }
}

/// There is no heap. The kernels' other half would need one, but nothing of it is reached: an
/// allocation that fails would be a panic, and with one this is not linked.
struct NoHeap;

// SAFETY: it never gives memory.
unsafe impl GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static NO_HEAP: NoHeap = NoHeap;

anchorwatch_qemu::nothing_panics!();
