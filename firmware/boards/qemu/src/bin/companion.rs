//! The companion on QEMU's mps2-an386. UART 0: the host; UART 1: logits of a network beside it;
//! LED 0: alarm, LED 1: host lost, LED 2: heartbeat.
#![no_std]
#![no_main]

use anchorwatch_firmware::{Arithmetic, Companion, Config, Pins, exchange};
use anchorwatch_qemu::{Button, Clock, Led, Memory, Port, Uart, Watchdog};
use anchorwatch_qemu::{forget_wakers, sleep, wake_without_handlers};
use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    static mut COMPANION: Companion = Companion::new(Config::new("qemu-mps2-an386", Arithmetic::Float));
    let companion: &mut Companion = COMPANION;
    // SAFETY: here, once.
    let mut flash = unsafe { Memory::take() };
    let mut pins =
        Pins { alarm: Led::new(0), host_lost: Led::new(1), lamp: Led::new(2), button: Button::new() };
    let (mut port, feed) = (Uart::new(Port::Host), Uart::new(Port::Feed));
    let mut clock = Clock::new();
    wake_without_handlers();
    let sound = companion.start(&mut flash, false, 0).is_ok();
    let mut watchdog = Watchdog::start();
    loop {
        forget_wakers();
        port.clear_interrupt();
        feed.clear_interrupt();
        let now_ms = clock.now_ms();
        if port.has_overrun() || feed.has_overrun() {
            companion.serial_error();
        }
        exchange(companion, &mut port, &mut flash, now_ms);
        while let Some(byte) = feed.byte() {
            companion.receive_feed(byte, now_ms);
        }
        companion.tick(pins.button(), now_ms);
        let mut outputs = companion.outputs(now_ms);
        // A configuration that makes no sense is an alarm that nobody can overlook.
        outputs.alarm |= !sound;
        let _ = pins.set(outputs); // these pins cannot fail
        watchdog.feed();
        sleep();
    }
}

anchorwatch_qemu::nothing_panics!();
