//! What a large store takes: `cargo run --release -p anchorwatch-review --example large -- DIR [THINGS]`
//!
//! Fills DIR with THINGS (20 000) events of twelve classes, with a small picture each, and times the start of
//! a session, the groups, one label for everything, and its undoing, as a browser asks for them.

use anchorwatch_review::{ReviewOptions, Session};
use anchorwatch_store::{Crop, Facts, Kind, Moment, NewEvent, Picture, Retention, Store};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

const CLASSES: usize = 12;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("usage: large DIR [THINGS]")?);
    let things = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    fill(&folder, things)?;
    let began = Instant::now();
    let options = ReviewOptions { store: folder, most: things, ..ReviewOptions::default() };
    let session = Session::start(options)?;
    println!("start, with comparing: {:.2} s", began.elapsed().as_secs_f64());
    let groups = timed(&session, "/groups", &json!({}))?;
    let groups = groups.as_array().context("no groups")?;
    println!("{} groups", groups.len());
    timed(&session, "/groups", &json!({ "detail": 4 }))?;
    let all: Vec<&Value> = groups
        .iter()
        .flat_map(|group| group["things"].as_array().into_iter().flatten())
        .map(|thing| &thing["number"])
        .collect();
    timed(&session, "/mark", &json!({ "things": all, "mark": { "do": "label", "class": "kite" } }))?;
    timed(&session, "/undo", &json!({}))?;
    Ok(())
}

fn fill(folder: &Path, things: usize) -> Result<()> {
    let mut bytes = Vec::new();
    image::RgbImage::from_pixel(16, 16, image::Rgb([200, 90, 20]))
        .write_with_encoder(image::codecs::jpeg::JpegEncoder::new(&mut bytes))?;
    let mut store = Store::open(folder, "large", Retention { free_floor: 0, ..Retention::default() })?;
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let means: Vec<[f32; 10]> = (0..CLASSES).map(|_| std::array::from_fn(|_| noise())).collect();
    let numbers: Vec<usize> = (0..things).collect();
    for group in numbers.chunks(500) {
        let event = |number: &usize| {
            let uptime_ms = *number as i64 * 1000;
            let moment = Moment {
                utc_ms: 1_767_225_600_000 + uptime_ms,
                uptime_ms,
                boot: "large".into(),
                clock_set: true,
            };
            let mut facts = Facts::new(Kind::Single, moment, "/dev/video0");
            facts.logits = means[number % CLASSES].iter().map(|x| 4.0 * x + 2.0 * noise()).collect();
            (facts.score, facts.threshold) = (Some(12.0), Some(10.0));
            facts.model = "0123456789abcdef".into();
            let crop = Crop { bytes: bytes.clone(), picture: Picture::Jpeg, size: [16, 16] };
            NewEvent { facts, crop: Some(crop), identity: None }
        };
        let recorded = store.record(&group.iter().map(event).collect::<Vec<_>>());
        ensure!(recorded.error.is_none(), "{recorded:?}");
    }
    Ok(())
}

/// The answer to a POST.
fn timed(session: &Session, path: &str, asked: &Value) -> Result<Value> {
    let began = Instant::now();
    let body = asked.to_string();
    let mut stream = TcpStream::connect(session.address())?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, answer) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}\n{answer}");
    let seconds = began.elapsed().as_secs_f64();
    println!("{path}: {seconds:.2} s, {} kB asked, {} kB answered", body.len() / 1000, answer.len() / 1000);
    Ok(serde_json::from_str(answer)?)
}
