//! What people and the network make of an event: starred, ignored, labelled, sent.

use crate::{Event, Marks, Moment, StoreError, boots, store::Store};
use rusqlite::{TransactionBehavior, params};

impl Store {
    /// Writes down that the broker has acknowledged these events. Those that are not there any more
    /// are passed over.
    ///
    /// # Errors
    /// If the database cannot be written; then none is marked.
    pub fn mark_sent(&mut self, ids: &[impl AsRef<str>]) -> Result<(), StoreError> {
        self.mark(ids, "UPDATE events SET sent = 1 WHERE id = ?1")
    }

    /// Writes down that the broker has acknowledged these events as they were read. One whose time was
    /// put right since then stays unsent, so that home gets the right time.
    ///
    /// # Errors
    /// If the database cannot be written; then none is marked.
    pub fn mark_sent_as_read(&mut self, events: &[Event]) -> Result<(), StoreError> {
        let failed = self.failed();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        for event in events {
            transaction
                .prepare_cached("UPDATE events SET sent = 1 WHERE seq = ?1 AND id = ?2 AND time_ms = ?3")
                .and_then(|mut update| {
                    update.execute(params![event.seq, event.id, event.facts.moment.utc_ms])
                })
                .map_err(&failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// Writes down that the broker has acknowledged the whole crops of these events.
    ///
    /// # Errors
    /// If the database cannot be written; then none is marked.
    pub fn mark_crop_sent(&mut self, ids: &[impl AsRef<str>]) -> Result<(), StoreError> {
        self.mark(ids, "UPDATE events SET crop_sent = 1 WHERE id = ?1")
    }

    /// Stars events, which are then kept longest, or takes the star away.
    ///
    /// # Errors
    /// If the database cannot be written; then nothing is changed.
    pub fn star(&mut self, ids: &[impl AsRef<str>], starred: bool) -> Result<(), StoreError> {
        let sql = if starred { "SET starred = 1" } else { "SET starred = 0" };
        self.mark(ids, &format!("UPDATE events {sql} WHERE id = ?1"))
    }

    /// Sets events aside that are not worth a label, or takes that back.
    ///
    /// # Errors
    /// If the database cannot be written; then nothing is changed.
    pub fn ignore(&mut self, ids: &[impl AsRef<str>], ignored: bool) -> Result<(), StoreError> {
        let sql = if ignored { "SET ignored = 1" } else { "SET ignored = 0" };
        self.mark(ids, &format!("UPDATE events {sql} WHERE id = ?1"))
    }

    /// Gives events the class that a person says they are; `None` takes it back.
    ///
    /// # Errors
    /// If the database cannot be written; then nothing is changed.
    pub fn label(&mut self, ids: &[impl AsRef<str>], label: Option<&str>) -> Result<(), StoreError> {
        let failed = self.failed();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        for id in ids {
            transaction
                .prepare_cached("UPDATE events SET label = ?2 WHERE id = ?1")
                .and_then(|mut update| update.execute(params![id.as_ref(), label]))
                .map_err(&failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// Sets label, star and whether it is ignored of several events at once, all of them or none; what the
    /// network did with them stays. Events that are not there any more are passed over.
    ///
    /// # Errors
    /// If the database cannot be written; then nothing is changed.
    pub fn set_marks<'a>(
        &mut self,
        marks: impl IntoIterator<Item = (&'a str, &'a Marks)>,
    ) -> Result<(), StoreError> {
        let failed = self.failed();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        for (id, marks) in marks {
            transaction
                .prepare_cached("UPDATE events SET label = ?2, starred = ?3, ignored = ?4 WHERE id = ?1")
                .and_then(|mut update| update.execute(params![id, marks.label, marks.starred, marks.ignored]))
                .map_err(&failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// The clock has been set: what was recorded before, since the same start of the system, is put
    /// right, and is to be sent again. [`Store::record`] does the same when an event comes. The
    /// number of events put right.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn clock_was_set(&mut self, now: &Moment) -> Result<usize, StoreError> {
        let failed = self.failed();
        let boot = boots::number(&self.connection, &self.unit, &now.boot).map_err(&failed)?;
        boots::put_right(&self.connection, boot, now).map_err(failed)
    }

    fn mark(&mut self, ids: &[impl AsRef<str>], sql: &str) -> Result<(), StoreError> {
        let failed = self.failed();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        for id in ids {
            transaction
                .prepare_cached(sql)
                .and_then(|mut update| update.execute([id.as_ref()]))
                .map_err(&failed)?;
        }
        transaction.commit().map_err(failed)
    }
}
