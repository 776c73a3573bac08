//! Parquet files, each there whole or not at all: written under another name in the lake's folder for
//! unfinished work, synced, renamed, and then their folder is synced.

use crate::LakeError;
use crate::columns::{CROP, ID};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// The folder of what is being written. Engines pass over names that begin like this.
pub(crate) const WRITING: &str = "_writing";
/// The ending of an unfinished Parquet file.
const UNFINISHED: &str = "tmp";
/// The ending of a journal that is not in use yet.
pub(crate) const NEW: &str = "new";
/// Unfinished files that were not written to for so long are nobody's.
const ABANDONED: Duration = Duration::from_secs(3600);
/// What is held in memory and then written together. Small enough for an engine to read it in one go.
const GROUP_ROWS: usize = 100_000;
const GROUP_BYTES: usize = 64 << 20;

/// A Parquet file that is being written.
pub(crate) struct Unfinished {
    path: PathBuf,
    writer: ArrowWriter<File>,
}

impl Unfinished {
    /// Begins a file of these columns, and with these metadata.
    pub(crate) fn begin(
        lake: &Path,
        schema: SchemaRef,
        metadata: Option<Vec<KeyValue>>,
    ) -> Result<Self, LakeError> {
        let path = lake.join(WRITING).join(format!("{}.{UNFINISHED}", Uuid::now_v7()));
        let file = File::create(&path).map_err(LakeError::file(&path))?;
        let writer = ArrowWriter::try_new(file, schema, Some(properties(metadata)));
        match writer {
            Ok(writer) => Ok(Self { path, writer }),
            Err(error) => {
                let _ = std::fs::remove_file(&path); // the first error is the one to tell
                Err(LakeError::parquet(&path)(error))
            }
        }
    }

    /// Adds rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.writer.write(batch).map_err(LakeError::parquet(&self.path))
    }

    /// Gives it its place. When this returns it lasts through a power cut.
    pub(crate) fn finish(self, folder: &Path, name: &str) -> Result<(), LakeError> {
        let Self { path, writer } = self;
        let finished = writer.into_inner().map_err(LakeError::parquet(&path)).and_then(|file| {
            file.sync_all().map_err(LakeError::file(&path))?;
            make_folder(folder)?;
            let to = folder.join(name);
            std::fs::rename(&path, &to).map_err(LakeError::file(&to))?;
            sync_folder(folder)
        });
        if finished.is_err() {
            let _ = std::fs::remove_file(&path); // a full disk gets its space back
        }
        finished
    }

    /// Leaves nothing of it.
    pub(crate) fn abandon(self) {
        let _ = std::fs::remove_file(&self.path); // or else it is cleared away later
    }
}

fn properties(metadata: Option<Vec<KeyValue>>) -> WriterProperties {
    let column = |name: &str| ColumnPath::from(name);
    let numbers = |name: &str| ColumnPath::from(vec![name.to_string(), "list".into(), "element".into()]);
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("anchorwatch ", env!("CARGO_PKG_VERSION")).to_string())
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_key_value_metadata(metadata)
        // Each identifier is there once, and a JPEG cannot be made smaller or be compared.
        .set_column_dictionary_enabled(column(ID), false)
        .set_column_dictionary_enabled(column(CROP), false)
        .set_column_compression(column(CROP), Compression::UNCOMPRESSED)
        .set_column_statistics_enabled(column(CROP), EnabledStatistics::None);
    for name in ["distances", "logits", "embedding"] {
        properties = properties
            .set_column_dictionary_enabled(numbers(name), false)
            .set_column_statistics_enabled(numbers(name), EnabledStatistics::None);
    }
    properties.build()
}

/// Makes a folder and those above it, so that their names last through a power cut.
fn make_folder(folder: &Path) -> Result<(), LakeError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folder(above)?;
    }
    match std::fs::create_dir(folder) {
        // Another writer may have made it meanwhile.
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(LakeError::file(folder)(error));
        }
        _ => {}
    }
    folder.parent().map_or(Ok(()), sync_folder)
}

/// Makes new names in a folder last through a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), LakeError> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(LakeError::file(folder))
}

/// Makes the lake's folder and the one for unfinished work, and clears away what killed programs left.
pub(crate) fn prepare(lake: &Path) -> Result<(), LakeError> {
    let writing = lake.join(WRITING);
    make_folder(&writing)?;
    let entries = std::fs::read_dir(&writing).map_err(LakeError::file(&writing))?;
    for entry in entries.flatten() {
        let path = entry.path();
        let unfinished = path.extension().is_some_and(|ending| ending == UNFINISHED || ending == NEW);
        if unfinished && age(&path).is_some_and(|age| age > ABANDONED) {
            let _ = std::fs::remove_file(&path); // another program may have been quicker
        }
    }
    Ok(())
}

/// How long ago a file was written to; `None` if it is gone, or the clock was set back.
pub(crate) fn age(path: &Path) -> Option<Duration> {
    let modified = std::fs::metadata(path).and_then(|data| data.modified()).ok()?;
    SystemTime::now().duration_since(modified).ok()
}
