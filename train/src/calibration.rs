//! From logits to what the model's block says of them: class centres, scores, thresholds, the
//! statistics of each class. Plain numbers; where the logits come from is the caller's affair.

use crate::loss::ANCHORS;
use crate::variables::Variables;
use anchorwatch::evaluate::KnownPicture;
use anchorwatch::network::metadata::{ClassScores, Threshold};
use anchorwatch_core::{Centres, Scorer, Verdict};
use anyhow::Result;
use tch::Tensor;

/// Training pictures of each class that its centre is computed from, at most.
pub const CENTRE_PICTURES: usize = 1000;

/// Logits of B pictures, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    /// B×N numbers.
    pub values: Vec<f32>,
    /// N.
    pub width: usize,
}

impl Logits {
    /// The rows.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.width)
    }

    /// One of them.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..][..self.width]
    }
}

/// Anchors `α·e_j` as rows: the centres before there are any pictures.
pub fn anchors(count: usize) -> Vec<Vec<f32>> {
    let magnitude = crate::loss::ANCHOR_MAGNITUDE as f32;
    let row = |class| (0..count).map(|logit| if logit == class { magnitude } else { 0.0 }).collect();
    (0..count).map(row).collect()
}

/// The anchors that a network of so many classes was trained towards: learned ones are among its
/// variables.
pub fn trained_anchors(variables: &Variables, count: usize) -> Result<Vec<Vec<f32>>> {
    match variables.by_name().get(ANCHORS) {
        Some(learned) => Ok(Vec::<Vec<f32>>::try_from(learned.detach())?),
        None => Ok(anchors(count)),
    }
}

/// The class centres: the mean logits of each class's correctly classified pictures (paper, section
/// 3.3). A picture is correctly classified when its own anchor is the nearest. Classes without such a
/// picture keep their anchor and are listed.
pub fn class_centres(
    logits: &Logits,
    classes: &[usize],
    anchors: Vec<Vec<f32>>,
) -> (Vec<Vec<f32>>, Vec<usize>) {
    let mut sums = vec![vec![0f64; logits.width]; anchors.len()];
    let mut counts = vec![0usize; anchors.len()];
    for (row, &class) in logits.rows().zip(classes) {
        if nearest_anchor(row, &anchors) == Some(class) {
            counts[class] += 1;
            for (sum, &logit) in sums[class].iter_mut().zip(row) {
                *sum += f64::from(logit);
            }
        }
    }
    let mut without = Vec::new();
    let mut centres = anchors;
    for (class, centre) in centres.iter_mut().enumerate() {
        match counts[class] {
            0 => without.push(class),
            count => {
                for (value, sum) in centre.iter_mut().zip(&sums[class]) {
                    *value = (sum / count as f64) as f32;
                }
            }
        }
    }
    (centres, without)
}

/// The nearest anchor's index; none if a logit is not finite.
fn nearest_anchor(logits: &[f32], anchors: &[Vec<f32>]) -> Option<usize> {
    if !logits.iter().all(|logit| logit.is_finite()) {
        return None;
    }
    let distance = |anchor: &Vec<f32>| {
        logits
            .iter()
            .zip(anchor)
            .map(|(&one, &other)| (f64::from(one) - f64::from(other)).powi(2))
            .sum::<f64>()
    };
    (0..anchors.len()).min_by(|&one, &other| distance(&anchors[one]).total_cmp(&distance(&anchors[other])))
}

/// Euclidean distances (B×M) of rows (B×N) to centres (M×N).
pub fn distances(rows: &Tensor, centres: &Tensor) -> Tensor {
    // Mode 2: from the differences themselves, not by way of products, which lose digits.
    Tensor::cdist(rows, centres, 2.0, 2)
}

/// The verdict on each row; only class and score are of use before there is a threshold.
pub fn verdicts(logits: &Logits, centres: &[Vec<f32>]) -> Result<Vec<Verdict>> {
    let flat = centres.concat();
    let scorer = Scorer::new(Centres::new(&flat, logits.width)?);
    let mut distances = vec![0.0; centres.len()];
    logits.rows().map(|row| Ok(scorer.score(row, f32::INFINITY, &mut distances)?)).collect()
}

/// Verdicts with the true classes.
pub fn known_pictures(verdicts: &[Verdict], classes: &[usize]) -> Vec<KnownPicture> {
    verdicts
        .iter()
        .zip(classes)
        .map(|(verdict, &class)| KnownPicture { class, predicted: verdict.class, score: verdict.score })
        .collect()
}

/// The threshold that accepts the share `tpr` of these known pictures.
pub fn threshold(known: &[KnownPicture], tpr: f64, source: &str) -> Threshold {
    let scores: Vec<f32> = known.iter().map(|picture| picture.score).collect();
    Threshold::calibrate(&scores, tpr, source)
}

/// Statistics of the score over each class's pictures; all 0 for a class without pictures.
pub fn class_scores(classes: &[String], known: &[KnownPicture]) -> Vec<ClassScores> {
    let of_class = |(class, name): (usize, &String)| {
        let pictures = || known.iter().filter(|picture| picture.class == class);
        let scores: Vec<f32> = pictures().map(|picture| picture.score).collect();
        let right = pictures().filter(|picture| picture.predicted == Some(class)).count();
        ClassScores::new(name, &scores, right)
    };
    classes.iter().enumerate().map(of_class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(rows: &[[f32; 2]]) -> Logits {
        Logits { values: rows.concat(), width: 2 }
    }

    #[test]
    fn centres_are_means_of_the_correctly_classified_only() {
        let rows = logits(&[[8.0, 0.0], [10.0, 2.0], [1.0, 5.0], [f32::NAN, 0.0], [3.0, 2.0]]);
        let (centres, without) = class_centres(&rows, &[0, 0, 0, 0, 1], anchors(2));
        assert_eq!(centres, [[9.0, 1.0], [0.0, 10.0]]);
        assert_eq!(without, [1]);
    }

    #[test]
    fn the_threshold_accepts_the_share_and_statistics_are_by_class() {
        let centres = [vec![10.0, 0.0], vec![0.0, 10.0]];
        // Nearer to the other centre with each step.
        let rows: Vec<[f32; 2]> =
            (0..100).map(|step| [10.0 - step as f32 * 0.03, step as f32 * 0.03]).collect();
        let verdicts = verdicts(&logits(&rows), &centres).unwrap();
        let known = known_pictures(&verdicts, &[0; 100]);
        let threshold = threshold(&known, 0.95, "a test");
        assert_eq!((threshold.pictures, threshold.measured_tpr), (100, 0.96));
        assert_eq!(threshold.value, known[95].score);
        let scores = class_scores(&["one".to_string(), "two".to_string()], &known);
        assert_eq!((scores[0].pictures, scores[1].pictures), (100, 0));
        assert_eq!(scores[0].accuracy, 1.0);
        assert!((known[49].score..=known[50].score).contains(&scores[0].quantiles[2]), "{:?}", scores[0]);
        // Section 3 of the paper, by hand: d = 1.5·√2 and 8.5·√2, γ = d·(1 − softmin d).
        let (near, far) = (1.5 * 2f32.sqrt(), 8.5 * 2f32.sqrt());
        let by_hand = near * (1.0 - 1.0 / (1.0 + (near - far).exp()));
        assert!((known[50].score / by_hand - 1.0).abs() < 1e-3, "{} {by_hand}", known[50].score);
        assert_eq!(scores[1].quantiles, [0.0; 5]);
    }
}
