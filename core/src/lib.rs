//! Class Anchor Clustering (CAC) at run time: from a network's logits to "known" or "never seen".
//!
//! The parts, in the order in which a frame meets them:
//!
//! - [`Centres`]: one centre a class in logit space (M×N), borrowed from the model.
//! - [`Scorer`]: distances to all centres and the verdict, with AVX2 or NEON where the
//!   processor has them; [`AnchorScorer`] is the O(N) form for anchors that were never replaced
//!   by class means.
//! - [`FixedScorer`]: the same in whole numbers, for microcontrollers without floating point.
//! - [`Verdict`]: the class, the rejection score, the runner-up, and known or unknown with the
//!   reason.
//! - [`Watch`]: raises a region only when k of its last n frames are unknown, and clears it
//!   with hysteresis.
//!
//! The method is that of Miller, Sünderhauf, Milford and Dayoub, *Class Anchor Clustering: a
//! Loss for Distance-based Open Set Recognition* (WACV 2021), section 3. What is not here: the
//! network, its training, and anything that needs an operating system or a heap. The crate is
//! `no_std` and allocates nothing, so the same code judges on a board and on a microcontroller.
//!
//! # Direction of the score
//!
//! A larger rejection score means *more unknown*. Known is `score ≤ threshold`.
//!
//! # How exact the answers are
//!
//! All arithmetic is f32 with a few sums side by side, in an order that depends on the
//! [`Kernel`]. Always: finite logits give finite distances and a finite score.
//!
//! - A distance is within a share of `δ = (N/8 + 5)·2⁻²⁴` of the exact one (4·10⁻⁷ at N = 10),
//!   whatever its size: one that would overflow or vanish in f32 is computed again in f64, and
//!   one larger than [`f32::MAX`] is given as that (and such centres count as equally far).
//! - The softmin turns an error of the distances into one of its exponents. So the rejection
//!   score is within a share of `ε = (M/8 + 16)·2⁻²⁴ + δ·(8 + 3·d)` of the exact one, d being the
//!   distance to the runner-up, as long as that share is small (2·10⁻⁵ at M = N = 10 and d = 15).
//!
//! Two kernels can therefore disagree on known or unknown only when the score is within that
//! share of the threshold, and on the class only when two centres are equally near within
//! `2·δ`. The same kernel gives the same answer always.
//!
//! # Features
//!
//! `std`: finds out at run time whether an x86 processor has AVX2 and FMA. Without it, these
//! are used only when the crate is compiled for them. NEON is always used on aarch64.
//!
//! `link`: the protocol between the runtime and the companion firmware, in `link`.
//!
//! # Example
//!
//! ```
//! use anchorwatch_core::{Centres, Outcome, Reason, Scorer};
//!
//! // Three classes, two logits.
//! let means = [5.0, 0.0, 0.0, 5.0, -4.0, -4.0];
//! let scorer = Scorer::new(Centres::new(&means, 2)?);
//! let mut distances = [0.0; 3];
//!
//! let known = scorer.score(&[4.8, 0.1], 1.0, &mut distances)?;
//! assert_eq!((known.outcome, known.class), (Outcome::Known, Some(0)));
//!
//! let unknown = scorer.score(&[0.5, 0.5], 1.0, &mut distances)?;
//! assert_eq!(unknown.outcome, Outcome::Unknown(Reason::ScoreAboveThreshold));
//! assert!(unknown.relative_score() > 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]

#[cfg(any(test, feature = "std"))]
extern crate std;

mod anchor_scorer;
mod centres;
mod distance;
mod exponential;
mod fixed_scorer;
mod kernel;
#[cfg(feature = "link")]
pub mod link;
#[cfg(test)]
mod reference;
mod rejection;
mod scorer;
mod verdict;
mod watch;

pub use anchor_scorer::{AnchorError, AnchorScorer};
pub use centres::{Centres, CentresError};
pub use fixed_scorer::{FRACTION_BITS, FixedCentres, FixedScorer, to_fixed};
pub use kernel::Kernel;
pub use rejection::{judge, rejection_scores};
pub use scorer::{ScoreError, Scorer};
pub use verdict::{Outcome, Reason, Verdict};
pub use watch::{RegionsFull, State, Transition, Watch, WatchConfig, WatchConfigError};
