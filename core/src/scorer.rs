//! The scorer: from logits to a verdict, against any centres. For anchors that were never
//! replaced by class means, `anchor_scorer` does the same in O(N).

use core::fmt;

use crate::centres::Centres;
use crate::distance::{distances, redo, trusted};
use crate::kernel::Kernel;
use crate::rejection::judge_finite;
use crate::verdict::Verdict;

/// Judges logits by their distances to the class centres.
///
/// It holds no buffers: the caller lends room for the distances, which are of use by
/// themselves (say, for a table of all classes).
#[derive(Clone, Copy, Debug)]
pub struct Scorer<'a> {
    centres: Centres<'a>,
    kernel: Kernel,
}

impl<'a> Scorer<'a> {
    /// A scorer with the fastest instructions of this processor.
    pub fn new(centres: Centres<'a>) -> Self {
        Self {
            centres,
            kernel: Kernel::detect(),
        }
    }

    /// A scorer with the given instructions; `None` when this processor does not have them.
    pub fn with_kernel(centres: Centres<'a>, kernel: Kernel) -> Option<Self> {
        kernel.is_available().then_some(Self { centres, kernel })
    }

    /// The centres it measures from.
    pub fn centres(&self) -> Centres<'a> {
        self.centres
    }

    /// The instructions it computes with.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Judges one vector of N `logits`, and writes its distances to the M centres.
    ///
    /// The distances are always finite, unless the logits are not: then the verdict is unknown
    /// without a class, and the distances are NaN.
    ///
    /// # Errors
    ///
    /// When `logits` is not N long, `distances` is not M long, or `threshold` is NaN.
    pub fn score(
        &self,
        logits: &[f32],
        threshold: f32,
        distances: &mut [f32],
    ) -> Result<Verdict, ScoreError> {
        check_length(self.centres.logits(), logits.len(), |expected, got| {
            ScoreError::Logits { expected, got }
        })?;
        self.check_distances(1, distances)?;
        check_threshold(threshold)?;
        crate::distance::distances(self.kernel, &self.centres, logits, distances);
        Ok(self.verdict(logits, threshold, distances))
    }

    /// Judges B vectors at once: `logits` is B×N, `distances` B×M, and B is the length of
    /// `verdicts`. Faster than one after the other when the centres do not fit into the
    /// processor's cache. B may be 0.
    ///
    /// Each verdict is what [`score`](Self::score) gives, within the tolerance stated in the
    /// [crate docs](crate).
    ///
    /// # Errors
    ///
    /// When a length does not fit, or `threshold` is NaN.
    pub fn score_batch(
        &self,
        logits: &[f32],
        threshold: f32,
        distances: &mut [f32],
        verdicts: &mut [Verdict],
    ) -> Result<(), ScoreError> {
        let (n, m) = (self.centres.logits(), self.centres.classes());
        let expected = verdicts.len().saturating_mul(n);
        check_length(expected, logits.len(), |expected, got| ScoreError::Logits {
            expected,
            got,
        })?;
        self.check_distances(verdicts.len(), distances)?;
        check_threshold(threshold)?;
        self::distances(self.kernel, &self.centres, logits, distances);
        let rows = logits.chunks_exact(n).zip(distances.chunks_exact_mut(m));
        for (verdict, (logits, distances)) in verdicts.iter_mut().zip(rows) {
            *verdict = self.verdict(logits, threshold, distances);
        }
        Ok(())
    }

    /// The verdict on the distances of one vector, after those that f32 could not hold have
    /// been computed again.
    fn verdict(&self, logits: &[f32], threshold: f32, distances: &mut [f32]) -> Verdict {
        if trusted(distances) || redo(&self.centres, logits, distances) {
            judge_finite(self.kernel, distances, threshold)
        } else {
            Verdict::not_finite(threshold)
        }
    }

    fn check_distances(&self, vectors: usize, distances: &[f32]) -> Result<(), ScoreError> {
        let expected = vectors.saturating_mul(self.centres.classes());
        check_length(expected, distances.len(), |expected, got| {
            ScoreError::Distances { expected, got }
        })
    }
}

/// Both scorers' check of one length.
pub(crate) fn check_length(
    expected: usize,
    got: usize,
    error: fn(usize, usize) -> ScoreError,
) -> Result<(), ScoreError> {
    if expected == got {
        Ok(())
    } else {
        Err(error(expected, got))
    }
}

/// Both scorers' check of the threshold: no score is larger than NaN, so it would make
/// everything known.
pub(crate) fn check_threshold(threshold: f32) -> Result<(), ScoreError> {
    if threshold.is_nan() {
        Err(ScoreError::ThresholdNotANumber)
    } else {
        Ok(())
    }
}

/// Why something cannot be scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreError {
    /// Another number of logits than the centres have.
    Logits {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// Room for another number of distances than there are classes.
    Distances {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// Room for another number of rejection scores than there are distances.
    Scores {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// There is no distance, so no class.
    NoDistances,
    /// The threshold is NaN.
    ThresholdNotANumber,
}

impl fmt::Display for ScoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Logits { expected, got } => {
                write!(f, "expected {expected} logits, got {got}")
            }
            Self::Distances { expected, got } => {
                write!(f, "expected room for {expected} distances, got {got}")
            }
            Self::Scores { expected, got } => {
                write!(
                    f,
                    "expected room for {expected} rejection scores, got {got}"
                )
            }
            Self::NoDistances => f.write_str("there is no distance to judge"),
            Self::ThresholdNotANumber => {
                f.write_str("the threshold is not a number: calibrate the model again")
            }
        }
    }
}

impl core::error::Error for ScoreError {}
