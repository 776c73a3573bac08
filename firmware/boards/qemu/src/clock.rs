//! Milliseconds since the start, sleeping until the next one, and the watchdog.

use crate::registers::Register;

/// The processor's clock, in Hz.
const CLOCK: u32 = 25_000_000;

/// Counts milliseconds, in the FPGA's counter.
#[derive(Debug)]
pub struct Clock {
    counter: Register,
    last: u32,
    now_ms: u64,
}

impl Clock {
    /// A clock that begins now. It also wakes the processor, twice every millisecond: QEMU, where it counts
    /// instructions, has time jump to the next tick before the processor that the last one woke has run, and
    /// every other tick is lost. With one a millisecond, main loops would see every other millisecond only.
    pub fn new() -> Self {
        // SAFETY: prescaler, counter and prescale counter of the board's FPGA.
        let (prescale, counter, until_next) =
            unsafe { (Register::at(0x4002_801C), Register::at(0x4002_8018), Register::at(0x4002_8020)) };
        prescale.write(CLOCK / 1000 - 1);
        counter.write(0);
        until_next.write(CLOCK / 4000); // in the middle between two ticks, so that none is on the edge
        // SAFETY: SysTick's control, reload and current value.
        let (control, reload, current) =
            unsafe { (Register::at(0xE000_E010), Register::at(0xE000_E014), Register::at(0xE000_E018)) };
        reload.write(CLOCK / 2000 - 1);
        current.write(0);
        control.write(0b111);
        Self { counter, last: 0, now_ms: 0 }
    }

    /// Milliseconds since it began. To be asked at least every 49 days.
    pub fn now_ms(&mut self) -> u64 {
        let counter = self.counter.read();
        self.now_ms += u64::from(counter.wrapping_sub(self.last));
        self.last = counter;
        self.now_ms
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows a test, in a word of RAM that nothing else uses, the longest time from one turn of the main loop to
/// the next: an emulator stands still whenever its machine has something else to do.
#[derive(Debug)]
pub struct LongestTurn {
    word: Register,
    longest_ms: u32,
    last_ms: u64,
}

impl LongestTurn {
    /// Begins to measure.
    pub fn new(now_ms: u64) -> Self {
        // SAFETY: in the machine's PSRAM, behind what stands for flash memory; nothing else uses it.
        Self { word: unsafe { Register::at(0x2101_0000) }, longest_ms: 0, last_ms: now_ms }
    }

    /// Takes note of a turn.
    pub fn turn(&mut self, now_ms: u64) {
        let taken = now_ms.saturating_sub(self.last_ms);
        self.longest_ms = self.longest_ms.max(u32::try_from(taken).unwrap_or(u32::MAX));
        self.last_ms = now_ms;
        self.word.write(self.longest_ms);
    }
}

/// Turns handlers off, and lets the ports wake the processor all the same.
pub fn wake_without_handlers() {
    // SAFETY: no handler is relied on; with interrupts masked, pending ones still end a `wfi`.
    unsafe { core::arch::asm!("cpsid i", options(nomem, nostack, preserves_flags)) };
    // SAFETY: the first of the interrupt controller's set-enable registers.
    let enable = unsafe { Register::at(0xE000_E100) };
    enable.write(0b0101); // receive interrupts of UART 0 and 1
}

/// Forgets what has woken the processor, so that it can sleep again. To be called before looking for
/// work: what comes later wakes it again.
pub fn forget_wakers() {
    // SAFETY: the first of the interrupt controller's clear-pending registers, and the system
    // control block's interrupt state.
    let (pending, state) = unsafe { (Register::at(0xE000_E280), Register::at(0xE000_ED04)) };
    pending.write(u32::MAX);
    state.write(1 << 25); // SysTick
}

/// Sleeps until a byte or the next tick of the [`Clock`] comes.
pub fn sleep() {
    // SAFETY: it only waits.
    unsafe { core::arch::asm!("wfi", options(nomem, nostack, preserves_flags)) };
}

/// The hardware watchdog: it resets the board when it is not fed for two seconds.
#[derive(Debug)]
pub struct Watchdog(Register);

impl Watchdog {
    /// Starts it. It cannot be stopped.
    pub fn start() -> Self {
        // SAFETY: load, control and lock of the CMSDK watchdog.
        let (load, control, lock) =
            unsafe { (Register::at(0x4000_8000), Register::at(0x4000_8008), Register::at(0x4000_8C00)) };
        lock.write(0x1ACC_E551);
        load.write(CLOCK); // it must run out twice
        control.write(0b11); // interrupt, then reset
        Self(load)
    }

    /// Feeds it.
    pub fn feed(&mut self) {
        self.0.write(CLOCK);
        // SAFETY: the watchdog's interrupt clear register: it counts anew from the load value.
        unsafe { Register::at(0x4000_800C) }.write(1);
    }
}

/// Counts the processor's cycles, instead of milliseconds. With QEMU's `-icount shift=0` an instruction
/// takes a nanosecond, and a cycle is forty of them.
#[derive(Debug)]
pub struct Cycles(Register);

impl Cycles {
    /// Begins to count.
    pub fn new() -> Self {
        // SAFETY: prescaler and counter of the board's FPGA.
        let (prescale, counter) = unsafe { (Register::at(0x4002_801C), Register::at(0x4002_8018)) };
        prescale.write(0);
        Self(counter)
    }

    /// How many there were. It goes on at 0 after 2³².
    pub fn count(&self) -> u32 {
        self.0.read()
    }
}

impl Default for Cycles {
    fn default() -> Self {
        Self::new()
    }
}
