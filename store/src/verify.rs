//! Whether a field log is whole: the database by SQLite's own check, and each row against its crop.
//! Repairing deletes nothing: what does not belong is moved to `aside/`.

use crate::store::{ASIDE, DATABASE, Store};
use crate::{Filter, Order, Retention, StoreError, crops, salvage};
use std::collections::HashSet;
use std::path::Path;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Rows that were looked at.
    pub events: u64,
    /// What SQLite says of the database; nothing if it is whole.
    pub damage: Vec<String>,
    /// Events whose crop is not there.
    pub missing: Vec<String>,
    /// Events whose crop has another length or content than was written.
    pub torn: Vec<String>,
    /// Files under `crops/` that no row names.
    pub orphans: Vec<String>,
    /// A program is recording: its newest folder of crops was not searched for files without a row.
    pub recording: bool,
    /// What was found was put right.
    pub repaired: bool,
}

impl Findings {
    /// Whether there is nothing to repair.
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.missing.is_empty() && self.torn.is_empty() && self.orphans.is_empty()
    }
}

/// Checks the field log of a folder. With `repair`, a damaged database is kept aside and what can be
/// read of it becomes a new one; crops that are torn or belong to no row are moved aside.
///
/// # Errors
/// If there is no log, it cannot be read, or, to be repaired, another program records into it.
pub fn verify(folder: &Path, repair: bool) -> Result<Findings, StoreError> {
    if !folder.join(DATABASE).is_file() {
        return Err(StoreError::Missing(folder.to_path_buf()));
    }
    let mut damage = damage_of(folder)?;
    if !repair {
        return match Store::attach(folder) {
            Ok(store) => store.findings(damage),
            Err(error) if error.is_damage() => {
                damage.push(error.to_string());
                Ok(Findings { damage, ..Findings::default() })
            }
            Err(error) => Err(error),
        };
    }
    if !damage.is_empty() {
        salvage::salvage(folder)?;
    }
    // The unit's name goes into new events only.
    let keep_all = Retention { free_floor: 0, ..Retention::default() };
    let mut store = Store::open(folder, "", keep_all)?;
    let mut findings = store.findings(damage)?;
    store.repair(&findings)?;
    findings.repaired = true;
    Ok(findings)
}

/// What SQLite finds wrong with the database.
fn damage_of(folder: &Path) -> Result<Vec<String>, StoreError> {
    let check = || {
        let store = Store::attach(folder)?;
        let check = || {
            let mut check = store.connection.prepare("PRAGMA quick_check(20)")?;
            check.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
        };
        check().map_err(store.failed())
    };
    match check() {
        Ok(said) => Ok(said.into_iter().filter(|line| line != "ok").collect()),
        Err(StoreError::Damaged { reason, .. }) => Ok(vec![reason]),
        Err(error) => Err(error),
    }
}

impl Store {
    fn findings(&self, damage: Vec<String>) -> Result<Findings, StoreError> {
        let mut findings =
            Findings { damage, recording: self.lock.is_none() && self.is_recorded(), ..Findings::default() };
        let newest = crops::folder_of(self.last_seq()?);
        let mut known = HashSet::new();
        let looked = self.each(&Filter::default(), Order::Oldest, |event| {
            findings.events += 1;
            let Some(path) = &event.crop else { return Ok(()) };
            match self.is_as_written(event.seq, path) {
                None => findings.missing.push(event.id.clone()),
                Some(false) => findings.torn.push(event.id.clone()),
                Some(true) => {}
            }
            known.insert(path.clone());
            Ok(())
        });
        match looked {
            Err(StoreError::Damaged { reason, .. }) if !findings.damage.is_empty() => {
                findings.damage.push(reason);
                return Ok(findings);
            }
            other => other?,
        }
        for path in self.files()? {
            let in_work = findings.recording && path.starts_with(&newest);
            if !known.contains(&path) && !in_work {
                findings.orphans.push(path);
            }
        }
        Ok(findings)
    }

    /// `None` if there is no such file.
    fn is_as_written(&self, seq: i64, path: &str) -> Option<bool> {
        let bytes = std::fs::read(self.folder.join(path)).ok()?;
        let written = self.connection.query_row(
            "SELECT crop_bytes, crop_crc FROM events WHERE seq = ?1",
            [seq],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        );
        let found = (i64::try_from(bytes.len()).unwrap_or(i64::MAX), i64::from(crc32fast::hash(&bytes)));
        // A row that is gone by now has made room: that is no fault of its crop.
        Some(written.map_or(true, |written| written == found))
    }

    /// All files of crops, relative to the log's folder.
    fn files(&self) -> Result<Vec<String>, StoreError> {
        let mut files = Vec::new();
        let root = self.folder.join(crops::CROPS);
        for folder in std::fs::read_dir(&root).map_err(StoreError::file(&root))?.flatten() {
            let of = folder.file_name().to_string_lossy().into_owned();
            let Ok(entries) = std::fs::read_dir(folder.path()) else {
                files.push(format!("{}/{of}", crops::CROPS));
                continue;
            };
            for entry in entries.flatten() {
                files.push(format!("{}/{of}/{}", crops::CROPS, entry.file_name().to_string_lossy()));
            }
        }
        files.sort();
        Ok(files)
    }

    fn repair(&mut self, findings: &Findings) -> Result<(), StoreError> {
        for id in &findings.torn {
            if let Some(path) = self.event(id)?.and_then(|event| event.crop) {
                self.set_file_aside(&path)?;
            }
        }
        for path in &findings.orphans {
            self.set_file_aside(path)?;
        }
        let failed = self.failed();
        let transaction = self.connection.transaction().map_err(&failed)?;
        for id in findings.torn.iter().chain(&findings.missing) {
            transaction
                .execute("UPDATE events SET crop = NULL, crop_bytes = 0, crop_crc = 0 WHERE id = ?1", [id])
                .map_err(&failed)?;
        }
        transaction.commit().map_err(failed)
    }

    fn set_file_aside(&self, path: &str) -> Result<(), StoreError> {
        let to = self.folder.join(ASIDE).join(path);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(StoreError::file(parent))?;
        }
        let from = self.folder.join(path);
        std::fs::rename(&from, to).map_err(StoreError::file(&from))
    }
}
