//! From distances to the rejection score γ and the verdict. How the distances were computed is
//! not its concern.
//!
//! For distances d to M centres (paper, section 3.3; the authors' code):
//!
//! - `s_j = exp(−d_j) / Σ_i exp(−d_i)`, the softmin;
//! - `γ_j = d_j · (1 − s_j)`, the rejection score of class j; larger means more unknown;
//! - the class is `argmin γ`, and the object is unknown when `min γ > θ`.
//!
//! Three things are done otherwise than written there, with the same result:
//!
//! - The smallest distance is subtracted before `exp`, so that nothing overflows.
//! - `1 − s` of the nearest class is computed as the share of all *others*, since 1 − s
//!   rounds to 0 in f32 as soon as the others are 17 further away.
//! - If `d_i ≤ d_j` then `s_i ≥ s_j`, hence `γ_i ≤ γ_j`. So the class and the runner-up are those
//!   with the nearest centres, and only their two scores need be computed.
//!
//! # One class
//!
//! With M = 1 the softmin is always 1 and γ always 0: nothing could ever be rejected. There the
//! plain distance is the score, `γ = d`, so that a threshold works as it does with more classes.

use crate::exponential::exp_of_non_positive;
use crate::kernel::Kernel;
use crate::scorer::ScoreError;
use crate::verdict::{Outcome, Reason, Verdict};

/// Partial sums that are kept side by side: as many as an AVX2 register holds.
const LANES: usize = 8;

/// Writes the rejection score of each class, `γ_j = d_j·(1 − softmin_j)`, given the distances to
/// the M centres. With one class the score is the plain distance, since γ would
/// always be 0 there and nothing could be rejected.
///
/// Larger means more unknown. When a distance is NaN or infinite, all scores are infinite.
///
/// # Errors
///
/// When the two are not of the same length, or empty.
pub fn rejection_scores(distances: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
    if distances.is_empty() {
        return Err(ScoreError::NoDistances);
    }
    if scores.len() != distances.len() {
        return Err(ScoreError::Scores { expected: distances.len(), got: scores.len() });
    }
    if !distances.iter().all(|distance| distance.is_finite()) {
        scores.fill(f32::INFINITY);
        return Ok(());
    }
    if let ([distance], [score]) = (distances, &mut *scores) {
        *score = *distance;
        return Ok(());
    }
    let nearest = Nearest::of(distances);
    let others = others_than_nearest(distances, nearest.smallest);
    let at_nearest = first_equal(distances, nearest.smallest);
    for (index, (score, &distance)) in scores.iter_mut().zip(distances).enumerate() {
        *score = if index == at_nearest {
            score_of_nearest(distance, others)
        } else {
            score_of_other(distance, nearest.smallest, others)
        };
    }
    Ok(())
}

/// The verdict, given the distances to the M centres and the threshold θ on the rejection score.
///
/// When a distance is NaN or infinite, the verdict is unknown ([`Reason::NotFinite`]), without
/// a class.
///
/// # Errors
///
/// When there are no distances, or the threshold is NaN.
pub fn judge(distances: &[f32], threshold: f32) -> Result<Verdict, ScoreError> {
    if distances.is_empty() {
        return Err(ScoreError::NoDistances);
    }
    if threshold.is_nan() {
        return Err(ScoreError::ThresholdNotANumber);
    }
    if !distances.iter().all(|distance| distance.is_finite()) {
        return Ok(Verdict::not_finite(threshold));
    }
    Ok(judge_finite(Kernel::Scalar, distances, threshold))
}

/// As [`judge`], for distances known to be finite, at least one, with the given instructions.
pub(crate) fn judge_finite(kernel: Kernel, distances: &[f32], threshold: f32) -> Verdict {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a scorer holds this kernel only where the processor has AVX2 and FMA.
        Kernel::Avx2 => unsafe { judge_avx2(distances, threshold) },
        // NEON is part of the baseline of aarch64: the compiler already uses it here.
        _ => judge_lanes(distances, threshold),
    }
}

/// [`judge_lanes`], compiled for AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn judge_avx2(distances: &[f32], threshold: f32) -> Verdict {
    judge_lanes(distances, threshold)
}

#[inline(always)]
fn judge_lanes(distances: &[f32], threshold: f32) -> Verdict {
    let nearest = Nearest::of(distances);
    let class = first_equal(distances, nearest.smallest);
    let (score, runner_up, runner_up_score);
    if distances.len() == 1 {
        (score, runner_up, runner_up_score) = (nearest.smallest, None, f32::INFINITY);
    } else {
        let others = others_than_nearest(distances, nearest.smallest);
        score = score_of_nearest(nearest.smallest, others);
        runner_up_score = score_of_other(nearest.second, nearest.smallest, others);
        let skipped = if nearest.second == nearest.smallest { class + 1 } else { 0 };
        let rest = distances.get(skipped..).unwrap_or_default();
        runner_up = Some(skipped + first_equal(rest, nearest.second));
    }
    Verdict {
        outcome: if score <= threshold {
            Outcome::Known
        } else {
            Outcome::Unknown(Reason::ScoreAboveThreshold)
        },
        class: Some(class),
        score,
        runner_up,
        runner_up_score,
        threshold,
    }
}

/// The two smallest distances; equal when two centres are equally near.
struct Nearest {
    smallest: f32,
    second: f32,
}

impl Nearest {
    #[inline(always)]
    fn of(distances: &[f32]) -> Self {
        let mut smallest = [f32::INFINITY; LANES];
        let mut second = [f32::INFINITY; LANES];
        let (blocks, rest) = distances.as_chunks::<LANES>();
        for block in blocks {
            for lane in 0..LANES {
                let larger = max(smallest[lane], block[lane]);
                second[lane] = min(second[lane], larger);
                smallest[lane] = min(smallest[lane], block[lane]);
            }
        }
        for (lane, &distance) in rest.iter().enumerate() {
            second[lane] = min(second[lane], max(smallest[lane], distance));
            smallest[lane] = min(smallest[lane], distance);
        }
        // Halve the lanes until one is left.
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                let larger = max(smallest[lane], smallest[lane + width]);
                second[lane] = min(min(second[lane], second[lane + width]), larger);
                smallest[lane] = min(smallest[lane], smallest[lane + width]);
            }
            width /= 2;
        }
        Self { smallest: smallest[0], second: second[0] }
    }
}

/// `Σ exp(smallest − d_i)` over all classes but the (first) nearest. The nearest itself would
/// add exactly 1.
#[inline(always)]
fn others_than_nearest(distances: &[f32], smallest: f32) -> f32 {
    let mut further = [0.0; LANES];
    let mut equal = [0.0; LANES];
    let (blocks, rest) = distances.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            let difference = smallest - block[lane];
            let power = exp_of_non_positive(difference);
            further[lane] += if difference < 0.0 { power } else { 0.0 };
            equal[lane] += if difference < 0.0 { 0.0 } else { 1.0 };
        }
    }
    for (lane, &distance) in rest.iter().enumerate() {
        let difference = smallest - distance;
        let power = exp_of_non_positive(difference);
        further[lane] += if difference < 0.0 { power } else { 0.0 };
        equal[lane] += if difference < 0.0 { 0.0 } else { 1.0 };
    }
    sum(further) + (sum(equal) - 1.0)
}

#[inline(always)]
fn score_of_nearest(smallest: f32, others: f32) -> f32 {
    smallest * (others / (1.0 + others))
}

#[inline(always)]
fn score_of_other(distance: f32, smallest: f32, others: f32) -> f32 {
    // `others` holds this very power, so the difference is negative by a rounding at most.
    let without_it = max(others - exp_of_non_positive(smallest - distance), 0.0);
    distance * ((1.0 + without_it) / (1.0 + others))
}

/// The first index that holds this very number, which is one of them.
#[inline(always)]
fn first_equal(distances: &[f32], wanted: f32) -> usize {
    let (blocks, rest) = distances.as_chunks::<LANES>();
    for (block, values) in blocks.iter().enumerate() {
        let mut equal = 0u32;
        for (lane, &value) in values.iter().enumerate() {
            equal |= u32::from(value == wanted) << lane;
        }
        if equal != 0 {
            return block * LANES + equal.trailing_zeros() as usize;
        }
    }
    let found = rest.iter().position(|&value| value == wanted);
    debug_assert!(found.is_some());
    blocks.len() * LANES + found.unwrap_or(0)
}

/// The smaller of two numbers that are not NaN: one instruction, unlike `f32::min`.
#[inline(always)]
fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The larger of two numbers that are not NaN: one instruction, unlike `f32::max`.
#[inline(always)]
fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn sum(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn in_f64(distances: &[f32]) -> Vec<f64> {
        distances.iter().copied().map(f64::from).collect()
    }

    proptest! {
        #[test]
        fn scores_and_verdicts_agree_with_f64(
            distances in vec(prop_oneof![0f32..20.0, 0f32..1e4, Just(3.0)], 1..40),
            threshold in 0f32..20.0,
        ) {
            // The given distances are exact here; only their difference is rounded.
            let of_distances = 2f64.powi(-24);
            let exact = in_f64(&distances);
            let wanted = reference::rejection_scores(&exact);
            let share = reference::score_tolerance(&exact, of_distances);
            let mut scores = std::vec![0.0; distances.len()];
            rejection_scores(&distances, &mut scores).unwrap();
            for ((&got, &wanted), &distance) in scores.iter().zip(&wanted).zip(&exact) {
                let off = (f64::from(got) - wanted).abs();
                prop_assert!(off <= wanted * share + distance * 1e-36, "{} {}", got, wanted);
            }
            for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
                let verdict = judge_finite(kernel, &distances, threshold);
                reference::assert_judges(&exact, of_distances, &verdict);
                // With the distances the same, the class does not depend on the kernel.
                let class = scores.iter().position(|&score| score <= *scores
                    .iter().min_by(|a, b| a.total_cmp(b)).unwrap());
                prop_assert_eq!(distances[verdict.class.unwrap()], distances[class.unwrap()]);
            }
            prop_assert_eq!(judge(&distances, threshold).unwrap().score,
                scores.iter().copied().fold(f32::INFINITY, f32::min));
        }

        #[test]
        fn any_finite_distances_give_finite_scores(
            distances in vec(prop_oneof![
                Just(0.0), Just(f32::MAX), Just(f32::MIN_POSITIVE), 0f32..1e38, 0f32..100.0
            ], 1..20),
        ) {
            let mut scores = std::vec![f32::NAN; distances.len()];
            rejection_scores(&distances, &mut scores).unwrap();
            for (&score, &distance) in scores.iter().zip(&distances) {
                prop_assert!(score >= 0.0 && score <= distance);
            }
        }
    }

    #[test]
    fn scores_computed_by_hand_come_out() {
        // d = (1, 2, 4): exp(−d) relative to the first is (1, 0.36788, 0.04979), their sum 1.41767.
        let mut scores = [0.0; 3];
        rejection_scores(&[1.0, 2.0, 4.0], &mut scores).unwrap();
        for (score, wanted) in scores.iter().zip([0.294_615, 1.481_007, 3.859_524]) {
            assert!((score - wanted).abs() < 2e-6, "{score} {wanted}");
        }
    }

    #[test]
    fn a_far_runner_up_does_not_round_the_score_to_zero() {
        // 1 − softmin is e^-30 here, which 1 − s in f32 would lose.
        let verdict = judge(&[2.0, 32.0], 1.0).unwrap();
        let wanted = 2.0 * (-30f64).exp();
        assert!((f64::from(verdict.score) / wanted - 1.0).abs() < 1e-6);
    }

    #[test]
    fn distances_that_are_not_finite_are_unknown() {
        let mut scores = [0.0; 2];
        for bad in [f32::NAN, f32::INFINITY] {
            rejection_scores(&[1.0, bad], &mut scores).unwrap();
            assert_eq!(scores, [f32::INFINITY; 2]);
            assert_eq!(judge(&[1.0, bad], 2.0), Ok(Verdict::not_finite(2.0)));
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let no_room = ScoreError::Scores { expected: 2, got: 1 };
        assert_eq!(rejection_scores(&[1.0; 2], &mut [0.0]), Err(no_room));
        assert_eq!(rejection_scores(&[], &mut []), Err(ScoreError::NoDistances));
        assert_eq!(judge(&[], 1.0), Err(ScoreError::NoDistances));
        assert_eq!(judge(&[1.0], f32::NAN), Err(ScoreError::ThresholdNotANumber));
    }
}
