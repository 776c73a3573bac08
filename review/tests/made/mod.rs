//! A store to look through: crops of the sample pictures, with logits that are alike where the pictures are.

use anchorwatch_store::{
    Crop, Event, Facts, Filter, Kind, Moment, NewEvent, Order, Picture, Retention, Store,
};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The model's classes.
pub const CLASSES: [&str; 4] = ["cat", "dog", "car", "orange"];

/// 2026-01-01.
pub const DAY: i64 = 1_767_225_600_000;

/// What is seen, in the order of its first sight.
pub struct Made {
    pub folder: tempfile::TempDir,
    /// What each event shows, by its identifier.
    pub shows: BTreeMap<String, String>,
}

/// A store with so many of each: names of sample pictures without '-1.jpg'. Each kind of thing was seen by
/// a unit of its own, in an hour of its own, and scores more than the kind before.
pub fn store(kinds: &[(&str, usize)]) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let mut store = recording(folder.path());
    let mut shows = BTreeMap::new();
    for (kind_number, (name, count)) in kinds.iter().enumerate() {
        let picture = image::open(sample(name)).unwrap();
        let group: Vec<NewEvent> =
            (0..*count).map(|number| event(&picture, kind_number, number, Kind::Single)).collect();
        for id in store.record(&group).ids {
            shows.insert(id.unwrap(), (*name).to_string());
        }
    }
    Made { folder, shows }
}

pub fn recording(folder: &Path) -> Store {
    Store::open(folder, "unit", Retention { free_floor: 0, ..Retention::default() }).unwrap()
}

/// The picture of an unknown thing.
pub fn sample(name: &str) -> PathBuf {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/samples/unknown");
    samples.join(format!("{name}-1.jpg"))
}

/// One sight of a thing: another part of its picture each time.
pub fn event(picture: &image::DynamicImage, kind_number: usize, number: usize, kind: Kind) -> NewEvent {
    let seconds = (kind_number * 3600 + number) as i64;
    let moment = Moment {
        utc_ms: DAY + seconds * 1000,
        uptime_ms: seconds * 1000,
        boot: "boot".into(),
        clock_set: true,
    };
    let mut facts = Facts::new(kind, moment, "/dev/video0");
    facts.class = Some(CLASSES[kind_number % 4].into());
    facts.runner_up = Some(CLASSES[(kind_number + 1) % 4].into());
    facts.threshold = Some(10.0);
    facts.score = Some(11.0 + 2.0 * kind_number as f32 + 0.01 * number as f32);
    // Along an axis, at another length each time, and a little beside it.
    let mut logits = [0.2, -0.1, 0.1, 0.0, 0.1, 0.0, -0.2, 0.1];
    let length = 2.0 + (number % 5) as f32;
    logits[kind_number % 8] += length;
    logits[(kind_number + 1 + number % 7) % 8] += 0.25 * (number % 3) as f32;
    facts.logits = logits.to_vec();
    facts.model = "ab12".into();
    facts.model_version = Some("of a test".into());
    NewEvent { facts, crop: Some(crop(picture, number)), identity: None }
}

fn crop(picture: &image::DynamicImage, number: usize) -> Crop {
    let side = picture.width().min(picture.height()) * 3 / 4;
    let [across, down] = [picture.width() - side, picture.height() - side];
    let (x, y) = (across * (number as u32 * 7 % 10) / 9, down * (number as u32 * 3 % 10) / 9);
    // Every fifth is small already.
    let size = if number % 5 == 4 { 96 } else { 300 };
    let part = picture.crop_imm(x, y, side, side).resize(size, size, FilterType::Triangle).into_rgb8();
    let mut bytes = Vec::new();
    part.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 85)).unwrap();
    Crop { bytes, picture: Picture::Jpeg, size: [part.width(), part.height()] }
}

/// All events, the oldest first.
pub fn events(folder: &Path) -> Vec<Event> {
    Store::attach(folder)
        .unwrap()
        .page(&Filter::default(), Order::Oldest, None, usize::MAX >> 1)
        .unwrap()
        .events
}

/// Files of a training folder: class and name.
pub fn files(folder: &Path) -> Vec<(String, String)> {
    let names = |folder: &Path| {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let text = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    names(folder)
        .iter()
        .flat_map(|class| names(class).into_iter().map(|path| (text(class), text(&path))))
        .collect()
}
