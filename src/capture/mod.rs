//! Frames from wherever they come: picture files, videos, cameras. This module only delivers
//! pictures; which part of one is looked at, and what is seen there, is decided elsewhere.

mod avi;
mod camera_options;
pub mod colour;
mod embedded;
mod ffmpeg;
mod frame;
mod live;
mod mjpeg;
mod moment;
mod pictures;
mod source;
#[cfg(feature = "v4l")]
mod v4l2;
mod y4m;

pub use camera_options::{CameraFormat, ControlSetting, SourceOptions};
pub use embedded::Embedded;
pub use frame::{Frame, Skipped};
pub use live::{Live, back_off};
pub use moment::{Moment, boot_id, clock_is_set, has_battery, uptime};
pub use source::{CaptureError, Source};
#[cfg(feature = "v4l")]
pub use v4l2::{CameraInfo, Control, ControlKind, Offer, OfferedSize, cameras};
