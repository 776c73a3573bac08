//! Where the tests write: in memory where the system has such a folder. Syncs cost nothing there, and
//! no test here could tell a file that was synced from another.

use std::path::Path;
use tempfile::TempDir;

/// An empty folder, gone when it is dropped.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
    made.expect("there is a folder to write to")
}
