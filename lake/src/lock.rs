//! Locks of files, which tell what a running program uses from what a killed one left.

use crate::LakeError;
use std::fs::{File, TryLockError};
use std::path::Path;

/// A locked file. Closing alone would not free it at once: a child that this program is just starting has
/// the file open too, until it becomes another program.
pub(crate) struct Held(pub(crate) File);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.unlock(); // closing frees it a moment later
    }
}

/// Locks a file until it is unlocked or closed. `false`: another has it.
pub(crate) fn take(file: &File, path: &Path) -> Result<bool, LakeError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(LakeError::NoLocks { path: path.to_path_buf(), source }),
    }
}
