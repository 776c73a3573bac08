//! The event log of a run: brings what the pipeline tells into the form of the field log
//! (`anchorwatch-store`), which keeps it through power cuts and full disks. Pictures are encoded here.

use super::timestamp::milliseconds;
use crate::capture::{Moment, boot_id};
use crate::vision::Region;
use anchorwatch_core::Verdict;
use anchorwatch_store::{
    Crop, Facts, Kind, NewEvent, Picture, Position, Recorded, Retention, Store, StoreError,
};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};

const JPEG_QUALITY: u8 = 90;

/// How crops are saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CropFormat {
    /// JPEG of quality 90.
    #[default]
    Jpeg,
    /// Lossless, some five times as large.
    Png,
}

/// Why something could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A folder or a file in it cannot be used.
    #[error("cannot write '{path}': {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The field log cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A picture cannot be encoded.
    #[error("cannot encode a picture: {0}")]
    Encode(String),
}

/// An open log in a folder of its own.
pub struct EventLog {
    store: Store,
    crops: CropFormat,
    #[cfg(feature = "gpsd")]
    locator: Option<anchorwatch_position::Locator>,
    recorded: Option<Box<dyn Fn() + Send>>,
}

/// The model that judged.
#[derive(Clone, Debug)]
pub struct Judging {
    /// The names of its classes.
    pub classes: Vec<String>,
    /// Its digest.
    pub id: String,
    /// Its name, as its maker gave it.
    pub name: String,
}

/// What there was between an event's start and its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// When it started, RFC 3339, UTC.
    pub started: String,
    /// From the first to the last unknown frame, in seconds.
    pub seconds: f64,
    /// Frames judged between the two, both included.
    pub frames: u64,
    /// How many of them were unknown.
    pub unknown_frames: u64,
    /// Number of the frame with the largest score; the event's other figures describe it.
    pub worst_frame: u64,
    /// Number of the frame that shows it best, large and sharp; the crop is of it.
    pub best_frame: u64,
}

impl EventLog {
    /// Opens the log of a folder, which is made if it is not there. `unit` names this device.
    ///
    /// # Errors
    /// If the folder cannot be made or written to, or another program records into it.
    pub fn open(
        folder: &Path,
        crops: CropFormat,
        unit: &str,
        retention: Retention,
    ) -> Result<Self, RecordError> {
        let mut store = Store::open(folder, unit, retention)?;
        // The clock may have been set since the last run of this start of the system.
        let put_right = store.clock_was_set(&stored(Moment::now()))?;
        if put_right > 0 {
            log::info!("the clock is set: the times of {put_right} events were put right");
        }
        Ok(Self {
            store,
            crops,
            #[cfg(feature = "gpsd")]
            locator: None,
            recorded: None,
        })
    }

    /// From now on, events have the position that this knows.
    #[cfg(feature = "gpsd")]
    pub fn locate(&mut self, locator: anchorwatch_position::Locator) {
        self.locator = Some(locator);
    }

    /// Where this device is, if that is known.
    pub fn position(&self) -> Option<Position> {
        #[cfg(feature = "gpsd")]
        return self.locator.as_ref().and_then(anchorwatch_position::Locator::position);
        #[cfg(not(feature = "gpsd"))]
        return None;
    }

    /// From now on, this is told when something was recorded that waits to be sent.
    pub fn tell(&mut self, recorded: Box<dyn Fn() + Send>) {
        self.recorded = Some(recorded);
    }

    /// Records a group of events; what cannot be recorded is counted.
    pub fn record(&mut self, group: &[NewEvent]) -> Recorded {
        let written = self.store.record(group);
        let mut events = group.iter().zip(&written.ids);
        let waits = events.any(|(event, id)| id.is_some() && event.facts.kind != Kind::Known);
        if let (Some(tell), true) = (&self.recorded, waits) {
            tell();
        }
        written
    }

    /// The picture of an event, encoded.
    ///
    /// # Errors
    /// If it is too large for its format.
    pub fn encode(&self, crop: &RgbImage) -> Result<Crop, RecordError> {
        let (width, height) = crop.dimensions();
        let mut bytes = Vec::new();
        let (picture, encoded) = match self.crops {
            CropFormat::Jpeg => {
                let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
                (Picture::Jpeg, encoder.write_image(crop.as_raw(), width, height, ExtendedColorType::Rgb8))
            }
            CropFormat::Png => {
                let encoder = PngEncoder::new(&mut bytes);
                (Picture::Png, encoder.write_image(crop.as_raw(), width, height, ExtendedColorType::Rgb8))
            }
        };
        encoded.map_err(|error| RecordError::Encode(error.to_string()))?;
        Ok(Crop { bytes, picture, size: [width, height] })
    }
}

/// A moment as the field log has it.
fn stored(moment: Moment) -> anchorwatch_store::Moment {
    anchorwatch_store::Moment {
        utc_ms: milliseconds(moment.time),
        uptime_ms: i64::try_from(moment.uptime.as_millis()).unwrap_or(i64::MAX),
        boot: boot_id().to_string(),
        clock_set: moment.clock_set,
    }
}

/// What is known of everything that happens.
pub fn happened(kind: Kind, at: Moment, source: &str) -> Facts {
    Facts::new(kind, stored(at), source)
}

/// What a model says of a region. Numbers that are not finite are left out.
pub fn judged(
    facts: &mut Facts,
    region: Region,
    verdict: &Verdict,
    distances: &[f32],
    logits: &[f32],
    embedding: &[f32],
    model: &Judging,
) {
    let name = |class: Option<usize>| class.and_then(|class| model.classes.get(class).cloned());
    let finite = |numbers: &[f32]| {
        if numbers.iter().all(|number| number.is_finite()) { numbers.to_vec() } else { Vec::new() }
    };
    facts.region = region.id;
    facts.region_box = [region.x, region.y, region.width, region.height];
    facts.class = name(verdict.class);
    facts.runner_up = name(verdict.runner_up);
    facts.score = verdict.score.is_finite().then_some(verdict.score);
    facts.threshold = Some(verdict.threshold);
    facts.distances = finite(distances);
    facts.logits = finite(logits);
    facts.embedding = finite(embedding);
    facts.model = model.id.clone();
    facts.model_version = Some(model.name.clone());
}

/// What there was between an event's start and its end.
pub fn summed_up(facts: &mut Facts, summary: &Summary) {
    facts.details.insert("summary".to_string(), json!(summary));
}

/// How many judgements the log's sample of known things stands for: it was drawn from so many.
pub const STANDS_FOR: &str = "stands_for";

/// A sample says how many judgements it stands for.
pub fn represents(facts: &mut Facts, judgements: u64) {
    facts.details.insert(STANDS_FOR.to_string(), json!(judgements));
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_store::Filter;
    use serde_json::Value;

    /// What is recorded comes out as the line that other programs read.
    #[test]
    fn an_event_becomes_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let keep_all = Retention { free_floor: 0, ..Retention::default() };
        let crop_pixels = RgbImage::from_fn(8, 6, |x, y| image::Rgb([x as u8 * 10, y as u8 * 20, 77]));
        let model =
            Judging { classes: vec!["cat".into(), "dog".into()], id: "ab12".into(), name: "m".into() };
        let region = Region { id: 3, x: 1, y: 2, width: 8, height: 6 };
        let now = Moment::now();
        let verdicts = [
            Verdict { class: Some(1), score: 12.1, runner_up: Some(0), ..Verdict::not_finite(10.0) },
            Verdict::not_finite(10.0),
        ];
        let distances = [vec![1.5, 2.5], vec![f32::NAN, 1.0]];
        for format in [CropFormat::Png, CropFormat::Jpeg] {
            let mut log = EventLog::open(folder.path(), format, "a unit", keep_all.clone()).unwrap();
            let group: Vec<NewEvent> = verdicts
                .iter()
                .zip(&distances)
                .map(|(verdict, distances)| {
                    let mut facts = happened(Kind::Single, now, "cam");
                    judged(&mut facts, region, verdict, distances, &[0.5], &[2.0, 0.0], &model);
                    NewEvent { facts, crop: Some(log.encode(&crop_pixels).unwrap()), identity: None }
                })
                .collect();
            assert_eq!(log.record(&group).error, None);
        }
        let mut lines = Vec::new();
        Store::attach(folder.path()).unwrap().export_jsonl(&Filter::default(), &mut lines).unwrap();
        let lines: Vec<Value> = String::from_utf8(lines)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 4);
        for (line, (verdict, distances)) in lines.iter().zip(verdicts.iter().zip(&distances).cycle()) {
            let finite = verdict.score.is_finite();
            let number = |value: f32| json!(value);
            let if_finite = |value: f32| if finite { number(value) } else { Value::Null };
            assert_eq!(
                (&line["phase"], &line["region_box"], &line["unit"]),
                (&json!("single"), &json!([1, 2, 8, 6]), &json!("a_unit"))
            );
            assert_eq!((&line["score"], line["class"].is_string()), (&if_finite(verdict.score), finite));
            assert_eq!(line["relative_score"], if_finite(verdict.relative_score()));
            assert_eq!(line["threshold"], number(10.0));
            assert_eq!(line["distances"], if finite { json!(distances) } else { json!([]) });
            assert_eq!((&line["logits"][0], &line["model_version"]), (&number(0.5), &json!("m")));
            assert_eq!(line["embedding"], json!([2.0, 0.0]));
            assert_eq!(line["time"], crate::record::timestamp(now.time));
        }
        for (line, exact) in [(&lines[0], true), (&lines[2], false)] {
            let crop = line["crop"].as_str().unwrap();
            let saved = crate::vision::load_picture(&folder.path().join(crop)).unwrap();
            assert_eq!((saved.dimensions(), saved == crop_pixels), ((8, 6), exact));
        }
    }

    #[test]
    fn who_sends_is_told_of_events_and_not_of_samples() {
        let folder = tempfile::tempdir().unwrap();
        let keep_all = Retention { free_floor: 0, ..Retention::default() };
        let mut log = EventLog::open(folder.path(), CropFormat::Jpeg, "a unit", keep_all).unwrap();
        let (told, heard) = std::sync::mpsc::channel();
        log.tell(Box::new(move || told.send(()).unwrap()));
        let new = |kind| NewEvent { facts: happened(kind, Moment::now(), "cam"), crop: None, identity: None };
        for (group, times) in [
            (vec![new(Kind::Known)], 0),
            (vec![new(Kind::Known), new(Kind::Single), new(Kind::CameraLost)], 1),
            (Vec::new(), 0),
        ] {
            assert_eq!(log.record(&group).error, None);
            assert_eq!(heard.try_iter().count(), times);
        }
    }
}
