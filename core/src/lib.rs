//! Class Anchor Clustering (CAC) at run time: from a network's logits to "known" or "never seen".
//!
//! The parts, in the order in which a frame meets them:
//!
//! - [`Centres`]: one centre a class in logit space (M×N), borrowed from the model.
//! - [`Scorer`]: distances to all centres and the verdict, with AVX2 or NEON where the
//!   processor has them; [`AnchorScorer`] is the O(N) form for anchors that were never replaced
//!   by class means.
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
//! All arithmetic is f32 with a few parallel sums, in an order that depends on the
//! [`Kernel`]. For N logits a distance differs from the exact one by a share of at most
//! `δ = (N/4 + 8)·2⁻²⁴` (6·10⁻⁷ at N = 10), whatever its size: results that would overflow or
//! vanish in f32 are computed again in f64, and what is larger than [`f32::MAX`] is
//! given as [`f32::MAX`]. The softmin turns an error of the distances into an error of its
//! exponents, so a rejection score γ is within a share of `4·10⁻⁶ + δ·(4 + 4·d)` of the exact
//! one, d being the distance to the runner-up (4·10⁻⁵ at N = 10 and d = 15). Two kernels can
//! therefore give different outcomes only when the score is within twice that share of the
//! threshold; and different classes only when two centres are equally near within `2·δ`.
//!
//! # Features
//!
//! `std`: finds out at run time whether an x86 processor has AVX2 and FMA. Without it, these
//! are used only when the crate is compiled for them. NEON is always used on aarch64.
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
mod kernel;
mod rejection;
mod scorer;
mod verdict;
mod watch;

pub use anchor_scorer::{AnchorError, AnchorScorer};
pub use centres::{Centres, CentresError};
pub use kernel::Kernel;
pub use rejection::{judge, rejection_scores};
pub use scorer::{ScoreError, Scorer};
pub use verdict::{Outcome, Reason, Verdict};
pub use watch::{RegionsFull, State, Transition, Watch, WatchConfig, WatchConfigError};
