//! One frame, and the note that is left of one that could not be had.

use super::moment::Moment;
use image::RgbImage;

/// A picture with where and when it was taken.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The pixels.
    pub picture: RgbImage,
    /// Number of the frame in its source, from 0. Frames that were skipped have numbers too.
    pub index: u64,
    /// What it is a picture of, for people and logs: a file's path or a device's name.
    pub name: String,
    /// When it was read; for a camera, when it was taken.
    pub captured: Moment,
}

/// A picture or frame that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The file, or the frame of a video.
    pub path: String,
    /// The reason.
    pub why: String,
}
