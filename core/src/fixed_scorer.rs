//! The scorer in whole numbers, for microcontrollers without floating point. The formulas are those
//! of `rejection`; only the arithmetic is another.
//!
//! Logits, centres, distances and scores are multiples of 2⁻¹⁶ ([`FRACTION_BITS`]). Squares and
//! their sums are exact in 64 bits; the square root is rounded down; powers of e are multiples of
//! 2⁻³⁰.
//!
//! # How exact the answers are
//!
//! Let `e = (√N + 1)·2⁻¹⁶`. For logits and centres that were rounded by [`to_fixed`]:
//!
//! - a distance is within `e` of the exact one;
//! - the rejection score is within `e·(1 + 0.51·d) + d·(M + 4)·2⁻²⁸ + 2⁻¹⁶` of the exact one, d
//!   being the distance to its class (6·10⁻⁴ at M = N = 10 and d = 15).
//!
//! Unlike in f32 these are absolute, not shares: a score far below that is as good as 0.

use crate::scorer::{ScoreError, check_length};
use crate::verdict::{Outcome, Reason, Verdict};

/// How many bits are behind the point.
pub const FRACTION_BITS: u32 = 16;

/// Larger logits and centres are refused, so that the squares of differences can be summed.
const LARGEST: i32 = (2048 << FRACTION_BITS) - 1;

/// The most logits whose squared differences (at most 2⁵⁶ each) fit into 64 bits.
const MOST_LOGITS: usize = 256;

/// The most classes whose powers (at most 2³⁰ each) fit into 32 bits is smaller than anybody's
/// need, so their sum has 64; this keeps it far from their end.
const MOST_CLASSES: usize = u16::MAX as usize;

/// A number as a multiple of 2⁻¹⁶, rounded to the nearest; `None` when it is not finite, or not
/// between −2048 and 2048.
pub fn to_fixed(number: f32) -> Option<i32> {
    const ONE: f32 = (1u32 << FRACTION_BITS) as f32;
    if !(number > -2048.0 && number < 2048.0) {
        return None;
    }
    // Multiplying by a power of two is exact, and the result fits.
    let scaled = number * ONE;
    let rounded = (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i32;
    Some(rounded.clamp(-LARGEST, LARGEST))
}

/// The centres of M classes in multiples of 2⁻¹⁶, row after row, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedCentres<'a> {
    values: &'a [i32],
    logits: usize,
}

impl<'a> FixedCentres<'a> {
    /// Takes `values` as rows of `logits` numbers each, one row a class. `None` when there is no row,
    /// when the last one is not whole, when there are more than 256 logits or 65535 classes, or when a
    /// number is not one that [`to_fixed`] gives.
    pub fn new(values: &'a [i32], logits: usize) -> Option<Self> {
        let sound = !values.is_empty()
            && (1..=MOST_LOGITS).contains(&logits)
            && values.len().is_multiple_of(logits)
            && values.len() / logits <= MOST_CLASSES
            && values.iter().all(|value| (-LARGEST..=LARGEST).contains(value));
        sound.then_some(Self { values, logits })
    }

    /// M, the number of classes. At least 1.
    pub fn classes(&self) -> usize {
        self.values.len().checked_div(self.logits).unwrap_or(0)
    }

    /// N, the number of logits. At least 1.
    pub fn logits(&self) -> usize {
        self.logits
    }
}

/// Judges logits in whole numbers. See [`Scorer`](crate::Scorer) for the one in floating point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedScorer<'a> {
    centres: FixedCentres<'a>,
}

impl<'a> FixedScorer<'a> {
    /// A scorer against these centres.
    pub fn new(centres: FixedCentres<'a>) -> Self {
        Self { centres }
    }

    /// Judges one vector of N `logits` against a `threshold`, and writes its distances to the M
    /// centres; all are multiples of 2⁻¹⁶. The verdict's numbers are ordinary ones.
    ///
    /// A logit that [`to_fixed`] would not give makes the verdict unknown
    /// ([`Reason::NotFinite`]), without a class.
    ///
    /// # Errors
    ///
    /// When `logits` is not N long, or `distances` is not M long.
    pub fn score(
        &self,
        logits: &[i32],
        threshold: u32,
        distances: &mut [u32],
    ) -> Result<Verdict, ScoreError> {
        let n = self.centres.logits;
        check_length(n, logits.len(), |expected, got| ScoreError::Logits { expected, got })?;
        check_length(self.centres.classes(), distances.len(), |expected, got| ScoreError::Distances {
            expected,
            got,
        })?;
        if !logits.iter().all(|logit| (-LARGEST..=LARGEST).contains(logit)) {
            distances.fill(u32::MAX);
            return Ok(Verdict::not_finite(to_float(threshold)));
        }
        let mut rest = self.centres.values;
        for distance in distances.iter_mut() {
            let Some((row, following)) = rest.split_at_checked(n) else { break };
            *distance = self::distance(logits, row);
            rest = following;
        }
        Ok(judge(distances, threshold))
    }
}

/// The distance of one vector of logits to one centre.
fn distance(logits: &[i32], centre: &[i32]) -> u32 {
    let mut squares = 0u64;
    for (&x, &c) in logits.iter().zip(centre) {
        // Below 2²⁸, squared below 2⁵⁶, and 256 of them below 2⁶⁴.
        let difference = i64::from(x.wrapping_sub(c));
        squares = squares.wrapping_add((difference * difference) as u64);
    }
    square_root(squares)
}

/// The square root, rounded down.
fn square_root(square: u64) -> u32 {
    // One bit of the root a step, from the largest possible on: no division, which such processors
    // lack for 64 bits.
    let (mut rest, mut root) = (square, 0u64);
    let mut bit = 1u64 << 62;
    while bit > square {
        bit >>= 2;
    }
    while bit != 0 {
        if rest >= root + bit {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
        bit >>= 2;
    }
    root as u32
}

/// The verdict on distances, at least one.
fn judge(distances: &[u32], threshold: u32) -> Verdict {
    let (mut class, mut nearest) = (0, u32::MAX);
    let (mut runner_up, mut second) = (None, u32::MAX);
    for (index, &distance) in distances.iter().enumerate() {
        if index == 0 || distance < nearest {
            if index > 0 {
                (runner_up, second) = (Some(class), nearest);
            }
            (class, nearest) = (index, distance);
        } else if runner_up.is_none() || distance < second {
            (runner_up, second) = (Some(index), distance);
        }
    }
    let (score, runner_up_score) = if runner_up.is_some() {
        let mut others = 0u64;
        for (index, &distance) in distances.iter().enumerate() {
            if index != class {
                others += u64::from(exp_of_minus(distance - nearest));
            }
        }
        let all = ONE_POWER + others;
        let of_second = u64::from(exp_of_minus(second - nearest));
        (share(nearest, others, all), to_float(share(second, all.saturating_sub(of_second), all)))
    } else {
        (nearest, f32::INFINITY)
    };
    Verdict {
        outcome: if score <= threshold {
            Outcome::Known
        } else {
            Outcome::Unknown(Reason::ScoreAboveThreshold)
        },
        class: Some(class),
        score: to_float(score),
        runner_up,
        runner_up_score,
        threshold: to_float(threshold),
    }
}

/// 1 as a power of e, in multiples of 2⁻³⁰.
const ONE_POWER: u64 = 1 << 30;

/// `distance · part / whole`, rounded to the nearest, for `part ≤ whole` and `whole ≥ 2³⁰`.
fn share(distance: u32, part: u64, whole: u64) -> u32 {
    // The whole is below 2⁴⁶ (65535 classes): brought below 2³¹, the product fits.
    let excess = 33u32.saturating_sub(whole.leading_zeros());
    let (part, whole) = (part >> excess, (whole >> excess).max(1));
    ((u64::from(distance) * part + whole / 2) / whole) as u32
}

/// `e^−x` for `x` in multiples of 2⁻¹⁶, in multiples of 2⁻³⁰, within 2 of them.
fn exp_of_minus(x: u32) -> u32 {
    // e^−x = 2^−n · 2^−f with n whole and 0 ≤ f < 1.
    const LOG2_E: u64 = 6_196_328_019; // log₂ e · 2³²
    if x >= 22 << FRACTION_BITS {
        return 0; // below 2^−31
    }
    let exponent = (u64::from(x) * LOG2_E) >> FRACTION_BITS; // in multiples of 2⁻³²
    let whole = (exponent >> 32) as u32;
    let fraction = u64::from(exponent as u32);
    // Taylor's series of 2^−f = e^(−f·ln 2) about f = ½ would need the same length; about 0 all
    // coefficients (ln 2)^k / k! are below 1. In multiples of 2⁻³², up to k = 10.
    const COEFFICIENTS: [u64; 10] =
        [2_977_044_472, 1_031_764_991, 238_388_332, 41_309_550, 5_726_720, 661_577, 65_510, 5_676, 437, 30];
    let mut series = 0u64;
    for &coefficient in COEFFICIENTS.iter().rev() {
        // Horner: every bracket is positive and below 2³².
        series = ((coefficient - series) * fraction) >> 32;
    }
    let power = (1u64 << 32) - series; // 2^−f in multiples of 2⁻³²
    (power >> 2 >> whole) as u32
}

fn to_float(fixed: u32) -> f32 {
    fixed as f32 / (1u32 << FRACTION_BITS) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::vec::Vec;

    const UNIT: f64 = 1.0 / 65536.0;

    fn fixed(values: &[f32]) -> Vec<i32> {
        values.iter().map(|&value| to_fixed(value).unwrap()).collect()
    }

    /// Asserts the stated bounds.
    fn assert_agrees(centres: &[f32], n: usize, logits: &[f32], threshold: f32) {
        let m = centres.len() / n;
        let exact = reference::distances(centres, n, logits);
        let scores = reference::rejection_scores(&exact);
        let e = ((n as f64).sqrt() + 1.0) * UNIT;
        let bound = |d: f64| e * (1.0 + 0.51 * d) + d * (m + 4) as f64 * 2f64.powi(-28) + UNIT;

        let (centres, logits) = (fixed(centres), fixed(logits));
        let scorer = FixedScorer::new(FixedCentres::new(&centres, n).unwrap());
        let mut distances = std::vec![0; m];
        let fixed_threshold = to_fixed(threshold).unwrap() as u32;
        let verdict = scorer.score(&logits, fixed_threshold, &mut distances).unwrap();

        for (&got, &wanted) in distances.iter().zip(&exact) {
            let off = (f64::from(got) * UNIT - wanted).abs();
            assert!(off <= e, "{got} {wanted}");
        }
        let smallest = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let class = verdict.class.unwrap();
        assert!(exact[class] <= smallest(&exact) + 2.0 * e);
        let off = (f64::from(verdict.score) - smallest(&scores)).abs();
        let bound_here = bound(smallest(&exact));
        // The verdict holds the score in f32, whose own rounding comes on top.
        let rounding = smallest(&scores) * 2f64.powi(-24);
        assert!(off <= bound_here + rounding, "{off} {bound_here} {verdict:?} {scores:?}");
        if (smallest(&scores) - f64::from(threshold)).abs() > bound_here + UNIT {
            assert_eq!(verdict.is_unknown(), smallest(&scores) > f64::from(threshold));
        }
        match verdict.runner_up {
            None => assert_eq!(m, 1),
            Some(runner_up) => {
                assert_ne!(runner_up, class);
                let mut sorted = exact.clone();
                sorted.sort_by(f64::total_cmp);
                assert!(exact[runner_up] <= sorted[1] + 2.0 * e);
                let off = (f64::from(verdict.runner_up_score) - scores[runner_up]).abs();
                let rounding = scores[runner_up] * 2f64.powi(-24);
                assert!(off <= bound(exact[runner_up]) + rounding, "{off} {verdict:?} {scores:?}");
            }
        }
    }

    /// N, M×N centres, N logits.
    fn shapes(size: f32) -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>)> {
        (1..=40usize, 1..=24usize).prop_flat_map(move |(n, m)| {
            let number = prop_oneof![-size..size, Just(0.0), Just(size / 2.0)];
            (Just(n), vec(number.clone(), n * m), vec(number, n))
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_f64_within_the_bound((n, centres, logits) in shapes(15.0), threshold in 0f32..30.0) {
            assert_agrees(&centres, n, &logits, threshold);
        }

        #[test]
        fn near_logits_agree_too((n, centres, logits) in shapes(0.01), threshold in 0f32..0.1) {
            assert_agrees(&centres, n, &logits, threshold);
        }

        #[test]
        fn large_logits_agree_too((n, centres, logits) in shapes(2047.0), threshold in 0f32..2047.0) {
            assert_agrees(&centres, n, &logits, threshold);
        }

        #[test]
        fn anything_at_all_is_judged_without_overflow(
            centres in vec(any::<i32>(), 1..600), logits in vec(any::<i32>(), 1..300),
            n in 1..300usize, threshold in any::<u32>()
        ) {
            let centres: Vec<i32> = centres.iter().map(|value| value.clamp(&-LARGEST, &LARGEST)).copied().collect();
            if let Some(centres) = FixedCentres::new(&centres[..centres.len() / n * n], n) {
                let mut distances = std::vec![0; centres.classes()];
                let result = FixedScorer::new(centres).score(&logits, threshold, &mut distances);
                prop_assert_eq!(result.is_ok(), logits.len() == n);
            }
        }

        #[test]
        fn the_square_root_is_rounded_down(square in prop_oneof![any::<u64>(), 0..10_000u64, Just(u64::MAX)]) {
            prop_assert_eq!(u64::from(square_root(square)), square.isqrt());
        }
    }

    #[test]
    fn the_largest_differences_do_not_overflow() {
        let far = [LARGEST; MOST_LOGITS];
        let logits = [-LARGEST; MOST_LOGITS];
        let scorer = FixedScorer::new(FixedCentres::new(&far, MOST_LOGITS).unwrap());
        let mut distances = [0];
        scorer.score(&logits, 0, &mut distances).unwrap();
        let wanted = 2.0 * f64::from(LARGEST) * 16.0;
        assert!((f64::from(distances[0]) - wanted).abs() <= 1.0, "{}", distances[0]);
    }

    #[test]
    fn powers_are_within_two_units() {
        for x in (0..25 << FRACTION_BITS).step_by(7) {
            let exact = (-f64::from(x) * UNIT).exp() * ONE_POWER as f64;
            assert!((f64::from(exp_of_minus(x)) - exact).abs() <= 2.0, "{x}");
        }
    }

    #[test]
    fn many_equally_near_classes_share() {
        let centres = [1 << FRACTION_BITS; 5000];
        let scorer = FixedScorer::new(FixedCentres::new(&centres, 1).unwrap());
        let verdict = scorer.score(&[0], 1 << FRACTION_BITS, &mut [0; 5000]).unwrap();
        assert_eq!((verdict.class, verdict.runner_up), (Some(0), Some(1)));
        assert!((verdict.score - 0.9998).abs() < 2e-5, "{}", verdict.score);
        assert_eq!(verdict.score, verdict.runner_up_score);
    }

    #[test]
    fn numbers_beyond_the_range_are_no_fixed_ones_and_unknown() {
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2048.0, -2048.0] {
            assert_eq!(to_fixed(number), None);
        }
        assert_eq!(to_fixed(-1.0), Some(-65536));
        assert_eq!(to_fixed(2047.999_9), Some(LARGEST.min((2047.999_9f32 * 65536.0) as i32)));
        let scorer = FixedScorer::new(FixedCentres::new(&[0, 0], 1).unwrap());
        for bad in [i32::MAX, i32::MIN] {
            let verdict = scorer.score(&[bad], 1 << FRACTION_BITS, &mut [0; 2]).unwrap();
            assert_eq!(verdict, Verdict::not_finite(1.0));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(FixedCentres::new(&[], 1), None);
        assert_eq!(FixedCentres::new(&[1; 3], 2), None);
        assert_eq!(FixedCentres::new(&[1; 3], 0), None);
        assert_eq!(FixedCentres::new(&[1; 257], 257), None);
        assert_eq!(FixedCentres::new(&[i32::MAX], 1), None);
        let scorer = FixedScorer::new(FixedCentres::new(&[0; 4], 2).unwrap());
        let error = ScoreError::Logits { expected: 2, got: 1 };
        assert_eq!(scorer.score(&[0], 0, &mut [0; 2]), Err(error));
        let error = ScoreError::Distances { expected: 2, got: 3 };
        assert_eq!(scorer.score(&[0, 0], 0, &mut [0; 3]), Err(error));
    }
}
