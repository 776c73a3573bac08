//! A threshold for each class, with a promise of its own: conformal prediction within categories of
//! pictures (Mondrian conformal prediction: Vovk, Gammerman, Shafer, *Algorithmic Learning in a Random
//! World*, 2005). What becomes of a class without enough pictures is the caller's affair.
//!
//! The category of a picture is the class that it is *given*, argmin γ, and not the one that it is of: it
//! is with the given class's threshold that the program compares a score, and nothing else is known then.
//! A category may depend on the picture in any way, so the statement stays exact: of new known pictures
//! that are given a class, whatever they are of, its threshold flags no more than it promises. Of the
//! pictures that are *of* a class nothing follows: some of them are given another.

use super::KnownPicture;
use crate::network::metadata::Threshold;

/// Fewer pictures say nothing.
pub const FEWEST: usize = 20;

/// Pictures that it takes to place the share `tpr` of them on one side: with fewer, the quantile would be
/// the outermost picture itself.
pub fn pictures_needed(tpr: f64) -> usize {
    // 1 − 0.95 is a little more than 0.05.
    ((1.0 / (1.0 - tpr) - 1e-6).ceil() as usize).max(FEWEST)
}

/// The threshold of each of so many classes that accepts a known picture that is given the class with
/// probability `tpr` or more; `None` where too few of the pictures were given it, or their scores are all
/// 0.
pub fn class_thresholds(
    known: &[KnownPicture],
    classes: usize,
    tpr: f64,
    source: &str,
) -> Vec<Option<Threshold>> {
    let of_class = |class| {
        let given = known.iter().filter(|picture| picture.predicted == Some(class));
        let scores: Vec<f32> = given.map(|picture| picture.score).collect();
        let enough = scores.len() >= pictures_needed(tpr);
        let threshold = enough.then(|| Threshold::calibrate(&scores, tpr, source))?;
        (threshold.value.is_finite() && threshold.value > 0.0).then_some(threshold)
    };
    (0..classes).map(of_class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarer_the_rejection_the_more_pictures_are_needed() {
        assert_eq!([0.5, 0.9, 0.95, 0.99].map(pictures_needed), [20, 20, 20, 100]);
    }

    #[test]
    fn the_pictures_of_a_threshold_are_those_that_were_given_the_class() {
        let picture = |class, predicted, score: usize| KnownPicture { class, predicted, score: score as f32 };
        let mut known: Vec<KnownPicture> = (1..=15).map(|score| picture(0, Some(0), score)).collect();
        known.extend((16..=24).map(|score| picture(1, Some(0), score)));
        known.extend((100..119).map(|score| picture(1, Some(1), score)));
        known.extend((0..30).map(|_| picture(2, Some(2), 0)));
        known.push(picture(0, None, 1000));
        let thresholds = class_thresholds(&known, 3, 0.9, "a test");
        let first = thresholds[0].as_ref().unwrap();
        // ⌈25·0.9⌉ of 24.
        assert_eq!((first.value, first.pictures), (23.0, 24));
        assert_eq!(thresholds[1..], [None, None], "19 are too few, and nothing lies below 0");
        known.push(picture(1, Some(1), 99));
        assert_eq!(class_thresholds(&known, 3, 0.9, "a test")[1].as_ref().unwrap().value, 117.0);
    }

    /// Three classes: how many pictures are of each, how many of those are given each, and scores that
    /// depend on both.
    struct World {
        state: u64,
    }

    const OF: [f64; 3] = [0.6, 0.3, 0.1];
    const GIVEN: [[f64; 3]; 3] = [[0.95, 0.03, 0.02], [0.05, 0.9, 0.05], [0.1, 0.2, 0.7]];

    impl World {
        fn random(&mut self) -> f64 {
            self.state =
                self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        }

        fn choose(&mut self, shares: [f64; 3]) -> usize {
            let at = self.random();
            if at < shares[0] { 0 } else { 1 + usize::from(at >= shares[0] + shares[1]) }
        }

        /// Scores are a power of a uniform number, times the class's spread.
        fn picture(&mut self) -> KnownPicture {
            let class = self.choose(OF);
            let given = self.choose(GIVEN[class]);
            let score = SPREAD[given] * self.random().powf(power(class, given)) as f32;
            KnownPicture { class, predicted: Some(given), score }
        }
    }

    const SPREAD: [f32; 3] = [1.0, 2.0, 5.0];

    /// What is given another class scores higher.
    fn power(class: usize, given: usize) -> f64 {
        if class == given { 3.0 } else { 0.5 }
    }

    /// The share of pictures given a class that a threshold accepts.
    fn accepted(given: usize, threshold: f32) -> f64 {
        let share = f64::from(threshold / SPREAD[given]).min(1.0);
        let weight = |class: usize| OF[class] * GIVEN[class][given];
        let accepted = (0..3).map(|class| weight(class) * share.powf(1.0 / power(class, given)));
        accepted.sum::<f64>() / (0..3).map(weight).sum::<f64>()
    }

    /// What came of the rounds for one class.
    #[derive(Debug, Default)]
    struct Tally {
        calibrations: f64,
        within_bounds: f64,
        promised: f64,
        flagged: f64,
        flagged_by_one: f64,
    }

    /// Calibrations and new pictures, drawn alike: of the new ones that are given each class as many are
    /// flagged as promised, and the bounds of the share that is accepted hold.
    #[test]
    fn new_pictures_given_a_class_are_flagged_no_oftener_than_it_promises() {
        const ROUNDS: usize = 8_000;
        let count = |is: bool| f64::from(u8::from(is));
        let mut world = World { state: 1 };
        let mut tallies: [Tally; 3] = Default::default();
        for _ in 0..ROUNDS {
            let known: Vec<KnownPicture> = (0..300).map(|_| world.picture()).collect();
            let thresholds = class_thresholds(&known, 3, 0.9, "a test");
            for (class, (threshold, tally)) in thresholds.iter().zip(&mut tallies).enumerate() {
                let Some(threshold) = threshold else { continue };
                let [least, most] = threshold.promise().unwrap().accepted;
                tally.calibrations += 1.0;
                tally.within_bounds += count((least..=most).contains(&accepted(class, threshold.value)));
            }
            let scores: Vec<f32> = known.iter().map(|picture| picture.score).collect();
            let one = Threshold::calibrate(&scores, 0.9, "a test");
            let new = world.picture();
            let class = new.predicted.unwrap();
            if let (Some(threshold), tally) = (&thresholds[class], &mut tallies[class]) {
                tally.promised += threshold.promise().unwrap().flagged_at_most;
                tally.flagged += count(new.score > threshold.value);
                tally.flagged_by_one += count(new.score > one.value);
            }
        }
        for tally in &tallies {
            // Four standard deviations of so many draws, each of its promised probability.
            assert!((tally.flagged - tally.promised).abs() < 4.0 * tally.promised.sqrt(), "{tally:?}");
            let room = 4.0 * (0.95 * 0.05 / tally.calibrations).sqrt();
            assert!((tally.within_bounds / tally.calibrations - 0.95).abs() < room, "{tally:?}");
        }
        // One threshold for all keeps no class's promise: that is what these are for.
        assert!(tallies[2].flagged_by_one > 2.0 * tallies[2].promised, "{tallies:?}");
        assert!(tallies[0].flagged_by_one < tallies[0].promised / 2.0, "{tallies:?}");
    }
}
