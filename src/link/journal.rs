//! The companion's events on disk: one JSON line each, in the order of their numbers, each once. The
//! last line says where to go on after a restart.

use super::{LinkError, Received, wording};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The end of a file that is looked through for its last line.
const TAIL: u64 = 64 * 1024;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    last: Option<(u32, u32)>,
}

impl Journal {
    /// Opens a journal, or makes one. What a power cut has left of a last line is cut off: that event
    /// was not recorded, and the companion has it still.
    ///
    /// # Errors
    /// If it cannot be, another program has it open, or its last line is not one of a journal.
    pub fn open(path: &Path) -> Result<Self, LinkError> {
        let failed = |source| LinkError::Journal { path: path.to_path_buf(), source };
        let open = || -> io::Result<(File, Option<(u32, u32)>)> {
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
            file.try_lock().map_err(|_| io::Error::other("another program has it open"))?;
            let last = last_line(&mut file)?;
            Ok((file, last))
        };
        let (file, last) = open().map_err(failed)?;
        Ok(Self { path: path.to_path_buf(), file, last })
    }

    /// The last event: which start of the companion, and its number.
    pub fn last(&self) -> Option<(u32, u32)> {
        self.last
    }

    /// Writes an event down. When this returns, it is on the disk.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn record(&mut self, received: &Received) -> Result<(), LinkError> {
        let mut line = wording::received_json(received).to_string();
        line.push('\n');
        let before = self.file.metadata().map(|metadata| metadata.len());
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| {
            // No half line before the next one.
            if let Ok(before) = before {
                let _ = self.file.set_len(before);
            }
            LinkError::Journal { path: self.path.clone(), source }
        })?;
        self.last = Some((received.boot, received.event.number));
        Ok(())
    }
}

/// Cuts off what is after the last line's end, and reads that line.
fn last_line(file: &mut File) -> io::Result<Option<(u32, u32)>> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    if whole < tail.len() {
        if whole == 0 && start > 0 {
            return Err(no_journal());
        }
        file.set_len(start + whole as u64)?;
    }
    let lines = tail.get(..whole.saturating_sub(1)).unwrap_or_default();
    if whole == 0 {
        return Ok(None);
    }
    let begin = lines.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let line: serde_json::Value = serde_json::from_slice(&lines[begin..]).map_err(|_| no_journal())?;
    let number = |key: &str| line.get(key)?.as_u64().and_then(|number| u32::try_from(number).ok());
    match (number("boot"), number("number")) {
        (Some(boot), Some(number)) => Ok(Some((boot, number))),
        _ => Err(no_journal()),
    }
}

fn no_journal() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its last line is not a companion's event")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_core::link::{Clock, Event, EventKind};

    fn received(boot: u32, number: u32) -> Received {
        let clock = Clock { uptime_ms: 5, unix_ms: None };
        Received { boot, event: Event { number, clock, kind: EventKind::HostLost }, missed: 0 }
    }

    #[test]
    fn it_goes_on_after_the_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("companion.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.last(), None);
        journal.record(&received(7, 1)).unwrap();
        journal.record(&received(7, 2)).unwrap();
        assert!(Journal::open(&path).is_err(), "it is in use");
        drop(journal);
        let whole = std::fs::read(&path).unwrap();

        // A power cut at any byte of the next line.
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.last(), Some((7, 2)));
        journal.record(&received(7, 3)).unwrap();
        drop(journal);
        let longer = std::fs::read(&path).unwrap();
        for cut in whole.len()..longer.len() {
            std::fs::write(&path, &longer[..cut]).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            assert_eq!(journal.last(), Some((7, 2)), "{cut}");
            assert_eq!(std::fs::read(&path).unwrap(), whole);
            journal.record(&received(7, 3)).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), longer);
        }
    }

    #[test]
    fn another_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for text in ["remember the milk\n", "{\"number\": 3}\n", "1\n\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(Journal::open(&path).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
