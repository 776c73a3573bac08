//! The threshold from the rejection scores of known pictures, and what it promises of new ones: split
//! conformal prediction (Vovk, Gammerman, Shafer, *Algorithmic Learning in a Random World*, 2005).

use crate::network::metadata::{ClassScores, Threshold};
use statrs::distribution::{Beta, ContinuousCDF};
use std::fmt;

/// What a threshold promises of new known pictures that are like those it was calibrated on
/// (exchangeable with them), in a finite sample, whatever the distribution of the scores.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Promise {
    /// A new known picture is flagged as unknown with at most this probability: 1 − k/(n + 1), where k
    /// of the n calibration pictures are accepted. On average over calibrations.
    pub flagged_at_most: f64,
    /// Where the share of new known pictures that this very threshold accepts lies, at 95 %
    /// confidence: quantiles of the Beta distribution with k and n + 1 − k.
    pub accepted: [f64; 2],
}

/// For people.
impl fmt::Display for Promise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "a new known thing is flagged at most {:.2} % of the time, if pictures are like those it was found with; 95 % confidence that this threshold accepts {:.1} to {:.1} % of them",
            self.flagged_at_most * 100.0,
            self.accepted[0] * 100.0,
            self.accepted[1] * 100.0
        )
    }
}

impl Threshold {
    /// The smallest of these scores that accepts a new known picture with probability `tpr` or more:
    /// the k-th smallest of n, k = ⌈(n + 1)·tpr⌉. With fewer than tpr/(1 − tpr) scores there is no such
    /// one, and it is the largest; [`promise`](Self::promise) then says less than was asked for.
    pub fn calibrate(scores: &[f32], tpr: f64, source: &str) -> Self {
        let mut sorted: Vec<f32> =
            scores.iter().map(|&score| if score.is_nan() { f32::INFINITY } else { score }).collect();
        sorted.sort_by(f32::total_cmp);
        let count = sorted.len();
        // A share that is just met must not be missed by a rounding of the product.
        let rank = (tpr.clamp(0.0, 1.0) * (count + 1) as f64 - 1e-9).ceil() as usize;
        let value = sorted.get(rank.clamp(1, count.max(1)) - 1).copied().unwrap_or(f32::INFINITY);
        let accepted = sorted.iter().filter(|&&score| score <= value).count();
        Self {
            value,
            target_tpr: tpr as f32,
            measured_tpr: accepted as f32 / count.max(1) as f32,
            pictures: count,
            source: source.to_string(),
            weighted: false,
        }
    }

    /// The smallest of these scores that accepts the share `tpr` of all judgements that they stand for. It
    /// promises nothing: scores that stand for different numbers are not exchangeable with a new one.
    pub fn calibrate_weighted(scores: &[Weighted], tpr: f64, source: &str) -> Self {
        let scores = sorted(scores);
        let total = total(&scores);
        let value = weighted_quantile(&scores, tpr.clamp(0.0, 1.0)).unwrap_or(f32::INFINITY);
        let accepted = scores.iter().filter(|one| one.score <= value).map(|one| one.stands_for).sum::<f64>();
        Self {
            value,
            target_tpr: tpr as f32,
            measured_tpr: if total > 0.0 { (accepted / total) as f32 } else { 0.0 },
            pictures: scores.len(),
            source: source.to_string(),
            weighted: true,
        }
    }

    /// What it promises; nothing if it was not calibrated, or with scores of different weights.
    pub fn promise(&self) -> Option<Promise> {
        if self.pictures == 0 || self.weighted {
            return None;
        }
        let count = self.pictures as f64;
        let accepted = (f64::from(self.measured_tpr) * count).round().clamp(0.0, count);
        let rejected = count + 1.0 - accepted;
        let interval = if accepted == 0.0 {
            [0.0; 2]
        } else {
            let beta = Beta::new(accepted, rejected).ok()?;
            [beta.inverse_cdf(0.025), beta.inverse_cdf(0.975)]
        };
        Some(Promise { flagged_at_most: 1.0 - accepted / (count + 1.0), accepted: interval })
    }
}

impl ClassScores {
    /// The statistics of one class's scores, of which `right` were given the right class. All 0 without
    /// scores; what is not finite counts as a picture, and nothing else.
    pub fn new(class: &str, scores: &[f32], right: usize) -> Self {
        let mut sorted: Vec<f32> = scores.iter().copied().filter(|score| score.is_finite()).collect();
        sorted.sort_by(f32::total_cmp);
        let count = sorted.len().max(1) as f64;
        let mean = sorted.iter().map(|&score| f64::from(score)).sum::<f64>() / count;
        let variance = sorted.iter().map(|&score| (f64::from(score) - mean).powi(2)).sum::<f64>() / count;
        Self {
            class: class.to_string(),
            pictures: scores.len(),
            accuracy: right as f32 / scores.len().max(1) as f32,
            mean: mean as f32,
            std: variance.sqrt() as f32,
            quantiles: [0.05, 0.25, 0.5, 0.75, 0.95].map(|share| quantile(&sorted, share)),
        }
    }
}

/// A score that stands for so many judgements: it was drawn from them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighted {
    /// The rejection score.
    pub score: f32,
    /// Above 0.
    pub stands_for: f64,
}

impl ClassScores {
    /// The same, of scores that stand for different numbers of judgements; `right` is how many of these were
    /// given the right class.
    pub fn weighted(class: &str, scores: &[Weighted], right: f64) -> Self {
        let finite: Vec<Weighted> = scores.iter().copied().filter(|one| one.score.is_finite()).collect();
        let finite = sorted(&finite);
        let sum = |of: &dyn Fn(f64) -> f64| {
            finite.iter().map(|one| one.stands_for * of(f64::from(one.score))).sum::<f64>()
        };
        let count = total(&finite).max(f64::MIN_POSITIVE);
        let mean = sum(&|score| score) / count;
        let variance = sum(&|score| (score - mean).powi(2)) / count;
        Self {
            class: class.to_string(),
            pictures: scores.len(),
            accuracy: (right / total(scores).max(f64::MIN_POSITIVE)) as f32,
            mean: mean as f32,
            std: variance.sqrt() as f32,
            quantiles: [0.05, 0.25, 0.5, 0.75, 0.95]
                .map(|share| weighted_quantile(&finite, share).unwrap_or(0.0)),
        }
    }
}

/// How many judgements these stand for.
fn total(scores: &[Weighted]) -> f64 {
    scores.iter().map(|one| one.stands_for).sum()
}

/// The least first; what is no number is the most unknown.
fn sorted(scores: &[Weighted]) -> Vec<Weighted> {
    let number = |one: &Weighted| if one.score.is_nan() { f32::INFINITY } else { one.score };
    let mut sorted: Vec<Weighted> =
        scores.iter().map(|one| Weighted { score: number(one), ..*one }).collect();
    sorted.sort_by(|one, other| one.score.total_cmp(&other.score));
    sorted
}

/// The first of sorted scores up to which this share of all weight lies; nothing of none.
fn weighted_quantile(sorted: &[Weighted], share: f64) -> Option<f32> {
    // A share that is just met must not be missed by a rounding of the sum.
    let wanted = share * total(sorted) * (1.0 - 1e-12);
    let mut weight = 0.0;
    let reached = sorted.iter().find(|one| {
        weight += one.stands_for;
        weight >= wanted
    });
    reached.or(sorted.last()).map(|one| one.score)
}

/// The quantile of sorted numbers, interpolated between neighbours; 0 of none.
fn quantile(sorted: &[f32], share: f32) -> f32 {
    if sorted.is_empty() {
        return 0.0;
    }
    let at = share * (sorted.len() - 1) as f32;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_threshold_is_the_rank_that_conformal_prediction_asks_for() {
        let scores: Vec<f32> = (1..=99).rev().map(|score| score as f32).collect();
        let threshold = Threshold::calibrate(&scores, 0.95, "a test");
        assert_eq!((threshold.value, threshold.pictures), (95.0, 99));
        let promise = threshold.promise().unwrap();
        assert!((promise.flagged_at_most - 0.05).abs() < 1e-6);
        // Quantiles of Beta(95, 5), by numeric integration.
        assert!((promise.accepted[0] - 0.899_771).abs() < 1e-4, "{promise:?}");
        assert!((promise.accepted[1] - 0.983_400).abs() < 1e-4, "{promise:?}");
        // Ten pictures cannot promise 95 %.
        let few = Threshold::calibrate(&scores[..10], 0.95, "a test");
        assert_eq!(few.value, 99.0);
        assert!((few.promise().unwrap().flagged_at_most - 1.0 / 11.0).abs() < 1e-6);
        assert_eq!(Threshold::calibrate(&[], 0.95, "a test").promise(), None);
    }

    proptest! {
        #[test]
        fn at_least_the_share_is_accepted(
            scores in prop::collection::vec(0f32..10.0, 1..200),
            tpr in 0.01f64..0.99,
        ) {
            let threshold = Threshold::calibrate(&scores, tpr, "a test");
            prop_assert!(f64::from(threshold.measured_tpr) >= tpr - 1e-6 || threshold.measured_tpr == 1.0);
            let promise = threshold.promise().unwrap();
            prop_assert!(promise.accepted[0] <= promise.accepted[1]);
            let share = 1.0 - promise.flagged_at_most;
            prop_assert!((promise.accepted[0]..=promise.accepted[1]).contains(&share));
        }
    }

    /// New pictures, drawn like those of the calibration: the promise on average.
    #[test]
    fn new_pictures_are_flagged_no_oftener_than_promised() {
        let mut state = 1u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 24) as f32).powi(3)
        };
        let (mut flagged, mut promised) = (0u32, 0.0);
        const ROUNDS: u32 = 20_000;
        for _ in 0..ROUNDS {
            let scores: Vec<f32> = (0..24).map(|_| random()).collect();
            let threshold = Threshold::calibrate(&scores, 0.9, "a test");
            flagged += u32::from(random() > threshold.value);
            promised = threshold.promise().unwrap().flagged_at_most;
        }
        let share = f64::from(flagged) / f64::from(ROUNDS);
        // Three standard deviations of so many rounds.
        assert!(
            (share - promised).abs() < 3.0 * (0.08f64 * 0.92 / f64::from(ROUNDS)).sqrt(),
            "{share} {promised}"
        );
    }

    /// Scores that stand for others are as those others would be.
    #[test]
    fn weights_are_as_many_scores() {
        let weighted = |given: &[(f32, u32)]| -> Vec<Weighted> {
            given
                .iter()
                .map(|(score, count)| Weighted { score: *score, stands_for: f64::from(*count) })
                .collect()
        };
        // 900 judgements up to 1, 90 up to 2, and ten false alarms.
        let scores = weighted(&[(3.0, 4), (1.0, 600), (0.5, 300), (2.0, 90), (5.0, 5), (f32::NAN, 1)]);
        for (tpr, value, accepted) in [
            (0.3, 0.5, 0.3),
            (0.31, 1.0, 0.9),
            (0.9, 1.0, 0.9),
            (0.95, 2.0, 0.99),
            (0.991, 3.0, 0.994),
            (0.999, 5.0, 0.999),
            (0.9999, f32::INFINITY, 1.0),
        ] {
            let threshold = Threshold::calibrate_weighted(&scores, tpr, "a test");
            assert_eq!((threshold.value, threshold.pictures), (value, 6), "{tpr}");
            assert!((threshold.measured_tpr - accepted).abs() < 1e-6, "{threshold:?}");
            assert_eq!(threshold.promise(), None, "nothing is promised");
        }
        assert_eq!(Threshold::calibrate_weighted(&[], 0.9, "a test").value, f32::INFINITY);
        let class = ClassScores::weighted("dog", &scores, 500.0);
        assert_eq!((class.pictures, class.accuracy), (6, 0.5));
        assert!((f64::from(class.mean) - 967.0 / 999.0).abs() < 1e-6, "{class:?}");
        assert_eq!(class.quantiles, [0.5, 0.5, 1.0, 1.0, 2.0]);
        let alike = weighted(&[(4.0, 1), (2.0, 1), (1.0, 1), (3.0, 1)]);
        let (by_weight, by_number) =
            (ClassScores::weighted("dog", &alike, 3.0), ClassScores::new("dog", &[4.0, 2.0, 1.0, 3.0], 3));
        assert_eq!(
            (by_weight.mean, by_weight.std, by_weight.accuracy),
            (by_number.mean, by_number.std, by_number.accuracy)
        );
        assert_eq!(ClassScores::weighted("cat", &[], 0.0).quantiles, [0.0; 5]);
    }

    #[test]
    fn statistics_by_hand() {
        let scores = ClassScores::new("dog", &[4.0, 2.0, f32::INFINITY, 1.0, 3.0], 3);
        assert_eq!((scores.pictures, scores.accuracy, scores.mean), (5, 0.6, 2.5));
        assert!((scores.std - 1.25f32.sqrt()).abs() < 1e-6);
        assert_eq!(scores.quantiles[2], 2.5);
        assert!((scores.quantiles[0] - 1.15).abs() < 1e-6);
        assert_eq!(ClassScores::new("cat", &[], 0).quantiles, [0.0; 5]);
    }
}
