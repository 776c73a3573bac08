//! Two sectors of the flash memory, where centres are kept. The HAL's driver would do but for two things: it
//! panics when the memory will not be unlocked, and an error stays for ever.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use stm32f4xx_hal::pac::FLASH;
use stm32f4xx_hal::pac::flash::cr::PSIZE;

/// The sectors, and where they begin in the processor's memory: see memory.x.
const FIRST_SECTOR: u8 = 2;
const BASE: usize = 0x0800_0000 + 32 * 1024;
const SECTOR: usize = 16 * 1024;
const SIZE: usize = 2 * SECTOR;

/// What is to be written into the key register, one after the other.
const KEYS: [u32; 2] = [0x4567_0123, 0xCDEF_89AB];
/// The status register's bits for what went wrong: operation, write protection, alignment, parallelism,
/// sequence. Writing a one takes it away.
const ERRORS: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7;

/// The memory.
pub struct Flash(pub FLASH);

/// It would not be erased or written, or the place is outside.
#[derive(Clone, Copy, Debug)]
pub struct Failed;

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Flash {
    /// Does this with the memory unlocked; it is locked again afterwards, and what the data cache holds of it
    /// is forgotten.
    fn unlocked(&mut self, work: impl FnOnce(&FLASH)) -> Result<(), Failed> {
        let flash = &self.0;
        wait(flash);
        // SAFETY: only bits that take errors of the past away.
        flash.sr().write(|w| unsafe { w.bits(ERRORS) });
        for key in KEYS {
            // SAFETY: any value may be written there.
            flash.keyr().write(|w| unsafe { w.bits(key) });
        }
        if flash.cr().read().lock().bit() {
            return Err(Failed);
        }
        work(flash);
        wait(flash);
        flash.cr().modify(|_, w| w.pg().clear_bit().ser().clear_bit().lock().set_bit());
        flash.acr().modify(|_, w| w.dcen().clear_bit());
        flash.acr().modify(|_, w| w.dcrst().set_bit());
        flash.acr().modify(|_, w| w.dcrst().clear_bit());
        flash.acr().modify(|_, w| w.dcen().set_bit());
        if flash.sr().read().bits() & ERRORS == 0 { Ok(()) } else { Err(Failed) }
    }
}

/// Until it is done; the processor could not go on anyway, its program being in the same memory.
fn wait(flash: &FLASH) {
    while flash.sr().read().bsy().bit() {}
}

/// The place in the processor's memory.
fn place(from: u32, length: usize) -> Result<usize, Failed> {
    let from = from as usize;
    if from.checked_add(length).is_some_and(|end| end <= SIZE) { Ok(BASE + from) } else { Err(Failed) }
}

impl ErrorType for Flash {
    type Error = Failed;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failed> {
        let start = place(offset, bytes.len())?;
        for (byte, address) in bytes.iter_mut().zip(start..) {
            // SAFETY: it lies in the two sectors, which are always readable.
            *byte = unsafe { (address as *const u8).read_volatile() };
        }
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
        place(from, length)?;
        let from = from as usize;
        if !from.is_multiple_of(SECTOR) || !length.is_multiple_of(SECTOR) {
            return Err(Failed);
        }
        for sector in from / SECTOR..(from + length) / SECTOR {
            self.unlocked(|flash| {
                flash.cr().modify(|_, w| {
                    let w = w.psize().variant(PSIZE::Psize8).pg().clear_bit().ser().set_bit();
                    // SAFETY: one of the two sectors, in which no program lies.
                    unsafe { w.snb().bits(FIRST_SECTOR + sector as u8) }
                });
                flash.cr().modify(|_, w| w.strt().set_bit());
            })?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failed> {
        let start = place(offset, bytes.len())?;
        self.unlocked(|flash| {
            flash.cr().modify(|_, w| w.psize().variant(PSIZE::Psize8).ser().clear_bit().pg().set_bit());
            for (byte, address) in bytes.iter().zip(start..) {
                // SAFETY: it lies in the two sectors, in which no program lies.
                unsafe { (address as *mut u8).write_volatile(*byte) };
                wait(flash);
            }
        })
    }
}
