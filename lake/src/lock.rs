//! Locks of files, which tell what a running program uses from what a killed one left.

use crate::LakeError;
use std::fs::{File, TryLockError};
use std::path::Path;

/// Locks a file until it is closed. `false`: another has it.
pub(crate) fn take(file: &File, path: &Path) -> Result<bool, LakeError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(LakeError::NoLocks { path: path.to_path_buf(), source }),
    }
}
