//! What a run has seen, in numbers.

use crate::board::Heat;
use crate::capture::{Moment, Skipped};
use crate::watch::drift::Drift;
use anchorwatch_core::Verdict;
use std::time::Instant;

/// Counts of one run, and the threshold that they were made with.
#[derive(Clone, Debug)]
pub struct Tally {
    /// When it began.
    pub started: Instant,
    /// Frames judged.
    pub frames: u64,
    /// Known regions, by class.
    pub known: Vec<u64>,
    /// Unknown regions, by the class that they are most like.
    pub unknown: Vec<u64>,
    /// Unknown regions for which the network gave no finite numbers.
    pub not_finite: u64,
    /// Pictures and frames left out.
    pub skipped: u64,
    /// The first of them.
    pub first_skipped: Option<Skipped>,
    /// Frames of a live source that came while the one before was being judged.
    pub dropped: u64,
    /// Unknown regions that are background: always there.
    pub background: u64,
    /// Frames that came when it is not watched: by the schedule, or by an input pin.
    pub unwatched: u64,
    /// When the newest frame was taken.
    pub last_frame: Option<Moment>,
    /// How often a live source was lost.
    pub losses: u64,
    /// Events: unknown pictures, or times that something unknown came into view.
    pub events: u64,
    /// The board, when it was last looked at.
    pub heat: Heat,
    /// The share of the time that heat leaves for judging: 1 is all.
    pub pace: f64,
    /// The threshold in effect; scores above it are unknown.
    pub threshold: f32,
    /// The threshold of the configuration or the model: another one may be tried.
    pub configured_threshold: f32,
    /// How the scores of known things compare with calibration, once there are enough.
    pub drift: Option<Drift>,
    /// How often the board was found to be slowed down: too hot, or too little voltage.
    pub slowed: u64,
}

impl Tally {
    /// Nothing yet, of this many classes, with this threshold. The time runs from now.
    pub fn new(classes: usize, threshold: f32) -> Self {
        Self {
            started: Instant::now(),
            frames: 0,
            known: vec![0; classes],
            unknown: vec![0; classes],
            not_finite: 0,
            skipped: 0,
            first_skipped: None,
            dropped: 0,
            losses: 0,
            last_frame: None,
            background: 0,
            unwatched: 0,
            events: 0,
            heat: Heat::default(),
            pace: 1.0,
            drift: None,
            threshold,
            configured_threshold: threshold,
            slowed: 0,
        }
    }

    /// Regions judged to be of a known class.
    pub fn known_regions(&self) -> u64 {
        self.known.iter().sum()
    }

    /// Regions judged unknown.
    pub fn unknown_regions(&self) -> u64 {
        self.unknown.iter().sum::<u64>() + self.not_finite
    }

    /// Frames judged a second, since the start.
    pub fn frames_per_second(&self) -> f64 {
        self.frames as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    pub(super) fn judged(&mut self, verdict: &Verdict, background: bool) {
        if background {
            self.background += 1;
            return;
        }
        let counts = if verdict.is_unknown() { &mut self.unknown } else { &mut self.known };
        match verdict.class.and_then(|class| counts.get_mut(class)) {
            Some(count) => *count += 1,
            None => self.not_finite += 1,
        }
    }

    pub(super) fn skip(&mut self, skipped: &Skipped) {
        self.skipped += 1;
        self.first_skipped.get_or_insert_with(|| skipped.clone());
    }
}
