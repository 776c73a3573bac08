//! The serial port, through embedded-io. Its hardware holds a single byte, so a handler takes bytes as
//! they come, and the main loop takes them from a queue.

use anchorwatch_firmware::ByteQueue;
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use stm32f4xx_hal::pac::{self, interrupt};

/// 44 ms at 115200 baud.
static COME: ByteQueue<512> = ByteQueue::new();

fn usart() -> &'static pac::usart1::RegisterBlock {
    // SAFETY: the registers are always there. The handler is the only one that reads the data register,
    // the port the only one that writes it.
    unsafe { &*pac::USART1::ptr() }
}

#[interrupt]
fn USART1() {
    let status = usart().sr().read();
    if status.ore().bit() || status.fe().bit() || status.nf().bit() {
        COME.note_loss();
    }
    // Reading the data takes the errors away, too.
    let byte = usart().dr().read().bits() as u8;
    if status.rxne().bit() {
        COME.put(byte);
    }
}

/// USART 1, which has been set up, with its receive interrupt on. There is one.
pub struct Port(());

impl Port {
    /// Takes it, and lets bytes come.
    ///
    /// # Safety
    ///
    /// Only once, after USART 1 has been set up.
    pub unsafe fn take() -> Self {
        // SAFETY: the handler touches nothing but the queue and its own register.
        unsafe { cortex_m::peripheral::NVIC::unmask(pac::Interrupt::USART1) };
        Self(())
    }

    /// Whether bytes have been lost since this was last asked.
    pub fn has_lost(&self) -> bool {
        COME.take_loss()
    }
}

impl ErrorType for Port {
    type Error = Infallible;
}

impl ReadReady for Port {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(COME.has_byte())
    }
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        loop {
            if let Some(byte) = COME.take() {
                *first = byte;
                return Ok(1);
            }
        }
    }
}

impl WriteReady for Port {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(usart().sr().read().txe().bit())
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&first) = bytes.first() else { return Ok(0) };
        while !usart().sr().read().txe().bit() {}
        usart().dr().write(|data| data.dr().set(u16::from(first)));
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while !usart().sr().read().tc().bit() {}
        Ok(())
    }
}
