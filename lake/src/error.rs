//! What can be wrong with a lake, and what to do about it.

use arrow_schema::ArrowError;
use parquet::errors::ParquetError;
use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be done with a lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A file or folder cannot be used.
    #[error("cannot use '{path}': {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A Parquet file cannot be read or written.
    #[error("'{path}': {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ParquetError,
    },
    /// Columns cannot be put together, or a journal cannot be read.
    #[error("'{path}': {source}")]
    Arrow {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ArrowError,
    },
    /// Without locks, a journal that a killed program left cannot be told from one in use.
    #[error("the file system of '{path}' has no file locks ({source}): put the lake on one that has")]
    NoLocks {
        /// The file that was to be locked.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// An event that does not say who recorded it.
    #[error("an event without a unit and an identifier cannot go into the lake")]
    NoIdentity,
    /// A setting that cannot be meant.
    #[error("{0} must be at least 1, and a file has at most 1024 megabytes")]
    Setting(&'static str),
    /// The lake has nothing of this day.
    #[error("'{folder}' has no 'day={day}': days are written as in 2026-11-26")]
    NoDay {
        /// The lake.
        folder: PathBuf,
        /// The day.
        day: String,
    },
    /// Two compactions must not run at once.
    #[error("another program is compacting '{0}': try again when it is done")]
    Compacting(PathBuf),
}

impl LakeError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }

    pub(crate) fn parquet(path: &Path) -> impl Fn(ParquetError) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Parquet { path: path.clone(), source }
    }

    pub(crate) fn arrow(path: &Path) -> impl Fn(ArrowError) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Arrow { path: path.clone(), source }
    }
}
