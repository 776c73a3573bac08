//! The serial ports, through embedded-io. Their hardware holds 32 bytes: 3 ms at 115200 baud, for which
//! the main loop never waits but while flash memory is written.

use core::fmt;
use embedded_io::{Error, ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};
use rp2040_hal::uart::{Enabled, UartDevice, UartPeripheral, ValidUartPinout};

/// One port.
pub struct Port<D: UartDevice, P: ValidUartPinout<D>>(pub UartPeripheral<Enabled, D, P>);

/// A byte was lost or broken.
#[derive(Clone, Copy, Debug)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte was lost or broken")
    }
}

impl core::error::Error for Broken {}

impl Error for Broken {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl<D: UartDevice, P: ValidUartPinout<D>> ErrorType for Port<D, P> {
    type Error = Broken;
}

impl<D: UartDevice, P: ValidUartPinout<D>> ReadReady for Port<D, P> {
    fn read_ready(&mut self) -> Result<bool, Broken> {
        Ok(self.0.uart_is_readable())
    }
}

impl<D: UartDevice, P: ValidUartPinout<D>> Read for Port<D, P> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.0.read_raw(buffer) {
                Ok(count) => return Ok(count),
                Err(nb::Error::WouldBlock) => {}
                Err(nb::Error::Other(_)) => return Err(Broken),
            }
        }
    }
}

impl<D: UartDevice, P: ValidUartPinout<D>> WriteReady for Port<D, P> {
    fn write_ready(&mut self) -> Result<bool, Broken> {
        Ok(self.0.uart_is_writable())
    }
}

impl<D: UartDevice, P: ValidUartPinout<D>> Write for Port<D, P> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            if let Ok(rest) = self.0.write_raw(bytes) {
                return Ok(bytes.len() - rest.len());
            }
        }
    }

    fn flush(&mut self) -> Result<(), Broken> {
        while self.0.uart_is_busy() {}
        Ok(())
    }
}
