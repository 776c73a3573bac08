//! The last 64 KB of the flash chip, where centres are kept.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use rp2040_flash::flash::{flash_range_erase, flash_range_program};

/// Where it begins in the chip: see memory.x.
const BASE: u32 = 0x1F_0000;
const SIZE: u32 = 64 * 1024;
/// Where the chip is in the processor's memory.
const MAPPED: usize = 0x1000_0000;
/// The chip is written in pages.
const PAGE: usize = 256;

/// The memory. There is one.
pub struct Flash(());

/// Outside of the memory, or not in whole blocks.
#[derive(Clone, Copy, Debug)]
pub struct BadRange;

impl NorFlashError for BadRange {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::OutOfBounds
    }
}

impl Flash {
    /// Takes it.
    ///
    /// # Safety
    ///
    /// Only once; the second core is never started, and no DMA reads the flash chip.
    pub unsafe fn take() -> Self {
        Self(())
    }
}

fn check(from: u32, length: usize) -> Result<(), BadRange> {
    let end = from.checked_add(u32::try_from(length).map_err(|_| BadRange)?).ok_or(BadRange)?;
    if end <= SIZE { Ok(()) } else { Err(BadRange) }
}

impl ErrorType for Flash {
    type Error = BadRange;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), BadRange> {
        check(offset, bytes.len())?;
        let start = MAPPED + (BASE + offset) as usize;
        for (byte, address) in bytes.iter_mut().zip(start..) {
            // SAFETY: it lies in the chip, which is mapped there.
            *byte = unsafe { (address as *const u8).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        SIZE as usize
    }
}

impl NorFlash for Flash {
    /// Less than a page: the rest of it is written with ones, which leaves it as it is.
    const WRITE_SIZE: usize = 64;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), BadRange> {
        let length = to.checked_sub(from).ok_or(BadRange)?;
        check(from, length as usize)?;
        if !from.is_multiple_of(Self::ERASE_SIZE as u32) || !length.is_multiple_of(Self::ERASE_SIZE as u32) {
            return Err(BadRange);
        }
        // SAFETY: nothing else runs, and the function itself is in RAM; the part is not the program's.
        cortex_m::interrupt::free(|_| unsafe { flash_range_erase(BASE + from, length, true) });
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), BadRange> {
        check(offset, bytes.len())?;
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            let in_page = at as usize % PAGE;
            let (now, later) = rest.split_at(rest.len().min(PAGE - in_page));
            let mut page = [0xFF; PAGE];
            for (byte, new) in page.iter_mut().skip(in_page).zip(now) {
                *byte = *new;
            }
            // Beyond 16 MB the routine would panic; the compiler does not know that this never is.
            let start = (BASE + at - in_page as u32) & 0xFF_FFFF;
            // SAFETY: as above; the page is on the stack, which is RAM.
            cortex_m::interrupt::free(|_| unsafe { flash_range_program(start, &page, true) });
            at += now.len() as u32;
            rest = later;
        }
        Ok(())
    }
}
