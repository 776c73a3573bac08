//! The whole way from a region of a picture to a verdict, as one object a thread: prepare, run,
//! score. What frames are judged, and what happens then, is decided elsewhere.

use super::{Model, ModelError, Session};
use crate::vision::{PictureError, Preparer, Region};
use anchorwatch_core::{Centres, CentresError, ScoreError, Scorer, Verdict};
use image::RgbImage;
use std::time::{Duration, Instant};

/// Why a region could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The region or the picture.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The network.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The scorer.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// The centres.
    #[error(transparent)]
    Centres(#[from] CentresError),
}

/// What is said of one region.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Class, score, known or unknown.
    pub verdict: Verdict,
    /// Distances to the M centres.
    pub distances: &'a [f32],
    /// The N logits.
    pub logits: &'a [f32],
}

/// How long the stages of one judgement took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timings {
    /// Cutting, resizing, converting.
    pub prepare: Duration,
    /// The network.
    pub network: Duration,
    /// Distances and verdict.
    pub score: Duration,
}

/// Judges regions with one model; keeps its buffers from call to call.
pub struct Judge {
    preparer: Preparer,
    session: Session,
    centres: Vec<f32>,
    threshold: f32,
    distances: Vec<f32>,
    timings: Timings,
}

impl Judge {
    /// A judge with the model's own threshold.
    ///
    /// # Errors
    /// If the model cannot be run.
    pub fn new(model: &Model) -> Result<Self, ModelError> {
        let metadata = model.metadata();
        Ok(Self {
            preparer: Preparer::new(&metadata.input),
            session: model.session()?,
            centres: metadata.flat_centres(),
            threshold: metadata.threshold.value,
            distances: vec![0.0; metadata.classes.len()],
            timings: Timings::default(),
        })
    }

    /// Judges with another threshold from now on.
    pub fn set_threshold(&mut self, threshold: f32) {
        self.threshold = threshold;
    }

    /// The threshold in use.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Judges one region of a picture.
    ///
    /// # Errors
    /// If the region is not inside the picture, the network fails, or the threshold is NaN. Logits
    /// that are not finite are no error: they are unknown.
    pub fn judge(&mut self, picture: &RgbImage, region: Region) -> Result<Judged<'_>, JudgeError> {
        let started = Instant::now();
        let pixels = self.preparer.prepare(picture, region)?;
        let prepared = Instant::now();
        let logits = self.session.logits(pixels)?;
        let run = Instant::now();
        let scorer = Scorer::new(Centres::new(&self.centres, logits.len())?);
        let verdict = scorer.score(logits, self.threshold, &mut self.distances)?;
        self.timings = Timings { prepare: prepared - started, network: run - prepared, score: run.elapsed() };
        Ok(Judged { verdict, distances: &self.distances, logits })
    }

    /// How long the last judgement took.
    pub fn timings(&self) -> Timings {
        self.timings
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::colours;
    use super::*;
    use image::Rgb;

    #[test]
    fn colours_of_the_model_are_known_and_others_are_not() {
        let mut judge = Judge::new(&Model::from_file(&colours()).unwrap()).unwrap();
        let mut picture = RgbImage::from_pixel(60, 20, Rgb([255, 0, 0]));
        for x in 20..60 {
            for y in 0..20 {
                picture.put_pixel(x, y, Rgb(if x < 40 { [0, 255, 0] } else { [0, 0, 255] }));
            }
        }
        let mut judged = |id| {
            let region = Region { id, x: id * 20, y: 0, width: 20, height: 20 };
            let judged = judge.judge(&picture, region).unwrap();
            (judged.verdict.class, judged.verdict.is_unknown(), judged.distances.to_vec())
        };
        let (class, unknown, distances) = judged(0);
        assert_eq!((class, unknown), (Some(0), false));
        assert!(distances[0] < 1e-3 && (distances[1] - 200f32.sqrt()).abs() < 1e-3, "{distances:?}");
        let (class, unknown, _) = judged(1);
        assert_eq!((class, unknown), (Some(1), false));
        assert!(judged(2).1, "blue is unknown");
    }

    #[test]
    fn the_threshold_can_be_changed() {
        let mut judge = Judge::new(&Model::from_file(&colours()).unwrap()).unwrap();
        let picture = RgbImage::from_pixel(8, 8, Rgb([0, 0, 255]));
        assert!(judge.judge(&picture, Region::whole(8, 8)).unwrap().verdict.is_unknown());
        judge.set_threshold(1e3);
        let judged = judge.judge(&picture, Region::whole(8, 8)).unwrap();
        assert!(!judged.verdict.is_unknown());
        assert_eq!(judged.verdict.threshold, 1e3);
        assert!(judge.judge(&picture, Region::whole(9, 8)).is_err());
    }
}
