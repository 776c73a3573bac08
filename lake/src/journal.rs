//! The journal of a writer: what was flushed and is not in a Parquet file yet. It is a stream in Arrow's
//! own format, in frames of length and checksum, so that a torn end is told from whole ones.
//!
//! A writer holds a lock on its journal. One that can be locked was left by a killed program, and the
//! next that opens the lake makes it into files. A journal that could not be written to once is not
//! written to again.

use crate::files::{NEW, WRITING, sync_folder};
use crate::lock::Held;
use crate::{LakeError, lock};
use arrow_array::RecordBatch;
use arrow_ipc::MetadataVersion;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, Schema};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use uuid::Uuid;

/// The ending of its name.
const ENDING: &str = "journal";
/// Smaller than Arrow's own choice: a flush of one event is a batch of one row.
const ALIGNMENT: usize = 8;

/// A journal that is written to.
pub(crate) struct Journal {
    sealed: Sealed,
    stream: StreamWriter<Vec<u8>>,
    /// Rows in it.
    pub(crate) rows: usize,
    /// Bytes of it.
    pub(crate) bytes: u64,
    /// When it was begun.
    pub(crate) begun: Instant,
}

/// A journal that nothing is added to, and its lock.
pub(crate) struct Sealed {
    pub(crate) path: PathBuf,
    file: Held,
}

impl Journal {
    /// Begins one.
    pub(crate) fn begin(lake: &Path, schema: &Schema) -> Result<Self, LakeError> {
        let path = lake.join(WRITING).join(format!("{}.{ENDING}", Uuid::now_v7()));
        let new = path.with_extension(NEW);
        let begun = Self::begin_as(&new, &path, schema);
        if begun.is_err() {
            let _ = std::fs::remove_file(&new); // a full disk gets its space back
        }
        begun
    }

    /// Others may find it under its name when it has its columns and is locked.
    fn begin_as(new: &Path, path: &Path, schema: &Schema) -> Result<Self, LakeError> {
        let file = File::create(new).map_err(LakeError::file(new))?;
        lock::take(&file, new)?;
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5);
        let stream = options
            .and_then(|options| StreamWriter::try_new_with_options(Vec::new(), schema, options))
            .map_err(LakeError::arrow(path))?;
        let sealed = Sealed { path: path.to_path_buf(), file: Held(file) };
        let mut journal = Self { sealed, stream, rows: 0, bytes: 0, begun: Instant::now() };
        journal.write_frame()?;
        journal.sync()?;
        std::fs::rename(new, path).map_err(LakeError::file(new))?;
        path.parent().map_or(Ok(()), sync_folder)?;
        Ok(journal)
    }

    /// Adds rows. After an error the journal must be sealed.
    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.stream.write(batch).map_err(LakeError::arrow(&self.sealed.path))?;
        self.write_frame()?;
        self.rows += batch.num_rows();
        Ok(())
    }

    /// When this returns, what was appended lasts through a power cut. After an error the journal must
    /// be sealed.
    pub(crate) fn sync(&self) -> Result<(), LakeError> {
        self.sealed.file.0.sync_data().map_err(LakeError::file(&self.sealed.path))
    }

    /// Ends it.
    pub(crate) fn seal(self) -> Sealed {
        self.sealed
    }

    /// Writes what the stream has put out.
    fn write_frame(&mut self) -> Result<(), LakeError> {
        let content = std::mem::take(self.stream.get_mut());
        let failed = || LakeError::file(&self.sealed.path);
        let length = u32::try_from(content.len()).map_err(|error| failed()(io::Error::other(error)))?;
        let mut frame = Vec::with_capacity(content.len() + 8);
        frame.extend(length.to_le_bytes());
        frame.extend(crc32fast::hash(&content).to_le_bytes());
        frame.extend(content);
        self.sealed.file.0.write_all(&frame).map_err(failed())?;
        self.bytes += frame.len() as u64;
        Ok(())
    }
}

impl Sealed {
    /// Takes over a journal that a killed program left; `None` if it is in use, or gone.
    pub(crate) fn take_over(path: &Path) -> Result<Option<Self>, LakeError> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(LakeError::file(path))?,
        };
        // Whoever had it may have been done with it before it was locked here.
        let ours = lock::take(&file, path)? && path.exists();
        Ok(ours.then(|| Self { path: path.to_path_buf(), file: Held(file) }))
    }

    /// What goes into the names of its files.
    pub(crate) fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// All of its rows up to a torn end.
    pub(crate) fn batches(&self) -> Result<Vec<RecordBatch>, LakeError> {
        let file = File::open(&self.path).map_err(LakeError::file(&self.path))?;
        let left = file.metadata().map_err(LakeError::file(&self.path))?.len();
        let frames = Frames { file: BufReader::new(file), left, frame: Cursor::default() };
        let read = StreamReader::try_new(frames, None).and_then(Iterator::collect::<Result<_, ArrowError>>);
        read.map_err(LakeError::arrow(&self.path))
    }

    /// Removes it.
    pub(crate) fn remove(&self) -> Result<(), LakeError> {
        std::fs::remove_file(&self.path).map_err(LakeError::file(&self.path))
    }

    /// Keeps what cannot be read out of the way.
    pub(crate) fn set_aside(&self) -> Result<PathBuf, LakeError> {
        let aside = self.path.with_extension("damaged");
        std::fs::rename(&self.path, &aside).map_err(LakeError::file(&self.path))?;
        Ok(aside)
    }
}

/// The journals of a lake, in use or not.
pub(crate) fn all(lake: &Path) -> Result<Vec<PathBuf>, LakeError> {
    let writing = lake.join(WRITING);
    let entries = std::fs::read_dir(&writing).map_err(LakeError::file(&writing))?;
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
        .collect();
    paths.sort();
    Ok(paths)
}

/// The content of a journal's whole frames.
struct Frames {
    file: BufReader<File>,
    /// Bytes of the file behind this place.
    left: u64,
    frame: Cursor<Vec<u8>>,
}

impl Frames {
    /// The next frame; nothing at the end, be it torn or not.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; 8];
        if self.left < 8 {
            return Ok(Vec::new());
        }
        self.file.read_exact(&mut head)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        self.left -= 8;
        if u64::from(length) > self.left {
            return Ok(Vec::new());
        }
        self.left -= u64::from(length);
        let mut frame = vec![0; length as usize];
        self.file.read_exact(&mut frame)?;
        if crc32fast::hash(&frame) != u32::from_le_bytes([c0, c1, c2, c3]) {
            frame.clear();
        }
        Ok(frame)
    }
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.frame.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        self.frame = Cursor::new(self.next()?);
        self.frame.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int64Array;
    use arrow_schema::{DataType, Field};
    use std::sync::Arc;

    fn rows(numbers: Vec<i64>) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(numbers)) as _)]).unwrap()
    }

    /// A journal of three frames: the columns, and two batches. With the length after each.
    fn journal(lake: &Path) -> (Sealed, [u64; 3]) {
        std::fs::create_dir_all(lake.join(WRITING)).unwrap();
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        let mut journal = Journal::begin(lake, &schema).unwrap();
        let head = journal.bytes;
        journal.append(&rows(vec![1, 2])).unwrap();
        let one = journal.bytes;
        journal.append(&rows(vec![3])).unwrap();
        journal.sync().unwrap();
        let lengths = [head, one, journal.bytes];
        (journal.seal(), lengths)
    }

    fn count(sealed: &Sealed) -> usize {
        sealed.batches().unwrap().iter().map(RecordBatch::num_rows).sum()
    }

    #[test]
    fn a_torn_end_takes_only_its_own_frame() {
        let lake = tempfile::tempdir().unwrap();
        let (sealed, [head, one, two]) = journal(lake.path());
        assert_eq!(count(&sealed), 3);
        for length in (head..two).rev() {
            sealed.file.0.set_len(length).unwrap();
            assert_eq!(count(&sealed), if length < one { 0 } else { 2 }, "{length} of {two} bytes");
        }
    }

    #[test]
    fn what_a_power_cut_leaves_of_a_frame_is_no_row() {
        let lake = tempfile::tempdir().unwrap();
        let (sealed, [_, one, two]) = journal(lake.path());
        let whole = std::fs::read(&sealed.path).unwrap();
        for at in one..two {
            // As a file that has its length, but not all of its content.
            let mut torn = whole.clone();
            torn[at as usize..].fill(0);
            std::fs::write(&sealed.path, &torn).unwrap();
            if torn != whole {
                assert_eq!(count(&sealed), 2, "zero from {at} on");
            }
            let mut flipped = whole.clone();
            flipped[at as usize] ^= 0x10;
            std::fs::write(&sealed.path, &flipped).unwrap();
            assert_eq!(count(&sealed), 2, "another byte at {at}");
        }
    }

    #[test]
    fn only_a_journal_that_nobody_uses_is_taken_over() {
        let lake = tempfile::tempdir().unwrap();
        let (sealed, _) = journal(lake.path());
        let path = sealed.path.clone();
        assert_eq!(all(lake.path()).unwrap(), std::slice::from_ref(&path));
        assert!(Sealed::take_over(&path).unwrap().is_none());
        drop(sealed);
        let taken = Sealed::take_over(&path).unwrap().unwrap();
        assert_eq!(count(&taken), 3);
        taken.remove().unwrap();
        assert!(Sealed::take_over(&path).unwrap().is_none());
    }
}
