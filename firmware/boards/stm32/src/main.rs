//! The companion on a NUCLEO-F411RE. USART 1 (PA9 TX, PA10 RX): the host; USART 6 (PC6 TX, PC7 RX): logits of a
//! network beside it; PA8: alarm; PB10: host lost; PB4: permit; PA5, the board's LED: heartbeat; PC13, the
//! board's blue button: acknowledge.
#![no_std]
#![no_main]

mod clock;
mod flash;
mod port;

use anchorwatch_firmware::{Arithmetic, Companion, Config, Pins, turn};
use clock::Clock;
use cortex_m::peripheral::SCB;
use cortex_m_rt::entry;
use flash::Flash;
use port::Port;
use stm32f4xx_hal::serial::{self, RxListen, Serial};
use stm32f4xx_hal::watchdog::IndependentWatchdog;
use stm32f4xx_hal::{pac, prelude::*, rcc};

#[entry]
fn main() -> ! {
    static mut COMPANION: Companion = Companion::new(Config::new("nucleo-f411re", Arithmetic::Float));
    let companion: &mut Companion = COMPANION;
    let Some(device) = pac::Peripherals::take() else { SCB::sys_reset() };
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
        permit: b.pb4.into_push_pull_output(),
        lamp: a.pa5.into_push_pull_output(),
        button: c.pc13.into_pull_up_input(),
    };
    let settings = || serial::Config::default().baudrate(115_200.bps());
    let host: Result<Serial<pac::USART1>, _> =
        Serial::new(device.USART1, (a.pa9, a.pa10), settings(), &mut rcc);
    let feed: Result<Serial<pac::USART6>, _> =
        Serial::new(device.USART6, (c.pc6, c.pc7), settings(), &mut rcc);
    let (Ok(host), Ok(feed)) = (host, feed) else { SCB::sys_reset() };
    let ((_host_tx, mut host_rx), (_feed_tx, mut feed_rx)) = (host.split(), feed.split());
    host_rx.listen();
    feed_rx.listen();
    // SAFETY: here, once, and the ports are set up.
    let (mut host, mut feed) = unsafe { (Port::host(), Port::feed()) };
    let mut flash = Flash(device.FLASH);
    let mut clock = Clock::new(device.TIM2, &mut rcc);

    let _ = companion.start(&mut flash, by_watchdog, 0); // an error is an alarm: see `Companion::outputs`
    loop {
        if host.has_lost() || feed.has_lost() {
            companion.serial_error();
        }
        turn(companion, &mut host, &mut feed, &mut flash, &mut pins, clock.now_ms());
        watchdog.feed();
    }
}

/// Nothing on the way of a message can panic (`stack.py` checks it); the start-up could, if the hardware were
/// another. It is then begun anew, and the host hears of it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    SCB::sys_reset()
}
