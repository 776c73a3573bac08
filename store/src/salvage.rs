//! A new database from what can still be read of a damaged one, which stays as it is in `aside/`.

use crate::store::{DATABASE, move_aside, ready};
use crate::{StoreError, crops};
use rusqlite::{Connection, params};
use std::path::Path;

/// Rows that are copied at once; when one of them cannot be read, each half is tried by itself.
const A_STEP: i64 = 4096;

/// Saves what can be read. The number of events saved.
pub(crate) fn salvage(folder: &Path) -> Result<u64, StoreError> {
    let aside = move_aside(folder)?;
    let path = folder.join(DATABASE);
    let connection = ready(&path)?;
    let failed = StoreError::database(&path);
    // Rows may be readable when the starts of the system are not.
    connection.execute_batch("PRAGMA foreign_keys = OFF").map_err(&failed)?;
    let attached = connection.execute("ATTACH ?1 AS old", [aside.to_string_lossy()]);
    // When it is no database at all, there is nothing to read; the crops are still there.
    if attached.is_err() || connection.prepare("SELECT seq FROM old.events").is_err() {
        log::warn!("nothing can be read of '{}'", aside.display());
        return Ok(0);
    }
    // Identifiers go on as they were; if this cannot be read, with a new token.
    let _ = connection.execute("INSERT OR REPLACE INTO main.meta SELECT * FROM old.meta", []);
    let _ = connection.execute("INSERT OR IGNORE INTO main.boots SELECT * FROM old.boots", []);
    let mut saved = 0;
    let last = last_number(&connection, folder);
    let mut first = 1;
    while first <= last {
        saved += copy(&connection, first, (first + A_STEP - 1).min(last)).map_err(&failed)?;
        first += A_STEP;
    }
    // Starts of the system that could not be read have no name any more.
    connection
        .execute(
            "INSERT OR IGNORE INTO main.boots (number, unit, boot)
                SELECT DISTINCT boot, unit, 'lost-' || boot FROM main.events",
            [],
        )
        .map_err(&failed)?;
    connection.execute("DETACH old", []).map_err(&failed)?;
    log::info!("{saved} events were saved from '{}'", aside.display());
    Ok(saved)
}

/// Copies the rows from one number to another, as far as they can be read.
fn copy(connection: &Connection, first: i64, last: i64) -> rusqlite::Result<u64> {
    let copied = connection.execute(
        "INSERT OR IGNORE INTO main.events SELECT * FROM old.events WHERE seq BETWEEN ?1 AND ?2",
        params![first, last],
    );
    match copied {
        Ok(rows) => Ok(rows as u64),
        Err(error) if first == last => {
            log::debug!("event {first} cannot be read: {error}");
            Ok(0)
        }
        Err(_) => {
            let middle = first + (last - first) / 2;
            Ok(copy(connection, first, middle)? + copy(connection, middle + 1, last)?)
        }
    }
}

/// The largest number that there may be: the tables say it, and so do the folders of crops.
fn last_number(connection: &Connection, folder: &Path) -> i64 {
    let told =
        ["SELECT seq FROM old.sqlite_sequence WHERE name = 'events'", "SELECT max(seq) FROM old.events"]
            .map(|sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap_or(0));
    let folders = std::fs::read_dir(folder.join(crops::CROPS)).into_iter().flatten().flatten();
    let by_crops = folders
        .filter_map(|folder| folder.file_name().to_str()?.parse::<i64>().ok())
        .map(|number| (number + 1).saturating_mul(1000))
        .max();
    told.into_iter().chain(by_crops).max().unwrap_or(0)
}
