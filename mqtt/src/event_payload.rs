//! An event as a message: JSON with a schema version, and back again. What comes from outside is checked;
//! `docs/event.schema.json` describes it for others.

use crate::topics::{is_id_of, is_unit};
use anchorwatch_store::{Event, Facts, Identity, Kind, Moment, NewEvent, Position};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The version of the payload. A new member leaves it as it is; another meaning raises it.
pub const SCHEMA: u64 = 1;
/// The longest event that is taken.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;
/// The longest text of a name; a source may be a long address.
const MAX_TEXT: usize = 4096;

/// What people made of it, and what follows from the rest.
const PASSED_OVER: [&str; 6] = ["schema", "starred", "ignored", "label", "sent", "time_corrected"];

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub(crate) String);

/// An event as it is sent: [`Event::json`] and the schema's version, in UTF-8.
pub fn event_json(event: &Event) -> Vec<u8> {
    let mut json = event.json();
    if let Value::Object(members) = &mut json {
        members.insert("schema".to_string(), SCHEMA.into());
    }
    json.to_string().into_bytes()
}

/// The event of a message that came for a unit. Its picture comes in a message of its own.
///
/// # Errors
/// If it is no event, a newer program wrote it, or it claims to be another unit's.
pub fn event_from_json(unit: &str, payload: &[u8]) -> Result<NewEvent, Refusal> {
    if payload.len() > MAX_EVENT_BYTES {
        return Err(Refusal(format!("it has more than {MAX_EVENT_BYTES} bytes")));
    }
    let json: Value =
        serde_json::from_slice(payload).map_err(|error| Refusal(format!("it is no JSON: {error}")))?;
    let Value::Object(members) = json else { return Err(Refusal("it is no JSON object".to_string())) };
    let mut members = Members(members);
    match members.0.get("schema").and_then(Value::as_u64) {
        Some(SCHEMA) => {}
        Some(newer) if newer > SCHEMA => {
            return Err(Refusal(format!("it has schema {newer}: use a newer anchorwatch to collect")));
        }
        _ => return Err(Refusal("it has no schema version".to_string())),
    }
    let identity = Identity { id: members.text("id")?, unit: members.text("unit")? };
    if identity.unit != unit || !is_unit(unit) {
        return Err(Refusal("its unit is not that of its topic".to_string()));
    }
    if !is_id_of(&identity.id, unit) {
        return Err(Refusal("its identifier is not one of its unit".to_string()));
    }
    let facts = facts(&mut members)?;
    Ok(NewEvent { facts, crop: None, identity: Some(identity) })
}

fn facts(members: &mut Members) -> Result<Facts, Refusal> {
    let kind = members.text("phase")?;
    let kind = Kind::named(&kind).ok_or_else(|| Refusal("its phase is unknown".to_string()))?;
    let moment = Moment {
        utc_ms: members.time()?,
        uptime_ms: members.uptime()?,
        boot: members.text("boot")?,
        clock_set: members.flag("clock_set")?,
    };
    let mut facts = Facts::new(kind, moment, &members.text("source")?);
    facts.ends = members.optional_text("ends")?;
    facts.position = members.position()?;
    if !matches!(kind, Kind::CameraLost | Kind::CameraBack) {
        facts.frame = members.count("frame", i64::MAX.unsigned_abs())?;
        facts.region = members.small("region")?;
        facts.region_box = members.region_box()?;
        facts.class = members.optional_text("class")?;
        facts.runner_up = members.optional_text("runner_up")?;
        facts.score = members.optional_number("score")?.map(|number| number as f32);
        facts.threshold = members.optional_number("threshold")?.map(|number| number as f32);
        facts.distances = members.numbers("distances")?;
        facts.logits = members.numbers("logits")?;
        facts.embedding = members.numbers("embedding")?;
        facts.model = members.text("model")?;
        facts.model_version = members.optional_text("model_version")?;
        for known in ["relative_score", "crop"] {
            members.0.remove(known);
        }
    }
    for known in PASSED_OVER {
        members.0.remove(known);
    }
    facts.details = std::mem::take(&mut members.0);
    Ok(facts)
}

/// The members that were not yet taken.
struct Members(Map<String, Value>);

impl Members {
    /// `null` and what is missing are the same.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn optional_text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_TEXT => Ok(Some(text)),
            Some(_) => Err(wrong(name)),
        }
    }

    fn text(&mut self, name: &str) -> Result<String, Refusal> {
        self.optional_text(name)?.ok_or_else(|| wrong(name))
    }

    fn optional_number(&mut self, name: &str) -> Result<Option<f64>, Refusal> {
        self.take(name).map(|value| value.as_f64().ok_or_else(|| wrong(name))).transpose()
    }

    fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        self.take(name).and_then(|value| value.as_bool()).ok_or_else(|| wrong(name))
    }

    fn count(&mut self, name: &str, most: u64) -> Result<u64, Refusal> {
        let count = self.take(name).and_then(|value| value.as_u64());
        count.filter(|count| *count <= most).ok_or_else(|| wrong(name))
    }

    fn small(&mut self, name: &str) -> Result<u32, Refusal> {
        let count = self.count(name, u64::from(u32::MAX))?;
        u32::try_from(count).map_err(|_| wrong(name))
    }

    fn region_box(&mut self) -> Result<[u32; 4], Refusal> {
        let value = self.take("region_box");
        value.and_then(|value| serde_json::from_value(value).ok()).ok_or_else(|| wrong("region_box"))
    }

    /// JSON has no NaN and no infinity: both are `null`, and become NaN.
    fn numbers(&mut self, name: &str) -> Result<Vec<f32>, Refusal> {
        let Some(Value::Array(values)) = self.take(name) else { return Err(wrong(name)) };
        let number = |value: &Value| match value {
            Value::Null => Ok(f32::NAN),
            value => value.as_f64().map(|number| number as f32).ok_or_else(|| wrong(name)),
        };
        values.iter().map(number).collect()
    }

    fn time(&mut self) -> Result<i64, Refusal> {
        let text = self.text("time")?;
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| wrong("time"))?;
        i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).map_err(|_| wrong("time"))
    }

    fn uptime(&mut self) -> Result<i64, Refusal> {
        let seconds = self.optional_number("uptime")?.ok_or_else(|| wrong("uptime"))?;
        let a_thousand_years = 3.2e10;
        if !(0.0..a_thousand_years).contains(&seconds) {
            return Err(wrong("uptime"));
        }
        Ok((seconds * 1000.0).round() as i64)
    }

    fn position(&mut self) -> Result<Option<Position>, Refusal> {
        let Some(Value::Object(inside)) = self.take("position") else { return Ok(None) };
        let mut inside = Self(inside);
        let latitude = inside.optional_number("latitude")?.filter(|degrees| degrees.abs() <= 90.0);
        let longitude = inside.optional_number("longitude")?.filter(|degrees| degrees.abs() <= 360.0);
        match (latitude, longitude) {
            (Some(latitude), Some(longitude)) => {
                let altitude = inside.optional_number("altitude")?;
                Ok(Some(Position { latitude, longitude, altitude }))
            }
            _ => Err(wrong("position")),
        }
    }
}

fn wrong(name: &str) -> Refusal {
    Refusal(format!("its member '{name}' is missing or not what it should be"))
}
