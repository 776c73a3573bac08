//! For tests only: the formulas as they are written in the paper, in f64, and how far from them
//! the scorers may be (the tolerance stated in the crate docs).

use std::vec::Vec;

use crate::verdict::{Outcome, Verdict};

/// `d_j = ‖x − c_j‖`, but at most the largest f32. Squares of f32 numbers do not overflow in f64.
pub(crate) fn distances(centres: &[f32], n: usize, logits: &[f32]) -> Vec<f64> {
    centres
        .chunks_exact(n)
        .map(|centre| {
            let squares = logits.iter().zip(centre).map(|(&x, &c)| (f64::from(x) - f64::from(c)).powi(2));
            squares.sum::<f64>().sqrt().min(f64::from(f32::MAX))
        })
        .collect()
}

/// `γ_j = d_j·(1 − softmin_j)`; with one class `d_j`.
pub(crate) fn rejection_scores(distances: &[f64]) -> Vec<f64> {
    if let [distance] = distances {
        return std::vec![*distance];
    }
    let smallest = distances.iter().copied().fold(f64::INFINITY, f64::min);
    let power = |distance: f64| (smallest - distance).exp();
    (0..distances.len())
        .map(|class| {
            // 1 − s_j as the share of the others: f64 also loses 1 − s when s is almost 1.
            let others: f64 = (0..distances.len())
                .filter(|&other| other != class)
                .map(|other| power(distances[other]))
                .sum();
            distances[class] * (others / (others + power(distances[class])))
        })
        .collect()
}

/// The share by which a distance between vectors of n may be wrong.
pub(crate) fn distance_tolerance(n: usize) -> f64 {
    (n as f64 / 8.0 + 5.0) * 2f64.powi(-24)
}

/// The share by which a rejection score may be wrong, given the distances, and the share of
/// them by which those may be.
pub(crate) fn score_tolerance(distances: &[f64], of_distances: f64) -> f64 {
    let runner_up = sorted(distances).get(1).copied().unwrap_or(0.0);
    let classes = distances.len() as f64;
    (classes / 8.0 + 16.0) * 2f64.powi(-24) + of_distances * (8.0 + 3.0 * runner_up)
}

/// Asserts that distances and verdict are those of the formulas, within the tolerance.
pub(crate) fn assert_agrees(centres: &[f32], n: usize, logits: &[f32], distances: &[f32], verdict: &Verdict) {
    let exact = self::distances(centres, n, logits);
    let of_distances = distance_tolerance(n);
    for (&got, &wanted) in distances.iter().zip(&exact) {
        // A subnormal f32 is exact only to its last bit.
        let room = wanted * of_distances + f64::from(f32::from_bits(1));
        let off = (f64::from(got) - wanted).abs();
        assert!(got.is_finite() && off <= room, "{got} for {wanted}");
    }
    assert_judges(&exact, of_distances, verdict);
}

/// Asserts that the verdict is that of the formulas for these distances, if those that it was
/// given were wrong by at most the given share.
pub(crate) fn assert_judges(exact: &[f64], of_distances: f64, verdict: &Verdict) {
    let order = sorted(exact);
    let reaches = |class: Option<usize>, distance: f64| {
        exact[class.unwrap()] <= distance * (1.0 + 2.5 * of_distances) + 1e-44
    };
    assert!(reaches(verdict.class, order[0]), "{verdict:?} {exact:?}");
    assert_ne!(verdict.class, verdict.runner_up);
    if exact.len() > 1 {
        assert!(reaches(verdict.runner_up, order[1]), "{verdict:?} {exact:?}");
    } else {
        assert_eq!(verdict.runner_up, None);
        assert_eq!(verdict.runner_up_score, f32::INFINITY);
    }

    let largest = order[0] * (1.0 + of_distances) + 1e-44;
    assert!(verdict.score >= 0.0 && f64::from(verdict.score) <= largest);
    let scores = sorted(&rejection_scores(exact));
    let share = score_tolerance(exact, of_distances);
    if share > 0.05 {
        return; // an error of a distance is no small error of its exponential any more
    }
    // What exp flushes to zero: each of the others counts for less than e^-87.
    let room = share * scores[0] + order[0] * exact.len() as f64 * 2e-38 + 1e-44;
    let off = (f64::from(verdict.score) - scores[0]).abs();
    assert!(off <= room, "{off:e} > {room:e}: {verdict:?} {scores:?}");
    if scores.len() > 1 {
        let room = share * scores[1] + order[1] * exact.len() as f64 * 2e-38 + 1e-44;
        let off = (f64::from(verdict.runner_up_score) - scores[1]).abs();
        assert!(off <= room, "{off:e} > {room:e}: {verdict:?} {scores:?}");
    }
    let threshold = f64::from(verdict.threshold);
    if (scores[0] - threshold).abs() > room {
        assert_eq!(verdict.outcome == Outcome::Known, scores[0] <= threshold);
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}
