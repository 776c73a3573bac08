//! The metrics themselves, each from plain lists of rejection scores (larger = more unknown).
//! Scores may be infinite (logits that were not finite); NaN is taken for infinite.

use std::cmp::Ordering;

/// NaN after everything: whatever gave it must not look known.
fn by_size(one: &f32, other: &f32) -> Ordering {
    let last = |score: f32| if score.is_nan() { f32::INFINITY } else { score };
    last(*one).total_cmp(&last(*other))
}

/// Area under the ROC curve: the probability that a random unknown picture scores higher than a
/// random known one, ties counted half (the Mann–Whitney statistic). 1 is perfect, 0.5 is chance.
/// NaN when either list is empty.
pub fn auroc(known: &[f32], unknown: &[f32]) -> f64 {
    if known.is_empty() || unknown.is_empty() {
        return f64::NAN;
    }
    let mut sorted = known.to_vec();
    sorted.sort_by(by_size);
    let mut wins = 0.0;
    for score in unknown {
        let below = sorted.partition_point(|known| by_size(known, score).is_lt());
        let not_above = sorted.partition_point(|known| by_size(known, score).is_le());
        wins += (below + not_above) as f64 / 2.0;
    }
    wins / (known.len() as f64 * unknown.len() as f64)
}

/// The smallest of the known scores that, as threshold (known is `score ≤ θ`), accepts at least
/// the share `tpr` of the known pictures. Infinite when there are none.
pub fn threshold_for_tpr(known: &[f32], tpr: f64) -> f32 {
    let mut sorted = known.to_vec();
    sorted.sort_by(by_size);
    let count = sorted.len();
    // A share that is just met must not be missed by a rounding of the product.
    let accepted = (tpr.clamp(0.0, 1.0) * count as f64 - 1e-9).ceil() as usize;
    let at = accepted.clamp(1, count.max(1)) - 1;
    sorted.get(at).map_or(f32::INFINITY, |&score| if score.is_nan() { f32::INFINITY } else { score })
}

/// FPR at a TPR, with "known" as the positive class as is usual: the share of unknown pictures
/// that are taken for known at the threshold that accepts the share `tpr` of the known ones.
/// Smaller is better. NaN when either list is empty.
pub fn fpr_at_tpr(known: &[f32], unknown: &[f32], tpr: f64) -> f64 {
    if known.is_empty() || unknown.is_empty() {
        return f64::NAN;
    }
    let threshold = threshold_for_tpr(known, tpr);
    unknown.iter().filter(|score| by_size(score, &threshold).is_le()).count() as f64 / unknown.len() as f64
}

/// Open-set classification rate (Dhamija, Günther, Boult, *Reducing Network Agnostophobia*, NeurIPS
/// 2018): the area under the share of known pictures that are both accepted and given the right
/// class, against the share of unknown pictures that are accepted. 1 is perfect; it is never more
/// than the accuracy. `known` is score and whether the class was right. NaN when either list is
/// empty.
pub fn oscr(known: &[(f32, bool)], unknown: &[f32]) -> f64 {
    if known.is_empty() || unknown.is_empty() {
        return f64::NAN;
    }
    let right: Vec<f32> = known.iter().filter(|(_, right)| *right).map(|(score, _)| *score).collect();
    if right.is_empty() {
        return 0.0;
    }
    // The area is the AUROC of the rightly classified ones, as a share of all known ones.
    auroc(&right, unknown) * right.len() as f64 / known.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn separated_scores_are_perfect_and_equal_ones_are_chance() {
        assert_eq!(auroc(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(auroc(&[3.0, 4.0], &[1.0, 2.0]), 0.0);
        assert_eq!(auroc(&[1.0; 3], &[1.0; 5]), 0.5);
        assert_eq!(auroc(&[1.0, 3.0], &[2.0, 4.0]), 0.75);
        assert!(auroc(&[], &[1.0]).is_nan());
    }

    #[test]
    fn scores_that_are_not_numbers_count_as_most_unknown() {
        assert_eq!(auroc(&[1.0], &[f32::NAN, f32::INFINITY]), 1.0);
        assert_eq!(auroc(&[f32::NAN], &[f32::INFINITY]), 0.5);
        assert_eq!(threshold_for_tpr(&[f32::NAN, 1.0], 0.5), 1.0);
        assert_eq!(threshold_for_tpr(&[f32::NAN, 1.0], 1.0), f32::INFINITY);
    }

    #[test]
    fn the_threshold_accepts_just_the_share_asked_for() {
        let known: Vec<f32> = (1..=100).map(|score| score as f32).collect();
        assert_eq!(threshold_for_tpr(&known, 0.95), 95.0);
        assert_eq!(threshold_for_tpr(&known, 0.951), 96.0);
        assert_eq!(threshold_for_tpr(&known, 1.0), 100.0);
        assert_eq!(threshold_for_tpr(&known, 0.0), 1.0);
        assert_eq!(threshold_for_tpr(&[], 0.95), f32::INFINITY);
        assert_eq!(fpr_at_tpr(&known, &[94.0, 95.0, 96.0, 97.0], 0.95), 0.5);
    }

    #[test]
    fn oscr_by_hand() {
        // Accepted unknowns at 0, 1/2 and 1; rightly classified knowns below each: 1 of 3, then 2 of 3.
        let known = [(1.0, true), (2.5, true), (2.6, false)];
        let by_hand = (1.0 / 3.0 + 2.0 / 3.0) / 2.0;
        assert!((oscr(&known, &[2.0, 3.0]) - by_hand).abs() < 1e-12);
        assert_eq!(oscr(&[(1.0, false)], &[2.0]), 0.0);
        assert_eq!(oscr(&[(1.0, true)], &[2.0]), 1.0);
    }

    proptest! {
        /// Against the definitions, pair by pair.
        #[test]
        fn areas_are_their_definitions(
            known in vec((0u8..20, any::<bool>()), 1..40), unknown in vec(0u8..20, 1..40)
        ) {
            let known: Vec<(f32, bool)> = known.into_iter().map(|(s, right)| (f32::from(s), right)).collect();
            let unknown: Vec<f32> = unknown.into_iter().map(f32::from).collect();
            let (mut all, mut right) = (0.0, 0.0);
            for (score, is_right) in &known {
                for other in &unknown {
                    let win = if other > score { 1.0 } else if other == score { 0.5 } else { 0.0 };
                    all += win;
                    right += if *is_right { win } else { 0.0 };
                }
            }
            let pairs = (known.len() * unknown.len()) as f64;
            let scores: Vec<f32> = known.iter().map(|(score, _)| *score).collect();
            prop_assert!((auroc(&scores, &unknown) - all / pairs).abs() < 1e-9);
            prop_assert!((oscr(&known, &unknown) - right / pairs).abs() < 1e-9);
        }

        #[test]
        fn the_threshold_is_the_smallest_that_suffices(known in vec(0f32..10.0, 1..50), tpr in 0.0f64..=1.0) {
            let threshold = threshold_for_tpr(&known, tpr);
            let share = |limit: f32, strict: bool| {
                let accepted = known.iter().filter(|&&s| if strict { s < limit } else { s <= limit });
                accepted.count() as f64 / known.len() as f64
            };
            prop_assert!(share(threshold, false) >= tpr - 1e-9);
            prop_assert!(share(threshold, true) < tpr || share(threshold, true) == 0.0);
        }
    }
}
