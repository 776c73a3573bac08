//! Reads picture files into 8-bit RGB: one place for every format, depth and oddity, so that
//! training and runtime see the same pixels.

use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};
use std::io::{BufRead, Cursor, Seek};
use std::path::{Path, PathBuf};

/// Larger pictures than this, on either side, are refused before they are decoded.
pub const LARGEST_SIDE: u32 = 16_384;

/// What decoding one picture may allocate, in bytes.
const LARGEST_ALLOCATION: u64 = 512 * 1024 * 1024;

/// Endings of the files that are taken for pictures, lower case.
pub const PICTURE_EXTENSIONS: [&str; 12] =
    ["jpg", "jpeg", "png", "gif", "webp", "bmp", "ppm", "pgm", "pbm", "pnm", "tif", "tiff"];

/// Why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file cannot be opened or read.
    #[error("cannot read '{path}': {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The file is no picture, or a broken one.
    #[error("'{path}' is not a usable picture: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: Box<PictureError>,
    },
    /// Nothing in it.
    #[error("it is empty (0 bytes)")]
    Empty,
    /// Not one of the formats.
    #[error("its contents are none of JPEG, PNG, GIF, WebP, BMP, PNM, TIFF")]
    UnknownFormat,
    /// More pixels than is sensible on a board.
    #[error(
        "it is {width}×{height}, larger than {LARGEST_SIDE} pixels a side or too large for memory: scale it down first"
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Truncated or damaged.
    #[error("it is truncated or damaged ({0})")]
    Damaged(String),
    /// A region that is not inside the picture.
    #[error("the region {region} is not inside the picture of {width}×{height} pixels")]
    Region {
        /// The region, for people.
        region: String,
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
    },
    /// Resizing failed.
    #[error("cannot resize: {0}")]
    Resize(String),
}

/// Whether a file's ending is that of a picture.
pub fn is_picture(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| PICTURE_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

/// Reads a picture as 8-bit RGB.
///
/// 16-bit samples are scaled, CMYK and greyscale converted, transparency laid over black, the EXIF
/// orientation applied; of an animation the first frame is taken. The contents decide the format,
/// not the file's ending.
///
/// # Errors
/// If the file cannot be read, is no picture, is damaged or truncated, or too large.
pub fn load_picture(path: &Path) -> Result<RgbImage, PictureError> {
    let bytes =
        std::fs::read(path).map_err(|source| PictureError::Read { path: path.to_path_buf(), source })?;
    decode_picture(&bytes).map_err(|why| PictureError::File { path: path.to_path_buf(), why: Box::new(why) })
}

/// The same from bytes in memory.
///
/// # Errors
/// As [`load_picture`].
pub fn decode_picture(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    if bytes.is_empty() {
        return Err(PictureError::Empty);
    }
    let (width, height) = reader(bytes)?.into_dimensions().map_err(damaged)?;
    if width == 0 || height == 0 {
        return Err(PictureError::Damaged("it has no pixels".to_string()));
    }
    let too_large = || PictureError::TooLarge { width, height };
    if width > LARGEST_SIDE
        || height > LARGEST_SIDE
        || u64::from(width) * u64::from(height) * 4 > LARGEST_ALLOCATION
    {
        return Err(too_large());
    }
    if is_truncated_jpeg(bytes) {
        return Err(PictureError::Damaged("the JPEG has no end".to_string()));
    }
    let mut reader = reader(bytes)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(LARGEST_ALLOCATION);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let orientation = decoder.orientation().map_err(damaged)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| match error {
        image::ImageError::Limits(_) => too_large(),
        other => damaged(other),
    })?;
    picture.apply_orientation(orientation);
    Ok(flatten(picture))
}

fn reader(bytes: &[u8]) -> Result<ImageReader<impl BufRead + Seek>, PictureError> {
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| PictureError::Damaged(error.to_string()))?;
    if reader.format().is_none() {
        return Err(PictureError::UnknownFormat);
    }
    Ok(reader)
}

fn damaged(error: image::ImageError) -> PictureError {
    PictureError::Damaged(error.to_string())
}

/// A JPEG must come to the end-of-image marker (padding and trailing data may follow). The decoder
/// itself fills what is missing with grey, which would then be scored as if it had been seen.
fn is_truncated_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8]) && !comes_to_its_end(bytes)
}

/// Whether a walk from marker to marker comes to the end of the image. The end of a thumbnail, which
/// cameras put into a segment at the beginning, is passed over with its segment.
fn comes_to_its_end(jpeg: &[u8]) -> bool {
    // In compressed data 0xFF 0x00 is a byte of it, and 0xD0 to 0xD7 only restart the decoder.
    let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xD0..=0xD7 | 0xFF);
    let mut rest = jpeg.get(2..).unwrap_or_default();
    while let Some(at) = rest.windows(2).position(is_marker) {
        if rest[at + 1] == 0xD9 {
            return true;
        }
        let length = rest.get(at + 2..at + 4).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        rest = rest.get(at + 2 + usize::from(length)..).unwrap_or_default();
    }
    false
}

/// 8-bit RGB, transparency laid over black.
fn flatten(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (from, to) in rgba.pixels().zip(rgb.pixels_mut()) {
        let [red, green, blue, alpha] = from.0;
        to.0 = [red, green, blue].map(|value| ((u16::from(value) * u16::from(alpha) + 127) / 255) as u8);
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Luma, Rgb, Rgba};

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn gradient() -> DynamicImage {
        RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8 * 6, y as u8 * 8, (x * y % 256) as u8])).into()
    }

    #[test]
    fn lossless_formats_keep_the_pixels() {
        for format in
            [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Pnm, ImageFormat::Tiff, ImageFormat::WebP]
        {
            let decoded = decode_picture(&encoded(&gradient(), format)).unwrap();
            assert_eq!(decoded, gradient().into_rgb8(), "{format:?}");
        }
    }

    #[test]
    fn sixteen_bits_are_scaled() {
        let deep = image::ImageBuffer::from_fn(2, 1, |x, _| Luma([if x == 0 { 0u16 } else { 65_535 }]));
        let decoded = decode_picture(&encoded(&DynamicImage::ImageLuma16(deep), ImageFormat::Png)).unwrap();
        assert_eq!(decoded.get_pixel(0, 0).0, [0; 3]);
        assert_eq!(decoded.get_pixel(1, 0).0, [255; 3]);
    }

    #[test]
    fn transparency_is_laid_over_black() {
        let half = image::RgbaImage::from_pixel(1, 1, Rgba([200, 100, 0, 128]));
        let decoded = decode_picture(&encoded(&half.into(), ImageFormat::Png)).unwrap();
        assert_eq!(decoded.get_pixel(0, 0).0, [100, 50, 0]);
    }

    #[test]
    fn truncation_anywhere_is_an_error() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif] {
            let picture =
                if format == ImageFormat::Gif { gradient().into_rgba8().into() } else { gradient() };
            let bytes = encoded(&picture, format);
            assert!(decode_picture(&bytes).is_ok());
            for length in 0..bytes.len() - 2 {
                // GIF and PNG may lose their trailer without losing a pixel.
                if let Ok(decoded) = decode_picture(&bytes[..length]) {
                    assert_eq!(decoded, decode_picture(&bytes).unwrap(), "{format:?} cut at {length}");
                }
            }
        }
    }

    #[test]
    fn a_thumbnail_s_end_is_not_that_of_the_picture() {
        let jpeg = encoded(&gradient(), ImageFormat::Jpeg);
        // As cameras have it: a segment (APP1) with a small JPEG in it, first of all.
        let length = (jpeg.len() as u16 + 2).to_be_bytes();
        let with_thumbnail = [&[0xFF, 0xD8, 0xFF, 0xE1][..], &length[..], &jpeg[..], &jpeg[2..]].concat();
        assert_eq!(decode_picture(&with_thumbnail).unwrap(), decode_picture(&jpeg).unwrap());
        let cut = &with_thumbnail[..with_thumbnail.len() - jpeg.len() / 3];
        assert!(matches!(decode_picture(cut), Err(PictureError::Damaged(_))));
        let padded = [&with_thumbnail[..], &[0; 100][..]].concat();
        assert_eq!(decode_picture(&padded).unwrap(), decode_picture(&jpeg).unwrap());
    }

    #[test]
    fn nonsense_has_a_clear_error() {
        assert!(matches!(decode_picture(&[]), Err(PictureError::Empty)));
        assert!(matches!(decode_picture(b"hello, world"), Err(PictureError::UnknownFormat)));
        let wide = RgbImage::new(LARGEST_SIDE + 1, 1);
        let bytes = encoded(&wide.into(), ImageFormat::Png);
        assert!(matches!(decode_picture(&bytes), Err(PictureError::TooLarge { .. })));
    }
}
