//! The tables, and how those of older versions become them. The version is SQLite's `user_version`.

use crate::StoreError;
use rusqlite::Connection;
use std::path::Path;

/// What leads from version n to n + 1. Never changed once released: a new version is a new entry.
const MIGRATIONS: [&str; 2] = [VERSION_1, VERSION_2];

const VERSION_1: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    -- Tells this store's identifiers from those of one that was here before it.
    INSERT INTO meta VALUES ('token', lower(hex(randomblob(4))));

    CREATE TABLE boots (
        number INTEGER PRIMARY KEY,
        unit TEXT NOT NULL,
        boot TEXT NOT NULL,
        UNIQUE (unit, boot)
    );

    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        unit TEXT NOT NULL,
        kind TEXT NOT NULL,
        ends TEXT,
        time_ms INTEGER NOT NULL,   -- UTC, put right when the clock is set
        uptime_ms INTEGER NOT NULL, -- of the monotonic clock
        boot INTEGER NOT NULL REFERENCES boots (number),
        clock INTEGER NOT NULL,     -- 0 was not set, 1 was set, 2 put right afterwards
        source TEXT NOT NULL,
        frame INTEGER NOT NULL,
        region INTEGER NOT NULL,
        box_x INTEGER NOT NULL,
        box_y INTEGER NOT NULL,
        box_width INTEGER NOT NULL,
        box_height INTEGER NOT NULL,
        class TEXT,
        runner_up TEXT,
        score REAL,
        threshold REAL,
        distances BLOB,             -- f32, little-endian
        logits BLOB,                -- f32, little-endian
        embedding BLOB,             -- f32, little-endian
        model TEXT NOT NULL,
        model_version TEXT,
        latitude REAL,
        longitude REAL,
        altitude REAL,
        details TEXT,               -- a JSON object
        crop TEXT,                  -- relative to the folder
        crop_bytes INTEGER NOT NULL,
        crop_crc INTEGER NOT NULL,  -- CRC-32 of the file
        crop_width INTEGER NOT NULL,
        crop_height INTEGER NOT NULL,
        starred INTEGER NOT NULL DEFAULT 0,
        ignored INTEGER NOT NULL DEFAULT 0,
        label TEXT,
        sent INTEGER NOT NULL DEFAULT 0,
        crop_sent INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX by_time ON events (time_ms, seq);
    CREATE INDEX by_class ON events (class, time_ms, seq);
    CREATE INDEX by_kind ON events (kind, time_ms, seq);
    CREATE INDEX by_label ON events (label, time_ms, seq) WHERE label IS NOT NULL;
    CREATE INDEX by_star ON events (time_ms, seq) WHERE starred = 1;
    CREATE INDEX to_send ON events (unit, seq) WHERE sent = 0;
    CREATE INDEX crops_to_send ON events (unit, seq) WHERE crop_sent = 0 AND crop IS NOT NULL;
    CREATE INDEX to_go ON events (starred, sent DESC, seq);
    CREATE INDEX by_age ON events (starred, sent, time_ms);
    CREATE INDEX to_put_right ON events (boot) WHERE clock = 0;

    -- Files of rows that are gone: written down with the deletion, so that a power cut in between
    -- leaves no file without a row.
    CREATE TABLE doomed (path TEXT PRIMARY KEY) WITHOUT ROWID;

    -- One row; counting a million rows takes too long for what is asked after every event.
    CREATE TABLE totals (
        events INTEGER NOT NULL,
        crop_bytes INTEGER NOT NULL,
        unsent INTEGER NOT NULL,
        removed INTEGER NOT NULL,
        lost_events INTEGER NOT NULL,
        lost_crops INTEGER NOT NULL
    );
    INSERT INTO totals VALUES (0, 0, 0, 0, 0, 0);
    CREATE TRIGGER count_new AFTER INSERT ON events BEGIN
        UPDATE totals SET events = events + 1, crop_bytes = crop_bytes + new.crop_bytes,
            unsent = unsent + (new.sent = 0);
    END;
    CREATE TRIGGER count_gone AFTER DELETE ON events BEGIN
        UPDATE totals SET events = events - 1, crop_bytes = crop_bytes - old.crop_bytes,
            unsent = unsent - (old.sent = 0), removed = removed + 1;
    END;
    CREATE TRIGGER count_changed AFTER UPDATE OF crop_bytes, sent ON events BEGIN
        UPDATE totals SET crop_bytes = crop_bytes + new.crop_bytes - old.crop_bytes,
            unsent = unsent + (new.sent = 0) - (old.sent = 0);
    END;
";

/// Samples of what was judged known are a kind of their own, which no program of version 1 can read. They
/// are the first to make room, and do not wait to be sent. The table stays as it is: rows of version 1 can
/// be saved from a damaged database.
const VERSION_2: &str = "
    DROP INDEX to_go;
    CREATE INDEX to_go ON events (starred, kind <> 'known' OR label IS NOT NULL, sent DESC, seq);
    DROP INDEX to_send;
    CREATE INDEX to_send ON events (unit, seq) WHERE sent = 0 AND kind <> 'known';
    DROP INDEX crops_to_send;
    CREATE INDEX crops_to_send ON events (unit, seq)
        WHERE crop_sent = 0 AND crop IS NOT NULL AND kind <> 'known';

    DROP TRIGGER count_new;
    DROP TRIGGER count_gone;
    DROP TRIGGER count_changed;
    CREATE TRIGGER count_new AFTER INSERT ON events BEGIN
        UPDATE totals SET events = events + 1, crop_bytes = crop_bytes + new.crop_bytes,
            unsent = unsent + (new.sent = 0 AND new.kind <> 'known');
    END;
    CREATE TRIGGER count_gone AFTER DELETE ON events BEGIN
        UPDATE totals SET events = events - 1, crop_bytes = crop_bytes - old.crop_bytes,
            unsent = unsent - (old.sent = 0 AND old.kind <> 'known'), removed = removed + 1;
    END;
    CREATE TRIGGER count_changed AFTER UPDATE OF crop_bytes, sent ON events BEGIN
        UPDATE totals SET crop_bytes = crop_bytes + new.crop_bytes - old.crop_bytes,
            unsent = unsent + (new.sent = 0 AND new.kind <> 'known') - (old.sent = 0 AND old.kind <> 'known');
    END;
";

/// The version that this program writes.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// The version of a database; 0 is an empty one.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings a database to the newest version, each step whole or not at all.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = StoreError::database(path);
    // The usual case waits for nobody who is writing.
    while version(connection).map_err(&failed)? != VERSION {
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let found = version(&transaction).map_err(&failed)?;
        if found > VERSION {
            return Err(StoreError::Newer { path: path.to_path_buf(), found, known: VERSION });
        }
        let Some(step) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found)) else {
            return Ok(());
        };
        transaction.execute_batch(step).map_err(&failed)?;
        transaction.pragma_update(None, "user_version", found + 1).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Filter, Order, Retention, Store, query, retention, row, salvage};

    /// A database as the first version of this program left it: one event is sent, one waits.
    fn of_version_1(path: &Path) {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL").unwrap();
        connection.execute_batch(VERSION_1).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection.execute_batch("INSERT INTO boots VALUES (1, 'unit', 'boot')").unwrap();
        for (seq, sent) in [(1, 1), (2, 0)] {
            connection
                .execute(
                    "INSERT INTO events (seq, id, unit, kind, time_ms, uptime_ms, boot, clock, source, frame,
                        region, box_x, box_y, box_width, box_height, model, crop_bytes, crop_crc, crop_width,
                        crop_height, sent)
                    VALUES (?1, 'unit-ab-' || ?1, 'unit', 'single', ?1, ?1, 1, 1, 'cam', 0, 0, 0, 0, 1, 1, 'm', 0, 0,
                        0, 0, ?2)",
                    [seq, sent],
                )
                .unwrap();
        }
    }

    #[test]
    fn a_database_of_version_1_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        of_version_1(&folder.path().join(crate::DATABASE));
        let keep_all = Retention { free_floor: 0, ..Retention::default() };
        let mut store = Store::open(folder.path(), "unit", keep_all).unwrap();
        assert_eq!(version(&store.connection).unwrap(), VERSION);
        assert_eq!((store.totals().unwrap().events, store.totals().unwrap().unsent), (2, 1));
        let unsent = |store: &Store| store.unsent("unit", 0, 9).unwrap().len();
        assert_eq!(unsent(&store), 1);
        let page = store.page(&Filter::default(), Order::Oldest, None, 9).unwrap();
        assert_eq!(page.events[1].id, "unit-ab-2");
        let moment = page.events[1].facts.moment.clone();
        let facts = |kind| crate::Facts::new(kind, moment.clone(), "cam");
        let new = |kind| crate::NewEvent { facts: facts(kind), crop: None, identity: None };
        let recorded = store.record(&[new(crate::Kind::Known), new(crate::Kind::Single)]);
        assert_eq!(recorded.error, None);
        // The sample does not wait to be sent.
        assert_eq!((store.totals().unwrap().unsent, unsent(&store)), (2, 2));
        store.mark_sent(&["unit-ab-2"]).unwrap();
        assert_eq!((store.totals().unwrap().unsent, unsent(&store)), (1, 1));
    }

    #[test]
    fn a_damaged_database_of_version_1_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        of_version_1(&folder.path().join(crate::DATABASE));
        assert_eq!(salvage::salvage(folder.path()).unwrap(), 2);
        let store = Store::attach(folder.path()).unwrap();
        assert_eq!((store.totals().unwrap().events, store.totals().unwrap().unsent), (2, 1));
    }

    /// What is asked after every event looks at no more rows than it needs.
    #[test]
    fn retention_and_sending_use_their_indices() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), "unit", Retention::default()).unwrap();
        let plan = |sql: &str| -> String {
            let mut explain = store.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            // Whatever the parameters are: they stay unbound.
            let lines = explain.raw_query().mapped(|row| row.get::<_, String>("detail"));
            lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
        };
        for (sql, index) in [
            (retention::OLDEST.to_string(), "to_go"),
            (retention::OLDEST_NOT_STARRED.to_string(), "to_go"),
            (retention::OLD_SAMPLES.to_string(), "by_kind"),
            (format!("{} {}", row::SELECT, query::UNSENT), "to_send"),
            (format!("{} {}", row::SELECT, query::CROPS_UNSENT), "crops_to_send"),
        ] {
            let plan = plan(&sql);
            assert!(
                plan.contains(&format!("INDEX {index} ")) || plan.ends_with(&format!("INDEX {index}")),
                "{sql}: {plan}"
            );
            assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}
