//! The scorer: from logits to a verdict, against any centres. For anchors that were never
//! replaced by class means, `anchor_scorer` does the same in O(N).

use core::fmt;

use crate::centres::Centres;
use crate::distance::{distances, redo, trusted};
use crate::kernel::Kernel;
use crate::rejection::judge_finite;
use crate::verdict::Verdict;

/// Judges logits by their distances to the class centres.
///
/// It holds no buffers: the caller lends room for the distances, which are of use by
/// themselves (say, for a table of all classes).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scorer<'a> {
    centres: Centres<'a>,
    kernel: Kernel,
}

impl<'a> Scorer<'a> {
    /// A scorer with the fastest instructions of this processor.
    pub fn new(centres: Centres<'a>) -> Self {
        Self { centres, kernel: Kernel::detect() }
    }

    /// A scorer with the given instructions; `None` when this processor does not have them.
    pub fn with_kernel(centres: Centres<'a>, kernel: Kernel) -> Option<Self> {
        kernel.is_available().then_some(Self { centres, kernel })
    }

    /// The centres it measures from.
    pub fn centres(&self) -> Centres<'a> {
        self.centres
    }

    /// The instructions it computes with.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Judges one vector of N `logits`, and writes its distances to the M centres.
    ///
    /// The distances are always finite, unless the logits are not: then the verdict is unknown
    /// without a class, and the distances are NaN.
    ///
    /// # Errors
    ///
    /// When `logits` is not N long, `distances` is not M long, or `threshold` is NaN.
    pub fn score(
        &self,
        logits: &[f32],
        threshold: f32,
        distances: &mut [f32],
    ) -> Result<Verdict, ScoreError> {
        check_length(self.centres.logits(), logits.len(), |expected, got| ScoreError::Logits {
            expected,
            got,
        })?;
        self.check_distances(1, distances)?;
        check_threshold(threshold)?;
        crate::distance::distances(self.kernel, &self.centres, logits, distances);
        Ok(self.verdict(logits, threshold, distances))
    }

    /// Judges B vectors at once: `logits` is B×N, `distances` B×M, and B is the length of
    /// `verdicts`. Faster than one after the other when the centres do not fit into the
    /// processor's cache. B may be 0.
    ///
    /// Each verdict is what [`score`](Self::score) gives, within the tolerance stated in the
    /// [crate docs](crate).
    ///
    /// # Errors
    ///
    /// When a length does not fit, or `threshold` is NaN.
    pub fn score_batch(
        &self,
        logits: &[f32],
        threshold: f32,
        distances: &mut [f32],
        verdicts: &mut [Verdict],
    ) -> Result<(), ScoreError> {
        let (n, m) = (self.centres.logits(), self.centres.classes());
        let expected = verdicts.len().saturating_mul(n);
        check_length(expected, logits.len(), |expected, got| ScoreError::Logits { expected, got })?;
        self.check_distances(verdicts.len(), distances)?;
        check_threshold(threshold)?;
        self::distances(self.kernel, &self.centres, logits, distances);
        let rows = logits.chunks_exact(n).zip(distances.chunks_exact_mut(m));
        for (verdict, (logits, distances)) in verdicts.iter_mut().zip(rows) {
            *verdict = self.verdict(logits, threshold, distances);
        }
        Ok(())
    }

    /// The verdict on the distances of one vector, after those that f32 could not hold have
    /// been computed again.
    fn verdict(&self, logits: &[f32], threshold: f32, distances: &mut [f32]) -> Verdict {
        if trusted(distances) || redo(&self.centres, logits, distances) {
            judge_finite(self.kernel, distances, threshold)
        } else {
            Verdict::not_finite(threshold)
        }
    }

    fn check_distances(&self, vectors: usize, distances: &[f32]) -> Result<(), ScoreError> {
        let expected = vectors.saturating_mul(self.centres.classes());
        check_length(expected, distances.len(), |expected, got| ScoreError::Distances { expected, got })
    }
}

/// Both scorers' check of one length.
pub(crate) fn check_length(
    expected: usize,
    got: usize,
    error: fn(usize, usize) -> ScoreError,
) -> Result<(), ScoreError> {
    if expected == got { Ok(()) } else { Err(error(expected, got)) }
}

/// Both scorers' check of the threshold: no score is larger than NaN, so it would make
/// everything known.
pub(crate) fn check_threshold(threshold: f32) -> Result<(), ScoreError> {
    if threshold.is_nan() { Err(ScoreError::ThresholdNotANumber) } else { Ok(()) }
}

/// Why something cannot be scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreError {
    /// Another number of logits than the centres have.
    Logits {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// Room for another number of distances than there are classes.
    Distances {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// Room for another number of rejection scores than there are distances.
    Scores {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// There is no distance, so no class.
    NoDistances,
    /// The threshold is NaN.
    ThresholdNotANumber,
}

impl fmt::Display for ScoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Logits { expected, got } => {
                write!(f, "expected {expected} logits, got {got}")
            }
            Self::Distances { expected, got } => {
                write!(f, "expected room for {expected} distances, got {got}")
            }
            Self::Scores { expected, got } => {
                write!(f, "expected room for {expected} rejection scores, got {got}")
            }
            Self::NoDistances => f.write_str("there is no distance to judge"),
            Self::ThresholdNotANumber => {
                f.write_str("the threshold is not a number: calibrate the model again")
            }
        }
    }
}

impl core::error::Error for ScoreError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use crate::verdict::{Outcome, Reason};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Every kernel of this processor.
    fn scorers<'a>(centres: &'a [f32], n: usize) -> Vec<Scorer<'a>> {
        let centres = Centres::new(centres, n).unwrap();
        let with = |kernel| Scorer::with_kernel(centres, kernel);
        let scorers: Vec<_> = Kernel::ALL.into_iter().filter_map(with).collect();
        assert!(scorers.contains(&Scorer::new(centres)));
        scorers
    }

    fn assert_agrees(centres: &[f32], n: usize, logits: &[f32], threshold: f32) {
        for scorer in scorers(centres, n) {
            let mut distances = std::vec![0.0; centres.len() / n];
            let verdict = scorer.score(logits, threshold, &mut distances).unwrap();
            reference::assert_agrees(centres, n, logits, &distances, &verdict);
            let mut batch = std::vec![0.0; distances.len()];
            let mut verdicts = [Verdict::default()];
            scorer.score_batch(logits, threshold, &mut batch, &mut verdicts).unwrap();
            assert_eq!((&batch, verdicts[0]), (&distances, verdict));
        }
    }

    /// M, N, the centres, and vectors of logits, all between −1 and 1.
    fn shapes(
        classes: impl Strategy<Value = usize>,
        logits: impl Strategy<Value = usize>,
        vectors: impl Strategy<Value = usize>,
    ) -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>)> {
        (classes, logits, vectors)
            .prop_flat_map(|(m, n, b)| (Just(n), vec(-1f32..1.0, m * n), vec(-1f32..1.0, b * n)))
    }

    /// Numbers at the ends of f32, and usual ones.
    fn extreme() -> impl Strategy<Value = f32> {
        let (max, least) = (f32::MAX, f32::MIN_POSITIVE);
        let ends = [0.0, -0.0, 1.0, max, -max, least, f32::from_bits(1), 1.8e19, 1e-23];
        prop_oneof![
            prop::sample::select(ends.to_vec()),
            -10f32..10.0,
            any::<f32>().prop_filter("finite", |x| x.is_finite()),
        ]
    }

    fn scaled(values: &[f32], by: f32) -> Vec<f32> {
        values.iter().map(|value| value * by).collect()
    }

    proptest! {
        #[test]
        fn any_size_of_distance_agrees_with_f64(
            (n, centres, logits) in shapes(1..=24usize, 1..=40usize, Just(1)),
            scale in -45i32..=38,
            of_threshold in 0f32..2.0,
        ) {
            let scale = 10f64.powi(scale) as f32;
            let (centres, logits) = (scaled(&centres, scale), scaled(&logits, scale));
            assert_agrees(&centres, n, &logits, of_threshold * scale);
        }

        #[test]
        fn trained_centres_agree_with_f64(
            (n, noise, mut logits) in shapes(1..=20usize, 6..=20usize, Just(1)),
            near in any::<prop::sample::Index>(),
            closeness in 0i32..=9,
            threshold in 0f32..8.0,
        ) {
            // Like centres after training: about α = 10 on one logit; and an object like one of them.
            let mut centres = noise;
            for (class, centre) in centres.chunks_exact_mut(n).enumerate() {
                centre[class % n] += 10.0;
            }
            let near = near.index(centres.len() / n);
            for (logit, centre) in logits.iter_mut().zip(&centres[near * n..]) {
                *logit = *logit * 10f32.powi(1 - closeness) + centre;
            }
            assert_agrees(&centres, n, &logits, threshold);
        }

        #[test]
        fn the_ends_of_f32_give_finite_answers(
            (n, centres, logits) in (1..=6usize, 1..=19usize).prop_flat_map(|(m, n)| {
                (Just(n), vec(extreme(), m * n), vec(extreme(), n))
            }),
        ) {
            assert_agrees(&centres, n, &logits, 1.0);
        }

        #[test]
        fn a_logit_that_is_not_finite_gives_unknown_without_a_class(
            (n, centres, mut logits) in shapes(1..=9usize, 1..=40usize, Just(1)),
            at in any::<prop::sample::Index>(),
            bad in prop::sample::select(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY][..]),
            others in prop::sample::select(&[1.0, f32::MAX][..]),
            threshold in prop::sample::select(&[0.0, 1.0, f32::MAX, f32::INFINITY][..]),
        ) {
            logits = scaled(&logits, others);
            *at.get_mut(&mut logits) = bad;
            for scorer in scorers(&centres, n) {
                let mut distances = std::vec![0.0; centres.len() / n];
                let verdict = scorer.score(&logits, threshold, &mut distances).unwrap();
                prop_assert_eq!(verdict, Verdict::not_finite(threshold));
                prop_assert_eq!(verdict.outcome, Outcome::Unknown(Reason::NotFinite));
                prop_assert_eq!(verdict.class, None);
                prop_assert!(distances.iter().all(|distance| distance.is_nan()));
            }
        }

        #[test]
        fn a_batch_agrees_with_f64_and_one_bad_vector_spoils_no_other(
            (n, centres, mut logits) in shapes(1..=13usize, 1..=40usize, 0..=7usize),
            bad in any::<prop::sample::Index>(),
        ) {
            let (m, b) = (centres.len() / n, logits.len() / n);
            let bad = bad.index(b + 1); // sometimes none
            if bad < b {
                logits[bad * n] = f32::NAN;
            }
            for scorer in scorers(&centres, n) {
                let mut distances = std::vec![0.0; b * m];
                let mut verdicts = std::vec![Verdict::default(); b];
                scorer.score_batch(&logits, 0.5, &mut distances, &mut verdicts).unwrap();
                for (index, verdict) in verdicts.iter().enumerate() {
                    let logits = &logits[index * n..][..n];
                    let distances = &distances[index * m..][..m];
                    if index == bad {
                        prop_assert_eq!(*verdict, Verdict::not_finite(0.5));
                    } else {
                        reference::assert_agrees(&centres, n, logits, distances, verdict);
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4))]
        #[test]
        fn large_shapes_agree_with_f64(
            (m, n) in prop::sample::select(&[(1000, 1000), (1000, 1), (1, 1000), (257, 33)][..]),
            seed in any::<u32>(),
            scale in prop::sample::select(&[1e-25f32, 1.0, 1e20, 1e37][..]),
        ) {
            // A linear congruential generator: proptest takes long for a million numbers.
            let mut state = seed;
            let mut numbers = |count: usize| -> Vec<f32> {
                let next = |_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) as f32 / (1 << 23) as f32 * scale - scale
                };
                (0..count).map(next).collect()
            };
            assert_agrees(&numbers(m * n), n, &numbers(n), scale);
        }
    }

    #[test]
    fn one_class_is_rejected_by_its_plain_distance() {
        for scorer in scorers(&[1.0, 2.0], 2) {
            let mut distances = [0.0];
            let near = scorer.score(&[1.0, 2.5], 1.0, &mut distances).unwrap();
            assert_eq!((near.outcome, near.class), (Outcome::Known, Some(0)));
            assert_eq!((near.score, near.runner_up), (0.5, None));
            let far = scorer.score(&[4.0, 6.0], 1.0, &mut distances).unwrap();
            assert_eq!(far.outcome, Outcome::Unknown(Reason::ScoreAboveThreshold));
            assert_eq!((far.score, far.class), (5.0, Some(0)));
        }
    }

    #[test]
    fn of_equally_near_centres_the_lowest_index_wins() {
        let mut centres = [3.0f32; 40];
        for class in [6, 11, 19] {
            centres[class * 2..][..2].copy_from_slice(&[0.0, 1.0]);
        }
        for scorer in scorers(&centres, 2) {
            let mut distances = [0.0; 20];
            let verdict = scorer.score(&[0.0, 0.0], 1.0, &mut distances).unwrap();
            assert_eq!((verdict.class, verdict.runner_up), (Some(6), Some(11)));
            assert_eq!(verdict.score, verdict.runner_up_score);
            let all_equal = scorer.score(&[1e30, 1e30], 1.0, &mut distances).unwrap();
            assert_eq!((all_equal.class, all_equal.runner_up), (Some(0), Some(1)));
        }
    }

    #[test]
    fn a_score_at_the_threshold_is_known() {
        for scorer in scorers(&[0.0, 0.0, 9.0, 1.0], 2) {
            let score = |threshold| scorer.score(&[1.0, 1.0], threshold, &mut [0.0; 2]).unwrap();
            let at = score(0.0).score;
            assert_eq!(score(at).outcome, Outcome::Known);
            assert!(score(at.next_down()).is_unknown());
            assert_eq!(score(f32::INFINITY).outcome, Outcome::Known);
            assert!(score(-1.0).is_unknown());
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_says_so() {
        let scorer = Scorer::new(Centres::new(&[0.0; 6], 2).unwrap());
        let error = |logits: usize, distances: usize, threshold: f32| {
            let mut distances = std::vec![0.0; distances];
            scorer.score(&std::vec![0.0; logits], threshold, &mut distances).unwrap_err()
        };
        assert_eq!(error(3, 3, 1.0), ScoreError::Logits { expected: 2, got: 3 });
        assert_eq!(error(2, 2, 1.0), ScoreError::Distances { expected: 3, got: 2 });
        assert_eq!(error(2, 3, f32::NAN), ScoreError::ThresholdNotANumber);
        assert_eq!(std::string::ToString::to_string(&error(3, 3, 1.0)), "expected 2 logits, got 3");
        let mut verdicts = [Verdict::default(); 2];
        assert_eq!(
            scorer.score_batch(&[0.0; 2], 1.0, &mut [0.0; 6], &mut verdicts),
            Err(ScoreError::Logits { expected: 4, got: 2 })
        );
        assert_eq!(
            scorer.score_batch(&[0.0; 4], 1.0, &mut [0.0; 5], &mut verdicts),
            Err(ScoreError::Distances { expected: 6, got: 5 })
        );
        assert_eq!(scorer.score_batch(&[], 1.0, &mut [], &mut []), Ok(()));
    }

    #[test]
    fn a_kernel_of_another_processor_is_refused() {
        let centres = Centres::new(&[0.0], 1).unwrap();
        for kernel in Kernel::ALL {
            let scorer = Scorer::with_kernel(centres, kernel);
            assert_eq!(scorer.is_some(), kernel.is_available());
        }
    }
}
