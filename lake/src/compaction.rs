//! Merges the small files of a day into one for each unit, each event once, while others read and write.
//!
//! The merged file names in its metadata the files that it replaces. These stay for a while, for those
//! who have begun to read them, and the next compaction removes them. In between their events are there
//! twice, which the view of events does not show; at no moment is an event missing.

use crate::columns::{ID, RECEIVED, schema};
use crate::files::{Unfinished, WRITING, age, prepare};
use crate::partition::day_folder;
use crate::{LakeError, lock};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{BooleanArray, RecordBatch, new_null_array};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The metadata's key for the names of the files that a file replaces, as a JSON list.
const REPLACES: &str = "anchorwatch.replaces";
/// Held by the program that compacts.
const LOCK: &str = "compaction.lock";
/// Rows that are read at once; each may have a picture.
const BATCH: usize = 1024;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Units whose files were merged.
    pub units: usize,
    /// Files that were merged.
    pub merged: usize,
    /// Rows of the merged files.
    pub rows: usize,
    /// Copies of events that were left out.
    pub duplicates: usize,
    /// Files of earlier compactions that nobody reads any more, and were removed.
    pub removed: usize,
}

/// The days that a lake has, as in 2026-11-26, the oldest first; last, where clocks were broken,
/// `__HIVE_DEFAULT_PARTITION__`.
///
/// # Errors
/// If the folder cannot be read.
pub fn days(lake: &Path) -> Result<Vec<String>, LakeError> {
    let mut days: Vec<String> = names(lake)?
        .into_iter()
        .filter_map(|name| name.strip_prefix("day=").map(str::to_string))
        .filter(|day| lake.join(day_folder(day)).is_dir())
        .collect();
    days.sort();
    Ok(days)
}

/// Merges the files of a day. Those that are replaced are removed by the next call that comes `grace`
/// later: longer than any query takes.
///
/// # Errors
/// If there is no such day, another program compacts, or a file cannot be read or written. What was not
/// merged is as it was.
pub fn compact(lake: &Path, day: &str, grace: Duration) -> Result<Compacted, LakeError> {
    if !days(lake)?.iter().any(|known| known == day) {
        return Err(LakeError::NoDay { folder: lake.to_path_buf(), day: day.to_string() });
    }
    prepare(lake)?;
    let path = lake.join(WRITING).join(LOCK);
    let held = lock::Held(File::create(&path).map_err(LakeError::file(&path))?);
    if !lock::take(&held.0, &path)? {
        return Err(LakeError::Compacting(lake.to_path_buf()));
    }
    let folder = lake.join(day_folder(day));
    let mut done = Compacted::default();
    for unit in names(&folder)? {
        if unit.starts_with("unit=") {
            compact_unit(lake, &folder.join(unit), grace, &mut done)?;
        }
    }
    Ok(done)
}

/// A file of a partition.
struct Part {
    name: String,
    path: PathBuf,
    schema: SchemaRef,
    /// Names of files; `None` if it is no merged file.
    replaces: Option<Vec<String>>,
}

fn compact_unit(lake: &Path, folder: &Path, grace: Duration, done: &mut Compacted) -> Result<(), LakeError> {
    let mut parts = Vec::new();
    for name in names(folder)? {
        if name.ends_with(".parquet") && !name.starts_with(['_', '.']) {
            parts.push(Part::open(folder, name)?);
        }
    }
    // What a merged file replaces is read no more, and removed when that file is old enough.
    let (mut replaced, mut old) = (BTreeSet::new(), BTreeSet::new());
    for part in &parts {
        let names = part.replaces.iter().flatten().cloned();
        if age(&part.path).is_some_and(|age| age >= grace) {
            old.extend(names.clone());
        }
        replaced.extend(names);
    }
    let (gone, parts): (Vec<Part>, Vec<Part>) =
        parts.into_iter().partition(|part| replaced.contains(&part.name));
    let mut still_there = Vec::new();
    for part in gone {
        if old.contains(&part.name) {
            std::fs::remove_file(&part.path).map_err(LakeError::file(&part.path))?;
            done.removed += 1;
        } else {
            still_there.push(part.name);
        }
    }
    let merged_before = matches!(parts.as_slice(), [only] if only.replaces.is_some());
    if !parts.is_empty() && !merged_before {
        merge(lake, folder, &parts, still_there, done)?;
    }
    Ok(())
}

/// Writes one file in place of several, or of one with copies in it.
fn merge(
    lake: &Path,
    folder: &Path,
    parts: &[Part],
    still_there: Vec<String>,
    done: &mut Compacted,
) -> Result<(), LakeError> {
    let keep = newest_copies(parts)?;
    let all: usize = keep.iter().map(Vec::len).sum();
    let rows: usize = keep.iter().flatten().filter(|kept| **kept).count();
    if parts.len() == 1 && rows == all {
        return Ok(());
    }
    let names: Vec<String> = parts.iter().map(|part| part.name.clone()).chain(still_there).collect();
    let names = serde_json::to_string(&names).unwrap_or_default(); // names always have a text
    let columns = all_columns(parts);
    let mut file = Unfinished::begin(
        lake,
        Arc::clone(&columns),
        Some(vec![KeyValue::new(REPLACES.to_string(), names)]),
    )?;
    for (part, keep) in parts.iter().zip(&keep) {
        if let Err(error) = copy(part, keep, &columns, &mut file) {
            file.abandon();
            return Err(error);
        }
    }
    file.finish(folder, &format!("merged-{}.parquet", Uuid::now_v7()))?;
    done.units += 1;
    done.merged += parts.len();
    done.rows += rows;
    done.duplicates += all - rows;
    Ok(())
}

/// Of each file, which rows are the latest copy of their event.
fn newest_copies(parts: &[Part]) -> Result<Vec<Vec<bool>>, LakeError> {
    let mut keep: Vec<Vec<bool>> = Vec::with_capacity(parts.len());
    let mut newest: HashMap<String, (i64, usize, usize)> = HashMap::new();
    for (number, part) in parts.iter().enumerate() {
        let mut flags = Vec::new();
        part.read(Some(&[ID, RECEIVED]), |batch| {
            let (ids, received) = (batch.column_by_name(ID), batch.column_by_name(RECEIVED));
            let ids = ids.and_then(|ids| ids.as_string_opt::<i32>());
            let received = received.and_then(|times| times.as_primitive_opt::<TimestampMillisecondType>());
            let (Some(ids), Some(received)) = (ids, received) else {
                let reason = format!("no columns '{ID}' and '{RECEIVED}'");
                return Err(LakeError::arrow(&part.path)(ArrowError::SchemaError(reason)));
            };
            for row in 0..batch.num_rows() {
                let copy = (received.value(row), number, flags.len());
                let latest = newest.entry(ids.value(row).to_string()).or_insert(copy);
                if copy.0 > latest.0 {
                    *latest = copy;
                }
                flags.push(false);
            }
            Ok(())
        })?;
        keep.push(flags);
    }
    for (_, part, row) in newest.into_values() {
        if let Some(flag) = keep.get_mut(part).and_then(|flags| flags.get_mut(row)) {
            *flag = true;
        }
    }
    Ok(keep)
}

/// Copies the rows of a file that are to be kept.
fn copy(part: &Part, keep: &[bool], columns: &SchemaRef, to: &mut Unfinished) -> Result<(), LakeError> {
    let failed = LakeError::arrow(&part.path);
    let mut keep = keep.iter().copied();
    part.read(None, |batch| {
        let flags: BooleanArray = keep.by_ref().take(batch.num_rows()).map(Some).collect();
        let kept = filter_record_batch(&batch, &flags).map_err(&failed)?;
        to.write(&with_columns(&kept, columns).map_err(&failed)?)
    })
}

/// The columns of this version, and those of a newer one that the files have.
fn all_columns(parts: &[Part]) -> SchemaRef {
    let known = schema();
    let mut fields: Vec<_> = known.fields().iter().cloned().collect();
    for field in parts.iter().flat_map(|part| part.schema.fields()) {
        if !fields.iter().any(|known| known.name() == field.name()) {
            fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
        }
    }
    Arc::new(Schema::new(fields))
}

/// Rows with these columns; those that they do not have are null.
fn with_columns(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let arrays = columns.fields().iter().map(|field| {
        let found = batch.column_by_name(field.name()).cloned();
        found.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
    });
    RecordBatch::try_new(Arc::clone(columns), arrays.collect())
}

impl Part {
    fn open(folder: &Path, name: String) -> Result<Self, LakeError> {
        let path = folder.join(&name);
        let reader = reader(&path)?;
        let metadata = reader.metadata().file_metadata().key_value_metadata();
        let replaces = metadata.into_iter().flatten().find(|pair| pair.key == REPLACES);
        let replaces = replaces.and_then(|pair| serde_json::from_str(pair.value.as_deref()?).ok());
        Ok(Self { name, schema: Arc::clone(reader.schema()), path, replaces })
    }

    /// Reads all rows, or only some columns of them.
    fn read(
        &self,
        columns: Option<&[&str]>,
        mut each: impl FnMut(RecordBatch) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let reader = reader(&self.path)?.with_batch_size(BATCH);
        let mask =
            columns.map(|names| ProjectionMask::columns(reader.parquet_schema(), names.iter().copied()));
        let reader = match mask {
            Some(mask) => reader.with_projection(mask),
            None => reader,
        };
        for batch in reader.build().map_err(LakeError::parquet(&self.path))? {
            each(batch.map_err(LakeError::arrow(&self.path))?)?;
        }
        Ok(())
    }
}

fn reader(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, LakeError> {
    let file = File::open(path).map_err(LakeError::file(path))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(LakeError::parquet(path))
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Result<Vec<String>, LakeError> {
    let entries = std::fs::read_dir(folder).map_err(LakeError::file(folder))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}
