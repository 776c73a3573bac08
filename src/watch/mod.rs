//! From verdicts to events: one event from when something unknown comes into view until it is
//! gone, not one a frame. When a region is raised and cleared is decided by
//! [`anchorwatch_core::Watch`]; this module keeps what there was in between, and holds back what is
//! no news: the [`background`], and what was there a moment ago. [`schedule`] says when it is watched,
//! [`known_samples`] which known things are kept.

pub mod background;
pub mod drift;
pub mod known_samples;
pub mod schedule;

use crate::capture::Moment;
use crate::vision::{MOST_MISSED, Region};
use anchorwatch_core::{RegionsFull, State, Transition, Verdict, Watch, WatchConfig, WatchConfigError};
use image::RgbImage;
use image::imageops::crop_imm;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most regions that are watched at once. Rules for fixed regions give up to 64; of tracks there
/// are some that have just gone beside those that are there.
const MOST_REGIONS: usize = 256;

/// One judged region of one frame, as the watch sees it.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// The whole frame.
    pub picture: &'a RgbImage,
    /// Number of the frame in its source.
    pub frame: u64,
    /// When it was taken.
    pub captured: Moment,
    /// The region that was judged; it must be inside the frame.
    pub region: Region,
    /// What the scorer said.
    pub verdict: &'a Verdict,
    /// Distances to the centres.
    pub distances: &'a [f32],
    /// The N logits.
    pub logits: &'a [f32],
    /// The features that they are made of, if the network gives them.
    pub embedding: &'a [f32],
}

/// The frame of a sighting with the largest score.
#[derive(Clone, Debug)]
pub struct Worst {
    /// Number of the frame.
    pub frame: u64,
    /// When it was taken.
    pub captured: Moment,
    /// Where it was then.
    pub region: Region,
    /// The verdict on it.
    pub verdict: Verdict,
    /// Distances to the centres.
    pub distances: Vec<f32>,
    /// The N logits.
    pub logits: Vec<f32>,
    /// The features that they are made of, if the network gives them.
    pub embedding: Vec<f32>,
}

/// The frame of a sighting that shows it best: large and sharp.
#[derive(Clone, Debug)]
pub struct Best {
    /// Number of the frame.
    pub frame: u64,
    /// The region's pixels.
    pub crop: RgbImage,
    quality: f64,
}

/// Something unknown in one region, from when it was raised.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Where, when it was raised.
    pub region: Region,
    /// When the region was raised.
    pub started: Moment,
    /// The last unknown frame's time.
    pub last: Moment,
    /// Frames judged from the one that raised it to the last unknown one, both included.
    pub frames: u64,
    /// How many of them were unknown.
    pub unknown_frames: u64,
    /// The frame with the largest score.
    pub worst: Worst,
    /// The frame that shows it best.
    pub best: Best,
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

/// What ended, and until when nothing new is told of there.
#[derive(Clone, Copy, Debug)]
struct Cooling {
    region: Region,
    ended: Moment,
}

/// Watches the regions of one source.
pub struct SightingWatch {
    watch: Watch<MOST_REGIONS>,
    open: BTreeMap<u32, Sighting>,
    cool_down: Duration,
    cooling: Vec<Cooling>,
    /// Regions are tracks: the same place may come with another number.
    tracks: bool,
}

impl SightingWatch {
    /// A watch that has seen nothing. After an event has ended, none starts in the same region for
    /// the time of `cool_down` (for `tracks`: where the last one was); what is still unknown then
    /// starts one.
    ///
    /// # Errors
    /// If the configuration makes no sense.
    pub fn new(config: WatchConfig, cool_down: Duration, tracks: bool) -> Result<Self, WatchConfigError> {
        let (open, cooling) = (BTreeMap::new(), Vec::new());
        Ok(Self { watch: Watch::new(config)?, open, cool_down, cooling, tracks })
    }

    /// Whether something unknown is in view in this region.
    pub fn is_in_view(&self, region: u32) -> bool {
        self.open.contains_key(&region)
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
            if transition != Transition::Cleared {
                return Ok(None);
            }
            let sighting = self.open.remove(&id);
            return Ok(sighting.map(|sighting| Change::Finished(Box::new(self.cool(sighting)))));
        }
        // Raised just now, or before and held back.
        let raised = self.watch.state(id) == State::Raised && sight.verdict.is_unknown();
        if !raised || self.is_cooling(&sight) {
            return Ok(None);
        }
        let sighting = self.open.entry(id).insert_entry(Sighting::new(&sight)).into_mut();
        Ok(Some(Change::Started(sighting)))
    }

    /// Ends a frame. The sightings of tracks that have had no box for a while are returned: they are
    /// gone.
    pub fn end_frame(&mut self) -> Vec<Sighting> {
        let mut gone = Vec::new();
        if self.tracks {
            self.watch.forget_unseen(u64::from(MOST_MISSED), |region, _| gone.push(region));
        }
        self.watch.next_frame();
        let gone: Vec<_> = gone.into_iter().filter_map(|id| self.open.remove(&id)).collect();
        gone.into_iter().map(|sighting| self.cool(sighting)).collect()
    }

    fn cool(&mut self, sighting: Sighting) -> Sighting {
        if !self.cool_down.is_zero() {
            let region = Region { id: sighting.region.id, ..sighting.worst.region };
            self.cooling.push(Cooling { region, ended: sighting.last });
        }
        sighting
    }

    fn is_cooling(&mut self, sight: &Sight<'_>) -> bool {
        let (cool_down, tracks, region) = (self.cool_down, self.tracks, sight.region);
        self.cooling.retain(|cooling| sight.captured.since(&cooling.ended) < cool_down);
        self.cooling
            .iter()
            .any(|cooling| cooling.region.id == region.id || tracks && covers(&cooling.region, &region))
    }

    /// The sightings that are still open, at the end of the source. The watch starts anew.
    pub fn finish(&mut self) -> Vec<Sighting> {
        self.watch.retain(|_, _| false);
        std::mem::take(&mut self.open).into_values().collect()
    }
}

/// Whether two regions have at least half of the smaller one in common.
fn covers(one: &Region, other: &Region) -> bool {
    let common = |start: u32, length: u32, from: u32, across: u32| {
        u64::from((start + length).min(from + across).saturating_sub(start.max(from)))
    };
    let area = |region: &Region| u64::from(region.width) * u64::from(region.height);
    let shared =
        common(one.x, one.width, other.x, other.width) * common(one.y, one.height, other.y, other.height);
    2 * shared >= area(one).min(area(other))
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
            best: Best { frame: sight.frame, crop: crop(sight), quality: quality(sight) },
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
        let quality = quality(sight);
        if quality > self.best.quality {
            self.best = Best { frame: sight.frame, crop: crop(sight), quality };
        }
    }

    /// From the frame that raised the region to the last unknown one.
    pub fn seconds(&self) -> f64 {
        self.last.since(&self.started).as_secs_f64()
    }
}

impl Worst {
    fn new(sight: &Sight<'_>) -> Self {
        Self {
            frame: sight.frame,
            captured: sight.captured,
            region: sight.region,
            verdict: *sight.verdict,
            distances: sight.distances.to_vec(),
            logits: sight.logits.to_vec(),
            embedding: sight.embedding.to_vec(),
        }
    }
}

fn crop(sight: &Sight<'_>) -> RgbImage {
    let Region { x, y, width, height, .. } = sight.region;
    crop_imm(sight.picture, x, y, width, height).to_image()
}

/// How much there is to see of it: the sum over the region of how much the green levels of
/// neighbours differ, which grows with size and sharpness. Every second row is looked at.
fn quality(sight: &Sight<'_>) -> f64 {
    let Region { x, y, width, height, .. } = sight.region;
    let stride = sight.picture.width() as usize * 3;
    let mut sum = 0u64;
    for row in sight.picture.as_raw().chunks_exact(stride).skip(y as usize).take(height as usize).step_by(2) {
        let Some(row) = row.get(x as usize * 3..(x + width) as usize * 3) else { continue };
        let differences = row[1..].iter().step_by(3).zip(row[1..].iter().skip(3).step_by(3));
        sum += differences.map(|(one, next)| u64::from(one.abs_diff(*next))).sum::<u64>();
    }
    sum as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_core::{Outcome, Reason};
    use std::time::{Duration, SystemTime};

    fn verdict(score: f32) -> Verdict {
        let outcome =
            if score > 10.0 { Outcome::Unknown(Reason::ScoreAboveThreshold) } else { Outcome::Known };
        Verdict { outcome, class: Some(0), score, ..Verdict::not_finite(10.0) }
    }

    /// What happens in one region with these scores, one a second: each line a change.
    fn run(scores: &[f32]) -> (Vec<String>, Vec<Sighting>) {
        let mut watch = SightingWatch::new(WatchConfig::default(), Duration::ZERO, false).unwrap();
        let mut changes = Vec::new();
        for (frame, &score) in (0u64..).zip(scores) {
            // Sharpest at frame 4.
            let contrast = if frame == 4 { 100 } else { 10 };
            let picture =
                RgbImage::from_fn(4, 4, |x, _| image::Rgb([(frame + x as u64 % 2 * contrast) as u8; 3]));
            let sight = Sight {
                picture: &picture,
                frame,
                captured: Moment::at(SystemTime::UNIX_EPOCH + Duration::from_secs(frame)),
                region: Region { id: 5, x: 2, y: 1, width: 2, height: 2 },
                verdict: &verdict(score),
                distances: &[score],
                logits: &[],
                embedding: &[],
            };
            match watch.update(sight).unwrap() {
                None => {}
                Some(Change::Started(sighting)) => {
                    changes.push(format!("{frame} started {}", sighting.worst.frame))
                }
                Some(Change::Finished(sighting)) => changes.push(format!(
                    "{frame} finished: {} unknown of {} in {} s, worst {} of frame {}, best {} with pixel {}",
                    sighting.unknown_frames,
                    sighting.frames,
                    sighting.seconds(),
                    sighting.worst.verdict.score,
                    sighting.worst.frame,
                    sighting.best.frame,
                    sighting.best.crop.get_pixel(0, 0).0[0],
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
            ["3 started 3", "9 finished: 3 unknown of 4 in 3 s, worst 30 of frame 4, best 4 with pixel 4"]
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

    /// Frames of one region a second, all with this score; the seconds at which events start.
    fn starts(watch: &mut SightingWatch, from: u64, scores: &[f32], region: Region) -> Vec<u64> {
        let picture = RgbImage::new(40, 40);
        let mut starts = Vec::new();
        for (second, score) in (from..).zip(scores) {
            let sight = Sight {
                picture: &picture,
                frame: second,
                captured: Moment::at(SystemTime::UNIX_EPOCH + Duration::from_secs(second)),
                region,
                verdict: &verdict(*score),
                distances: &[],
                logits: &[],
                embedding: &[],
            };
            if let Some(Change::Started(_)) = watch.update(sight).unwrap() {
                starts.push(second);
            }
            watch.end_frame();
        }
        starts
    }

    const HERE: Region = Region { id: 1, x: 0, y: 0, width: 20, height: 20 };

    #[test]
    fn while_it_cools_down_nothing_starts_and_what_is_still_there_starts_then() {
        let mut watch = SightingWatch::new(WatchConfig::default(), Duration::from_secs(20), false).unwrap();
        let visit = [[11.0; 5].as_slice(), &[1.0; 5]].concat();
        assert_eq!(starts(&mut watch, 0, &visit, HERE), [2]);
        // The last unknown frame was at 4 s: nothing before 24 s.
        assert!(starts(&mut watch, 10, &visit, HERE).is_empty());
        assert_eq!(starts(&mut watch, 20, &[11.0; 10], HERE), [24]);
        // Other regions are not cooling.
        assert_eq!(starts(&mut watch, 30, &visit, Region { id: 2, ..HERE }), [32]);
    }

    #[test]
    fn a_track_that_is_gone_has_ended_and_cools_down_where_it_was() {
        let mut watch = SightingWatch::new(WatchConfig::default(), Duration::from_secs(100), true).unwrap();
        assert_eq!(starts(&mut watch, 0, &[11.0; 5], HERE), [2]);
        let gone: Vec<_> = (0..MOST_MISSED + 2).flat_map(|_| watch.end_frame()).collect();
        assert_eq!((gone.len(), gone[0].unknown_frames), (1, 3));
        let again = Region { id: 7, x: 4, ..HERE };
        assert!(starts(&mut watch, 30, &[11.0; 5], again).is_empty());
        let elsewhere = Region { id: 8, x: 20, y: 20, ..HERE };
        assert_eq!(starts(&mut watch, 30, &[11.0; 5], elsewhere), [32]);
    }

    #[test]
    fn fixed_regions_are_never_gone() {
        let mut watch = SightingWatch::new(WatchConfig::default(), Duration::ZERO, false).unwrap();
        starts(&mut watch, 0, &[11.0; 5], HERE);
        assert!((0..1000).all(|_| watch.end_frame().is_empty()));
        assert_eq!(watch.finish().len(), 1);
    }
}
