//! A full disk: even deleting needs a little room, for SQLite writes the deletion down first. A reserve
//! is kept for that.

use crate::StoreError;
use crate::store::Store;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// The file that is given up when the disk is full.
const RESERVE: &str = "events.reserve";
/// Enough for SQLite's log of changes to go into the database, and for a deletion to be written down.
const RESERVE_BYTES: usize = 4 << 20;
/// There is a reserve again when so much is free.
const ROOM_FOR_RESERVE: u64 = 5 << 20;
/// How much is removed when the disk is full: room for a reserve, and for what is recorded next.
const ROOM: u64 = 6 << 20;

/// Bytes that may still be written to the file system of a folder.
pub(crate) fn free_bytes(folder: &Path) -> Result<u64, StoreError> {
    let state = rustix::fs::statvfs(folder).map_err(|error| StoreError::file(folder)(error.into()))?;
    Ok(state.f_bavail.saturating_mul(state.f_frsize))
}

/// Makes the reserve if there is none and room for it.
pub(crate) fn keep_reserve(folder: &Path) {
    let path = folder.join(RESERVE);
    let is_there = std::fs::metadata(&path).is_ok_and(|file| file.len() == RESERVE_BYTES as u64);
    if is_there || free_bytes(folder).unwrap_or(0) < ROOM_FOR_RESERVE {
        return;
    }
    let made = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; RESERVE_BYTES])?;
        file.sync_all()
    });
    if let Err(error) = made {
        log::debug!("{}: no reserve: {error}", path.display());
        let _ = std::fs::remove_file(&path);
    }
}

impl Store {
    /// Nothing can be written: gives up the reserve, and removes the oldest events that may go.
    pub(crate) fn make_room(&mut self) -> Result<(), StoreError> {
        // It may be gone already, and then there is a little less room.
        let _ = std::fs::remove_file(self.folder.join(RESERVE));
        // What is in the log of changes goes into the database, so that the log begins anew.
        self.checkpoint()?;
        let mut freed = 0;
        while freed < ROOM {
            let removed = self.remove_oldest(ROOM - freed)?;
            if removed.events == 0 {
                break;
            }
            freed += removed.bytes;
            self.shrink()?;
            self.checkpoint()?;
        }
        keep_reserve(&self.folder);
        Ok(())
    }

    /// Whether the disk is as good as full.
    pub(crate) fn has_no_room(&self) -> bool {
        free_bytes(&self.folder).is_ok_and(|free| free < ROOM)
    }

    /// Brings what is in SQLite's log of changes into the database.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(self.failed())
    }

    /// Gives pages that are not used any more back to the file system.
    pub(crate) fn shrink(&self) -> Result<(), StoreError> {
        let shrink = || {
            let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum(256)")?;
            let mut steps = vacuum.query([])?;
            while steps.next()?.is_some() {}
            Ok(())
        };
        shrink().map_err(self.failed())
    }
}
