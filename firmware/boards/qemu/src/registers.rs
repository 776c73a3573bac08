//! Memory-mapped registers, by address. Each is named, with its bits, where it is used.

/// A 32-bit register.
#[derive(Clone, Copy, Debug)]
pub struct Register(usize);

impl Register {
    /// The register at this address.
    ///
    /// # Safety
    ///
    /// There is a register of the mps2-an386 there, whose reading and writing touches no memory that
    /// Rust knows of.
    pub const unsafe fn at(address: usize) -> Self {
        Self(address)
    }

    /// Reads it.
    pub fn read(self) -> u32 {
        // SAFETY: whoever made it has promised that there is such a register.
        unsafe { (self.0 as *const u32).read_volatile() }
    }

    /// Writes it.
    pub fn write(self, value: u32) {
        // SAFETY: as above.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }

    /// Sets these bits, and clears those.
    pub fn change(self, set: u32, clear: u32) {
        self.write(self.read() & !clear | set);
    }
}
