//! An open field log: its folder, its database, and who may write to it.

use crate::{Retention, StoreError, crops, room, schema};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The database's file name.
pub const DATABASE: &str = "events.db";
/// Held by the program that records.
const LOCK: &str = "events.lock";
/// Where damaged files are kept.
pub(crate) const ASIDE: &str = "aside";
/// How long a program waits for another that is writing.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open field log.
///
/// One program records ([`Store::open`]); any number of others read it at the same time, and may mark
/// events ([`Store::attach`]). It may be moved between threads; two threads need one each.
pub struct Store {
    pub(crate) folder: PathBuf,
    pub(crate) connection: Connection,
    pub(crate) unit: String,
    /// Goes into the identifiers.
    pub(crate) token: String,
    pub(crate) retention: Retention,
    /// `None` if it was opened to be read.
    pub(crate) lock: Option<File>,
    /// Lost, and not yet written down.
    pub(crate) lost: (u64, u64),
    set_aside: Option<PathBuf>,
}

/// What there is in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events.
    pub events: u64,
    /// Bytes of their crops.
    pub crop_bytes: u64,
    /// Events that no broker has acknowledged.
    pub unsent: u64,
    /// Events that made room for others, since the store began.
    pub removed: u64,
    /// Events that could not be recorded, since the store began.
    pub lost_events: u64,
    /// Events that were recorded without their crop, since the store began.
    pub lost_crops: u64,
}

impl Store {
    /// Opens the log of a folder to record into it. Folder and database are made if they are not there.
    /// `unit` names this device in the identifiers of new events.
    ///
    /// A database that is damaged beyond use does not stop recording: it is moved to `aside/`, a new one
    /// is begun, and [`Store::set_aside`] says so.
    ///
    /// # Errors
    /// If the folder cannot be made or written to, another program records into it, or a newer program
    /// has written it.
    pub fn open(folder: &Path, unit: &str, retention: Retention) -> Result<Self, StoreError> {
        let crop_folder = folder.join(crops::CROPS);
        std::fs::create_dir_all(&crop_folder).map_err(StoreError::file(&crop_folder))?;
        let lock = lock(folder)?;
        room::keep_reserve(folder);
        let path = folder.join(DATABASE);
        let mut set_aside = None;
        let connection = match ready(&path) {
            Err(error) if error.is_damage() => {
                let aside = move_aside(folder)?;
                log::error!("{error}; it is in '{}' now, and a new one is begun", aside.display());
                set_aside = Some(aside);
                ready(&path)?
            }
            other => other?,
        };
        crops::sync_folder(folder)?;
        let token = token(&connection, &path)?;
        let mut store = Self {
            folder: folder.to_path_buf(),
            connection,
            unit: unit_name(unit),
            token,
            retention,
            lock: Some(lock),
            lost: (0, 0),
            set_aside,
        };
        store.clear_after_a_power_cut()?;
        Ok(store)
    }

    /// Opens the log of a folder that is there already, to read it and to mark events.
    ///
    /// # Errors
    /// If there is none, it is damaged, or a newer program has written it.
    pub fn attach(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(DATABASE);
        if !path.is_file() {
            return Err(StoreError::Missing(folder.to_path_buf()));
        }
        let connection = ready(&path)?;
        let token = token(&connection, &path)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            connection,
            unit: String::new(),
            token,
            retention: Retention::default(),
            lock: None,
            lost: (0, 0),
            set_aside: None,
        })
    }

    /// Where a damaged database was moved to when this one was opened.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    /// The log's folder; crops are relative to it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes that may still be written to the file system that it is on.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        room::free_bytes(&self.folder)
    }

    /// How much there is of everything.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn totals(&self) -> Result<Totals, StoreError> {
        let number = |row: &rusqlite::Row<'_>, index| row.get::<_, i64>(index).map(i64::unsigned_abs);
        self.connection
            .query_row(
                "SELECT events, crop_bytes, unsent, removed, lost_events, lost_crops FROM totals",
                [],
                |row| {
                    Ok(Totals {
                        events: number(row, 0)?,
                        crop_bytes: number(row, 1)?,
                        unsent: number(row, 2)?,
                        removed: number(row, 3)?,
                        lost_events: number(row, 4)? + self.lost.0,
                        lost_crops: number(row, 5)? + self.lost.1,
                    })
                },
            )
            .map_err(self.failed())
    }

    /// Whether another program records into it.
    pub(crate) fn is_recorded(&self) -> bool {
        matches!(lock(&self.folder), Err(StoreError::InUse(_)))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    pub(crate) fn failed(&self) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        StoreError::database(&self.path())
    }

    /// All rows of a query.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let failed = self.failed();
        let mut select = self.connection.prepare_cached(sql).map_err(&failed)?;
        let rows = select.query_map(values, read).map_err(&failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    /// Begins a new database in place of one that turned out to be damaged while it was in use.
    pub(crate) fn begin_anew(&mut self) -> Result<(), StoreError> {
        // SQLite must let go of the files before they are moved.
        let nothing = Connection::open_in_memory().map_err(self.failed())?;
        drop(std::mem::replace(&mut self.connection, nothing));
        let aside = move_aside(&self.folder)?;
        log::error!("the field log is damaged; it is in '{}' now, and a new one is begun", aside.display());
        self.connection = ready(&self.path())?;
        self.token = token(&self.connection, &self.path())?;
        self.set_aside = Some(aside);
        Ok(())
    }

    fn clear_after_a_power_cut(&mut self) -> Result<(), StoreError> {
        self.remove_doomed()?;
        let next = self.last_seq()? + 1;
        crops::clear_uncommitted(&self.folder, next, |path| {
            let stem = Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let stem = stem.unwrap_or_default();
            let (start, number) = stem.rsplit_once('-').unwrap_or_default();
            // What another store left is not ours to remove.
            let ours = start.ends_with(&self.token) || path.ends_with(crops::UNFINISHED);
            // A crop that came late has its checksum after the number.
            let number = number.split('.').next().unwrap_or_default();
            let number: i64 = number.parse().unwrap_or(0);
            let sql = "SELECT 1 FROM events WHERE seq = ?1 AND crop = ?2";
            let rows = self.rows(sql, (number, path), |_| Ok(()));
            // If the database does not answer, nothing is removed.
            !ours || rows.map_or(true, |rows| !rows.is_empty())
        });
        Ok(())
    }

    /// The largest number that was ever given.
    pub(crate) fn last_seq(&self) -> Result<i64, StoreError> {
        self.connection
            .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'events'", [], |row| row.get(0))
            .optional()
            .map(Option::unwrap_or_default)
            .map_err(self.failed())
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(StoreError::file(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(folder.to_path_buf())),
        // Some file systems have no locks; the log works without one.
        Err(TryLockError::Error(error)) => log::debug!("{}: no lock: {error}", path.display()),
    }
    Ok(file)
}

/// Opens a database, sets it up, and brings it to the newest schema.
pub(crate) fn ready(path: &Path) -> Result<Connection, StoreError> {
    let failed = StoreError::database(path);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
    connection.busy_timeout(PATIENCE).map_err(&failed)?;
    // Heeded only before the first table is made; afterwards it would be a needless write.
    if schema::version(&connection).map_err(&failed)? == 0 {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL").map_err(&failed)?;
    }
    let set_up = "PRAGMA journal_mode = WAL;
        -- A committed event is on the disk: with NORMAL, a power cut takes those since the last checkpoint.
        PRAGMA synchronous = FULL;
        -- Pages in the log of changes before they go into the database: what the reserve has room for.
        PRAGMA wal_autocheckpoint = 512;
        PRAGMA journal_size_limit = 2097152;
        PRAGMA cache_size = -4096;";
    connection.execute_batch(set_up).map_err(&failed)?;
    schema::migrate(&mut connection, path)?;
    connection.set_prepared_statement_cache_capacity(32);
    // What everything begins with: a damaged file shows here.
    connection.query_row("SELECT max(seq) FROM events", [], |_| Ok(())).map_err(&failed)?;
    let rows: i64 =
        connection.query_row("SELECT count(*) FROM totals", [], |row| row.get(0)).map_err(&failed)?;
    if rows != 1 {
        let reason = "its totals are missing".to_string();
        return Err(StoreError::Damaged { path: path.to_path_buf(), reason });
    }
    Ok(connection)
}

fn token(connection: &Connection, path: &Path) -> Result<String, StoreError> {
    connection
        .query_row("SELECT value FROM meta WHERE key = 'token'", [], |row| row.get(0))
        .map_err(StoreError::database(path))
}

/// Moves the database out of the way; nothing of it is deleted. Returns where it is now.
pub(crate) fn move_aside(folder: &Path) -> Result<PathBuf, StoreError> {
    let aside = folder.join(ASIDE);
    std::fs::create_dir_all(&aside).map_err(StoreError::file(&aside))?;
    let place = (1..)
        .map(|number| aside.join(format!("events-{number}.db")))
        .find(|path| !path.exists())
        .unwrap_or_else(|| aside.join("events.db"));
    let with = |path: &Path, ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    let database = folder.join(DATABASE);
    for ending in ["-wal", "-shm", ""] {
        let from = with(&database, ending);
        if from.exists() {
            std::fs::rename(&from, with(&place, ending)).map_err(StoreError::file(&from))?;
        }
    }
    crops::sync_folder(&aside)?;
    crops::sync_folder(folder)?;
    Ok(place)
}

/// A unit's name as events have it, and as it may stand in file names and topics: at most 64 ASCII
/// letters, digits, dots and underscores.
pub fn unit_name(unit: &str) -> String {
    let plain: String = unit
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '_' })
        .take(64)
        .collect();
    if plain.is_empty() { "unit".to_string() } else { plain }
}
