//! The retained message that says whether a unit is there, and how it is.

use crate::SCHEMA;
use anchorwatch_store::Totals;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What the unit says of itself besides what its store knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The version of the program.
    pub version: String,
    /// The model, by its digest.
    pub model: String,
    /// The model's version, as its maker named it.
    pub model_version: Option<String>,
    /// What was dropped before it could be recorded, since the program started.
    pub dropped: u64,
}

/// The figures of a unit that is there.
pub(crate) fn online(unit: &str, about: &About, totals: &Totals, free_bytes: Option<u64>) -> Value {
    json!({
        "schema": SCHEMA,
        "unit": unit,
        "state": "online",
        "time": now(),
        "version": about.version,
        "model": about.model,
        "model_version": about.model_version,
        "events": totals.events,
        "unsent": totals.unsent,
        "removed": totals.removed,
        "dropped": about.dropped,
        "lost_events": totals.lost_events,
        "lost_crops": totals.lost_crops,
        "crop_bytes": totals.crop_bytes,
        "free_bytes": free_bytes,
    })
}

/// What the broker says when the unit is gone: it has no figures then.
pub(crate) fn offline(unit: &str) -> Value {
    json!({ "schema": SCHEMA, "unit": unit, "state": "offline" })
}

fn now() -> Option<String> {
    OffsetDateTime::now_utc().replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
}
