//! The columns: names and types, and how each is filled. All other code takes them from here.

use crate::Entry;
use crate::partition;
use anchorwatch_store::Clock;
use arrow_array::builder::{Float32Builder, ListBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The event's identifier.
pub(crate) const ID: &str = "id";
/// The unit's name, which makes half of the partition.
pub(crate) const UNIT: &str = "unit_name";
/// The event's time, which makes the other half.
pub(crate) const TIME: &str = "time";
/// When the lake's writer got it.
pub(crate) const RECEIVED: &str = "received";
/// The picture's bytes.
pub(crate) const CROP: &str = "crop";

/// What is in a column, and where it comes from.
enum Column {
    Text(fn(&Entry) -> Option<&str>),
    /// A JSON object as text.
    Json(fn(&Entry) -> &Map<String, Value>),
    Whole(fn(&Entry) -> Option<i64>),
    Single(fn(&Entry) -> Option<f32>),
    Double(fn(&Entry) -> Option<f64>),
    Flag(fn(&Entry) -> bool),
    /// Milliseconds since 1970, UTC.
    Time(fn(&Entry) -> Option<i64>),
    /// Null where there are none.
    Singles(fn(&Entry) -> &[f32]),
    Bytes(fn(&Entry) -> Option<&[u8]>),
}

use Column::{Bytes, Double, Flag, Json, Single, Singles, Text, Time, Whole};

static COLUMNS: [(&str, Column); 41] = [
    (ID, Text(|entry| Some(&entry.event.id))),
    (UNIT, Text(|entry| Some(&entry.event.unit))),
    ("seq", Whole(|entry| Some(entry.event.seq).filter(|seq| *seq > 0))),
    ("kind", Text(|entry| Some(entry.event.facts.kind.name()))),
    ("ends", Text(|entry| entry.event.facts.ends.as_deref())),
    (TIME, Time(|entry| partition::real_time(entry.event.facts.moment.utc_ms))),
    ("uptime_ms", Whole(|entry| Some(entry.event.facts.moment.uptime_ms))),
    ("boot", Text(|entry| Some(&entry.event.facts.moment.boot))),
    ("clock", Text(|entry| Some(clock_name(entry.event.clock)))),
    ("source", Text(|entry| Some(&entry.event.facts.source))),
    ("frame", Whole(|entry| whole(entry.event.facts.frame))),
    ("region", Whole(|entry| Some(entry.event.facts.region.into()))),
    ("box_x", Whole(|entry| side(entry, 0))),
    ("box_y", Whole(|entry| side(entry, 1))),
    ("box_width", Whole(|entry| side(entry, 2))),
    ("box_height", Whole(|entry| side(entry, 3))),
    ("class", Text(|entry| entry.event.facts.class.as_deref())),
    ("runner_up", Text(|entry| entry.event.facts.runner_up.as_deref())),
    ("score", Single(|entry| entry.event.facts.score)),
    ("threshold", Single(|entry| entry.event.facts.threshold)),
    ("distances", Singles(|entry| &entry.event.facts.distances)),
    ("logits", Singles(|entry| &entry.event.facts.logits)),
    ("embedding", Singles(|entry| &entry.event.facts.embedding)),
    ("model", Text(|entry| Some(&entry.event.facts.model))),
    ("model_version", Text(|entry| entry.event.facts.model_version.as_deref())),
    ("latitude", Double(|entry| entry.event.facts.position.map(|position| position.latitude))),
    ("longitude", Double(|entry| entry.event.facts.position.map(|position| position.longitude))),
    ("altitude", Double(|entry| entry.event.facts.position.and_then(|position| position.altitude))),
    ("starred", Flag(|entry| entry.event.marks.starred)),
    ("ignored", Flag(|entry| entry.event.marks.ignored)),
    ("label", Text(|entry| entry.event.marks.label.as_deref())),
    ("sent", Flag(|entry| entry.event.marks.sent)),
    ("crop_sent", Flag(|entry| entry.event.marks.crop_sent)),
    ("details", Json(|entry| &entry.event.facts.details)),
    ("crop_path", Text(|entry| entry.event.crop.as_deref())),
    ("crop_bytes", Whole(|entry| whole(entry.event.crop_bytes))),
    ("crop_width", Whole(|entry| Some(entry.event.crop_size[0].into()))),
    ("crop_height", Whole(|entry| Some(entry.event.crop_size[1].into()))),
    ("crop_format", Text(|entry| entry.picture.as_ref().map(|crop| crop.picture.ending()))),
    (CROP, Bytes(|entry| entry.picture.as_ref().map(|crop| crop.bytes.as_slice()))),
    (RECEIVED, Time(|entry| Some(entry.received_ms))),
];

/// The columns of the lake's files, in Arrow's terms.
pub fn schema() -> SchemaRef {
    let fields: Vec<Field> = COLUMNS
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type(), ![ID, UNIT, RECEIVED].contains(name)))
        .collect();
    Arc::new(Schema::new(fields))
}

/// The rows as columns.
pub(crate) fn batch(rows: &[Entry]) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(schema(), COLUMNS.iter().map(|(_, column)| column.fill(rows)).collect())
}

impl Column {
    fn data_type(&self) -> DataType {
        match self {
            Text(_) | Json(_) => DataType::Utf8,
            Whole(_) => DataType::Int64,
            Single(_) => DataType::Float32,
            Double(_) => DataType::Float64,
            Flag(_) => DataType::Boolean,
            Time(_) => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Singles(_) => DataType::List(Arc::new(element())),
            Bytes(_) => DataType::Binary,
        }
    }

    fn fill(&self, rows: &[Entry]) -> ArrayRef {
        match self {
            Text(of) => Arc::new(rows.iter().map(of).collect::<StringArray>()),
            Json(of) => Arc::new(rows.iter().map(|row| json_text(of(row))).collect::<StringArray>()),
            Whole(of) => Arc::new(rows.iter().map(of).collect::<Int64Array>()),
            Single(of) => Arc::new(rows.iter().map(of).collect::<Float32Array>()),
            Double(of) => Arc::new(rows.iter().map(of).collect::<Float64Array>()),
            Flag(of) => Arc::new(rows.iter().map(|row| Some(of(row))).collect::<BooleanArray>()),
            Time(of) => {
                let times = rows.iter().map(of).collect::<TimestampMillisecondArray>();
                Arc::new(times.with_timezone("UTC"))
            }
            Singles(of) => {
                let mut lists = ListBuilder::new(Float32Builder::new()).with_field(element());
                for row in rows {
                    let numbers = of(row);
                    lists.values().append_slice(numbers);
                    lists.append(!numbers.is_empty());
                }
                Arc::new(lists.finish())
            }
            Bytes(of) => Arc::new(rows.iter().map(of).collect::<BinaryArray>()),
        }
    }
}

/// What is in a list; Parquet's own name for it.
fn element() -> Field {
    Field::new("element", DataType::Float32, false)
}

fn json_text(members: &Map<String, Value>) -> Option<String> {
    // A map of values always has a text.
    (!members.is_empty()).then(|| serde_json::to_string(members).unwrap_or_default())
}

/// Engines have no unsigned numbers, or not the same; no frame or file is as large as this.
fn whole(number: u64) -> Option<i64> {
    Some(i64::try_from(number).unwrap_or(i64::MAX))
}

fn side(entry: &Entry, index: usize) -> Option<i64> {
    entry.event.facts.region_box.get(index).map(|pixels| i64::from(*pixels))
}

fn clock_name(clock: Clock) -> &'static str {
    match clock {
        Clock::Unset => "unset",
        Clock::Set => "set",
        Clock::Corrected => "corrected",
    }
}
