//! A writer: takes events, makes them durable, and makes files of them when enough have come together.

use crate::columns::{batch, schema};
use crate::journal::{self, Journal, Sealed};
use crate::{Entry, LakeError, files, parts};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is held in memory before it is flushed in any case.
const PENDING_ROWS: usize = 4096;
const PENDING_BYTES: usize = 16 << 20;
/// How long files that could not be made are left alone before it is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// When a journal becomes files: at the first of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LakeSettings {
    /// It has so many rows.
    pub rows: usize,
    /// It has so many megabytes. Making files of it takes twice as much memory.
    pub megabytes: u64,
    /// Its first row came so many seconds ago: so late are events seen by queries. With 0, each
    /// flush makes files.
    pub seconds: u64,
}

impl Default for LakeSettings {
    fn default() -> Self {
        Self { rows: 100_000, megabytes: 128, seconds: 300 }
    }
}

/// Writes into a lake. Any number of them may, in one program or several.
///
/// One that is dropped without [`LakeWriter::close`] leaves what was flushed in its journal, and the next
/// that is opened makes files of it.
pub struct LakeWriter {
    lake: PathBuf,
    settings: LakeSettings,
    pending: Vec<Entry>,
    pending_bytes: usize,
    journal: Option<Journal>,
    /// Journals that are to become files, and when to try again.
    sealed: Vec<Sealed>,
    again: Option<Instant>,
    trouble: Option<String>,
}

impl LakeWriter {
    /// Opens a lake; its folder is made if it is not there. What killed programs left in journals
    /// becomes files.
    ///
    /// # Errors
    /// If the folder cannot be written to, its file system has no locks, or a setting cannot be meant.
    pub fn open(lake: &Path, settings: LakeSettings) -> Result<Self, LakeError> {
        if settings.rows == 0 {
            return Err(LakeError::Setting("rows"));
        }
        if !(1..=1024).contains(&settings.megabytes) {
            return Err(LakeError::Setting("megabytes"));
        }
        files::prepare(lake)?;
        let mut writer = Self {
            lake: lake.to_path_buf(),
            settings,
            pending: Vec::new(),
            pending_bytes: 0,
            journal: None,
            sealed: Vec::new(),
            again: None,
            trouble: None,
        };
        for path in journal::all(lake)? {
            writer.sealed.extend(Sealed::take_over(&path)?);
        }
        writer.make_files();
        Ok(writer)
    }

    /// Takes an event. It is durable when [`LakeWriter::flush`] has returned.
    ///
    /// # Errors
    /// If so many are waiting that they must be flushed, and cannot be. The event is not taken then.
    pub fn add(&mut self, entry: Entry) -> Result<(), LakeError> {
        if self.pending.len() >= PENDING_ROWS || self.pending_bytes >= PENDING_BYTES {
            self.flush()?;
        }
        self.pending_bytes += entry.size();
        self.pending.push(entry);
        Ok(())
    }

    /// Makes durable what was taken: when this returns, it lasts through a power cut, and may be
    /// acknowledged. Makes files if it is time; call it at least every [`LakeSettings::seconds`] for
    /// that, even when nothing came.
    ///
    /// # Errors
    /// If the events cannot be written. They are kept, and written by the next call. That files cannot
    /// be made is no error, since the events are durable: [`LakeWriter::trouble`] tells.
    pub fn flush(&mut self) -> Result<(), LakeError> {
        self.write_pending()?;
        let settings = &self.settings;
        let full = self.journal.take_if(|journal| {
            journal.rows >= settings.rows
                || journal.bytes >= settings.megabytes << 20
                || journal.begun.elapsed().as_secs() >= settings.seconds
        });
        self.sealed.extend(full.map(Journal::seal));
        if self.again.is_none_or(|again| again <= Instant::now()) {
            self.make_files();
        }
        Ok(())
    }

    /// Why files could not be made of durable events; it is tried again.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Makes files of all that was taken.
    ///
    /// # Errors
    /// If the events cannot be written, or no files can be made of them: then they stay in the journal,
    /// and the next writer that is opened makes them.
    pub fn close(mut self) -> Result<(), LakeError> {
        self.write_pending()?;
        self.sealed.extend(self.journal.take().map(Journal::seal));
        self.sealed.iter().try_for_each(|journal| parts::make(&self.lake, journal))
    }

    fn write_pending(&mut self) -> Result<(), LakeError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let rows = batch(&self.pending).map_err(LakeError::arrow(&self.lake))?;
        let mut journal = match self.journal.take() {
            Some(journal) => journal,
            None => Journal::begin(&self.lake, &schema())?,
        };
        if let Err(error) = journal.append(&rows).and_then(|()| journal.sync()) {
            // What it had before is durable. Of what was appended now, whole frames may be there too:
            // then it is there twice.
            self.sealed.push(journal.seal());
            return Err(error);
        }
        self.journal = Some(journal);
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }

    /// Makes files of the sealed journals, as far as that is possible.
    fn make_files(&mut self) {
        let mut failed = None;
        let lake = &self.lake;
        self.sealed.retain(|journal| match parts::make(lake, journal) {
            Ok(()) => false,
            Err(error) => {
                failed = Some(error.to_string());
                true
            }
        });
        if let Some(reason) = &failed
            && self.trouble != failed
        {
            log::warn!("no files can be made of the journal: {reason}; it is kept, and tried again");
        }
        self.again = failed.is_some().then(|| Instant::now() + AGAIN);
        self.trouble = failed;
    }
}
