//! Between a row of the table and an [`Event`].

use crate::{Clock, Event, Facts, Kind, Marks, Moment, Position};
use rusqlite::Row;
use rusqlite::types::Type;

/// What [`event`] reads, of `events` joined with `boots`.
pub(crate) const SELECT: &str = "SELECT events.*, boots.boot AS boot_id FROM events JOIN boots ON \
    boots.number = events.boot";

/// The event of a row.
pub(crate) fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let kind: String = row.get("kind")?;
    let kind = Kind::named(&kind).ok_or_else(|| {
        let reason = format!("there is no kind of event named '{kind}'");
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, reason.into())
    })?;
    let clock = match row.get("clock")? {
        0 => Clock::Unset,
        2 => Clock::Corrected,
        _ => Clock::Set,
    };
    let moment = Moment {
        utc_ms: row.get("time_ms")?,
        uptime_ms: row.get("uptime_ms")?,
        boot: row.get("boot_id")?,
        clock_set: clock == Clock::Set,
    };
    let position = match (row.get("latitude")?, row.get("longitude")?) {
        (Some(latitude), Some(longitude)) => {
            Some(Position { latitude, longitude, altitude: row.get("altitude")? })
        }
        _ => None,
    };
    let details: Option<String> = row.get("details")?;
    let facts = Facts {
        kind,
        moment,
        source: row.get("source")?,
        ends: row.get("ends")?,
        frame: row.get::<_, i64>("frame")?.unsigned_abs(),
        region: row.get("region")?,
        region_box: [row.get("box_x")?, row.get("box_y")?, row.get("box_width")?, row.get("box_height")?],
        class: row.get("class")?,
        runner_up: row.get("runner_up")?,
        score: row.get::<_, Option<f64>>("score")?.map(|score| score as f32),
        threshold: row.get::<_, Option<f64>>("threshold")?.map(|threshold| threshold as f32),
        distances: floats(row.get("distances")?),
        logits: floats(row.get("logits")?),
        embedding: floats(row.get("embedding")?),
        model: row.get("model")?,
        model_version: row.get("model_version")?,
        position,
        details: details.and_then(|details| serde_json::from_str(&details).ok()).unwrap_or_default(),
    };
    Ok(Event {
        seq: row.get("seq")?,
        id: row.get("id")?,
        unit: row.get("unit")?,
        facts,
        clock,
        crop: row.get("crop")?,
        crop_bytes: row.get::<_, i64>("crop_bytes")?.unsigned_abs(),
        crop_size: [row.get("crop_width")?, row.get("crop_height")?],
        marks: Marks {
            starred: row.get("starred")?,
            ignored: row.get("ignored")?,
            label: row.get("label")?,
            sent: row.get("sent")?,
            crop_sent: row.get("crop_sent")?,
        },
    })
}

/// Numbers as they are stored: nothing if there are none.
pub(crate) fn blob(numbers: &[f32]) -> Option<Vec<u8>> {
    (!numbers.is_empty()).then(|| numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
}

fn floats(blob: Option<Vec<u8>>) -> Vec<f32> {
    let (numbers, _) = blob.as_deref().unwrap_or_default().as_chunks::<4>();
    numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
