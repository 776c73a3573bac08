//! Which known things are kept, to calibrate with later: of each class one in each stretch of time, drawn so
//! that every judgement in it is as likely to be the one as every other (reservoir sampling with one place:
//! the n-th takes it from the one before with probability 1/n). How many there were is known in the end, and
//! is what the sample stands for. So a thing that stays in view is kept once in a while, a rare class as well
//! as a frequent one, and what was judged so much or so little known as it comes.

use crate::capture::Moment;
use anchorwatch_core::Verdict;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Draws samples, and counts what they stand for. What was drawn is kept by the caller.
#[derive(Clone, Debug)]
pub struct KnownSamples {
    every: Duration,
    began: Option<Moment>,
    /// Judgements since then, by class.
    counts: Vec<u64>,
    random: u64,
}

impl KnownSamples {
    /// One of each of so many classes, in each such stretch of time.
    pub fn new(every: Duration, classes: usize) -> Self {
        Self { every, began: None, counts: vec![0; classes], random: RandomState::new().hash_one("samples") }
    }

    /// Takes in a verdict. If it is known and was drawn, its class: the one drawn before is not kept then.
    pub fn draw(&mut self, verdict: &Verdict) -> Option<usize> {
        let class = verdict.class.filter(|_| !verdict.is_unknown())?;
        let count = self.counts.get_mut(class)?;
        *count += 1;
        let among = *count;
        self.next().is_multiple_of(among).then_some(class)
    }

    /// If a stretch of time is over at this moment, how many judgements of each class there were in it, and
    /// the next one begins. The first moment begins the first.
    pub fn over(&mut self, at: Moment) -> Option<Vec<u64>> {
        if at.since(self.began.get_or_insert(at)) < self.every {
            return None;
        }
        self.began = Some(at);
        self.end()
    }

    /// How many judgements of each class there were since the last stretch of time; nothing if there were
    /// none.
    pub fn end(&mut self) -> Option<Vec<u64>> {
        let nothing = vec![0; self.counts.len()];
        let counts = std::mem::replace(&mut self.counts, nothing);
        counts.iter().any(|count| *count > 0).then_some(counts)
    }

    /// Steele, Lea, Flood: SplitMix64 (OOPSLA 2014).
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_core::judge;

    fn samples(every: u64) -> KnownSamples {
        KnownSamples { random: 7, ..KnownSamples::new(Duration::from_secs(every), 2) }
    }

    /// Nearest to this class.
    fn verdict(class: usize) -> Verdict {
        judge(if class == 0 { &[0.5, 9.0] } else { &[9.0, 0.5] }, 1.5).unwrap()
    }

    fn at(second: u64) -> Moment {
        Moment { uptime: Duration::from_secs(1000 + second), ..Moment::now() }
    }

    /// The last that was drawn in a stretch is the one that is kept.
    #[test]
    fn each_judgement_of_a_stretch_is_as_likely_to_be_kept() {
        const STRETCHES: usize = 20_000;
        const LONG: usize = 8;
        let mut samples = samples(1);
        let mut kept = [0usize; LONG];
        for _ in 0..STRETCHES {
            let last = (0..LONG).filter(|_| samples.draw(&verdict(1)).is_some()).last();
            kept[last.expect("the first is always drawn")] += 1;
            assert_eq!(samples.end(), Some(vec![0, LONG as u64]));
        }
        let expected = STRETCHES as f64 / LONG as f64;
        for count in kept {
            // Four standard deviations of a binomial distribution.
            let deviation = (expected * (1.0 - 1.0 / LONG as f64)).sqrt();
            assert!((count as f64 - expected).abs() < 4.0 * deviation, "{kept:?}");
        }
    }

    #[test]
    fn stretches_of_time_follow_each_other_and_everything_known_is_counted_once() {
        let mut samples = samples(60);
        assert_eq!(samples.over(at(0)), None);
        let (mut counted, mut stretches) = ([0; 2], 0);
        for second in 0..600 {
            if let Some(counts) = samples.over(at(second)) {
                stretches += 1;
                assert_eq!(counts[0], 60, "a judgement a second");
                (0..2).for_each(|class| counted[class] += counts[class]);
            }
            samples.draw(&verdict(0));
            if second % 100 == 0 {
                assert_eq!(samples.draw(&verdict(1)), Some(1), "a rare class is always drawn");
            }
            assert_eq!(samples.draw(&verdict(0).against(0.0)), None, "what is unknown is not");
            assert_eq!(samples.draw(&Verdict::not_finite(1.0)), None);
        }
        let rest = samples.end().unwrap();
        (0..2).for_each(|class| counted[class] += rest[class]);
        assert_eq!((stretches, counted), (9, [600, 6]));
        assert_eq!((samples.end(), samples.over(at(9999))), (None, None), "nothing, nothing to keep");
    }
}
