//! The regions of a frame by a rule, for rules that need to remember frames or listen to others, too.

use super::motion::MotionFinder;
use super::proposals::{Proposal, Proposals};
use super::region::{Region, RegionError, RegionRule};
use super::tracker::Tracker;
use image::RgbImage;
use std::time::Duration;

/// Boxes from another program that are older than this say nothing of the present frame.
const OLDEST_BOXES: Duration = Duration::from_secs(1);

/// Finds regions in frame after frame of one source.
#[derive(Debug)]
pub struct RegionFinder {
    rule: RegionRule,
    motion: Option<MotionFinder>,
    proposals: Option<Proposals>,
    tracker: Tracker,
    /// Regions with a side shorter than this, in pixels, are left.
    least_side: u32,
}

impl RegionFinder {
    /// Regions by this rule, of at least so many pixels across and down.
    ///
    /// # Errors
    /// If the rule's socket cannot be made.
    pub fn new(rule: RegionRule, least_side: u32) -> Result<Self, RegionError> {
        let motion = match &rule {
            RegionRule::Motion(rule) => Some(MotionFinder::new(*rule)),
            _ => None,
        };
        let proposals = match &rule {
            RegionRule::Socket(path) => Some(
                Proposals::listen(path)
                    .map_err(|source| RegionError::Socket { path: path.clone(), why: source.to_string() })?,
            ),
            _ => None,
        };
        Ok(Self { rule, motion, proposals, tracker: Tracker::default(), least_side })
    }

    /// Goes on by another rule. By the same one, what it remembers stays.
    ///
    /// # Errors
    /// If the rule's socket cannot be made; then nothing has changed.
    pub fn change(&mut self, rule: RegionRule, least_side: u32) -> Result<(), RegionError> {
        if rule == self.rule {
            self.least_side = least_side;
        } else {
            *self = Self::new(rule, least_side)?;
        }
        Ok(())
    }

    /// Whether regions come and go, and have the numbers of tracks.
    pub fn follows(&self) -> bool {
        self.motion.is_some() || self.proposals.is_some()
    }

    /// The regions of the next frame.
    ///
    /// # Errors
    /// If a fixed box or the grid does not fit the frame.
    pub fn find(&mut self, picture: &RgbImage) -> Result<Vec<Region>, RegionError> {
        let (width, height) = picture.dimensions();
        let mut regions = if let Some(motion) = &mut self.motion {
            let least = self.least_side;
            let boxes: Vec<_> = motion
                .find(picture)
                .into_iter()
                .filter(|[_, _, across, down]| *across >= least && *down >= least)
                .collect();
            self.tracker.follow(&boxes)
        } else if let Some(proposals) = &self.proposals {
            let Proposal { boxes, ids } = proposals.newest(OLDEST_BOXES).unwrap_or_default();
            let (boxes, ids) = clipped(&boxes, ids, width, height);
            match ids {
                Some(ids) => boxes
                    .iter()
                    .zip(ids)
                    .map(|(&[x, y, width, height], id)| Region { id, x, y, width, height })
                    .collect(),
                None => self.tracker.follow(&boxes),
            }
        } else {
            self.rule.regions(width, height)?
        };
        regions.retain(|region| region.width >= self.least_side && region.height >= self.least_side);
        Ok(regions)
    }
}

/// What of the boxes is inside the frame, and the numbers of those that are.
fn clipped(
    boxes: &[[u32; 4]],
    ids: Option<Vec<u32>>,
    width: u32,
    height: u32,
) -> (Vec<[u32; 4]>, Option<Vec<u32>>) {
    let mut inside = Vec::new();
    let mut kept = ids.as_ref().map(|_| Vec::new());
    for (at, &[x, y, across, down]) in boxes.iter().enumerate() {
        let right = x.saturating_add(across).min(width);
        let bottom = y.saturating_add(down).min(height);
        if x < right && y < bottom {
            inside.push([x, y, right - x, bottom - y]);
            if let (Some(kept), Some(ids)) = (&mut kept, &ids) {
                kept.extend(ids.get(at));
            }
        }
    }
    (inside, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_of_others_are_clipped_to_the_frame() {
        let boxes = [[600, 0, 100, 50], [700, 0, 5, 5], [0, 470, 10, u32::MAX], [3, 3, 0, 9]];
        let (inside, ids) = clipped(&boxes, Some(vec![1, 2, 3, 4]), 640, 480);
        assert_eq!(inside, [[600, 0, 40, 50], [0, 470, 10, 10]]);
        assert_eq!(ids, Some(vec![1, 3]));
        assert_eq!(clipped(&boxes, None, 640, 480).1, None);
    }

    #[test]
    fn small_regions_are_left() {
        let picture = RgbImage::new(64, 40);
        let find = |least| {
            let mut finder = RegionFinder::new("box:0,0,8,30;0,0,20,20".parse().unwrap(), least).unwrap();
            finder.find(&picture).unwrap().into_iter().map(|region| region.id).collect::<Vec<_>>()
        };
        assert_eq!((find(0), find(9), find(21)), (vec![0, 1], vec![1], vec![]));
    }

    #[test]
    fn moving_things_have_numbers_that_stay() {
        let mut finder = RegionFinder::new("motion".parse().unwrap(), 0).unwrap();
        assert!(finder.follows());
        let scene = |x: u32| {
            RgbImage::from_fn(160, 120, |column, row| {
                let inside = (x..x + 32).contains(&column) && (40..72).contains(&row);
                image::Rgb([if inside { 250 } else { 40 }; 3])
            })
        };
        for _ in 0..10 {
            assert!(finder.find(&scene(1000)).unwrap().is_empty());
        }
        for step in 0..10 {
            let regions = finder.find(&scene(step * 8)).unwrap();
            assert_eq!(regions, [Region { id: 0, x: step * 8, y: 40, width: 32, height: 32 }]);
        }
    }
}
