//! The pins. The outputs are the board's LEDs, one register that can be watched from outside; the
//! machine's buttons cannot be pressed, so a register that does nothing else stands for one.

use crate::registers::Register;
use core::convert::Infallible;
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};

/// One of the eight LEDs.
#[derive(Debug)]
pub struct Led {
    register: Register,
    bit: u32,
}

impl Led {
    /// LED `number`, from 0 on.
    pub fn new(number: u32) -> Self {
        // SAFETY: the LED register (CFG1) of the board's system controller.
        Self { register: unsafe { Register::at(0x4002_F004) }, bit: 1 << (number % 8) }
    }
}

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.register.change(0, self.bit);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.register.change(self.bit, 0);
        Ok(())
    }
}

/// The acknowledge button: pressed while bit 0 of the FPGA's MISC register is 1.
#[derive(Debug)]
pub struct Button(Register);

impl Button {
    /// The only one.
    pub fn new() -> Self {
        // SAFETY: the MISC register of the board's FPGA, which drives nothing in QEMU.
        Self(unsafe { Register::at(0x4002_804C) })
    }
}

impl Default for Button {
    fn default() -> Self {
        Self::new()
    }
}

impl ErrorType for Button {
    type Error = Infallible;
}

/// As wired: low when pressed.
impl InputPin for Button {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.read() & 1 == 0)
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.read() & 1 != 0)
    }
}
