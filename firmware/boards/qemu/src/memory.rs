//! What stands for flash memory: 32 KB of the machine's other RAM, which a reset leaves as it is. It
//! behaves as NOR flash does: erased to ones in blocks, written to zeros only.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

const BASE: usize = 0x2100_0000;
const SIZE: usize = 32 * 1024;

/// The memory. There is one.
#[derive(Debug)]
pub struct Memory(());

/// Outside of the memory, or not in whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRange;

impl NorFlashError for BadRange {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::OutOfBounds
    }
}

impl Memory {
    /// Takes it.
    ///
    /// # Safety
    ///
    /// Only once, and nothing else uses the PSRAM.
    pub unsafe fn take() -> Self {
        Self(())
    }

    fn bytes(&mut self, from: u32, length: usize) -> Result<&mut [u8], BadRange> {
        // SAFETY: 16 MB of RAM begin at BASE, any bytes are valid, and nobody else has them.
        let all = unsafe { core::slice::from_raw_parts_mut(BASE as *mut u8, SIZE) };
        all.get_mut(from as usize..).and_then(|rest| rest.get_mut(..length)).ok_or(BadRange)
    }
}

impl ErrorType for Memory {
    type Error = BadRange;
}

impl ReadNorFlash for Memory {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), BadRange> {
        let stored = self.bytes(offset, bytes.len())?;
        for (byte, stored) in bytes.iter_mut().zip(stored) {
            *byte = *stored;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl NorFlash for Memory {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), BadRange> {
        let length = to.checked_sub(from).ok_or(BadRange)? as usize;
        self.bytes(from, length)?.fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), BadRange> {
        for (stored, byte) in self.bytes(offset, bytes.len())?.iter_mut().zip(bytes) {
            *stored &= byte;
        }
        Ok(())
    }
}
