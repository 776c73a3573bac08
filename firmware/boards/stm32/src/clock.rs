//! Milliseconds since the start, from a timer that goes on while flash memory is erased.

use stm32f4xx_hal::pac::TIM2;
use stm32f4xx_hal::rcc::{Enable, Rcc, Reset};

/// What the timer counts in, in Hz: its divider has 16 bits only.
const TICKS: u32 = 10_000;

/// Counts milliseconds.
pub struct Clock {
    timer: TIM2,
    last: u32,
    ticks: u64,
}

impl Clock {
    /// A clock that begins now.
    pub fn new(timer: TIM2, rcc: &mut Rcc) -> Self {
        TIM2::enable(rcc);
        TIM2::reset(rcc);
        let divider = rcc.clocks.timclk1().raw() / TICKS;
        timer.psc().write(|w| w.psc().set(divider.saturating_sub(1) as u16));
        timer.arr().write(|w| w.arr().set(u32::MAX));
        timer.egr().write(|w| w.ug().set_bit()); // takes the divider over
        timer.cr1().write(|w| w.cen().set_bit());
        Self { timer, last: 0, ticks: 0 }
    }

    /// Milliseconds since it began. To be asked at least every four days.
    pub fn now_ms(&mut self) -> u64 {
        let count = self.timer.cnt().read().cnt().bits();
        self.ticks += u64::from(count.wrapping_sub(self.last));
        self.last = count;
        self.ticks / u64::from(TICKS / 1000)
    }
}
