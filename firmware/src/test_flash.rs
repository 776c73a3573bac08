//! Flash memory for tests: it behaves like the real thing (erased to ones, written to zeros only,
//! in blocks), and its power can be cut in the middle of anything.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use std::vec::Vec;

const BLOCK: usize = 1024;
const WRITE: usize = 8;

#[derive(Clone)]
pub(crate) struct TestFlash {
    pub bytes: Vec<u8>,
    /// How many more bytes can be erased or written.
    left: usize,
}

impl TestFlash {
    pub fn new() -> Self {
        // Not erased: as it came from the factory, or from another program.
        Self { bytes: (0..40 * BLOCK).map(|at| (at * 7) as u8).collect(), left: usize::MAX }
    }

    pub fn cut_power_after(&mut self, bytes: usize) {
        self.left = bytes;
    }

    pub fn restore_power(&mut self) {
        self.left = usize::MAX;
    }

    fn change(&mut self, from: usize, length: usize, new: impl Fn(usize, u8) -> u8) -> Result<(), Failed> {
        for at in 0..length {
            self.left = self.left.checked_sub(1).ok_or(Failed)?;
            self.bytes[from + at] = new(at, self.bytes[from + at]);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed;

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for TestFlash {
    type Error = Failed;
}

impl ReadNorFlash for TestFlash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failed> {
        if self.left == 0 {
            return Err(Failed);
        }
        assert!(offset.is_multiple_of(4) && bytes.len().is_multiple_of(4));
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for TestFlash {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = BLOCK;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Failed> {
        let (from, to) = (from as usize, to as usize);
        assert!(from.is_multiple_of(BLOCK) && to.is_multiple_of(BLOCK) && to <= self.bytes.len());
        self.change(from, to - from, |_, _| 0xFF)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failed> {
        let offset = offset as usize;
        assert!(offset.is_multiple_of(WRITE) && bytes.len().is_multiple_of(WRITE));
        assert!(
            self.bytes[offset..][..bytes.len()].iter().all(|&byte| byte == 0xFF) || self.left == 0,
            "written twice without erasing"
        );
        self.change(offset, bytes.len(), |at, old| old & bytes[at])
    }
}
