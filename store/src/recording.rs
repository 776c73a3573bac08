//! Recording: a group of events becomes durable at once, crops first, then their rows. Nothing that
//! happens here stops the caller: what cannot be kept is counted.

use crate::store::Store;
use crate::{Identity, NewEvent, StoreError, boots, crops, row};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, named_params, params};

/// What became of a group of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The identifier of each, in the group's order; `None` was lost.
    pub ids: Vec<Option<String>>,
    /// How many were there already.
    pub duplicates: u64,
    /// Recorded without their crop.
    pub lost_crops: u64,
    /// Not recorded.
    pub lost_events: u64,
    /// Why something was lost, the first reason.
    pub error: Option<String>,
}

impl Store {
    /// Records a group of events. When this returns they last through a power cut, except what it
    /// counts as lost.
    ///
    /// When the disk is full, the oldest events that may go make room; when that does not help, the
    /// event is kept without its crop; when that does not help either, it is lost, and counted.
    pub fn record(&mut self, group: &[NewEvent]) -> Recorded {
        if group.is_empty() {
            return Recorded::default();
        }
        let error = match self.write(group, true) {
            Ok(recorded) => {
                self.keep_within_limits();
                return recorded;
            }
            Err(error) => error,
        };
        self.recover_from(&error);
        if let Ok(recorded) = self.write(group, true) {
            self.keep_within_limits();
            return recorded;
        }
        let mut recorded = Recorded { error: Some(error.to_string()), ..Recorded::default() };
        for event in group {
            self.record_alone(event, &mut recorded);
        }
        self.lost.0 += recorded.lost_events;
        self.lost.1 += recorded.lost_crops;
        recorded
    }

    fn record_alone(&mut self, event: &NewEvent, recorded: &mut Recorded) {
        let one = std::slice::from_ref(event);
        let written = self.write(one, true).or_else(|_| {
            let without = self.write(one, false);
            recorded.lost_crops += u64::from(without.is_ok() && event.crop.is_some());
            without
        });
        match written {
            Ok(written) => {
                recorded.ids.extend(written.ids);
                recorded.duplicates += written.duplicates;
            }
            Err(_) => {
                recorded.lost_events += 1;
                recorded.ids.push(None);
            }
        }
    }

    /// What can be done about an error before it is tried again. Events make room for others only where
    /// there is none, and only for who records here.
    pub(crate) fn recover_from(&mut self, error: &StoreError) {
        if self.lock.is_none() {
            return;
        }
        let recovered = match () {
            () if error.is_damage() => self.begin_anew(),
            () if error.is_full() || error.is_io() && self.has_no_room() => self.make_room(),
            () => return,
        };
        if let Err(error) = recovered {
            log::debug!("the field log: {error}");
        }
    }

    /// Limits are kept as events come; what cannot be removed now is removed with a later event.
    pub(crate) fn keep_within_limits(&mut self) {
        if let Err(error) = self.retain() {
            log::warn!("old events could not make room: {error}");
        }
    }

    /// Writes a group, all of it or nothing.
    fn write(&mut self, group: &[NewEvent], with_crops: bool) -> Result<Recorded, StoreError> {
        if self.lock.is_none() {
            return Err(StoreError::ReadOnly(self.folder.clone()));
        }
        let failed = self.failed();
        let first = self.last_seq()? + 1;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let mut rows = Vec::with_capacity(group.len());
        let mut files = Vec::new();
        let mut recorded = Recorded::default();
        let mut seq = first;
        for event in group {
            let identity = event.identity.clone().unwrap_or_else(|| Identity {
                id: format!("{}-{}-{seq:010}", self.unit, self.token),
                unit: self.unit.clone(),
            });
            recorded.ids.push(Some(identity.id.clone()));
            if event.identity.is_some() && is_there(&transaction, &identity.id, event).map_err(&failed)? {
                recorded.duplicates += 1;
                continue;
            }
            let crop = event.crop.as_ref().filter(|crop| with_crops && !crop.bytes.is_empty());
            let path = crop.map(|crop| crops::relative_path(seq, &crops::file_name(&identity.id), crop));
            if let (Some(crop), Some(path)) = (crop, &path) {
                files.push((path.clone(), crop));
            }
            rows.push((seq, identity, event, path));
            seq += 1;
        }
        crops::write(&self.folder, &files)?;
        let inserted = insert_all(&transaction, &rows, self.lost).and_then(|()| transaction.commit());
        if let Err(error) = inserted {
            for (path, _) in &files {
                let _ = std::fs::remove_file(self.folder.join(path)); // no crop without a row
            }
            return Err(failed(error));
        }
        self.lost = (0, 0);
        Ok(recorded)
    }
}

/// Whether an event is there already; if so, its time is that of the newer copy.
fn is_there(connection: &Connection, id: &str, event: &NewEvent) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached("SELECT seq FROM events WHERE id = ?1")?;
    let seq: Option<i64> = select.query_row([id], |row| row.get(0)).optional()?;
    let Some(seq) = seq else { return Ok(false) };
    if event.facts.moment.clock_set {
        let mut update =
            connection.prepare_cached("UPDATE events SET time_ms = ?2, clock = 1 WHERE seq = ?1")?;
        update.execute(params![seq, event.facts.moment.utc_ms])?;
    }
    Ok(true)
}

type NewRow<'a> = (i64, Identity, &'a NewEvent, Option<String>);

fn insert_all(connection: &Connection, rows: &[NewRow<'_>], lost: (u64, u64)) -> rusqlite::Result<()> {
    for (seq, identity, event, path) in rows {
        insert(connection, *seq, identity, event, path.as_deref())?;
    }
    if lost != (0, 0) {
        let (events, crops) =
            (i64::try_from(lost.0).unwrap_or(i64::MAX), i64::try_from(lost.1).unwrap_or(i64::MAX));
        connection.execute(
            "UPDATE totals SET lost_events = lost_events + ?1, lost_crops = lost_crops + ?2",
            params![events, crops],
        )?;
    }
    Ok(())
}

fn insert(
    connection: &Connection,
    seq: i64,
    identity: &Identity,
    event: &NewEvent,
    path: Option<&str>,
) -> rusqlite::Result<()> {
    let facts = &event.facts;
    let boot = boots::number(connection, &identity.unit, &facts.moment.boot)?;
    if event.identity.is_none() {
        boots::put_right(connection, boot, &facts.moment)?;
    }
    let crop = event.crop.as_ref().filter(|_| path.is_some());
    let details =
        (!facts.details.is_empty()).then(|| serde_json::to_string(&facts.details).unwrap_or_default()); // a map of values always has a text
    let [x, y, width, height] = facts.region_box;
    let mut insert = connection.prepare_cached(
        "INSERT INTO events (seq, id, unit, kind, ends, time_ms, uptime_ms, boot, clock, source, frame, region,
            box_x, box_y, box_width, box_height, class, runner_up, score, threshold, distances, logits, embedding,
            model, model_version, latitude, longitude, altitude, details, crop, crop_bytes, crop_crc,
            crop_width, crop_height)
        VALUES (:seq, :id, :unit, :kind, :ends, :time, :uptime, :boot, :clock, :source, :frame, :region,
            :x, :y, :width, :height, :class, :runner_up, :score, :threshold, :distances, :logits, :embedding,
            :model, :model_version, :latitude, :longitude, :altitude, :details, :crop, :bytes, :crc,
            :crop_width, :crop_height)",
    )?;
    insert.execute(named_params! {
        ":seq": seq,
        ":id": identity.id,
        ":unit": identity.unit,
        ":kind": facts.kind.name(),
        ":ends": facts.ends,
        ":time": facts.moment.utc_ms,
        ":uptime": facts.moment.uptime_ms,
        ":boot": boot,
        ":clock": i64::from(facts.moment.clock_set),
        ":source": facts.source,
        ":frame": i64::try_from(facts.frame).unwrap_or(i64::MAX),
        ":region": facts.region,
        ":x": x,
        ":y": y,
        ":width": width,
        ":height": height,
        ":class": facts.class,
        ":runner_up": facts.runner_up,
        ":score": facts.score,
        ":threshold": facts.threshold,
        ":distances": row::blob(&facts.distances),
        ":logits": row::blob(&facts.logits),
        ":embedding": row::blob(&facts.embedding),
        ":model": facts.model,
        ":model_version": facts.model_version,
        ":latitude": facts.position.map(|position| position.latitude),
        ":longitude": facts.position.map(|position| position.longitude),
        ":altitude": facts.position.and_then(|position| position.altitude),
        ":details": details,
        ":crop": path,
        ":bytes": crop.map_or(0, |crop| i64::try_from(crop.bytes.len()).unwrap_or(i64::MAX)),
        ":crc": crop.map_or(0, |crop| i64::from(crc32fast::hash(&crop.bytes))),
        ":crop_width": crop.map_or(0, |crop| crop.size[0]),
        ":crop_height": crop.map_or(0, |crop| crop.size[1]),
    })?;
    Ok(())
}
