//! All the figures of one evaluation together.

use super::metrics::{auroc, fpr_at_tpr, oscr};
use serde::Serialize;

/// One picture of a known class, judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownPicture {
    /// The true class, an index into the model's classes.
    pub class: usize,
    /// The class it was given; `None` when the logits were not finite.
    pub predicted: Option<usize>,
    /// The rejection score, larger = more unknown.
    pub score: f32,
}

/// The figures of an evaluation, 0 to 1. Those that need unknown pictures are missing without.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Pictures of known classes.
    pub known_pictures: usize,
    /// Pictures of unknown objects.
    pub unknown_pictures: usize,
    /// Share of known pictures given the right class, accepted or not; larger is better.
    pub accuracy: f64,
    /// Share of known pictures accepted at the model's threshold; larger is better.
    pub tpr: f64,
    /// Share of unknown pictures taken for known at the model's threshold; smaller is better.
    pub fpr: Option<f64>,
    /// See [`auroc`]; larger is better.
    pub auroc: Option<f64>,
    /// See [`fpr_at_tpr`], at 95 %; smaller is better.
    pub fpr_at_95_tpr: Option<f64>,
    /// See [`oscr`]; larger is better.
    pub oscr: Option<f64>,
}

impl Figures {
    /// From the judged pictures and the threshold that was in use. Without known pictures, accuracy
    /// and TPR are NaN.
    pub fn new(known: &[KnownPicture], unknown: &[f32], threshold: f32) -> Self {
        let share = |count: usize, of: usize| count as f64 / of as f64;
        let scores: Vec<f32> = known.iter().map(|picture| picture.score).collect();
        let scored: Vec<(f32, bool)> =
            known.iter().map(|picture| (picture.score, picture.predicted == Some(picture.class))).collect();
        let with_unknown = |figure: f64| (!unknown.is_empty() && !known.is_empty()).then_some(figure);
        let accepted = |scores: &[f32]| scores.iter().filter(|score| **score <= threshold).count();
        Self {
            known_pictures: known.len(),
            unknown_pictures: unknown.len(),
            accuracy: share(scored.iter().filter(|(_, right)| *right).count(), known.len()),
            tpr: share(accepted(&scores), known.len()),
            fpr: (!unknown.is_empty()).then(|| share(accepted(unknown), unknown.len())),
            auroc: with_unknown(auroc(&scores, unknown)),
            fpr_at_95_tpr: with_unknown(fpr_at_tpr(&scores, unknown, 0.95)),
            oscr: with_unknown(oscr(&scored, unknown)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        let picture = |class, predicted, score| KnownPicture { class, predicted, score };
        let known = [picture(0, Some(0), 1.0), picture(1, Some(0), 2.0), picture(1, None, f32::INFINITY)];
        let figures = Figures::new(&known, &[1.5, 3.0], 2.0);
        assert_eq!(figures.accuracy, 1.0 / 3.0);
        assert_eq!(figures.tpr, 2.0 / 3.0);
        assert_eq!(figures.fpr, Some(0.5));
        assert_eq!(figures.auroc, Some(3.0 / 6.0));
        assert_eq!(figures.oscr, Some(1.0 / 3.0));
        assert_eq!(figures.fpr_at_95_tpr, Some(1.0));
        let without = Figures::new(&known, &[], 2.0);
        assert_eq!((without.auroc, without.fpr, without.oscr), (None, None, None));
    }
}
