//! Starts of the system. Boards without a battery start in the past; once the clock is set, what was
//! recorded since that start is put right by the monotonic clock.

use crate::Moment;
use rusqlite::{Connection, params};

/// The number of a start of the system.
pub(crate) fn number(connection: &Connection, unit: &str, boot: &str) -> rusqlite::Result<i64> {
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO boots (unit, boot) VALUES (?1, ?2)")?;
    insert.execute(params![unit, boot])?;
    let mut select = connection.prepare_cached("SELECT number FROM boots WHERE unit = ?1 AND boot = ?2")?;
    select.query_row(params![unit, boot], |row| row.get(0))
}

/// Puts right the times of what was recorded since this start of the system before the clock was set.
/// They are to be sent again: home has the wrong time. The number of events put right.
pub(crate) fn put_right(connection: &Connection, boot: i64, now: &Moment) -> rusqlite::Result<usize> {
    if !now.clock_set || now.boot.is_empty() {
        return Ok(0);
    }
    let mut update = connection.prepare_cached(
        "UPDATE events SET time_ms = uptime_ms + ?2, clock = 2, sent = 0 WHERE boot = ?1 AND clock = 0",
    )?;
    update.execute(params![boot, now.utc_ms - now.uptime_ms])
}
