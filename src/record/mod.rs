//! What is left of what was seen: the event log with its crops ([`event_log`]), and
//! frames with boxes and labels drawn on them ([`annotate()`], [`AnnotatedFolder`]).

pub mod annotate;
pub mod annotated_folder;
pub mod event_log;
mod timestamp;

pub use annotate::{Label, annotate};
pub use annotated_folder::AnnotatedFolder;
pub use event_log::{CropFormat, EventLog, Judging, RecordError, Summary};
pub use timestamp::timestamp;
