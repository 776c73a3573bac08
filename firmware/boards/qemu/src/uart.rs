//! The serial ports (ARM's CMSDK APB UART), through embedded-io.

use crate::registers::Register;
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};

const TX_FULL: u32 = 1 << 0;
const RX_FULL: u32 = 1 << 1;
const RX_OVERRUN: u32 = 1 << 3;

const TX_ENABLE: u32 = 1 << 0;
const RX_ENABLE: u32 = 1 << 1;
const RX_INTERRUPT: u32 = 1 << 3;

/// One port.
#[derive(Debug)]
pub struct Uart {
    data: Register,
    state: Register,
    interrupt: Register,
}

impl Uart {
    /// UART `number`, 0 or 1, at 115200 baud. It asks for an interrupt when a byte is there, which
    /// wakes the processor; no handler runs.
    pub fn new(number: Port) -> Self {
        let base: usize = match number {
            Port::Host => 0x4000_4000,
            Port::Feed => 0x4000_5000,
        };
        // SAFETY: these are the registers of two of the five ports.
        let register = |offset| unsafe { Register::at(base + offset) };
        register(0x10).write(25_000_000 / 115_200);
        register(0x08).write(TX_ENABLE | RX_ENABLE | RX_INTERRUPT);
        Self { data: register(0x00), state: register(0x04), interrupt: register(0x0C) }
    }

    /// Forgets that a byte has woken the processor.
    pub fn clear_interrupt(&self) {
        self.interrupt.write(0xF);
    }

    /// Whether a byte has been lost since this was last asked.
    pub fn has_overrun(&self) -> bool {
        let overrun = self.state.read() & RX_OVERRUN != 0;
        if overrun {
            self.state.write(RX_OVERRUN);
        }
        overrun
    }

    /// The byte that has come, if one has.
    pub fn byte(&self) -> Option<u8> {
        (self.state.read() & RX_FULL != 0).then(|| self.data.read() as u8)
    }
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// UART 0.
    Host,
    /// UART 1: a network that runs beside the companion.
    Feed,
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.state.read() & RX_FULL != 0)
    }
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        loop {
            if let Some(byte) = self.byte() {
                *first = byte;
                return Ok(1);
            }
        }
    }
}

impl WriteReady for Uart {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.state.read() & TX_FULL == 0)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&first) = bytes.first() else { return Ok(0) };
        while self.state.read() & TX_FULL != 0 {}
        self.data.write(u32::from(first));
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(()) // what is written is on its way
    }
}
