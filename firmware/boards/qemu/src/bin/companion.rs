//! The companion on QEMU's mps2-an386. UART 0: the host; UART 1: logits of a network beside it;
//! LED 0: alarm, LED 1: host lost, LED 2: heartbeat, LED 3: permit.
#![no_std]
#![no_main]

use anchorwatch_firmware::{Arithmetic, Companion, Config, Pins, turn};
use anchorwatch_qemu::{Button, Clock, Led, Memory, Port, Uart, Watchdog};
use anchorwatch_qemu::{LongestTurn, forget_wakers, sleep, wake_without_handlers};
use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    static mut COMPANION: Companion = Companion::new(Config::new("qemu-mps2-an386", Arithmetic::Float));
    let companion: &mut Companion = COMPANION;
    // SAFETY: here, once.
    let mut flash = unsafe { Memory::take() };
    let mut pins = Pins {
        alarm: Led::new(0),
        host_lost: Led::new(1),
        permit: Led::new(3),
        lamp: Led::new(2),
        button: Button::new(),
    };
    let (mut host, mut feed) = (Uart::new(Port::Host), Uart::new(Port::Feed));
    let mut clock = Clock::new();
    wake_without_handlers();
    let _ = companion.start(&mut flash, false, 0); // an error is an alarm: see `Companion::outputs`
    let mut watchdog = Watchdog::start();
    let mut longest = LongestTurn::new(clock.now_ms());
    loop {
        forget_wakers();
        host.clear_interrupt();
        feed.clear_interrupt();
        let now_ms = clock.now_ms();
        longest.turn(now_ms);
        if host.has_overrun() || feed.has_overrun() {
            companion.serial_error();
        }
        turn(companion, &mut host, &mut feed, &mut flash, &mut pins, now_ms);
        watchdog.feed();
        sleep();
    }
}

anchorwatch_qemu::nothing_panics!();
