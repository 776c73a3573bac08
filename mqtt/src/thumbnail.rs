//! Small pictures of crops, and a first look at pictures from outside.

use anchorwatch_store::{Crop, Picture};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Good enough to be recognised, and a tenth of the crop.
const QUALITY: u8 = 80;
/// No crop is larger; a damaged or hostile file may claim to be.
const LARGEST_SIDE: u32 = 16_384;

/// A JPEG of at most `side` pixels on its longer side; a JPEG that is small already stays as it is.
///
/// # Errors
/// If it is no picture that can be read: the reason.
pub(crate) fn thumbnail(bytes: Vec<u8>, side: u32) -> Result<Vec<u8>, String> {
    let mut reader = reader(&bytes)?;
    let format = reader.format();
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    reader.limits(limits);
    let whole = reader.decode().map_err(|error| error.to_string())?;
    if whole.width().max(whole.height()) <= side && format == Some(ImageFormat::Jpeg) {
        return Ok(bytes);
    }
    let small = if whole.width().max(whole.height()) <= side {
        whole
    } else {
        whole.resize(side, side, FilterType::Triangle)
    };
    let mut out = Vec::new();
    let small = DynamicImage::ImageRgb8(small.into_rgb8());
    small
        .write_with_encoder(JpegEncoder::new_with_quality(&mut out, QUALITY))
        .map_err(|error| error.to_string())?;
    Ok(out)
}

/// A picture from outside as the store takes it: its format and size are read from its beginning.
///
/// # Errors
/// If it is neither JPEG nor PNG, or of no sensible size: the reason.
pub(crate) fn crop_of(bytes: &[u8]) -> Result<Crop, String> {
    let reader = reader(bytes)?;
    let picture = match reader.format() {
        Some(ImageFormat::Jpeg) => Picture::Jpeg,
        Some(ImageFormat::Png) => Picture::Png,
        _ => return Err("it is neither JPEG nor PNG".to_string()),
    };
    let (width, height) = reader.into_dimensions().map_err(|error| error.to_string())?;
    if width == 0 || height == 0 || width.max(height) > LARGEST_SIDE {
        return Err(format!("a picture of {width}×{height} pixels is not taken"));
    }
    Ok(Crop { bytes: bytes.to_vec(), picture, size: [width, height] })
}

fn reader(bytes: &[u8]) -> Result<ImageReader<Cursor<&[u8]>>, String> {
    ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 90]));
        let mut out = Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(image).write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    #[test]
    fn large_pictures_become_small_ones_of_the_same_shape() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let small = thumbnail(picture(400, 100, format), 160).unwrap();
            let crop = crop_of(&small).unwrap();
            assert_eq!((crop.size, crop.picture), ([160, 40], Picture::Jpeg));
        }
        let small = picture(100, 160, ImageFormat::Jpeg);
        assert_eq!(thumbnail(small.clone(), 160).unwrap(), small);
        let converted = thumbnail(picture(8, 6, ImageFormat::Png), 160).unwrap();
        assert_eq!(crop_of(&converted).unwrap().size, [8, 6]);
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let whole = picture(64, 64, ImageFormat::Png);
        for damaged in [&b""[..], b"x", b"\xff\xd8\xff", &whole[..20], b"GIF89a\x01\x00\x01\x00"] {
            assert!(crop_of(damaged).is_err());
            assert!(thumbnail(damaged.to_vec(), 16).is_err());
        }
        assert!(thumbnail(whole[..60].to_vec(), 16).is_err(), "torn in the middle");
        // A PNG that claims to be 2^31 pixels wide.
        let mut huge = whole.clone();
        huge[16..20].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        assert!(crop_of(&huge).is_err());
    }
}
