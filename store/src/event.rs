//! What is kept of something that was seen, or of what happened to a camera.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One picture, judged by itself, shows something unknown.
    Single,
    /// Something unknown has come into view.
    Started,
    /// It is gone.
    Finished,
    /// The camera has broken off.
    CameraLost,
    /// The camera gives frames again.
    CameraBack,
    /// A sample of what was judged known, kept to calibrate with. Nothing happened: it is not news.
    Known,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Single, Self::Started, Self::Finished, Self::CameraLost, Self::CameraBack, Self::Known];

    /// Its name in the database, in exports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Started => "started",
            Self::Finished => "finished",
            Self::CameraLost => "camera-lost",
            Self::CameraBack => "camera-back",
            Self::Known => "known",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A moment by both clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the wall clock: milliseconds since 1970, UTC.
    pub utc_ms: i64,
    /// By the monotonic clock: milliseconds since the system started.
    pub uptime_ms: i64,
    /// Which start of the system (Linux: `/proc/sys/kernel/random/boot_id`); empty if it does not say.
    pub boot: String,
    /// Whether the wall clock had been set by then.
    pub clock_set: bool,
}

/// How far an event's time can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The wall clock had not been set, and was not set until the system stopped.
    Unset,
    /// It had been set.
    Set,
    /// It had not been set, but was later: the time was put right by the monotonic clock.
    Corrected,
}

/// Where the unit was (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Metres above the ellipsoid, if known.
    pub altitude: Option<f64>,
}

/// What is known of an event when it happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// What happened.
    pub kind: Kind,
    /// When.
    pub moment: Moment,
    /// The file, device or address.
    pub source: String,
    /// The event that this one ends: of what is gone, that it had come; of a camera that is back, its loss.
    pub ends: Option<String>,
    /// Number of the frame in its source, from 0.
    pub frame: u64,
    /// Which region of the region rule, from 0.
    pub region: u32,
    /// The region in pixels of the frame: x, y, width, height.
    pub region_box: [u32; 4],
    /// The known class that it is most like.
    pub class: Option<String>,
    /// The second most alike.
    pub runner_up: Option<String>,
    /// The rejection score, min γ; larger means more unknown.
    pub score: Option<f32>,
    /// The threshold it was compared with; unknown is above it.
    pub threshold: Option<f32>,
    /// Distances to the M class centres, in the model's order.
    pub distances: Vec<f32>,
    /// The N logits, in the model's order.
    pub logits: Vec<f32>,
    /// An embedding, where the model has one that is not its logits.
    pub embedding: Vec<f32>,
    /// The model, by its digest.
    pub model: String,
    /// The model's version, as its maker named it.
    pub model_version: Option<String>,
    /// Where the unit was.
    pub position: Option<Position>,
    /// More, by kind: the summary of what is gone, why a camera was lost. Members of the exported line.
    pub details: Map<String, Value>,
}

impl Facts {
    /// What is the same in all events; the rest is empty.
    pub fn new(kind: Kind, moment: Moment, source: &str) -> Self {
        Self {
            kind,
            moment,
            source: source.to_string(),
            ends: None,
            frame: 0,
            region: 0,
            region_box: [0; 4],
            class: None,
            runner_up: None,
            score: None,
            threshold: None,
            distances: Vec::new(),
            logits: Vec::new(),
            embedding: Vec::new(),
            model: String::new(),
            model_version: None,
            position: None,
            details: Map::new(),
        }
    }
}

/// The format of a crop's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
}

impl Picture {
    /// The ending of its file names.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
        }
    }
}

/// The picture of an event, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crop {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// Their format.
    pub picture: Picture,
    /// Width and height in pixels.
    pub size: [u32; 2],
}

/// Who recorded an event, and under which identifier: of events that come from another unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The event's identifier.
    pub id: String,
    /// The unit.
    pub unit: String,
}

/// Something to record.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// What happened.
    pub facts: Facts,
    /// Its picture.
    pub crop: Option<Crop>,
    /// `None`: it happened here. An event whose identifier is there already is a duplicate: only its
    /// times are taken over, since a unit sends an event again when its clock was put right.
    pub identity: Option<Identity>,
}

/// What people and the network made of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Kept longest.
    pub starred: bool,
    /// Not to be shown for labelling again.
    pub ignored: bool,
    /// The class that a person gave it.
    pub label: Option<String>,
    /// The broker has acknowledged it.
    pub sent: bool,
    /// The broker has acknowledged its whole crop.
    pub crop_sent: bool,
}

/// A recorded event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in this store: later recorded is larger, and never used again.
    pub seq: i64,
    /// Unique over all units, and the same wherever it goes: unit, store, number.
    pub id: String,
    /// The unit that recorded it.
    pub unit: String,
    /// What happened. The time is the corrected one.
    pub facts: Facts,
    /// How far the time can be believed.
    pub clock: Clock,
    /// The crop's file, relative to the log's folder.
    pub crop: Option<String>,
    /// The file's length.
    pub crop_bytes: u64,
    /// The crop's width and height in pixels.
    pub crop_size: [u32; 2],
    /// What was made of it.
    pub marks: Marks,
}

impl Event {
    /// Score ÷ threshold: 1.0 is the line, above it is unknown.
    pub fn relative_score(&self) -> Option<f32> {
        match (self.facts.score, self.facts.threshold) {
            (Some(score), Some(threshold)) if threshold > 0.0 => Some(score / threshold),
            _ => None,
        }
    }

    /// One JSON object, as exports and messages have it.
    pub fn json(&self) -> Value {
        let facts = &self.facts;
        let mut line = json!({
            "id": self.id,
            "unit": self.unit,
            "phase": facts.kind.name(),
            "time": timestamp(facts.moment.utc_ms),
            "uptime": facts.moment.uptime_ms as f64 / 1000.0,
            "boot": facts.moment.boot,
            "clock_set": self.clock != Clock::Unset,
            "time_corrected": self.clock == Clock::Corrected,
            "source": facts.source,
            "starred": self.marks.starred,
            "ignored": self.marks.ignored,
            "label": self.marks.label,
            "sent": self.marks.sent,
        });
        let Value::Object(members) = &mut line else { return line };
        if let Some(ends) = &facts.ends {
            members.insert("ends".into(), json!(ends));
        }
        if let Some(at) = facts.position {
            let altitude = at.altitude;
            let position =
                json!({ "latitude": at.latitude, "longitude": at.longitude, "altitude": altitude });
            members.insert("position".into(), position);
        }
        if !matches!(facts.kind, Kind::CameraLost | Kind::CameraBack) {
            let seen = json!({
                "frame": facts.frame,
                "region": facts.region,
                "region_box": facts.region_box,
                "class": facts.class,
                "runner_up": facts.runner_up,
                "score": facts.score,
                "threshold": facts.threshold,
                "relative_score": self.relative_score(),
                "distances": facts.distances,
                "logits": facts.logits,
                "embedding": facts.embedding,
                "model": facts.model,
                "model_version": facts.model_version,
                "crop": self.crop,
            });
            if let Value::Object(seen) = seen {
                members.extend(seen);
            }
        }
        for (name, value) in &facts.details {
            members.entry(name.clone()).or_insert_with(|| value.clone());
        }
        line
    }
}

/// RFC 3339 in UTC with milliseconds, always of the same length: of milliseconds since 1970.
pub fn timestamp(utc_ms: i64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(utc_ms) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&format).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00.000Z".to_string())
}
