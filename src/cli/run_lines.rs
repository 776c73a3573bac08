//! What happens in a run as JSON, for programs: on standard output (`--json`) and on a socket
//! (`--stream`).

use crate::capture::{Frame, Moment, boot_id};
use crate::pipeline::{Happening, Notice};
use crate::record::timestamp;
use crate::vision::Region;
use crate::watch::Sighting;
use anchorwatch_core::Verdict;
use serde::Serialize;
use serde_json::{Value, json};

/// A verdict.
#[derive(Serialize)]
pub struct VerdictLine<'a> {
    frame: u64,
    source: &'a str,
    time: String,
    /// Seconds since the system started.
    uptime: f64,
    /// Whether the clock that gave `time` had been set.
    clock_set: bool,
    region: u32,
    region_box: [u32; 4],
    /// "known" or "unknown".
    outcome: &'a str,
    /// What it is, or is most like; null when the network gave no finite numbers.
    class: Option<&'a str>,
    runner_up: Option<&'a str>,
    /// Larger is more unknown; null when it is not finite.
    score: Option<f32>,
    threshold: f32,
    /// Score ÷ threshold: above 1 is unknown.
    relative_score: Option<f32>,
    /// Unknown, but always there: no event.
    background: bool,
}

/// A verdict on a region of a frame.
pub fn verdict<'a>(
    frame: &'a Frame,
    region: Region,
    verdict: &Verdict,
    background: bool,
    classes: &'a [String],
) -> VerdictLine<'a> {
    let name = |class: Option<usize>| class.and_then(|class| classes.get(class)).map(String::as_str);
    let finite = |value: f32| value.is_finite().then_some(value);
    VerdictLine {
        frame: frame.index,
        source: &frame.name,
        time: timestamp(frame.captured.time),
        uptime: frame.captured.uptime.as_secs_f64(),
        clock_set: frame.captured.clock_set,
        region: region.id,
        region_box: [region.x, region.y, region.width, region.height],
        outcome: if verdict.is_unknown() { "unknown" } else { "known" },
        class: name(verdict.class),
        runner_up: name(verdict.runner_up),
        score: finite(verdict.score),
        threshold: verdict.threshold,
        relative_score: finite(verdict.relative_score()),
        background,
    }
}

/// A line for those who listen, if there is something to tell.
pub fn streamed(happening: &Happening<'_>, classes: &[String]) -> Option<String> {
    let object = match happening {
        Happening::Judged { frame, region, verdict: said, background, .. } => {
            json!({ "verdict": verdict(frame, *region, said, *background, classes) })
        }
        Happening::Started(sighting) => {
            json!({ "event": event("started", sighting.started, sighting, classes) })
        }
        Happening::Finished(sighting) => {
            json!({ "event": event("finished", sighting.last, sighting, classes) })
        }
        Happening::Notice(notice) => json!({ "camera": camera(notice) }),
        Happening::Skipped(_) | Happening::Round => return None,
    };
    Some(object.to_string())
}

fn event(phase: &str, at: Moment, sighting: &Sighting, classes: &[String]) -> Value {
    let Region { x, y, width, height, .. } = sighting.worst.region;
    let verdict = &sighting.worst.verdict;
    let finite = |value: f32| value.is_finite().then_some(value);
    json!({
        "phase": phase,
        "time": timestamp(at.time),
        "uptime": at.uptime.as_secs_f64(),
        "boot": boot_id(),
        "clock_set": at.clock_set,
        "region": sighting.region.id,
        "region_box": [x, y, width, height],
        "class": verdict.class.and_then(|class| classes.get(class)),
        "score": finite(verdict.score),
        "relative_score": finite(verdict.relative_score()),
        "seconds": sighting.seconds(),
        "frames": sighting.frames,
        "unknown_frames": sighting.unknown_frames,
        "worst_frame": sighting.worst.frame,
        "best_frame": sighting.best.frame,
    })
}

fn camera(notice: &Notice) -> Value {
    let (phase, source, at) = match notice {
        Notice::Lost { source, at, .. } => ("camera-lost", source, at),
        Notice::Back { source, at, .. } => ("camera-back", source, at),
    };
    let mut object = json!({
        "phase": phase,
        "source": source,
        "time": timestamp(at.time),
        "uptime": at.uptime.as_secs_f64(),
        "boot": boot_id(),
        "clock_set": at.clock_set,
    });
    match notice {
        Notice::Lost { why, .. } => object["why"] = json!(why),
        Notice::Back { format, after, attempts, .. } => {
            object["format"] = json!(format);
            object["seconds"] = json!(after.as_secs_f64());
            object["attempts"] = json!(attempts);
        }
    }
    object
}
