//! The companion on a NUCLEO-F411RE. USART 1 (PA9 TX, PA10 RX): the host; PA8: alarm; PB10: host lost;
//! PA5, the board's LED: heartbeat; PC13, the board's blue button: acknowledge.
#![no_std]
#![no_main]

mod clock;
mod flash;
mod port;

use anchorwatch_firmware::{Arithmetic, Companion, Config, Pins, exchange};
use clock::Clock;
use cortex_m_rt::entry;
use flash::Flash;
use port::Port;
use stm32f4xx_hal::flash::LockedFlash;
use stm32f4xx_hal::serial::{self, RxListen, Serial};
use stm32f4xx_hal::watchdog::IndependentWatchdog;
use stm32f4xx_hal::{pac, prelude::*, rcc};

#[entry]
fn main() -> ! {
    static mut COMPANION: Companion = Companion::new(Config::new("nucleo-f411re", Arithmetic::Float));
    let companion: &mut Companion = COMPANION;
    let Some(device) = pac::Peripherals::take() else { wait_for_the_watchdog() };
    let by_watchdog = device.RCC.csr().read().wdgrstf().bit();
    device.RCC.csr().modify(|_, w| w.rmvf().set_bit()); // or the next restart would be one, too
    let mut watchdog = IndependentWatchdog::new(device.IWDG);
    // Erasing a sector of 16 KB takes up to 0.5 s, and taking centres over erases one.
    watchdog.start(4000.millis());

    let mut rcc = device.RCC.freeze(rcc::Config::hsi().sysclk(84.MHz()));
    let (a, b, c) =
        (device.GPIOA.split(&mut rcc), device.GPIOB.split(&mut rcc), device.GPIOC.split(&mut rcc));
    let mut pins = Pins {
        alarm: a.pa8.into_push_pull_output(),
        host_lost: b.pb10.into_push_pull_output(),
        lamp: a.pa5.into_push_pull_output(),
        button: c.pc13.into_pull_up_input(),
    };
    let settings = serial::Config::default().baudrate(115_200.bps());
    let serial: Result<Serial<pac::USART1>, _> =
        Serial::new(device.USART1, (a.pa9, a.pa10), settings, &mut rcc);
    let Ok(serial) = serial else { wait_for_the_watchdog() };
    let (_tx, mut rx) = serial.split();
    rx.listen();
    // SAFETY: here, once, and the port is set up.
    let mut port = unsafe { Port::take() };
    let mut flash = Flash(LockedFlash::new(device.FLASH));
    let mut clock = Clock::new(device.TIM2, &mut rcc);

    let sound = companion.start(&mut flash, by_watchdog, 0).is_ok();
    loop {
        let now_ms = clock.now_ms();
        if port.has_lost() {
            companion.serial_error();
        }
        exchange(companion, &mut port, &mut flash, now_ms);
        companion.tick(pins.button(), now_ms);
        let mut outputs = companion.outputs(now_ms);
        // A configuration that makes no sense is an alarm that nobody can overlook.
        outputs.alarm |= !sound;
        let _ = pins.set(outputs); // these pins cannot fail
        watchdog.feed();
    }
}

/// What cannot go on is begun anew.
fn wait_for_the_watchdog() -> ! {
    loop {
        cortex_m::asm::nop();
    }
}

/// Nothing on the way of a message can panic (the QEMU board is linked so); the start-up could, if the
/// hardware were another. The watchdog then begins anew, and the host hears of it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    wait_for_the_watchdog()
}
