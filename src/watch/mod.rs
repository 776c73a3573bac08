//! From verdicts to events: one event from when something unknown comes into view until it is
//! gone, not one a frame. When a region is raised and cleared is decided by
//! [`anchorwatch_core::Watch`]; this module keeps what there was in between.

use crate::vision::Region;
use anchorwatch_core::{RegionsFull, Transition, Verdict, Watch, WatchConfig, WatchConfigError};
use image::RgbImage;
use image::imageops::crop_imm;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// The most regions that are watched at once; region rules give no more.
const MOST_REGIONS: usize = 64;

/// One judged region of one frame, as the watch sees it.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// The whole frame.
    pub picture: &'a RgbImage,
    /// Number of the frame in its source.
    pub frame: u64,
    /// When it was taken.
    pub captured: SystemTime,
    /// The region that was judged; it must be inside the frame.
    pub region: Region,
    /// What the scorer said.
    pub verdict: &'a Verdict,
    /// Distances to the centres.
    pub distances: &'a [f32],
}

/// The frame of a sighting with the largest score.
#[derive(Clone, Debug)]
pub struct Worst {
    /// Number of the frame.
    pub frame: u64,
    /// When it was taken.
    pub captured: SystemTime,
    /// The verdict on it.
    pub verdict: Verdict,
    /// Distances to the centres.
    pub distances: Vec<f32>,
    /// The region's pixels.
    pub crop: RgbImage,
}

/// Something unknown in one region, from when it was raised.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Where.
    pub region: Region,
    /// When the region was raised.
    pub started: SystemTime,
    /// The last unknown frame's time.
    pub last: SystemTime,
    /// Frames judged from the one that raised it to the last unknown one, both included.
    pub frames: u64,
    /// How many of them were unknown.
    pub unknown_frames: u64,
    /// The frame with the largest score.
    pub worst: Worst,
    /// Frames judged since the last unknown one.
    calm: u64,
}

/// What a verdict changed.
pub enum Change<'a> {
    /// Something unknown has come into view. It stays with the watch until it is gone.
    Started(&'a Sighting),
    /// It is gone.
    Finished(Box<Sighting>),
}

/// Watches the regions of one source.
pub struct SightingWatch {
    watch: Watch<MOST_REGIONS>,
    open: BTreeMap<u32, Sighting>,
}

impl SightingWatch {
    /// A watch that has seen nothing.
    ///
    /// # Errors
    /// If the configuration makes no sense.
    pub fn new(config: WatchConfig) -> Result<Self, WatchConfigError> {
        Ok(Self { watch: Watch::new(config)?, open: BTreeMap::new() })
    }

    /// Takes one judged region in.
    ///
    /// # Errors
    /// If there are more regions than can be watched.
    pub fn update(&mut self, sight: Sight<'_>) -> Result<Option<Change<'_>>, RegionsFull> {
        let id = sight.region.id;
        let transition = self.watch.update(id, sight.verdict)?;
        if let Some(sighting) = self.open.get_mut(&id) {
            sighting.add(&sight);
        }
        Ok(match transition {
            Transition::None => None,
            Transition::Raised => {
                let sighting = self.open.entry(id).insert_entry(Sighting::new(&sight)).into_mut();
                Some(Change::Started(sighting))
            }
            Transition::Cleared => self.open.remove(&id).map(|sighting| Change::Finished(Box::new(sighting))),
        })
    }

    /// The sightings that are still open, at the end of the source. The watch starts anew.
    pub fn finish(&mut self) -> Vec<Sighting> {
        self.watch.retain(|_, _| false);
        std::mem::take(&mut self.open).into_values().collect()
    }
}

impl Sighting {
    fn new(sight: &Sight<'_>) -> Self {
        Self {
            region: sight.region,
            started: sight.captured,
            last: sight.captured,
            frames: 1,
            unknown_frames: 1,
            worst: Worst::new(sight),
            calm: 0,
        }
    }

    fn add(&mut self, sight: &Sight<'_>) {
        self.calm += 1;
        if !sight.verdict.is_unknown() {
            return;
        }
        self.frames += self.calm;
        self.calm = 0;
        self.unknown_frames += 1;
        self.last = sight.captured;
        if sight.verdict.score > self.worst.verdict.score {
            self.worst = Worst::new(sight);
        }
    }

    /// From the frame that raised the region to the last unknown one; 0 if the clock was set back.
    pub fn seconds(&self) -> f64 {
        self.last.duration_since(self.started).map_or(0.0, |duration| duration.as_secs_f64())
    }
}

impl Worst {
    fn new(sight: &Sight<'_>) -> Self {
        let Region { x, y, width, height, .. } = sight.region;
        Self {
            frame: sight.frame,
            captured: sight.captured,
            verdict: *sight.verdict,
            distances: sight.distances.to_vec(),
            crop: crop_imm(sight.picture, x, y, width, height).to_image(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_core::{Outcome, Reason};
    use std::time::Duration;

    fn verdict(score: f32) -> Verdict {
        let outcome =
            if score > 10.0 { Outcome::Unknown(Reason::ScoreAboveThreshold) } else { Outcome::Known };
        Verdict { outcome, class: Some(0), score, ..Verdict::not_finite(10.0) }
    }

    /// What happens in one region with these scores, one a second: each line a change.
    fn run(scores: &[f32]) -> (Vec<String>, Vec<Sighting>) {
        let mut watch = SightingWatch::new(WatchConfig::default()).unwrap();
        let mut changes = Vec::new();
        for (frame, &score) in (0u64..).zip(scores) {
            let picture = RgbImage::from_pixel(4, 4, image::Rgb([frame as u8; 3]));
            let sight = Sight {
                picture: &picture,
                frame,
                captured: SystemTime::UNIX_EPOCH + Duration::from_secs(frame),
                region: Region { id: 5, x: 1, y: 1, width: 2, height: 2 },
                verdict: &verdict(score),
                distances: &[score],
            };
            match watch.update(sight).unwrap() {
                None => {}
                Some(Change::Started(sighting)) => {
                    changes.push(format!("{frame} started {}", sighting.worst.frame))
                }
                Some(Change::Finished(sighting)) => changes.push(format!(
                    "{frame} finished: {} unknown of {} in {} s, worst {} of frame {}, pixel {}",
                    sighting.unknown_frames,
                    sighting.frames,
                    sighting.seconds(),
                    sighting.worst.verdict.score,
                    sighting.worst.frame,
                    sighting.worst.crop.get_pixel(0, 0).0[0],
                )),
            }
        }
        (changes, watch.finish())
    }

    #[test]
    fn what_comes_and_goes_is_one_event() {
        // Raised at 3 of 5 unknown (frame 3), cleared at 4 of 5 calm.
        let (changes, open) = run(&[1.0, 11.0, 11.0, 12.0, 30.0, 5.0, 15.0, 5.0, 5.0, 5.0, 5.0, 5.0]);
        assert_eq!(
            changes,
            ["3 started 3", "9 finished: 3 unknown of 4 in 3 s, worst 30 of frame 4, pixel 4"]
        );
        assert!(open.is_empty());
    }

    #[test]
    fn one_odd_frame_is_no_event() {
        let (changes, open) = run(&[1.0, 11.0, 1.0, 1.0, 1.0, 1.0, 11.0, 1.0]);
        assert!(changes.is_empty() && open.is_empty());
    }

    #[test]
    fn what_is_there_at_the_end_is_handed_over() {
        let (changes, open) = run(&[11.0; 10]);
        assert_eq!(changes, ["2 started 2"]);
        assert_eq!((open.len(), open[0].frames, open[0].unknown_frames), (1, 8, 8));
    }
}
