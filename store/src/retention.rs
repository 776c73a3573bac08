//! What goes when there is too much. Order: first samples of what was judged known that nobody labelled,
//! then what was sent, then what was not, then what is starred; the oldest of each first.

use crate::store::Store;
use crate::{StoreError, room};
use rusqlite::{Row, TransactionBehavior, params};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Events that are removed at once, so that it never takes long.
const A_STEP: usize = 256;
/// What a row takes in the database, with its part of the indices.
const A_ROW: u64 = 1024;

/// What goes first, in the order of the index `to_go`.
pub(crate) const OLDEST: &str = "SELECT seq, crop, crop_bytes FROM events
    ORDER BY starred, kind <> 'known' OR label IS NOT NULL, sent DESC, seq LIMIT ?1";
/// The same, without what is starred.
pub(crate) const OLDEST_NOT_STARRED: &str = "SELECT seq, crop, crop_bytes FROM events WHERE starred = 0
    ORDER BY kind <> 'known' OR label IS NOT NULL, sent DESC, seq LIMIT ?1";
/// Samples that are too old: they do not wait to be sent. The signs keep SQLite from looking through all
/// that does.
pub(crate) const OLD_SAMPLES: &str = "SELECT seq, crop, crop_bytes FROM events
    WHERE kind = 'known' AND time_ms < ?1 AND +starred = 0 AND +sent = 0 AND clock <> 0 LIMIT ?2";

/// How much is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of database and crops together; `None` is no limit.
    pub max_bytes: Option<u64>,
    /// Age of an event; `None` is no limit. Starred events stay, and so does what has a time that
    /// cannot be believed.
    pub max_age: Option<Duration>,
    /// Bytes of the file system that stay free for others; starred events stay nevertheless.
    pub free_floor: u64,
    /// Whether events wait to be sent: then age does not remove those that were not.
    pub keep_unsent: bool,
}

/// Everything is kept until 128 MiB are free.
impl Default for Retention {
    fn default() -> Self {
        Self { max_bytes: None, max_age: None, free_floor: 128 << 20, keep_unsent: false }
    }
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Events.
    pub events: u64,
    /// Bytes of their crops.
    pub bytes: u64,
    /// There is more to remove: the step was a full one.
    pub more: bool,
}

/// A row to remove: its number, its crop, and the bytes that this gives back.
type Doomed = (i64, Option<String>, u64);

impl Store {
    /// Sets other limits.
    pub fn set_retention(&mut self, retention: Retention) {
        self.retention = retention;
    }

    /// Removes what is too much, at most some hundred events at once. [`Store::record`] does it after
    /// each group; who changes the limits calls it until there is no more.
    ///
    /// # Errors
    /// If the database cannot be written, or the store was opened to be read.
    pub fn retain(&mut self) -> Result<Removed, StoreError> {
        if self.lock.is_none() {
            return Err(StoreError::ReadOnly(self.folder.clone()));
        }
        let too_old = self.too_old()?;
        let mut removed = self.remove(&too_old)?;
        removed.more = too_old.len() == A_STEP;
        let by_size =
            self.retention.max_bytes.map_or(Ok(0), |limit| Ok(self.bytes()?.saturating_sub(limit)))?;
        let for_others = self.retention.free_floor.saturating_sub(room::free_bytes(&self.folder)?);
        let (much, limit) = if by_size >= for_others { (by_size, false) } else { (for_others, true) };
        if much > 0 {
            let rows = self.oldest(much, limit)?;
            let more = self.remove(&rows)?;
            removed.events += more.events;
            removed.bytes += more.bytes;
            removed.more |= more.events > 0;
        }
        if removed.events > 0 {
            self.shrink()?;
        }
        room::keep_reserve(&self.folder);
        Ok(removed)
    }

    /// Bytes of the database and the crops.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        let pragma =
            |sql| self.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(self.failed());
        let used = pragma("PRAGMA page_count")? - pragma("PRAGMA freelist_count")?;
        let database = used.max(0) * pragma("PRAGMA page_size")?;
        Ok(database.unsigned_abs() + self.totals()?.crop_bytes)
    }

    /// Removes the oldest events until so many bytes are free, or a step is full.
    pub(crate) fn remove_oldest(&mut self, bytes: u64) -> Result<Removed, StoreError> {
        let rows = self.oldest(bytes, false)?;
        self.remove(&rows)
    }

    fn oldest(&self, bytes: u64, spare_starred: bool) -> Result<Vec<Doomed>, StoreError> {
        let sql = if spare_starred { OLDEST_NOT_STARRED } else { OLDEST };
        let mut freed = 0;
        let mut rows = self.doomed(sql, params![A_STEP as i64])?;
        rows.retain(|(_, _, bytes_of_row)| {
            let wanted = freed < bytes;
            freed += bytes_of_row;
            wanted
        });
        Ok(rows)
    }

    fn too_old(&self) -> Result<Vec<Doomed>, StoreError> {
        let Some(age) = self.retention.max_age else { return Ok(Vec::new()) };
        // A clock that was never set is in the past: nothing is too old then.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = i64::try_from(now.saturating_sub(age).as_millis()).unwrap_or(0);
        let from = i64::from(self.retention.keep_unsent);
        let sql = "SELECT seq, crop, crop_bytes FROM events
            WHERE starred = 0 AND sent IN (1, ?2) AND time_ms < ?1 AND clock <> 0 LIMIT ?3";
        let mut rows = self.doomed(sql, params![since, from, A_STEP as i64])?;
        if self.retention.keep_unsent && rows.len() < A_STEP {
            rows.extend(self.doomed(OLD_SAMPLES, params![since, (A_STEP - rows.len()) as i64])?);
        }
        Ok(rows)
    }

    fn doomed(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<Doomed>, StoreError> {
        self.rows(sql, values, |row: &Row<'_>| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs() + A_ROW))
        })
    }

    /// Removes rows, and then their files. The files are written down with the deletion: a power cut
    /// in between leaves work for the next start, and nothing that is forgotten.
    fn remove(&mut self, rows: &[Doomed]) -> Result<Removed, StoreError> {
        if rows.is_empty() {
            return Ok(Removed::default());
        }
        let failed = self.failed();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let mut removed = Removed { events: rows.len() as u64, ..Removed::default() };
        let mut delete = || {
            let mut doom = transaction.prepare_cached("INSERT OR IGNORE INTO doomed VALUES (?1)")?;
            let mut delete = transaction.prepare_cached("DELETE FROM events WHERE seq = ?1")?;
            for (seq, crop, bytes) in rows {
                if let Some(crop) = crop {
                    doom.execute([crop])?;
                }
                delete.execute([seq])?;
                removed.bytes += bytes - A_ROW;
            }
            Ok(())
        };
        delete().map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        self.remove_doomed()?;
        Ok(removed)
    }

    /// Removes the files of rows that are gone.
    pub(crate) fn remove_doomed(&mut self) -> Result<(), StoreError> {
        let failed = self.failed();
        let paths: Vec<String> = self.rows("SELECT path FROM doomed", [], |row| row.get(0))?;
        for path in &paths {
            let path = self.folder.join(path);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::file(&path)(error));
                }
                _ => {}
            }
            if let Some(parent) = path.parent() {
                let _ = std::fs::remove_dir(parent); // only an empty one can be removed
            }
        }
        if !paths.is_empty() {
            self.connection.execute("DELETE FROM doomed", []).map_err(&failed)?;
        }
        Ok(())
    }
}
