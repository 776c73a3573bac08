//! The scorer for anchors that were never replaced by class means: O(N) instead of O(M·N). For
//! trained centres it is `scorer` that is right.

use core::fmt;

use crate::distance::{limited, trusted};
use crate::kernel::Kernel;
use crate::rejection::judge_finite;
use crate::scorer::{ScoreError, check_length, check_threshold};
use crate::verdict::Verdict;

/// Judges N logits against the N anchors `α·e_j` (paper, section 3.1: α = 10).
///
/// The square of a distance is `‖x‖² − 2·α·x_j + α²`. Written so, it cancels for a vector near
/// its anchor, and may even come out negative. Here it is `(x_j − α)² + Σ_{i≠j} x_i²`, with the
/// second part formed so that nothing cancels; all terms are squares, so that no root of
/// a negative number can occur.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnchorScorer {
    alpha: f32,
    classes: usize,
    kernel: Kernel,
}

impl AnchorScorer {
    /// A scorer for `classes` anchors at distance `alpha` from the origin.
    ///
    /// # Errors
    ///
    /// When there are no classes, or `alpha` is not finite.
    pub fn new(alpha: f32, classes: usize) -> Result<Self, AnchorError> {
        if classes == 0 {
            return Err(AnchorError::NoClasses);
        }
        if !alpha.is_finite() {
            return Err(AnchorError::AlphaNotFinite);
        }
        Ok(Self { alpha, classes, kernel: Kernel::detect() })
    }

    /// M = N, the number of classes and of logits.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// As [`Scorer::score`](crate::Scorer::score) with the centres `α·I`: the same verdict
    /// within the tolerance stated in the [crate docs](crate).
    ///
    /// # Errors
    ///
    /// When `logits` or `distances` is not N long, or `threshold` is NaN.
    pub fn score(
        &self,
        logits: &[f32],
        threshold: f32,
        distances: &mut [f32],
    ) -> Result<Verdict, ScoreError> {
        check_length(self.classes, logits.len(), |expected, got| ScoreError::Logits { expected, got })?;
        check_length(self.classes, distances.len(), |expected, got| ScoreError::Distances { expected, got })?;
        check_threshold(threshold)?;
        self.distances(logits, distances);
        if !trusted(distances) {
            if !logits.iter().all(|logit| logit.is_finite()) {
                distances.fill(f32::NAN);
                return Ok(Verdict::not_finite(threshold));
            }
            self.distances_in_f64(logits, distances);
        }
        Ok(judge_finite(self.kernel, distances, threshold))
    }

    /// `Σ_{i≠j} x_i²` is the sum without the largest logit L, plus L², less x_j². As x_j² ≤ L², that
    /// is never less than the sum without L, so little is lost.
    fn distances(&self, logits: &[f32], distances: &mut [f32]) {
        let largest = index_of_largest(logits);
        let without_largest = sum_of_squares(&logits[..largest]) + sum_of_squares(&logits[largest + 1..]);
        let largest_square = logits[largest] * logits[largest];
        for (distance, &logit) in distances.iter_mut().zip(logits) {
            let others = without_largest + (largest_square - logit * logit);
            let own = logit - self.alpha;
            *distance = libm::sqrtf(own * own + others);
        }
        let own = logits[largest] - self.alpha;
        distances[largest] = libm::sqrtf(own * own + without_largest);
    }

    /// The same, where f32 would overflow or lose small squares.
    #[cold]
    fn distances_in_f64(&self, logits: &[f32], distances: &mut [f32]) {
        let square = |x: f32| f64::from(x) * f64::from(x);
        let largest = index_of_largest(logits);
        let (before, after) = (&logits[..largest], &logits[largest + 1..]);
        let without_largest: f64 = before.iter().chain(after).map(|&x| square(x)).sum();
        for (index, (distance, &logit)) in distances.iter_mut().zip(logits).enumerate() {
            let own = f64::from(logit) - f64::from(self.alpha);
            let others = if index == largest {
                without_largest
            } else {
                without_largest + (square(logits[largest]) - square(logit))
            };
            *distance = limited(libm::sqrt(own * own + others));
        }
    }
}

/// The index of the logit that is largest without its sign; `logits` is not empty.
fn index_of_largest(logits: &[f32]) -> usize {
    let mut largest = 0;
    for (index, logit) in logits.iter().enumerate() {
        if logit.abs() > logits[largest].abs() {
            largest = index;
        }
    }
    largest
}

fn sum_of_squares(values: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for (sum, value) in sums.iter_mut().zip(block) {
            *sum += value * value;
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += value * value;
    }
    sums.iter().sum()
}

/// Why there can be no scorer for such anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorError {
    /// There are no classes.
    NoClasses,
    /// α is NaN or infinite.
    AlphaNotFinite,
}

impl fmt::Display for AnchorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoClasses => "there is no anchor: at least one class is needed",
            Self::AlphaNotFinite => "the distance of the anchors from the origin is not finite",
        })
    }
}

impl core::error::Error for AnchorError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use crate::{Centres, Scorer};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn anchors(alpha: f32, classes: usize) -> Vec<f32> {
        let mut anchors = std::vec![0.0; classes * classes];
        for class in 0..classes {
            anchors[class * (classes + 1)] = alpha;
        }
        anchors
    }

    /// Against f64, and against the general scorer on the same anchors.
    fn assert_agrees(alpha: f32, logits: &[f32]) {
        let classes = logits.len();
        let anchors = anchors(alpha, classes);
        let scorer = AnchorScorer::new(alpha, classes).unwrap();
        let mut distances = std::vec![0.0; classes];
        let verdict = scorer.score(logits, 2.0, &mut distances).unwrap();
        reference::assert_agrees(&anchors, classes, logits, &distances, &verdict);

        let general = Scorer::new(Centres::new(&anchors, classes).unwrap());
        let mut by_general = std::vec![0.0; classes];
        general.score(logits, 2.0, &mut by_general).unwrap();
        let tolerance = 2.0 * reference::distance_tolerance(classes) as f32;
        for (by_anchor, general) in distances.iter().zip(&by_general) {
            assert!((by_anchor - general).abs() <= general * tolerance + f32::MIN_POSITIVE);
        }
    }

    proptest! {
        #[test]
        fn any_logits_agree_with_the_general_scorer(
            logits in vec(-1f32..1.0, 1..40), scale in -45i32..=38, alpha in 0.1f32..20.0
        ) {
            let scale = 10f64.powi(scale) as f32;
            let logits: Vec<f32> = logits.iter().map(|logit| logit * scale).collect();
            assert_agrees(alpha, &logits);
        }

        #[test]
        fn nothing_cancels_near_an_anchor(
            mut logits in vec(-1f32..1.0, 1..40),
            at in any::<prop::sample::Index>(),
            closeness in 0i32..=40,
            alpha in prop::sample::select(&[10.0f32, -10.0, 1e-3, 1e6, 1e19, f32::MAX][..]),
        ) {
            for logit in &mut logits {
                *logit *= 10f32.powi(-closeness);
            }
            *at.get_mut(&mut logits) += alpha;
            assert_agrees(alpha, &logits);
        }

        #[test]
        fn a_logit_that_is_not_finite_gives_unknown_without_a_class(
            mut logits in vec(-1f32..1.0, 1..40),
            at in any::<prop::sample::Index>(),
            bad in prop::sample::select(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY][..]),
        ) {
            *at.get_mut(&mut logits) = bad;
            let scorer = AnchorScorer::new(10.0, logits.len()).unwrap();
            let mut distances = std::vec![0.0; logits.len()];
            let verdict = scorer.score(&logits, 1.0, &mut distances).unwrap();
            prop_assert_eq!(verdict, Verdict::not_finite(1.0));
            prop_assert!(distances.iter().all(|distance| distance.is_nan()));
        }
    }

    #[test]
    fn exactly_on_an_anchor_the_distance_is_zero() {
        let scorer = AnchorScorer::new(10.0, 3).unwrap();
        let mut distances = [1.0; 3];
        let verdict = scorer.score(&[0.0, 10.0, 0.0], 0.0, &mut distances).unwrap();
        assert_eq!(distances[1], 0.0);
        assert_eq!((verdict.class, verdict.score), (Some(1), 0.0));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert_eq!(AnchorScorer::new(10.0, 0), Err(AnchorError::NoClasses));
        for alpha in [f32::NAN, f32::INFINITY] {
            assert_eq!(AnchorScorer::new(alpha, 3), Err(AnchorError::AlphaNotFinite));
        }
        let scorer = AnchorScorer::new(10.0, 3).unwrap();
        assert_eq!(
            scorer.score(&[0.0; 2], 1.0, &mut [0.0; 3]),
            Err(ScoreError::Logits { expected: 3, got: 2 })
        );
        assert_eq!(
            scorer.score(&[0.0; 3], 1.0, &mut [0.0; 4]),
            Err(ScoreError::Distances { expected: 3, got: 4 })
        );
        assert_eq!(scorer.score(&[0.0; 3], f32::NAN, &mut [0.0; 3]), Err(ScoreError::ThresholdNotANumber));
    }
}
