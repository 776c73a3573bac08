//! A class that is added by its centre alone, without training: M + 1 centres of N logits. What the
//! pictures are and where the model is written is not its affair.
//!
//! The new centre is the mean of the pictures' logits (paper, section 3.3). How well it works is measured
//! by leaving out one picture at a time: each is judged by the centre of the others. The network has not
//! learnt to draw the class together, so its pictures lie further from their centre than those of trained
//! classes do: it gets a threshold of its own, from those very scores.

use crate::network::metadata::{ClassScores, Metadata, Threshold, WITH_CLASS_THRESHOLDS};
use crate::network::{JudgeError, Scoring};
use anchorwatch_core::Verdict;

/// Fewer pictures say nothing of how a class spreads.
const FEWEST: usize = 3;

/// Why a class cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// The model has it.
    #[error("the model has a class '{0}' already: choose another name")]
    NameTaken(String),
    /// Too few pictures.
    #[error(
        "{0} usable pictures are too few: a class takes at least {FEWEST}, and is the better the more there are, up to some dozens"
    )]
    TooFew(usize),
    /// The network's numbers are of no use.
    #[error("the network gives no finite numbers for picture {0}")]
    NotFinite(usize),
    /// The scorer.
    #[error(transparent)]
    Judge(#[from] JudgeError),
}

/// A class that may be added.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Its name.
    pub name: String,
    /// Its centre, N logits.
    pub centre: Vec<f32>,
    /// Its threshold, from the scores of pictures that were left out.
    pub threshold: Threshold,
    /// How many of the left-out pictures were given to each of the M + 1 classes; the new one is the last.
    pub given: Vec<usize>,
    /// Statistics of the scores of pictures that were left out.
    pub scores: ClassScores,
    /// Mean distance of a left-out picture to the centre of the others.
    pub spread: f32,
    /// The nearest class that was there, and the distance between the centres.
    pub nearest: (usize, f32),
}

impl Enrolment {
    /// A class from the logits of its pictures, N each. Its threshold accepts the share `tpr` of them.
    ///
    /// # Errors
    /// If the name is taken, there are too few pictures, or their numbers are not finite.
    pub fn new(
        metadata: &Metadata,
        name: &str,
        logits: &[Vec<f32>],
        tpr: f64,
    ) -> Result<Self, EnrolmentError> {
        if metadata.classes.iter().any(|class| class == name) {
            return Err(EnrolmentError::NameTaken(name.to_string()));
        }
        if logits.len() < FEWEST {
            return Err(EnrolmentError::TooFew(logits.len()));
        }
        if let Some(at) = logits.iter().position(|logits| !logits.iter().all(|logit| logit.is_finite())) {
            return Err(EnrolmentError::NotFinite(at + 1));
        }
        let centre = mean(logits.iter());
        let left_out = leave_one_out(metadata, logits)?;
        let new = metadata.classes.len();
        let mut given = vec![0; new + 1];
        for (verdict, _) in &left_out {
            if let Some(count) = verdict.class.and_then(|class| given.get_mut(class)) {
                *count += 1;
            }
        }
        let all: Vec<f32> = left_out.iter().map(|(verdict, _)| verdict.score).collect();
        // A picture that another class takes is not kept by any threshold.
        let mut own: Vec<f32> = left_out
            .iter()
            .filter(|(verdict, _)| verdict.class == Some(new))
            .map(|(verdict, _)| verdict.score)
            .collect();
        if own.is_empty() {
            own.clone_from(&all);
        }
        let source = format!("anchorwatch {} enroll", env!("CARGO_PKG_VERSION"));
        let spread = left_out.iter().map(|(_, distance)| distance).sum::<f32>() / left_out.len() as f32;
        let distances = metadata.centres.iter().map(|other| distance(other, &centre)).enumerate();
        let nearest = distances.min_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or((0, f32::INFINITY));
        Ok(Self {
            name: name.to_string(),
            threshold: Threshold::calibrate(&own, tpr, &source),
            scores: ClassScores::new(name, &all, given[new]),
            centre,
            given,
            spread,
            nearest,
        })
    }

    /// The share of left-out pictures that were given the new class.
    pub fn recognised(&self) -> f64 {
        let own = self.given.last().copied().unwrap_or(0);
        own as f64 / self.given.iter().sum::<usize>().max(1) as f64
    }

    /// The class that takes most of the new one's pictures, and how many, if any does.
    pub fn confused_with(&self) -> Option<(usize, usize)> {
        let others = self.given.split_last().map_or(&[][..], |(_, others)| others);
        let most = others.iter().copied().enumerate().max_by_key(|(_, count)| *count);
        most.filter(|(_, count)| *count > 0)
    }

    /// The block with this class as its last.
    pub fn added_to(&self, metadata: &Metadata) -> Metadata {
        let mut block = metadata.clone();
        let pictures = self.scores.pictures;
        block.version = WITH_CLASS_THRESHOLDS;
        block.class_thresholds = (0..block.classes.len()).map(|class| block.threshold_of(class)).collect();
        block.class_thresholds.push(self.threshold.value);
        // One centre more is another score: what the others' promised is no longer so.
        block.class_calibrations = Vec::new();
        block.classes.push(self.name.clone());
        block.centres.push(self.centre.clone());
        block.known_scores.push(self.scores.clone());
        block.training.train_pictures.push(0);
        block.training.data.push_str(&format!("; '{}' enrolled from {pictures} pictures", self.name));
        block
    }
}

/// Each picture judged by the centre of the others, with its distance to that centre.
fn leave_one_out(metadata: &Metadata, logits: &[Vec<f32>]) -> Result<Vec<(Verdict, f32)>, EnrolmentError> {
    let mut block = metadata.clone();
    block.class_thresholds = Vec::new();
    block.classes.push(String::new());
    block.centres.push(Vec::new());
    let mut distances = vec![0.0; block.classes.len()];
    let new = metadata.classes.len();
    (0..logits.len())
        .map(|at| {
            let others = logits.iter().enumerate().filter(|(other, _)| *other != at);
            block.centres[new] = mean(others.map(|(_, logits)| logits));
            let verdict = Scoring::new(&block).verdict(&logits[at], &mut distances)?;
            Ok((verdict, distances[new]))
        })
        .collect()
}

/// The mean of vectors of one length, at least one.
fn mean<'a>(vectors: impl Iterator<Item = &'a Vec<f32>>) -> Vec<f32> {
    let mut sum: Vec<f64> = Vec::new();
    let mut count = 0.0;
    for vector in vectors {
        sum.resize(vector.len(), 0.0);
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value));
        count += 1.0;
    }
    sum.into_iter().map(|sum| (sum / count) as f32).collect()
}

fn distance(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::metadata::tests::example;

    /// Pictures around a point of the plane of two logits.
    fn around(centre: [f32; 2], count: usize, radius: f32) -> Vec<Vec<f32>> {
        (0..count)
            .map(|at| {
                let angle = at as f32 / count as f32 * std::f32::consts::TAU;
                vec![centre[0] + radius * angle.cos(), centre[1] + radius * angle.sin()]
            })
            .collect()
    }

    #[test]
    fn a_class_apart_from_the_others_is_recognised() {
        let block = example();
        let enrolment = Enrolment::new(&block, "blue", &around([-5.0, -5.0], 20, 1.0), 0.9).unwrap();
        assert!((enrolment.centre[0] + 5.0).abs() < 1e-5 && (enrolment.centre[1] + 5.0).abs() < 1e-5);
        assert_eq!((enrolment.given.clone(), enrolment.recognised()), (vec![0, 0, 20], 1.0));
        assert_eq!(enrolment.confused_with(), None);
        // The centre of the other 19 lies 1/19 beyond the middle.
        assert!((enrolment.spread - (1.0 + 1.0 / 19.0)).abs() < 1e-5, "{}", enrolment.spread);
        assert!((enrolment.nearest.1 - 125f32.sqrt()).abs() < 1e-4);
        let added = enrolment.added_to(&block);
        added.check().unwrap();
        assert_eq!(added.classes, ["red", "green", "blue"]);
        assert_eq!(added.class_thresholds[..2], [1.5, 1.5]);
        let mut distances = [0.0; 3];
        let verdict = Scoring::new(&added).verdict(&[-5.0, -4.0], &mut distances).unwrap();
        assert_eq!((verdict.class, verdict.is_unknown()), (Some(2), false));
        assert!(Scoring::new(&added).verdict(&[-5.0, -3.0], &mut distances).unwrap().is_unknown());
        // Those that were known are known as before.
        let (mut before, known) = ([0.0; 2], [4.5, 0.5]);
        let old = Scoring::new(&block).verdict(&known, &mut before).unwrap();
        let new = Scoring::new(&added).verdict(&known, &mut distances).unwrap();
        assert_eq!((old.class, old.outcome, old.threshold), (new.class, new.outcome, new.threshold));
    }

    #[test]
    fn one_that_lies_on_another_is_confused_with_it() {
        let enrolment = Enrolment::new(&example(), "crimson", &around([5.0, 0.0], 12, 1.0), 0.9).unwrap();
        assert_eq!(enrolment.confused_with(), Some((0, 12)), "each is nearer to the class that is there");
        assert_eq!(enrolment.recognised(), 0.0);
        enrolment.added_to(&example()).check().unwrap();
    }

    #[test]
    fn what_makes_no_class_is_refused() {
        let block = example();
        let new = |name: &str, logits: &[Vec<f32>]| {
            Enrolment::new(&block, name, logits, 0.9).unwrap_err().to_string()
        };
        assert!(new("red", &around([1.0, 1.0], 5, 1.0)).contains("'red'"));
        assert!(new("blue", &around([1.0, 1.0], 2, 1.0)).contains("2 usable pictures"));
        assert!(new("blue", &vec![vec![1.0, f32::NAN]; 3]).contains("picture 1"));
    }
}
