//! What the companion says, for people and as JSON.

use super::Received;
use anchorwatch_core::link::{Alarm, Clock, Event, EventKind, Judge, RegionVerdict, UploadHeader};
use serde_json::{Value, json};
use std::fmt::Write;
use time::format_description::well_known::Rfc3339;

/// One line about an event.
pub fn event_text(event: &Event) -> String {
    let mut text = format!("{:>5}  {}  ", event.number, clock_text(&event.clock));
    // Writing to a String cannot fail: the results are left alone.
    let _ = match &event.kind {
        EventKind::Started { by_watchdog: false } => write!(text, "the companion has started"),
        EventKind::Started { by_watchdog: true } => write!(text, "its watchdog has restarted the companion"),
        EventKind::Raised { verdict, judge } => {
            let ratio = verdict.verdict().relative_score();
            let RegionVerdict { region, .. } = verdict;
            write!(text, "UNKNOWN {ratio:.2} in region {region}, judged by {}", judge_text(*judge))
        }
        EventKind::Cleared { region, judge } => {
            write!(text, "region {region} is calm again, judged by {}", judge_text(*judge))
        }
        EventKind::Acknowledged { button: true } => write!(text, "the alarm was acknowledged by the button"),
        EventKind::Acknowledged { button: false } => write!(text, "the alarm was acknowledged by the host"),
        EventKind::AlarmEnded => write!(text, "the alarm has ended"),
        EventKind::HostLost => write!(text, "the host is lost"),
        EventKind::HostFound { session } => write!(text, "a host is there (session {session:08x})"),
        EventKind::CentresChanged { header } => write!(text, "new centres: {}", centres_text(header)),
    };
    text
}

/// An event as an object. `time` is null when the companion did not know it.
pub fn event_json(event: &Event) -> Value {
    let (kind, details) = match &event.kind {
        EventKind::Started { by_watchdog } => ("started", json!({ "by_watchdog": by_watchdog })),
        EventKind::Raised { verdict, judge } => {
            let RegionVerdict { region, class, score, threshold } = verdict;
            let details = json!({
                "region": region, "class": class, "score": score, "threshold": threshold,
                "judge": judge_text(*judge),
            });
            ("raised", details)
        }
        EventKind::Cleared { region, judge } => {
            ("cleared", json!({ "region": region, "judge": judge_text(*judge) }))
        }
        EventKind::Acknowledged { button } => {
            ("acknowledged", json!({ "by": if *button { "button" } else { "host" } }))
        }
        EventKind::AlarmEnded => ("alarm-ended", json!({})),
        EventKind::HostLost => ("host-lost", json!({})),
        EventKind::HostFound { session } => ("host-found", json!({ "session": session })),
        EventKind::CentresChanged { header } => ("centres-changed", centres_json(header)),
    };
    let mut object = json!({
        "number": event.number,
        "kind": kind,
        "uptime_ms": event.clock.uptime_ms,
        "time": time_text(&event.clock),
    });
    if let (Some(object), Value::Object(details)) = (object.as_object_mut(), details) {
        object.extend(details);
    }
    object
}

/// The same, with which start of the companion it belongs to and how many before it are lost.
pub fn received_json(received: &Received) -> Value {
    let mut object = event_json(&received.event);
    if let Some(object) = object.as_object_mut() {
        object.insert("boot".to_string(), received.boot.into());
        if received.missed > 0 {
            object.insert("missed".to_string(), received.missed.into());
        }
    }
    object
}

/// Centres and threshold in a few words.
pub fn centres_text(header: &UploadHeader) -> String {
    let UploadHeader { classes, logits, threshold, .. } = header;
    format!("{classes} classes of {logits} logits, threshold {threshold:.4}, model {}", model_text(header))
}

/// The same as an object.
pub fn centres_json(header: &UploadHeader) -> Value {
    let UploadHeader { classes, logits, threshold, .. } = header;
    json!({ "classes": classes, "logits": logits, "threshold": threshold, "model": model_text(header) })
}

/// The model's name in logs, as far as the companion knows it.
fn model_text(header: &UploadHeader) -> String {
    header.model.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The alarm in a word.
pub fn alarm_text(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::Quiet => "quiet",
        Alarm::On => "on",
        Alarm::Acknowledged => "acknowledged",
    }
}

fn judge_text(judge: Judge) -> &'static str {
    match judge {
        Judge::Host => "host",
        Judge::Companion => "companion",
    }
}

/// The time, or else how long after its start.
pub fn clock_text(clock: &Clock) -> String {
    time_text(clock).unwrap_or_else(|| format!("{:.3} s after its start", clock.uptime_ms as f64 / 1000.0))
}

/// RFC 3339, UTC.
pub fn time_text(clock: &Clock) -> Option<String> {
    let nanoseconds = i128::from(clock.unix_ms?) * 1_000_000;
    time::OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_with_its_time_if_there_is_one() {
        let verdict = RegionVerdict { region: 2, class: Some(1), score: 3.0, threshold: 2.0 };
        let kind = EventKind::Raised { verdict, judge: Judge::Host };
        let clock = Clock { uptime_ms: 1500, unix_ms: Some(1_700_000_000_250) };
        let event = Event { number: 9, clock, kind };
        let text = event_text(&event);
        assert!(
            text.contains("2023-11-14T22:13:20.25Z") && text.contains("UNKNOWN 1.50 in region 2"),
            "{text}"
        );
        let object = received_json(&Received { boot: 4, event, missed: 1 });
        assert_eq!(object["kind"], "raised");
        assert_eq!(
            (&object["boot"], &object["missed"], &object["region"]),
            (&4.into(), &1.into(), &2.into())
        );
        let clock = Clock { uptime_ms: 1500, unix_ms: None };
        assert!(event_text(&Event { clock, ..event }).contains("1.500 s after its start"));
        assert!(event_json(&Event { clock, ..event })["time"].is_null());
    }

    #[test]
    fn times_beyond_the_calendar_are_no_times() {
        assert_eq!(time_text(&Clock { uptime_ms: 0, unix_ms: Some(u64::MAX) }), None);
    }
}
