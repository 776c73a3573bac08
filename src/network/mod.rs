//! The network: its file, running it with tract, and judging what it says of a picture.
//!
//! [`ModelFile`] is the ONNX file with its [`Metadata`]; [`Model`] is one made ready to run, and a
//! [`Session`] runs it; a [`Judge`] goes the whole way from a region of a picture to a verdict.
//! Where pictures come from and what is done about a verdict is decided elsewhere.

mod error;
mod golden;
mod guard;
mod integer;
mod judge;
mod layers;
pub mod metadata;
mod model;
mod model_file;

pub use error::ModelError;
pub use golden::GoldenResult;
pub use judge::{Crew, Judge, JudgeError, Judged, Judgement, Scoring, Timings};
pub use layers::LayerReport;
pub use metadata::Metadata;
pub use model::{Model, Outputs, Session};
pub use model_file::ModelFile;
pub use tract_onnx::pb::ModelProto;
