//! Two sectors of the flash memory, where centres are kept.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use stm32f4xx_hal::flash::{FlashExt, LockedFlash};

/// The sectors, and where they begin in the flash memory: see memory.x.
const FIRST_SECTOR: u8 = 2;
const BASE: usize = 32 * 1024;
const SECTOR: usize = 16 * 1024;
const SIZE: usize = 2 * SECTOR;

/// The memory.
pub struct Flash(pub LockedFlash);

/// It would not be erased or written, or the place is outside.
#[derive(Clone, Copy, Debug)]
pub struct Failed;

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

fn check(from: u32, length: usize) -> Result<usize, Failed> {
    let from = from as usize;
    if from.checked_add(length).is_some_and(|end| end <= SIZE) { Ok(from) } else { Err(Failed) }
}

impl ErrorType for Flash {
    type Error = Failed;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failed> {
        let from = BASE + check(offset, bytes.len())?;
        let stored = FlashExt::read(&self.0).get(from..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(stored.ok_or(Failed)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Failed> {
        let length = to.checked_sub(from).ok_or(Failed)? as usize;
        let from = check(from, length)?;
        if !from.is_multiple_of(SECTOR) || !length.is_multiple_of(SECTOR) {
            return Err(Failed);
        }
        let mut unlocked = self.0.unlocked();
        for sector in from / SECTOR..(from + length) / SECTOR {
            unlocked.erase(FIRST_SECTOR + sector as u8).map_err(|_| Failed)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failed> {
        let from = BASE + check(offset, bytes.len())?;
        self.0.unlocked().program(from, bytes.iter()).map_err(|_| Failed)
    }
}
