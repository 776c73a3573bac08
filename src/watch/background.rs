//! What is always there is no news. For a while after the start, what is unknown is learnt, as points
//! in the space of the network's logits; later, what lies close to one of them is background, not an
//! event. What an intruder does in that while is learnt too: it is for scenes that are known to be
//! empty then.

use crate::capture::Moment;
use anchorwatch_core::{Outcome, Verdict};
use std::collections::BTreeMap;
use std::time::Duration;

/// Points that are kept of one place; a scene that needs more is no background.
const MOST_POINTS: usize = 64;

/// How the background is learnt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackgroundRule {
    /// For so long from the first frame on.
    pub learn: Duration,
    /// Logits belong to a point up to this distance, as a share of the threshold.
    pub tolerance: f32,
}

/// The background of one camera.
#[derive(Clone, Debug)]
pub struct Background {
    rule: BackgroundRule,
    began: Option<Moment>,
    /// Of each place.
    points: BTreeMap<u32, Vec<Vec<f32>>>,
}

impl Background {
    /// Nothing is known yet.
    pub fn new(rule: BackgroundRule) -> Self {
        Self { rule, began: None, points: BTreeMap::new() }
    }

    /// Whether it is being learnt at this moment. The first that is asked about is the start.
    pub fn is_learning(&mut self, at: Moment) -> bool {
        at.since(self.began.get_or_insert(at)) < self.rule.learn
    }

    /// Whether these logits, which are unknown, belong to the background of this place. While it is
    /// learnt, they do.
    pub fn has(&mut self, place: u32, logits: &[f32], threshold: f32, at: Moment) -> bool {
        let learning = self.is_learning(at);
        if logits.iter().any(|logit| !logit.is_finite()) {
            return false; // a broken network must not look like a quiet scene
        }
        let points = self.points.entry(place).or_default();
        let nearest = points.iter().map(|point| distance(point, logits)).fold(f32::INFINITY, f32::min);
        let reach = self.rule.tolerance * threshold;
        if learning && nearest > reach / 2.0 && points.len() < MOST_POINTS {
            points.push(logits.to_vec());
        }
        learning || nearest <= reach
    }

    /// How many points are known.
    pub fn points(&self) -> usize {
        self.points.values().map(Vec::len).sum()
    }
}

/// What the watch is told of background: known, and calm.
pub fn calm(verdict: &Verdict) -> Verdict {
    Verdict { outcome: Outcome::Known, score: 0.0, ..*verdict }
}

fn distance(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn at(second: u64) -> Moment {
        Moment::at(SystemTime::UNIX_EPOCH + Duration::from_secs(second))
    }

    #[test]
    fn what_was_there_at_the_start_is_no_news_and_something_else_is() {
        let mut background =
            Background::new(BackgroundRule { learn: Duration::from_secs(10), tolerance: 0.5 });
        for second in 0..10 {
            let drift = second as f32 / 10.0;
            assert!(background.has(0, &[5.0 + drift, 0.0], 4.0, at(second)), "it learns");
        }
        assert!(!background.is_learning(at(10)));
        assert!(background.has(0, &[5.5, 1.0], 4.0, at(11)));
        assert!(!background.has(0, &[5.5, 4.0], 4.0, at(12)), "further than half the threshold");
        assert!(!background.has(1, &[5.5, 1.0], 4.0, at(13)), "another place");
        assert!(!background.has(0, &[f32::NAN, 1.0], 4.0, at(14)));
        assert_eq!(background.points(), 1, "what is alike is one point");
    }

    #[test]
    fn it_stays_bounded() {
        let mut background =
            Background::new(BackgroundRule { learn: Duration::from_secs(10), tolerance: 0.5 });
        for value in 0..1000 {
            background.has(0, &[value as f32 * 100.0], 4.0, at(1));
        }
        assert_eq!(background.points(), MOST_POINTS);
    }
}
