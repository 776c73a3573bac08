//! The whole way from a region of a picture to a verdict, as one object a thread: prepare, run,
//! score. What frames are judged, and what happens then, is decided elsewhere.

use super::metadata::Metadata;
use super::{Model, ModelError, Outputs, Session};
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
    /// The features that the last layer makes the logits of; empty where the network does not give them.
    pub embedding: &'a [f32],
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
    scoring: Scoring,
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
            scoring: Scoring::new(metadata),
            distances: vec![0.0; metadata.classes.len()],
            timings: Timings::default(),
        })
    }

    /// Judges with another threshold from now on. Those of single classes keep their share of it.
    pub fn set_threshold(&mut self, threshold: f32) {
        self.scoring.threshold = threshold;
    }

    /// The threshold in use.
    pub fn threshold(&self) -> f32 {
        self.scoring.threshold
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
        let Outputs { logits, embedding } = self.session.outputs(pixels)?;
        let run = Instant::now();
        let verdict = self.scoring.verdict(logits, &mut self.distances)?;
        self.timings = Timings { prepare: prepared - started, network: run - prepared, score: run.elapsed() };
        Ok(Judged { verdict, distances: &self.distances, logits, embedding })
    }

    /// How long the last judgement took.
    pub fn timings(&self) -> Timings {
        self.timings
    }
}

/// From logits to a verdict, as a model's block says: its centres and thresholds.
#[derive(Clone, Debug)]
pub struct Scoring {
    centres: Vec<f32>,
    /// The one in use, for classes without one of their own.
    threshold: f32,
    /// The model's, θ.
    models: f32,
    /// The model's thresholds of single classes; empty where all are θ.
    class_thresholds: Vec<f32>,
}

impl Scoring {
    /// That of a block.
    pub fn new(metadata: &Metadata) -> Self {
        Self {
            centres: metadata.flat_centres(),
            threshold: metadata.threshold.value,
            models: metadata.threshold.value,
            class_thresholds: metadata.class_thresholds.clone(),
        }
    }

    /// The verdict on N logits; the M distances are written into `distances`.
    ///
    /// # Errors
    /// If there are more or fewer logits or distances, or the threshold is NaN.
    pub fn verdict(&self, logits: &[f32], distances: &mut [f32]) -> Result<Verdict, JudgeError> {
        let scorer = Scorer::new(Centres::new(&self.centres, logits.len())?);
        let verdict = scorer.score(logits, self.threshold, distances)?;
        let own = verdict.class.and_then(|class| self.class_thresholds.get(class));
        Ok(own.map_or(verdict, |own| verdict.against(self.in_use(*own))))
    }

    /// What a class's own threshold is now: it keeps its share of θ.
    fn in_use(&self, own: f32) -> f32 {
        if self.threshold == self.models {
            // Without a rounding: the picture that it was found with lies on it.
            own
        } else if self.models > 0.0 {
            own * (self.threshold / self.models)
        } else {
            self.threshold
        }
    }
}

/// What is said of one region, kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Class, score, known or unknown.
    pub verdict: Verdict,
    /// Distances to the M centres.
    pub distances: Vec<f32>,
    /// The N logits.
    pub logits: Vec<f32>,
    /// The features that the last layer makes the logits of; empty where the network does not give them.
    pub embedding: Vec<f32>,
}

impl From<Judged<'_>> for Judgement {
    fn from(judged: Judged<'_>) -> Self {
        Self {
            verdict: judged.verdict,
            distances: judged.distances.to_vec(),
            logits: judged.logits.to_vec(),
            embedding: judged.embedding.to_vec(),
        }
    }
}

/// Judges all regions of a frame: one with all threads, several side by side with one thread each,
/// which wastes less than sharing every layer does. The verdicts are the same either way.
pub struct Crew {
    model: Model,
    threads: usize,
    /// Uses all threads.
    first: Judge,
    /// Use one thread each; made when they are needed.
    others: Vec<Judge>,
    threshold: f32,
}

impl Crew {
    /// A crew with the model's own threshold that uses so many threads.
    ///
    /// # Errors
    /// If the model cannot be run.
    pub fn new(model: &Model, threads: usize) -> Result<Self, ModelError> {
        let first = Judge::new(&model.clone().with_threads(threads))?;
        let threshold = first.threshold();
        Ok(Self { model: model.clone().with_threads(1), threads, first, others: Vec::new(), threshold })
    }

    /// Judges with another threshold from now on.
    pub fn set_threshold(&mut self, threshold: f32) {
        self.threshold = threshold;
        self.first.set_threshold(threshold);
        self.others.iter_mut().for_each(|judge| judge.set_threshold(threshold));
    }

    /// The threshold in use.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Judges regions of a picture, in their order.
    ///
    /// # Errors
    /// As [`Judge::judge`], of the first that fails.
    pub fn judge_all(
        &mut self,
        picture: &RgbImage,
        regions: &[Region],
    ) -> Result<Vec<Judgement>, JudgeError> {
        let side_by_side = self.threads.min(regions.len());
        if side_by_side < 2 {
            return regions.iter().map(|region| Ok(self.first.judge(picture, *region)?.into())).collect();
        }
        while self.others.len() < side_by_side {
            let mut judge = Judge::new(&self.model)?;
            judge.set_threshold(self.threshold);
            self.others.push(judge);
        }
        let share = regions.len().div_ceil(side_by_side);
        let judge_share = |judge: &mut Judge, regions: &[Region]| -> Result<Vec<Judgement>, JudgeError> {
            regions.iter().map(|region| Ok(judge.judge(picture, *region)?.into())).collect()
        };
        std::thread::scope(|scope| {
            let mut shares = self.others.iter_mut().zip(regions.chunks(share));
            let own = shares.next();
            let others: Vec<_> =
                shares.map(|(judge, regions)| scope.spawn(move || judge_share(judge, regions))).collect();
            let mut judged = own.map_or(Ok(Vec::new()), |(judge, regions)| judge_share(judge, regions));
            for other in others {
                let share = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                if let Ok(all) = &mut judged {
                    match share {
                        Ok(share) => all.extend(share),
                        Err(error) => judged = Err(error),
                    }
                }
            }
            judged
        })
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

    #[test]
    fn a_class_may_have_a_threshold_of_its_own() {
        let mut file = colours();
        file.metadata.version = crate::network::metadata::WITH_CLASS_THRESHOLDS;
        let whole = file.metadata.threshold.value;
        file.metadata.class_thresholds = vec![whole, whole * 4.0];
        let mut judge = Judge::new(&Model::from_file(&file).unwrap()).unwrap();
        let mut judged = |colour: [u8; 3]| {
            judge.judge(&RgbImage::from_pixel(8, 8, Rgb(colour)), Region::whole(8, 8)).unwrap().verdict
        };
        // As far from red as the other from green: the mean of the two, and a little more of one.
        let (reddish, greenish) = (judged([160, 140, 0]), judged([140, 160, 0]));
        assert_eq!((reddish.class, greenish.class), (Some(0), Some(1)));
        assert!((reddish.score - greenish.score).abs() < 1e-4, "{reddish:?} {greenish:?}");
        assert!(reddish.score > whole && greenish.score < whole * 4.0, "{reddish:?}");
        assert_eq!((reddish.is_unknown(), greenish.is_unknown()), (true, false));
        assert_eq!(greenish.threshold, whole * 4.0);
        judge.set_threshold(whole / 100.0);
        let green = RgbImage::from_pixel(8, 8, Rgb([140, 160, 0]));
        let strict = judge.judge(&green, Region::whole(8, 8)).unwrap().verdict;
        assert!(strict.is_unknown() && (strict.threshold - whole / 25.0).abs() < 1e-6);
    }

    #[test]
    fn the_picture_that_a_threshold_was_found_with_is_known() {
        let mut metadata = colours().metadata;
        metadata.version = crate::network::metadata::WITH_CLASS_THRESHOLDS;
        let mut distances = [0.0; 2];
        for step in 1..500u16 {
            let logits = [10.0 - f32::from(step) * 0.013, f32::from(step) * 0.007];
            metadata.class_thresholds = Vec::new();
            let score = Scoring::new(&metadata).verdict(&logits, &mut distances).unwrap().score;
            metadata.class_thresholds = vec![score; 2];
            let verdict = Scoring::new(&metadata).verdict(&logits, &mut distances).unwrap();
            assert!(!verdict.is_unknown() && verdict.threshold == score, "{verdict:?}");
        }
    }

    #[test]
    fn side_by_side_is_the_same_as_one_after_another() {
        let model = Model::from_file(&colours()).unwrap();
        let picture = RgbImage::from_fn(64, 48, |x, y| Rgb([(x * 4) as u8, (y * 5) as u8, (x ^ y) as u8]));
        let regions: Vec<Region> =
            (0..7).map(|id| Region { id, x: id * 8, y: id * 5, width: 8, height: 9 }).collect();
        let (mut alone, mut crew) = (Crew::new(&model, 1).unwrap(), Crew::new(&model, 3).unwrap());
        let expected = alone.judge_all(&picture, &regions).unwrap();
        assert_eq!(expected.len(), 7);
        for count in 0..=7 {
            assert_eq!(crew.judge_all(&picture, &regions[..count]).unwrap(), expected[..count]);
        }
        crew.set_threshold(1e6);
        let known = crew.judge_all(&picture, &regions).unwrap();
        assert!(known.iter().all(|judged| !judged.verdict.is_unknown() && judged.verdict.threshold == 1e6));
        let outside = [regions[0], Region { id: 9, x: 60, y: 0, width: 8, height: 9 }];
        assert!(crew.judge_all(&picture, &outside).is_err());
    }
}
