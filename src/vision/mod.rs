//! Pictures before the network: reading them, cutting regions out, bringing them to its size.
//! No tensors and no models in here.

mod motion;
mod picture_file;
mod preparer;
pub mod proposals;
mod region;
mod region_finder;
mod tracker;

pub use image::RgbImage;
pub use motion::{MotionFinder, MotionRule};
pub use picture_file::{
    LARGEST_SIDE, PICTURE_EXTENSIONS, PictureError, decode_picture, is_picture, load_picture,
};
pub use preparer::Preparer;
pub use region::{Region, RegionError, RegionRule};
pub use region_finder::RegionFinder;
pub use tracker::{MOST_MISSED, Tracker};
