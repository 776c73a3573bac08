//! Looking through a field log: what was unknown is grouped by look ([`grouping`]), shown as contact sheets
//! on a local page, labelled with a few keys, and exported as a training folder ([`export_folder`]).
//! [`Session::start`] serves the page; `docs/review.md` is its manual.
//!
//! It records nothing and trains nothing: it reads a store that `anchorwatch-store` keeps, and marks events
//! in it. A run may record into the same store meanwhile.

pub mod agreement;
mod class_names;
mod desk;
pub mod directions;
mod export;
mod families;
pub mod grouping;
mod pages;
mod picture;
mod session;
mod sheets;
mod things;
mod undo;

pub use export::{ExportError, Exported, export_folder};
pub use session::{ReviewError, ReviewOptions, Session};
