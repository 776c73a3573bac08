//! What the scorer says about one region of one frame. It knows nothing of earlier frames: that
//! is the watch's part.

/// The verdict on one vector of logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Known, or unknown and why.
    pub outcome: Outcome,
    /// The class with the smallest rejection score, which is always the one with the nearest
    /// centre; of equally near centres the lowest index. It is given for an unknown object
    /// too ("most like"), and `None` only when the logits were not finite.
    pub class: Option<usize>,
    /// The smallest rejection score, min γ; larger means more unknown. Infinite when the logits
    /// were not finite, so that sorting puts such frames last.
    pub score: f32,
    /// The class with the second smallest rejection score; of equally near centres the lower
    /// index that is not `class`. `None` with one class only, or when the logits were not
    /// finite.
    pub runner_up: Option<usize>,
    /// The rejection score of the runner-up; infinite when there is none.
    pub runner_up_score: f32,
    /// The threshold that the score was compared with: known is `score ≤ threshold`.
    pub threshold: f32,
}

impl Verdict {
    /// The verdict on logits that are NaN or infinite: unknown, and no class.
    pub const fn not_finite(threshold: f32) -> Self {
        Self {
            outcome: Outcome::Unknown(Reason::NotFinite),
            class: None,
            score: f32::INFINITY,
            runner_up: None,
            runner_up_score: f32::INFINITY,
            threshold,
        }
    }

    /// The same, compared with another threshold: known is `score ≤ threshold`, and what was not finite
    /// stays unknown.
    pub fn against(self, threshold: f32) -> Self {
        let outcome = match self.outcome {
            Outcome::Unknown(Reason::NotFinite) => self.outcome,
            _ if self.score <= threshold => Outcome::Known,
            _ => Outcome::Unknown(Reason::ScoreAboveThreshold),
        };
        Self { outcome, threshold, ..self }
    }

    /// Whether the outcome is unknown, for whatever reason.
    pub fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown(_))
    }

    /// The score as people read it, `score ÷ threshold`: up to 1.0 is known, above it is
    /// unknown (exactly so, in spite of rounding).
    ///
    /// Infinite for logits that were not finite, and for any unknown with a threshold of zero
    /// or less.
    pub fn relative_score(&self) -> f32 {
        if self.threshold > 0.0 {
            self.score / self.threshold
        } else if self.is_unknown() {
            f32::INFINITY
        } else {
            1.0 // only a score of zero is known at a threshold of zero
        }
    }
}

/// A verdict that nobody has given yet: unknown, without a class, as for logits that are not
/// finite. It is there to fill the buffers of [`Scorer::score_batch`](crate::Scorer::score_batch).
impl Default for Verdict {
    fn default() -> Self {
        Self::not_finite(0.0)
    }
}

/// Whether the object is of a known class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The score is at or below the threshold.
    Known,
    /// It is not, or there is no score.
    Unknown(Reason),
}

/// Why an object is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The rejection score is larger than the threshold.
    ScoreAboveThreshold,
    /// The logits hold NaN or infinity: the network or its input is broken.
    NotFinite,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge;
    use proptest::prelude::*;

    #[test]
    fn the_default_is_unknown_without_a_class() {
        let verdict = Verdict::default();
        assert!(verdict.is_unknown());
        assert_eq!(verdict.class, None);
        assert_eq!(verdict.relative_score(), f32::INFINITY);
    }

    #[test]
    fn a_threshold_of_zero_still_has_a_relative_score() {
        let on_the_centre = judge(&[0.0, 3.0], 0.0).unwrap();
        assert_eq!(on_the_centre.outcome, Outcome::Known);
        assert_eq!(on_the_centre.relative_score(), 1.0);
        let beside_it = judge(&[0.1, 3.0], 0.0).unwrap();
        assert_eq!(beside_it.relative_score(), f32::INFINITY);
    }

    proptest! {
        #[test]
        fn another_threshold_gives_what_judging_with_it_gives(
            distances in prop::collection::vec(0f32..20.0, 1..6),
            first in 0f32..20.0,
            second in 0f32..20.0,
        ) {
            let changed = judge(&distances, first).unwrap().against(second);
            prop_assert_eq!(changed, judge(&distances, second).unwrap());
            let broken = Verdict::not_finite(first).against(f32::INFINITY);
            prop_assert!(broken.is_unknown());
        }

        #[test]
        fn the_relative_score_is_above_one_exactly_when_unknown(
            threshold in 1e-3f32..1e3, ulps in -3i32..=3, distance in 1e-3f32..1e3
        ) {
            // Both far from the line and within a few roundings of it.
            let near = f32::from_bits((threshold.to_bits() as i32 + ulps) as u32);
            for distance in [near, distance] {
                let verdict = judge(&[distance], threshold).unwrap();
                prop_assert_eq!(verdict.is_unknown(), verdict.relative_score() > 1.0);
            }
        }
    }
}
