//! A picture that comes after its event: over a network the thumbnail follows the event, and the whole
//! crop follows that, perhaps days later.

use crate::store::Store;
use crate::{Crop, StoreError, crops};
use rusqlite::{OptionalExtension, TransactionBehavior, params};

/// What became of a picture that came late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// It is the event's crop now.
    Kept,
    /// The event has a crop with at least as many pixels already.
    NotNeeded,
    /// There is no such event: it never came, or has made room for others.
    NoEvent,
}

/// What is to be known of the event: number, file, CRC, pixels.
type Before = (i64, Option<String>, u32, u64);

impl Store {
    /// Gives a recorded event its crop, or a larger one. When this returns, the picture lasts through a
    /// power cut; a power cut before that leaves the event with the crop that it had.
    ///
    /// # Errors
    /// If the store was opened to be read, the file or the database cannot be written, or the disk is
    /// full and nothing can make room.
    pub fn attach_crop(&mut self, id: &str, crop: &Crop) -> Result<Attached, StoreError> {
        if self.lock.is_none() {
            return Err(StoreError::ReadOnly(self.folder.clone()));
        }
        let attached = match self.replace_crop(id, crop) {
            Err(error) if error.is_damage() => return Err(error),
            Err(error) => {
                self.recover_from(&error);
                self.replace_crop(id, crop)?
            }
            Ok(attached) => attached,
        };
        if attached == Attached::Kept {
            self.keep_within_limits();
        }
        Ok(attached)
    }

    fn replace_crop(&mut self, id: &str, crop: &Crop) -> Result<Attached, StoreError> {
        let Some((seq, old, old_crc, pixels)) = self.crop_before(id)? else { return Ok(Attached::NoEvent) };
        let crc = crc32fast::hash(&crop.bytes);
        let is_larger = u64::from(crop.size[0]) * u64::from(crop.size[1]) > pixels;
        if crop.bytes.is_empty() || old.is_some() && (old_crc == crc || !is_larger) {
            return Ok(Attached::NotNeeded);
        }
        // A name that says what is in it: the row never names a file that holds something else.
        let path = crops::relative_path(seq, &format!("{}.{crc:08x}", crops::file_name(id)), crop);
        crops::write(&self.folder, &[(path.clone(), crop)])?;
        let failed = self.failed();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let change = || {
            transaction.execute(
                "UPDATE events SET crop = ?2, crop_bytes = ?3, crop_crc = ?4, crop_width = ?5,
                    crop_height = ?6, crop_sent = 0 WHERE seq = ?1",
                params![
                    seq,
                    path,
                    i64::try_from(crop.bytes.len()).unwrap_or(i64::MAX),
                    crc,
                    crop.size[0],
                    crop.size[1]
                ],
            )?;
            transaction.execute("INSERT OR IGNORE INTO doomed SELECT ?1 WHERE ?1 IS NOT NULL", [&old])
        };
        let changed = change().and_then(|_| transaction.commit());
        if let Err(error) = changed {
            let _ = std::fs::remove_file(self.folder.join(&path)); // no crop without a row
            return Err(failed(error));
        }
        self.remove_doomed()?;
        Ok(Attached::Kept)
    }

    fn crop_before(&self, id: &str) -> Result<Option<Before>, StoreError> {
        let sql = "SELECT seq, crop, crop_crc, crop_width * crop_height FROM events WHERE id = ?1";
        self.connection
            .query_row(sql, [id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?.unsigned_abs()))
            })
            .optional()
            .map_err(self.failed())
    }
}
