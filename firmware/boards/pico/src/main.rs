//! The companion on a Raspberry Pi Pico. UART 0 (GP0 TX, GP1 RX): the host; UART 1 (GP4 TX, GP5 RX):
//! logits of a network beside it; GP15: alarm; GP14: host lost; GP12: permit; GP25, the board's LED: heartbeat;
//! GP13 to ground: the acknowledge button.
#![no_std]
#![no_main]

mod flash;
mod port;

use anchorwatch_firmware::{Arithmetic, Companion, Config, Pins, turn};
use cortex_m::peripheral::SCB;
use cortex_m_rt as _;
use flash::Flash;
use fugit::{MicrosDurationU32, RateExtU32};
use port::Port;
use rp2040_hal::clocks::{Clock, init_clocks_and_plls};
use rp2040_hal::gpio::Pins as Gpio;
use rp2040_hal::uart::{DataBits, StopBits, UartConfig, UartPeripheral};
use rp2040_hal::{Sio, Timer, Watchdog, pac};

/// The boot loader's second stage: the chip begins with it.
#[unsafe(link_section = ".boot2")]
#[unsafe(no_mangle)]
#[used]
pub static BOOT2_FIRMWARE: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

/// The crystal's frequency, in Hz.
const CRYSTAL: u32 = 12_000_000;

#[rp2040_hal::entry]
fn main() -> ! {
    static mut COMPANION: Companion = Companion::new(Config::new("rpi-pico", Arithmetic::Fixed));
    let companion: &mut Companion = COMPANION;
    let Some(mut device) = pac::Peripherals::take() else { SCB::sys_reset() };
    let by_watchdog = device.WATCHDOG.reason().read().timer().bit();
    let mut watchdog = Watchdog::new(device.WATCHDOG);
    let Ok(clocks) = init_clocks_and_plls(
        CRYSTAL,
        device.XOSC,
        device.CLOCKS,
        device.PLL_SYS,
        device.PLL_USB,
        &mut device.RESETS,
        &mut watchdog,
    ) else {
        SCB::sys_reset()
    };
    watchdog.start(MicrosDurationU32::secs(2));

    let sio = Sio::new(device.SIO);
    let gpio = Gpio::new(device.IO_BANK0, device.PADS_BANK0, sio.gpio_bank0, &mut device.RESETS);
    let mut pins = Pins {
        alarm: gpio.gpio15.into_push_pull_output(),
        host_lost: gpio.gpio14.into_push_pull_output(),
        permit: gpio.gpio12.into_push_pull_output(),
        lamp: gpio.gpio25.into_push_pull_output(),
        button: gpio.gpio13.into_pull_up_input(),
    };
    let settings = || UartConfig::new(115_200.Hz(), DataBits::Eight, None, StopBits::One);
    let frequency = clocks.peripheral_clock.freq();
    let host = (gpio.gpio0.into_function(), gpio.gpio1.into_function());
    let host = UartPeripheral::new(device.UART0, host, &mut device.RESETS).enable(settings(), frequency);
    let feed = (gpio.gpio4.into_function(), gpio.gpio5.into_function());
    let feed = UartPeripheral::new(device.UART1, feed, &mut device.RESETS).enable(settings(), frequency);
    let (Ok(host), Ok(feed)) = (host, feed) else { SCB::sys_reset() };
    let (mut host, mut feed) = (Port(host), Port(feed));
    // SAFETY: here, once; the second core is never started, and nothing uses DMA.
    let mut flash = unsafe { Flash::take() };
    let timer = Timer::new(device.TIMER, &mut device.RESETS, &clocks);

    let _ = companion.start(&mut flash, by_watchdog, 0); // an error is an alarm: see `Companion::outputs`
    loop {
        let now_ms = timer.get_counter().ticks() / 1000;
        turn(companion, &mut host, &mut feed, &mut flash, &mut pins, now_ms);
        watchdog.feed();
    }
}

/// Nothing on the way of a message can panic (`stack.py` checks it); the start-up could, if the hardware were
/// another. It is then begun anew, and the host hears of it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    SCB::sys_reset()
}
