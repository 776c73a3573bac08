//! How well a model tells the known from the unknown, measured on labelled pictures: the figures
//! of the open-set literature. Where the scores come from is the caller's affair.
//!
//! Direction, everywhere: a larger score means *more unknown*.

mod calibrated;
mod class_thresholds;
mod enrolment;
mod figures;
mod metrics;

pub use calibrated::{Promise, Weighted};
pub use class_thresholds::{FEWEST, class_thresholds, pictures_needed};
pub use enrolment::{Enrolment, EnrolmentError};
pub use figures::{Figures, KnownPicture};
pub use metrics::{auroc, fpr_at_tpr, oscr, threshold_for_tpr};
