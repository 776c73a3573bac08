//! Lines of `anchorwatch log DIR --export jsonl`, as a program that reads them would take them: every member
//! that is promised is there, and of its type.

use serde::Deserialize;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// One picture, judged by itself, shows something unknown.
    Single,
    /// Something unknown has come into view.
    Started,
    /// It is gone. The line names the one that said that it had come.
    Finished,
}

/// One event, one line of the log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// Identifier, unique over all units.
    pub id: String,
    /// The unit that recorded it.
    pub unit: String,
    /// Of a finished event: the identifier of the one that said that it had come.
    #[serde(default)]
    pub ends: Option<String>,
    /// What happened.
    pub phase: Phase,
    /// When, RFC 3339, UTC.
    pub time: String,
    /// When, in seconds since the system started: of use where the time above is not.
    #[serde(default)]
    pub uptime: f64,
    /// Which start of the system.
    #[serde(default)]
    pub boot: String,
    /// Whether the clock had been set by then. (A board without a battery starts in the past.)
    #[serde(default = "yes")]
    pub clock_set: bool,
    /// The file or device.
    pub source: String,
    /// Number of the frame in its source, from 0.
    pub frame: u64,
    /// Which region of the region rule, from 0.
    pub region: u32,
    /// The region in pixels of the frame: x, y, width, height.
    pub region_box: [u32; 4],
    /// The known class that it is most like. Missing when the network gave no finite numbers.
    pub class: Option<String>,
    /// The second most alike.
    pub runner_up: Option<String>,
    /// The rejection score, min γ; larger means more unknown. Missing when it is not finite.
    pub score: Option<f32>,
    /// The threshold it was compared with; unknown is above it.
    pub threshold: f32,
    /// Score ÷ threshold: 1.0 is the line, above it is unknown. Missing when it is not finite.
    pub relative_score: Option<f32>,
    /// Distances to the centres of the known classes, in the model's order. Empty when they are not
    /// finite.
    pub distances: Vec<f32>,
    /// The N logits. Empty when they are not finite.
    pub logits: Vec<f32>,
    /// The model, by its digest.
    pub model: String,
    /// The model's name, as its maker gave it.
    pub model_version: Option<String>,
    /// File name of the saved crop, relative to the log's folder.
    pub crop: Option<String>,
    /// Of a finished event: what there was between its start and its end.
    #[serde(default)]
    pub summary: Option<Summary>,
}

fn yes() -> bool {
    true
}

/// A camera or stream was lost, or is back: a line of the log as well.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CameraEvent {
    /// Identifier, unique over all units.
    pub id: String,
    /// Of a camera that is back: the identifier of the loss that it ends.
    #[serde(default)]
    pub ends: Option<String>,
    /// What happened.
    pub phase: CameraPhase,
    /// When, RFC 3339, UTC.
    pub time: String,
    /// When, in seconds since the system started.
    pub uptime: f64,
    /// Which start of the system.
    pub boot: String,
    /// Whether the clock had been set by then.
    pub clock_set: bool,
    /// The device or address.
    pub source: String,
    /// Of a loss: the reason.
    #[serde(default)]
    pub why: Option<String>,
    /// When it is back: how long it was away, in seconds.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// When it is back: format and size of its frames, which may have changed.
    #[serde(default)]
    pub format: Option<String>,
}

/// What happened to a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CameraPhase {
    /// It has broken off.
    CameraLost,
    /// It gives frames again.
    CameraBack,
}

/// A line of the log: something that was seen, or something that happened to the camera.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// Something was seen.
    Event(Box<Event>),
    /// The camera was lost, or is back.
    Camera(CameraEvent),
}

/// What there was between an event's start and its end.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Summary {
    /// When it started, RFC 3339, UTC.
    pub started: String,
    /// From the first to the last unknown frame, in seconds.
    pub seconds: f64,
    /// Frames judged between the two, both included.
    pub frames: u64,
    /// How many of them were unknown.
    pub unknown_frames: u64,
    /// Number of the frame with the largest score; the other fields of the line describe it.
    pub worst_frame: u64,
    /// Number of the frame that shows it best, large and sharp; the crop is of it.
    #[serde(default)]
    pub best_frame: u64,
}

#[test]
fn lines_about_the_camera_are_told_apart_by_their_phase() {
    let lost = CameraEvent {
        id: "id".into(),
        ends: None,
        phase: CameraPhase::CameraLost,
        time: "1970-01-01T00:00:00.000Z".into(),
        uptime: 12.5,
        boot: String::new(),
        clock_set: false,
        source: "/dev/video0".into(),
        why: Some("it was disconnected".into()),
        seconds: None,
        format: None,
    };
    let line = r#"{"id":"id","phase":"camera-lost","time":"1970-01-01T00:00:00.000Z","uptime":12.5,"boot":"",
        "clock_set":false,"source":"/dev/video0","why":"it was disconnected"}"#;
    assert_eq!(serde_json::from_str::<Line>(line).unwrap(), Line::Camera(lost));
}
