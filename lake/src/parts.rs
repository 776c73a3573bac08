//! From a journal to Parquet files: one for each day and unit in it. They are named after the journal,
//! so that a program that is killed in between, and done again, makes the same files.

use crate::LakeError;
use crate::columns::{TIME, UNIT};
use crate::files::Unfinished;
use crate::journal::Sealed;
use crate::partition::Partition;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use arrow_select::interleave::interleave_record_batch;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// Above so many batches they are put together first: each flush made one, perhaps of one row.
const BATCHES: usize = 64;

/// Makes a journal's files, and removes it when they are durable.
///
/// On an error the journal is still there, to be tried again.
pub(crate) fn make(lake: &Path, journal: &Sealed) -> Result<(), LakeError> {
    let batches = match journal.batches() {
        Err(error) if is_damage(&error) => {
            let aside = journal.set_aside()?;
            log::error!("{error}: a journal cannot be read; it is kept as '{}'", aside.display());
            return Ok(());
        }
        read => read?,
    };
    let failed = LakeError::arrow(&journal.path);
    let batches = few(batches).map_err(&failed)?;
    let name = format!("part-{}.parquet", journal.name());
    for (partition, rows) in by_partition(&batches).map_err(&failed)? {
        let all: Vec<&RecordBatch> = batches.iter().collect();
        let part = interleave_record_batch(&all, &rows).map_err(&failed)?;
        let mut file = Unfinished::begin(lake, part.schema(), None)?;
        match file.write(&part) {
            Ok(()) => file.finish(&partition.folder(lake), &name)?,
            Err(error) => {
                file.abandon();
                return Err(error);
            }
        }
    }
    journal.remove()
}

/// Whether a journal has what no journal has. That the disk does not give it may pass.
fn is_damage(error: &LakeError) -> bool {
    match error {
        LakeError::Arrow { source: ArrowError::IoError(_, reason), .. } => {
            reason.kind() == ErrorKind::UnexpectedEof
        }
        LakeError::Arrow { .. } => true,
        _ => false,
    }
}

/// Many batches as one.
fn few(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, ArrowError> {
    match batches.first() {
        Some(first) if batches.len() > BATCHES => Ok(vec![concat_batches(&first.schema(), &batches)?]),
        _ => Ok(batches),
    }
}

/// Which rows (batch, row) belong where.
fn by_partition(batches: &[RecordBatch]) -> Result<BTreeMap<Partition, Vec<(usize, usize)>>, ArrowError> {
    let mut partitions: BTreeMap<Partition, Vec<(usize, usize)>> = BTreeMap::new();
    for (number, batch) in batches.iter().enumerate() {
        let missing = |name: &str| ArrowError::SchemaError(format!("no column '{name}' of its type"));
        let times = batch.column_by_name(TIME).ok_or_else(|| missing(TIME))?;
        let times = times.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(|| missing(TIME))?;
        let units = batch.column_by_name(UNIT).ok_or_else(|| missing(UNIT))?;
        let units = units.as_string_opt::<i32>().ok_or_else(|| missing(UNIT))?;
        for row in 0..batch.num_rows() {
            let time = times.is_valid(row).then(|| times.value(row));
            partitions.entry(Partition::new(time, units.value(row))).or_default().push((number, row));
        }
    }
    Ok(partitions)
}
