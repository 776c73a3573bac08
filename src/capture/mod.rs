//! Frames from wherever they come: picture files, videos, cameras. This module only delivers
//! pictures; which part of one is looked at, and what is seen there, is decided elsewhere.

mod avi;
mod colour;
mod embedded;
mod ffmpeg;
mod frame;
mod mjpeg;
mod pictures;
mod source;
#[cfg(feature = "v4l")]
mod v4l2;
mod y4m;

pub use embedded::Embedded;
pub use frame::{Frame, Skipped};
pub use source::{CaptureError, Source, SourceOptions};
