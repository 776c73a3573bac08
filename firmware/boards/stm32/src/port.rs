//! The serial ports, through embedded-io. Their hardware holds a single byte, so handlers take bytes as they
//! come, and the main loop takes them from queues.

use anchorwatch_firmware::ByteQueue;
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use stm32f4xx_hal::pac::{self, Interrupt, interrupt, usart1::RegisterBlock};

/// 44 ms at 115200 baud.
type Queue = ByteQueue<512>;

static FROM_HOST: Queue = Queue::new();
static FROM_FEED: Queue = Queue::new();

fn usart1() -> &'static RegisterBlock {
    // SAFETY: the registers are always there. The handler is the only one that reads the data register,
    // the port the only one that writes it.
    unsafe { &*pac::USART1::ptr() }
}

fn usart6() -> &'static RegisterBlock {
    // SAFETY: as above.
    unsafe { &*pac::USART6::ptr() }
}

#[interrupt]
fn USART1() {
    take_in(usart1(), &FROM_HOST);
}

#[interrupt]
fn USART6() {
    take_in(usart6(), &FROM_FEED);
}

fn take_in(registers: &RegisterBlock, queue: &Queue) {
    let status = registers.sr().read();
    if status.ore().bit() || status.fe().bit() || status.nf().bit() {
        queue.note_loss();
    }
    // Reading the data takes the errors away, too.
    let byte = registers.dr().read().bits() as u8;
    if status.rxne().bit() {
        queue.put(byte);
    }
}

/// A port that has been set up, with its receive interrupt on. There is one of each.
pub struct Port {
    registers: &'static RegisterBlock,
    queue: &'static Queue,
}

impl Port {
    /// Takes USART 1, for the host, and lets bytes come.
    ///
    /// # Safety
    ///
    /// Only once, after it has been set up.
    pub unsafe fn host() -> Self {
        // SAFETY: the handler touches nothing but the queue and its own register.
        unsafe { cortex_m::peripheral::NVIC::unmask(Interrupt::USART1) };
        Self { registers: usart1(), queue: &FROM_HOST }
    }

    /// Takes USART 6, for the network beside it, and lets bytes come.
    ///
    /// # Safety
    ///
    /// As above.
    pub unsafe fn feed() -> Self {
        // SAFETY: as above.
        unsafe { cortex_m::peripheral::NVIC::unmask(Interrupt::USART6) };
        Self { registers: usart6(), queue: &FROM_FEED }
    }

    /// Whether bytes have been lost since this was last asked.
    pub fn has_lost(&self) -> bool {
        self.queue.take_loss()
    }
}

impl ErrorType for Port {
    type Error = Infallible;
}

impl ReadReady for Port {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.queue.has_byte())
    }
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        loop {
            if let Some(byte) = self.queue.take() {
                *first = byte;
                return Ok(1);
            }
        }
    }
}

impl WriteReady for Port {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.registers.sr().read().txe().bit())
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&first) = bytes.first() else { return Ok(0) };
        while !self.registers.sr().read().txe().bit() {}
        self.registers.dr().write(|data| data.dr().set(u16::from(first)));
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while !self.registers.sr().read().tc().bit() {}
        Ok(())
    }
}
