//! Pictures before the network: reading them, cutting regions out, bringing them to its size.
//! No tensors and no models in here.

mod picture_file;
mod preparer;
mod region;

pub use image::RgbImage;
pub use picture_file::{
    LARGEST_SIDE, PICTURE_EXTENSIONS, PictureError, decode_picture, is_picture, load_picture,
};
pub use preparer::Preparer;
pub use region::{Region, RegionError, RegionRule};
