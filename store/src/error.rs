//! What can be wrong with a field log, and what to do about it.

use rusqlite::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be done with a field log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder cannot be used.
    #[error("cannot use '{path}': {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// There is no field log to read.
    #[error("'{0}' holds no field log (events.db): name the folder that 'run --events' was given")]
    Missing(PathBuf),
    /// Two programs must not record into one log.
    #[error("another anchorwatch records into '{0}': give each its own folder")]
    InUse(PathBuf),
    /// This log was opened to be read.
    #[error("'{0}' was opened for reading: only the program that records may do this")]
    ReadOnly(PathBuf),
    /// The database is damaged.
    #[error(
        "'{path}' is damaged ({reason}): 'anchorwatch log DIR verify --repair' keeps it aside and saves what can be read"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// SQLite's reason.
        reason: String,
    },
    /// A newer program has written it.
    #[error(
        "'{path}' has schema version {found}, and this program knows up to {known}: use a newer anchorwatch"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// SQLite cannot do it: the disk is full, fails, or another program holds the database.
    #[error("'{path}': {source}")]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// An export could not be written.
    #[error("cannot write the export: {0}")]
    Export(io::Error),
}

impl StoreError {
    /// Whether it is the database itself that is damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Whether there is no room for what was to be written.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::File { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
            ),
            Self::Database { source, .. } => source.sqlite_error_code() == Some(ErrorCode::DiskFull),
            _ => false,
        }
    }

    /// Whether reading or writing the database's files failed, for which a full disk is one reason.
    pub(crate) fn is_io(&self) -> bool {
        matches!(self, Self::Database { source, .. } if source.sqlite_error_code() == Some(ErrorCode::SystemIoFailure))
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }

    pub(crate) fn database(path: &Path) -> impl Fn(rusqlite::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path: path.clone(), reason: source.to_string() }
            }
            _ => Self::Database { path: path.clone(), source },
        }
    }
}
