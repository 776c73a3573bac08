//! Reads a lake as an engine does: lists the files, then opens each.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The Parquet files in all folders by day and unit, in order. Anything else there is a mistake.
pub fn files(lake: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for day in entries(lake).into_iter().filter(|path| name(path).starts_with("day=")) {
        for unit in entries(&day) {
            assert!(name(&unit).starts_with("unit="), "{}", unit.display());
            files.extend(entries(&unit));
        }
    }
    assert!(files.iter().all(|file| name(file).ends_with(".parquet")), "{files:?}");
    files
}

/// All rows of a file. Panics where it is not whole.
pub fn rows(file: &Path) -> Vec<RecordBatch> {
    let opened = File::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(opened).and_then(|reader| reader.build());
    let reader = reader.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    reader.map(|rows| rows.unwrap_or_else(|error| panic!("{}: {error}", file.display()))).collect()
}

/// The identifiers in a file.
pub fn ids_of(file: &Path) -> Vec<String> {
    let column = |rows: &RecordBatch| rows.column_by_name("id").unwrap().as_string::<i32>().clone();
    let columns = rows(file);
    columns
        .iter()
        .map(column)
        .flat_map(|ids| ids.iter().flatten().map(str::to_string).collect::<Vec<_>>())
        .collect()
}

/// The identifiers in a lake, with copies, in order.
pub fn ids(lake: &Path) -> Vec<String> {
    let mut ids: Vec<String> = files(lake).iter().flat_map(|file| ids_of(file)).collect();
    ids.sort();
    ids
}

/// What is in the folder of unfinished work.
pub fn unfinished(lake: &Path) -> Vec<PathBuf> {
    entries(&lake.join("_writing"))
}

pub fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}
