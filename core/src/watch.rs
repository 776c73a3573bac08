//! The temporal watch: one odd frame is no alarm. A region is raised when k of its last n
//! verdicts are unknown, and cleared, with hysteresis, when k of n are calm again. What is done
//! about a raised region (recording, notifying) is the caller's affair; so is time, which is
//! counted in frames here.

use core::fmt;

use heapless::Vec;

use crate::verdict::Verdict;

/// When a region is raised and when it is cleared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WatchConfig {
    /// A region is raised when at least this many …
    pub raise_k: u8,
    /// … of its last so many verdicts are unknown (1 to 64).
    pub raise_n: u8,
    /// A raised region is cleared when at least this many …
    pub clear_k: u8,
    /// … of its last so many verdicts are calm (1 to 64).
    pub clear_n: u8,
    /// A verdict is calm when it is known and its relative score (score ÷ threshold) is at most
    /// this (above 0, up to 1). Below 1 this is a hysteresis: scores that hover about the threshold
    /// neither clear nor raise again and again.
    pub clear_ratio: f32,
}

/// Raise at 3 unknown of 5, clear at 4 calm of 5, calm being up to 0.9 of the threshold.
impl Default for WatchConfig {
    fn default() -> Self {
        Self { raise_k: 3, raise_n: 5, clear_k: 4, clear_n: 5, clear_ratio: 0.9 }
    }
}

impl WatchConfig {
    /// Says what is wrong with it, if anything. [`Watch::new`] asks the same.
    ///
    /// # Errors
    ///
    /// When a k is not between 1 and its n, an n is not between 1 and 64, or the ratio is not above 0
    /// and up to 1.
    pub fn check(&self) -> Result<(), WatchConfigError> {
        let fits = |k: u8, n: u8| (1..=64).contains(&n) && (1..=n).contains(&k);
        if !fits(self.raise_k, self.raise_n) {
            return Err(WatchConfigError::Raise { k: self.raise_k, n: self.raise_n });
        }
        if !fits(self.clear_k, self.clear_n) {
            return Err(WatchConfigError::Clear { k: self.clear_k, n: self.clear_n });
        }
        if !(self.clear_ratio > 0.0 && self.clear_ratio <= 1.0) {
            return Err(WatchConfigError::ClearRatio);
        }
        Ok(())
    }
}

/// Whether a region is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Too few unknown verdicts so far. Regions never seen are in this state too.
    Watching,
    /// Something unknown has been there since the last [`Transition::Raised`].
    Raised,
}

/// What one verdict changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Nothing.
    None,
    /// The region was being watched and is now raised.
    Raised,
    /// The region was raised and is now only watched again.
    Cleared,
}

/// Watches up to `REGIONS` regions, told apart by numbers of the caller's choice.
///
/// - Verdicts that are unknown because the logits were not finite count as unknown: a broken
///   network must not look like a quiet scene.
/// - k is compared from the first verdict on: three unknown verdicts raise "3 of 5" without waiting
///   for the fifth.
/// - After each transition the region's history starts anew: verdicts from before it were
///   raised do not help to clear it, nor the other way round.
/// - Each region counts its own verdicts only; a frame in which a region was not judged
///   changes nothing for it.
///
/// It allocates nothing; a region takes 32 bytes. Finding a region is a search through all of
/// them, meant for up to some hundreds.
#[derive(Clone, Debug)]
pub struct Watch<const REGIONS: usize> {
    config: WatchConfig,
    regions: Vec<WatchedRegion, REGIONS>,
    frame: u64,
}

#[derive(Clone, Debug)]
struct WatchedRegion {
    id: u32,
    state: State,
    /// The newest verdict in bit 0: while watching, whether it was unknown; while raised,
    /// whether it was calm.
    history: u64,
    /// The frame of the newest verdict.
    last_seen: u64,
}

impl<const REGIONS: usize> Watch<REGIONS> {
    /// A watch that has seen nothing.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense: see [`WatchConfig::check`].
    pub fn new(config: WatchConfig) -> Result<Self, WatchConfigError> {
        config.check()?;
        Ok(Self { config, regions: Vec::new(), frame: 0 })
    }

    /// When it raises and clears.
    pub fn config(&self) -> &WatchConfig {
        &self.config
    }

    /// Takes in the verdict on one region of the present frame.
    ///
    /// # Errors
    ///
    /// When the region is new and `REGIONS` others are being watched. The verdict is then not
    /// counted, and nothing else changes; [`forget`](Self::forget) makes room.
    pub fn update(&mut self, region: u32, verdict: &Verdict) -> Result<Transition, RegionsFull> {
        let at = match self.regions.iter().position(|known| known.id == region) {
            Some(at) => at,
            None => {
                let new =
                    WatchedRegion { id: region, state: State::Watching, history: 0, last_seen: self.frame };
                self.regions.push(new).map_err(|_| RegionsFull { region, capacity: REGIONS })?;
                self.regions.len() - 1
            }
        };
        self.regions[at].last_seen = self.frame;
        Ok(self.regions[at].update(&self.config, verdict))
    }

    /// Whether a region is raised.
    pub fn state(&self, region: u32) -> State {
        self.regions.iter().find(|known| known.id == region).map_or(State::Watching, |known| known.state)
    }

    /// The regions being watched with their states, in no particular order.
    pub fn regions(&self) -> impl Iterator<Item = (u32, State)> {
        self.regions.iter().map(|region| (region.id, region.state))
    }

    /// Says that the verdicts to come belong to a new frame. Only
    /// [`forget_unseen`](Self::forget_unseen) depends on it.
    pub fn next_frame(&mut self) {
        self.frame += 1;
    }

    /// Forgets a region, and gives the state it was in, if it was there at all.
    pub fn forget(&mut self, region: u32) -> Option<State> {
        let at = self.regions.iter().position(|known| known.id == region)?;
        Some(self.regions.swap_remove(at).state)
    }

    /// Forgets each region for which `keep` says false.
    pub fn retain(&mut self, mut keep: impl FnMut(u32, State) -> bool) {
        self.regions.retain(|region| keep(region.id, region.state));
    }

    /// Forgets the regions that had no verdict in the last `frames` frames (the present one
    /// included), and tells of each, so that a raised one can be reported as gone.
    pub fn forget_unseen(&mut self, frames: u64, mut gone: impl FnMut(u32, State)) {
        let now = self.frame;
        self.regions.retain(|region| {
            let seen = now - region.last_seen < frames;
            if !seen {
                gone(region.id, region.state);
            }
            seen
        });
    }
}

impl WatchedRegion {
    fn update(&mut self, config: &WatchConfig, verdict: &Verdict) -> Transition {
        let (counts, k, n, next, transition) = match self.state {
            State::Watching => {
                (verdict.is_unknown(), config.raise_k, config.raise_n, State::Raised, Transition::Raised)
            }
            State::Raised => (
                !verdict.is_unknown() && verdict.relative_score() <= config.clear_ratio,
                config.clear_k,
                config.clear_n,
                State::Watching,
                Transition::Cleared,
            ),
        };
        let last_n = u64::MAX >> (64 - u32::from(n));
        self.history = (self.history << 1 | u64::from(counts)) & last_n;
        if self.history.count_ones() < u32::from(k) {
            return Transition::None;
        }
        self.history = 0;
        self.state = next;
        transition
    }
}

/// Why a watch cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchConfigError {
    /// "k of n" for raising makes no sense.
    Raise {
        /// How many unknown verdicts.
        k: u8,
        /// Of how many.
        n: u8,
    },
    /// "k of n" for clearing makes no sense.
    Clear {
        /// How many calm verdicts.
        k: u8,
        /// Of how many.
        n: u8,
    },
    /// The share of the threshold below which a verdict is calm is not above 0 and up to 1.
    ClearRatio,
}

impl fmt::Display for WatchConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, k, n) = match *self {
            Self::Raise { k, n } => ("raise", k, n),
            Self::Clear { k, n } => ("clear", k, n),
            Self::ClearRatio => {
                return f.write_str("the ratio for clearing must be above 0 and at most 1");
            }
        };
        write!(f, "cannot {what} at {k} of {n} verdicts: choose n from 1 to 64 and k from 1 to n")
    }
}

impl core::error::Error for WatchConfigError {}

/// A new region could not be watched, as there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionsFull {
    /// The region that found no room.
    pub region: u32,
    /// How many regions there is room for.
    pub capacity: usize,
}

impl fmt::Display for RegionsFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "region {} cannot be watched: there is room for {} regions", self.region, self.capacity)
    }
}

impl core::error::Error for RegionsFull {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::string::ToString;

    const THRESHOLD: f32 = 2.0;

    /// A verdict with this relative score.
    fn verdict(relative: f32) -> Verdict {
        judge(&[relative * THRESHOLD], THRESHOLD).unwrap()
    }

    fn config(raise: (u8, u8), clear: (u8, u8), clear_ratio: f32) -> WatchConfig {
        WatchConfig { raise_k: raise.0, raise_n: raise.1, clear_k: clear.0, clear_n: clear.1, clear_ratio }
    }

    /// The transitions of region 0: `^` raised, `v` cleared, `.` none.
    fn transitions(config: WatchConfig, relative_scores: &[f32]) -> std::string::String {
        let mut watch = Watch::<1>::new(config).unwrap();
        relative_scores
            .iter()
            .map(|&relative| match watch.update(0, &verdict(relative)).unwrap() {
                Transition::None => '.',
                Transition::Raised => '^',
                Transition::Cleared => 'v',
            })
            .collect()
    }

    #[test]
    fn one_of_one_follows_every_verdict() {
        let scores = [0.5, 2.0, 2.0, 0.5, 0.5, 2.0];
        assert_eq!(transitions(config((1, 1), (1, 1), 1.0), &scores), ".^.v.^");
    }

    #[test]
    fn a_single_odd_frame_raises_nothing() {
        let scores = [0.5, 3.0, 0.5, 0.5, 3.0, 0.5, 0.5, 0.5, 3.0];
        assert_eq!(transitions(WatchConfig::default(), &scores), ".........");
    }

    #[test]
    fn three_of_five_need_not_follow_each_other_nor_wait_for_the_fifth() {
        let config = config((3, 5), (5, 5), 0.9);
        assert_eq!(transitions(config, &[2.0, 0.5, 2.0, 0.5, 2.0]), "....^");
        assert_eq!(transitions(config, &[2.0, 2.0, 2.0]), "..^");
        // The first of these three is out of the window when the last comes.
        assert_eq!(transitions(config, &[2.0, 0.5, 0.5, 2.0, 0.5, 2.0]), "......");
    }

    #[test]
    fn scores_about_the_threshold_do_not_clear() {
        let config = config((2, 2), (2, 3), 0.8);
        let scores = [1.1, 1.1, 0.95, 0.95, 0.95, 0.85, 0.95, 0.8, 0.95, 0.8];
        assert_eq!(transitions(config, &scores), ".^.......v");
    }

    #[test]
    fn calm_from_before_raising_does_not_help_to_clear() {
        let config = config((2, 10), (3, 10), 1.0);
        let scores = [0.1, 0.1, 0.1, 0.1, 2.0, 2.0, 0.1, 0.1, 0.1];
        assert_eq!(transitions(config, &scores), ".....^..v");
        // And the unknown verdicts from before clearing do not raise again.
        let scores = [2.0, 2.0, 0.1, 0.1, 0.1, 2.0, 2.0];
        assert_eq!(transitions(config, &scores), ".^..v.^");
    }

    #[test]
    fn logits_that_are_not_finite_count_as_unknown_and_never_as_calm() {
        let mut watch = Watch::<1>::new(config((2, 2), (1, 1), 1.0)).unwrap();
        let broken = Verdict::not_finite(THRESHOLD);
        assert_eq!(watch.update(5, &broken), Ok(Transition::None));
        assert_eq!(watch.update(5, &broken), Ok(Transition::Raised));
        for _ in 0..100 {
            assert_eq!(watch.update(5, &broken), Ok(Transition::None));
        }
        assert_eq!(watch.state(5), State::Raised);
    }

    #[test]
    fn a_region_too_many_is_an_error_until_one_is_forgotten() {
        let mut watch = Watch::<2>::new(config((1, 1), (1, 1), 1.0)).unwrap();
        watch.update(10, &verdict(2.0)).unwrap();
        watch.update(20, &verdict(0.5)).unwrap();
        let full = RegionsFull { region: 30, capacity: 2 };
        assert_eq!(watch.update(30, &verdict(2.0)), Err(full));
        assert_eq!(full.to_string(), "region 30 cannot be watched: there is room for 2 regions");
        // The others go on.
        assert_eq!(watch.update(20, &verdict(2.0)), Ok(Transition::Raised));
        assert_eq!(watch.forget(10), Some(State::Raised));
        assert_eq!(watch.forget(10), None);
        assert_eq!(watch.update(30, &verdict(2.0)), Ok(Transition::Raised));
        watch.retain(|region, state| region == 30 && state == State::Raised);
        assert!(watch.regions().eq([(30, State::Raised)]));
    }

    #[test]
    fn regions_not_seen_for_long_are_forgotten_and_told_of() {
        let mut watch = Watch::<4>::new(config((1, 1), (1, 1), 1.0)).unwrap();
        watch.update(1, &verdict(2.0)).unwrap();
        watch.next_frame();
        watch.update(2, &verdict(0.5)).unwrap();
        watch.next_frame();
        watch.forget_unseen(3, |_, _| panic!("all were seen in the last three frames"));
        let mut gone = std::vec::Vec::new();
        watch.forget_unseen(2, |region, state| gone.push((region, state)));
        assert_eq!(gone, [(1, State::Raised)]);
        assert!(watch.regions().eq([(2, State::Watching)]));
        // Once forgotten, a region starts anew.
        assert_eq!(watch.state(1), State::Watching);
    }

    #[test]
    fn a_configuration_without_sense_is_refused() {
        let good = WatchConfig::default();
        assert_eq!(good.check(), Ok(()));
        for (k, n) in [(0, 5), (6, 5), (1, 0), (0, 0), (1, 65), (65, 65)] {
            let raise = config((k, n), (1, 1), 0.5);
            assert_eq!(raise.check(), Err(WatchConfigError::Raise { k, n }));
            let clear = config((1, 1), (k, n), 0.5);
            let error = Watch::<1>::new(clear).unwrap_err();
            assert_eq!(error, WatchConfigError::Clear { k, n });
        }
        for ratio in [0.0, -1.0, 1.01, f32::NAN, f32::INFINITY] {
            let bad = config((1, 1), (1, 1), ratio);
            assert_eq!(bad.check(), Err(WatchConfigError::ClearRatio));
        }
        assert_eq!(
            WatchConfigError::Raise { k: 6, n: 5 }.to_string(),
            "cannot raise at 6 of 5 verdicts: choose n from 1 to 64 and k from 1 to n"
        );
    }

    /// The rules as they are told: the whole history is kept, and counted anew each time.
    struct Naive {
        since_transition: std::vec::Vec<f32>,
        raised: bool,
    }

    impl Naive {
        fn update(&mut self, config: &WatchConfig, relative: f32) -> Transition {
            self.since_transition.push(relative);
            let (k, n) =
                if self.raised { (config.clear_k, config.clear_n) } else { (config.raise_k, config.raise_n) };
            let last_n = self.since_transition.iter().rev().take(n.into());
            let counted =
                last_n.filter(
                    |&&relative| {
                        if self.raised { relative <= config.clear_ratio } else { relative > 1.0 }
                    },
                );
            if counted.count() < k.into() {
                return Transition::None;
            }
            self.since_transition.clear();
            self.raised = !self.raised;
            if self.raised { Transition::Raised } else { Transition::Cleared }
        }
    }

    fn k_of_n() -> impl Strategy<Value = (u8, u8)> {
        prop_oneof![1u8..=8, 1u8..=64, Just(64u8)].prop_flat_map(|n| (1..=n).prop_map(move |k| (k, n)))
    }

    proptest! {
        #[test]
        fn it_does_what_the_naive_model_does(
            raise in k_of_n(),
            clear in k_of_n(),
            clear_ratio in prop::sample::select(&[0.25f32, 0.5, 1.0][..]),
            // Runs of like scores, so that long windows fill too.
            runs in vec(
                (0u32..4, prop::sample::select(&[0.1f32, 0.5, 0.75, 1.0, 1.5][..]), 1usize..40),
                1..40,
            ),
        ) {
            let config = config(raise, clear, clear_ratio);
            let mut watch = Watch::<4>::new(config).unwrap();
            let mut naive = HashMap::new();
            for (region, relative, length) in runs {
                let model = naive.entry(region).or_insert(Naive {
                    since_transition: std::vec::Vec::new(),
                    raised: false,
                });
                for _ in 0..length {
                    prop_assert_eq!(
                        watch.update(region, &verdict(relative)),
                        Ok(model.update(&config, relative))
                    );
                    prop_assert_eq!(watch.state(region) == State::Raised, model.raised);
                }
            }
        }
    }
}
