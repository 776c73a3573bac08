//! The event log of a run: brings what the pipeline tells into the form of the field log
//! (`anchorwatch-store`), which keeps it through power cuts and full disks. Pictures are encoded here.

use super::events::Summary;
use crate::capture::{Moment, boot_id};
use crate::vision::Region;
use anchorwatch_core::Verdict;
use anchorwatch_store::{
    Crop, Facts, Kind, NewEvent, Picture, Position, Recorded, Retention, Store, StoreError,
};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

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

    /// Records a group of events; what cannot be recorded is counted.
    pub fn record(&mut self, group: &[NewEvent]) -> Recorded {
        self.store.record(group)
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
    let milliseconds = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    anchorwatch_store::Moment {
        utc_ms: milliseconds(moment.time.duration_since(UNIX_EPOCH).unwrap_or_default()),
        uptime_ms: milliseconds(moment.uptime),
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
    facts.model = model.id.clone();
    facts.model_version = Some(model.name.clone());
}

/// What there was between an event's start and its end.
pub fn summed_up(facts: &mut Facts, summary: &Summary) {
    facts.details.insert("summary".to_string(), json!(summary));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Event, Line, Phase};
    use anchorwatch_store::Filter;

    /// What is recorded comes out as the line that other programs read.
    #[test]
    fn an_event_becomes_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let keep_all = Retention { free_floor: 0, ..Retention::default() };
        let crop = RgbImage::from_fn(8, 6, |x, y| image::Rgb([x as u8 * 10, y as u8 * 20, 77]));
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
                    judged(&mut facts, region, verdict, distances, &[0.5], &model);
                    NewEvent { facts, crop: Some(log.encode(&crop).unwrap()), identity: None }
                })
                .collect();
            assert_eq!(log.record(&group).error, None);
        }
        let mut lines = Vec::new();
        Store::attach(folder.path()).unwrap().export_jsonl(&Filter::default(), &mut lines).unwrap();
        let lines: Vec<Event> = String::from_utf8(lines)
            .unwrap()
            .lines()
            .map(|line| match serde_json::from_str(line).unwrap() {
                Line::Event(event) => *event,
                Line::Camera(camera) => panic!("{camera:?}"),
            })
            .collect();
        assert_eq!(lines.len(), 4);
        for (line, (verdict, distances)) in lines.iter().zip(verdicts.iter().zip(&distances).cycle()) {
            let finite = verdict.score.is_finite();
            assert_eq!(
                (line.phase, line.region_box, line.unit.as_str()),
                (Phase::Single, [1, 2, 8, 6], "a_unit")
            );
            assert_eq!((line.score, line.class.is_some()), (finite.then_some(verdict.score), finite));
            assert_eq!(
                (line.relative_score, line.threshold),
                (finite.then(|| verdict.relative_score()), 10.0)
            );
            assert_eq!(line.distances, if finite { distances.clone() } else { Vec::new() });
            assert_eq!((line.logits[0], line.model_version.as_deref()), (0.5, Some("m")));
            assert_eq!(line.time, crate::record::events::timestamp(now.time));
        }
        for (line, exact) in [(&lines[0], true), (&lines[2], false)] {
            let saved =
                crate::vision::load_picture(&folder.path().join(line.crop.as_ref().unwrap())).unwrap();
            assert_eq!((saved.dimensions(), saved == crop), ((8, 6), exact));
        }
    }
}
