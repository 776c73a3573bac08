//! Thumbnails: a crop as it is if it is small, or else made small.

use anchorwatch_serve::Answer;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageError, ImageFormat};
use std::io;
use std::path::Path;

/// Pixels of a thumbnail's longer side; twice what the page shows, for screens with small pixels.
const SIDE: u32 = 224;
const QUALITY: u8 = 82;

/// A crop's file.
pub(crate) fn whole(path: &Path) -> io::Result<Answer> {
    std::fs::read(path).map(picture)
}

/// A crop of this size in pixels, made small.
pub(crate) fn thumbnail(path: &Path, size: [u32; 2]) -> io::Result<Answer> {
    let bytes = std::fs::read(path)?;
    if size.iter().all(|length| *length <= SIDE) {
        return Ok(picture(bytes));
    }
    smaller(&bytes).map(picture).map_err(io::Error::other)
}

fn smaller(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
    let small = image::load_from_memory(bytes)?.thumbnail(SIDE, SIDE).into_rgb8();
    let mut made = Vec::new();
    small.write_with_encoder(JpegEncoder::new_with_quality(&mut made, QUALITY))?;
    Ok(made)
}

fn picture(body: Vec<u8>) -> Answer {
    let kind = match image::guess_format(&body) {
        Ok(ImageFormat::Png) => "image/png",
        _ => "image/jpeg",
    };
    Answer { status: 200, kind, body }
}
