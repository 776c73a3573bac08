//! Whether known things still score as they did when the model was calibrated. Another camera, light or
//! season moves the scores long before anything is falsely flagged.
//!
//! The scores of what is judged known are counted in the intervals between the quantiles that the model
//! file has of its class, and compared with the shares that these intervals had in calibration, by the
//! population stability index PSI = Σ (o − e)·ln(o / e); above 0.25 a distribution is commonly said to
//! have moved. Frames of one scene are alike: at most one a second of each class is counted.

use crate::capture::Moment;
use crate::network::Metadata;
use anchorwatch_core::Verdict;
use std::time::Duration;

/// Shares of calibration scores up to the 5 %, 25 %, 50 % and 75 % quantile, and above.
const EXPECTED: [f64; 5] = [0.05, 0.20, 0.25, 0.25, 0.25];
/// Above it, the scores have moved.
const MOVED: f64 = 0.25;
/// Below it, they are back.
const BACK: f64 = 0.1;
/// Fewer say nothing.
const LEAST: f64 = 200.0;
/// When so many are counted, all count half: it is the last quarter of an hour or so that matters.
const MOST: f64 = 1000.0;
/// One a class in this time.
const APART: Duration = Duration::from_secs(1);

/// How the scores of known things compare with calibration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// The population stability index: 0 is the same.
    pub psi: f64,
    /// The share of scores above the median of calibration: 0.5 is the same, more is nearer to unknown.
    pub above_median: f64,
    /// Whether they have moved.
    pub moved: bool,
}

/// Counts scores, and compares.
#[derive(Clone, Debug)]
pub struct DriftWatch {
    /// By class: the quantiles of calibration, and when a score was last counted.
    classes: Vec<Option<([f32; 4], Option<Duration>)>>,
    counts: [f64; 5],
    moved: bool,
}

impl DriftWatch {
    /// For a model; `None` if it has no statistics of known scores.
    pub fn new(metadata: &Metadata) -> Option<Self> {
        let quantiles = |class: &String| {
            let found =
                metadata.known_scores.iter().find(|scores| scores.class == *class && scores.pictures > 0);
            found.map(|scores| ([0, 1, 2, 3].map(|at| scores.quantiles[at]), None))
        };
        let classes: Vec<_> = metadata.classes.iter().map(quantiles).collect();
        let some = classes.iter().any(Option::is_some);
        some.then_some(Self { classes, counts: [0.0; 5], moved: false })
    }

    /// Takes in a verdict on a frame of that time. If it counts, what it makes of all so far, once there are
    /// enough.
    pub fn add(&mut self, verdict: &Verdict, at: Moment) -> Option<Drift> {
        let class = verdict.class.filter(|_| !verdict.is_unknown())?;
        let (quantiles, last) = self.classes.get_mut(class)?.as_mut()?;
        if last.is_some_and(|last| at.uptime < last + APART) {
            return None;
        }
        *last = Some(at.uptime);
        let interval = quantiles.iter().filter(|quantile| verdict.score > **quantile).count();
        self.counts[interval] += 1.0;
        if self.counts.iter().sum::<f64>() >= MOST {
            self.counts.iter_mut().for_each(|count| *count /= 2.0);
        }
        self.compare()
    }

    fn compare(&mut self) -> Option<Drift> {
        let total: f64 = self.counts.iter().sum();
        if total < LEAST {
            return None;
        }
        let psi = self.counts.iter().zip(EXPECTED).map(|(count, expected)| {
            // An empty interval counts as half a score: the logarithm stays finite.
            let observed = count.max(0.5) / total;
            (observed - expected) * (observed / expected).ln()
        });
        let psi = psi.sum();
        self.moved = if self.moved { psi > BACK } else { psi > MOVED };
        let above_median = (self.counts[3] + self.counts[4]) / total;
        Some(Drift { psi, above_median, moved: self.moved })
    }
}

impl std::fmt::Display for Drift {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (psi, above) = (self.psi, self.above_median * 100.0);
        match (self.moved, self.above_median > 0.5) {
            (false, _) => write!(formatter, "as in calibration (PSI {psi:.2})"),
            (true, true) => write!(
                formatter,
                "higher than in calibration: {above:.0} % are above its median (PSI {psi:.2})"
            ),
            (true, false) => write!(
                formatter,
                "lower than in calibration: {above:.0} % are above its median (PSI {psi:.2})"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::metadata::ClassScores;
    use crate::network::metadata::tests::example;
    use anchorwatch_core::judge;

    fn watch() -> DriftWatch {
        let mut block = example();
        let uniform: Vec<f32> = (0..=1000).map(|step| step as f32 / 1000.0).collect();
        block.known_scores = vec![ClassScores::new("red", &uniform, uniform.len())];
        DriftWatch::new(&block).unwrap()
    }

    fn verdict(score: f32) -> Verdict {
        Verdict { score, ..judge(&[0.0, 30.0], 1.5).unwrap() }
    }

    fn at(seconds: f64) -> Moment {
        Moment { uptime: Duration::from_secs_f64(seconds), ..Moment::now() }
    }

    /// Scores spread evenly between two, in no order.
    fn feed(watch: &mut DriftWatch, from: f32, to: f32, start: u32, count: u32) -> Option<Drift> {
        let mut last = None;
        for step in start..start + count {
            let share = (step * 379 % 1000) as f32 / 1000.0;
            last = watch.add(&verdict(from + (to - from) * share), at(f64::from(step)));
        }
        last
    }

    #[test]
    fn the_same_distribution_has_not_moved() {
        let mut watch = watch();
        assert_eq!(feed(&mut watch, 0.0, 1.0, 0, 199), None, "too few to say");
        let drift = feed(&mut watch, 0.0, 1.0, 199, 5000).unwrap();
        assert!(!drift.moved && drift.psi < 0.01 && (drift.above_median - 0.5).abs() < 0.03, "{drift:?}");
    }

    #[test]
    fn higher_scores_are_noticed_and_it_passes() {
        let mut watch = watch();
        let drift = feed(&mut watch, 0.4, 1.2, 0, 600).unwrap();
        assert!(drift.moved && drift.above_median > 0.8, "{drift:?}");
        assert!(drift.to_string().starts_with("higher than in calibration"), "{drift}");
        let drift = feed(&mut watch, 0.0, 1.0, 600, 6000).unwrap();
        assert!(!drift.moved, "{drift:?}");
        let drift = feed(&mut watch, 0.0, 0.2, 6600, 2000).unwrap();
        assert!(drift.moved && drift.to_string().starts_with("lower"), "{drift}");
    }

    #[test]
    fn frames_of_one_second_count_once_and_the_unknown_not_at_all() {
        let mut watch = watch();
        for step in 0..100_000 {
            watch.add(&verdict(0.9), at(f64::from(step) / 1000.0));
            watch.add(&verdict(2.0).against(1.5), at(f64::from(step)));
        }
        assert_eq!(watch.counts, [0.0, 0.0, 0.0, 0.0, 100.0]);
        assert!(DriftWatch::new(&example()).is_none(), "nothing to compare with");
    }
}
