//! What is answered: from method and path to a page, a picture or figures. Called on the server's thread.

use super::Board;
use anchorwatch_serve::{Answer, Method};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use std::fmt::Write;

const TEXT: &str = "text/plain; charset=utf-8";
const JPEG_QUALITY: u8 = 80;

pub(super) fn answer(board: &Board, method: &Method, path: &str, body: &[u8]) -> Answer {
    if method == Method::POST {
        return match path {
            "/threshold" => threshold(board, body),
            _ => not_found(),
        };
    }
    if method != Method::GET && method != Method::HEAD {
        return Answer { status: 405, kind: TEXT, body: b"only GET, and POST for the threshold\n".to_vec() };
    }
    match path {
        "/" => found("text/html; charset=utf-8", include_str!("page.html")),
        "/page.css" => found("text/css; charset=utf-8", include_str!("page.css")),
        "/page.js" => found("text/javascript; charset=utf-8", include_str!("page.js")),
        "/status.json" => found("application/json", board.status().to_string()),
        "/frame.jpg" => board.picture().and_then(|picture| jpeg(&picture)).unwrap_or_else(not_found),
        "/metrics" => found("text/plain; version=0.0.4; charset=utf-8", metrics(board)),
        "/healthz" => health(board),
        _ => path
            .strip_prefix("/event/")
            .and_then(|rest| rest.strip_suffix(".jpg"))
            .and_then(|number| board.crop(number.parse().ok()?))
            .and_then(|crop| jpeg(&crop))
            .unwrap_or_else(not_found),
    }
}

fn found(kind: &'static str, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status: 200, kind, body: body.into() }
}

fn not_found() -> Answer {
    Answer { status: 404, kind: TEXT, body: b"there is no such page\n".to_vec() }
}

fn jpeg(picture: &RgbImage) -> Option<Answer> {
    let mut bytes = Vec::new();
    let (width, height) = picture.dimensions();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .write_image(picture.as_raw(), width, height, ExtendedColorType::Rgb8)
        .ok()?;
    Some(found("image/jpeg", bytes))
}

/// A number, or `reset`.
fn threshold(board: &Board, body: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(body);
    let wanted = match text.trim() {
        "reset" => Some(None),
        number => number.parse().ok().map(Some),
    };
    if wanted.is_some_and(|wanted| board.try_threshold(wanted)) {
        return found(TEXT, "it is tried from the next frame on\n");
    }
    Answer { status: 400, kind: TEXT, body: b"a threshold is a number above 0, or 'reset'\n".to_vec() }
}

fn health(board: &Board) -> Answer {
    let (healthy, age) = board.health();
    let age =
        age.map_or("there was no frame yet".to_string(), |age| format!("the last frame is {age:.1} s old"));
    Answer { status: if healthy { 200 } else { 503 }, kind: TEXT, body: format!("{age}\n").into_bytes() }
}

/// In the text format of Prometheus.
fn metrics(board: &Board) -> String {
    let tally = board.counts();
    let (healthy, age) = board.health();
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, help: &str, value: f64| {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "# HELP anchorwatch_{name} {help}\n# TYPE anchorwatch_{name} {kind}\nanchorwatch_{name} {value}\n"
        );
    };
    add("healthy", "gauge", "Whether frames come", f64::from(u8::from(healthy)));
    add(
        "threshold",
        "gauge",
        "The threshold in effect; scores above it are unknown",
        f64::from(tally.threshold),
    );
    if let Some(age) = age {
        add("last_frame_age_seconds", "gauge", "Seconds since the newest frame", age);
    }
    let counter = "counter";
    add("frames_judged_total", counter, "Frames judged", tally.frames as f64);
    add("frames_dropped_total", counter, "Frames that came while another was judged", tally.dropped as f64);
    add("frames_skipped_total", counter, "Frames that were broken", tally.skipped as f64);
    add("regions_known_total", counter, "Regions judged known", tally.known_regions() as f64);
    add("regions_unknown_total", counter, "Regions judged unknown", tally.unknown_regions() as f64);
    add("events_total", counter, "Times that something unknown came into view", tally.events as f64);
    add("camera_losses_total", counter, "Times that the camera was lost", tally.losses as f64);
    #[cfg(feature = "mqtt")]
    if let Some(sent) = board.sent() {
        add(
            "broker_connected",
            "gauge",
            "Whether there is a connection to the MQTT broker",
            f64::from(u8::from(sent.connected)),
        );
        add("events_unsent", "gauge", "Events that wait to be sent home", sent.unsent as f64);
        add("events_sent_total", "counter", "Events that the broker has acknowledged", sent.events as f64);
    }
    if let Some(drift) = tally.drift {
        add(
            "known_scores_psi",
            "gauge",
            "How far scores of known things moved since calibration: above 0.25 is far",
            drift.psi,
        );
    }
    if let Some(celsius) = tally.heat.celsius {
        add("processor_celsius", "gauge", "The processor's temperature", celsius);
    }
    text
}
