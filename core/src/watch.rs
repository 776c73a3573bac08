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
        Self {
            raise_k: 3,
            raise_n: 5,
            clear_k: 4,
            clear_n: 5,
            clear_ratio: 0.9,
        }
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
            return Err(WatchConfigError::Raise {
                k: self.raise_k,
                n: self.raise_n,
            });
        }
        if !fits(self.clear_k, self.clear_n) {
            return Err(WatchConfigError::Clear {
                k: self.clear_k,
                n: self.clear_n,
            });
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
        Ok(Self {
            config,
            regions: Vec::new(),
            frame: 0,
        })
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
                let new = WatchedRegion {
                    id: region,
                    state: State::Watching,
                    history: 0,
                    last_seen: self.frame,
                };
                self.regions.push(new).map_err(|_| RegionsFull {
                    region,
                    capacity: REGIONS,
                })?;
                self.regions.len() - 1
            }
        };
        self.regions[at].last_seen = self.frame;
        Ok(self.regions[at].update(&self.config, verdict))
    }

    /// Whether a region is raised.
    pub fn state(&self, region: u32) -> State {
        self.regions
            .iter()
            .find(|known| known.id == region)
            .map_or(State::Watching, |known| known.state)
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
            State::Watching => (
                verdict.is_unknown(),
                config.raise_k,
                config.raise_n,
                State::Raised,
                Transition::Raised,
            ),
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
        write!(
            f,
            "cannot {what} at {k} of {n} verdicts: choose n from 1 to 64 and k from 1 to n"
        )
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
        write!(
            f,
            "region {} cannot be watched: there is room for {} regions",
            self.region, self.capacity
        )
    }
}

impl core::error::Error for RegionsFull {}
