//! Camera and video pixels to RGB. The arithmetic is that of the `yuv` crate, which has SIMD for every
//! processor; here are the layouts.
//!
//! ITU-R BT.601, as cameras and uncompressed video use it: luma 16 to 235 and chroma 16 to 240
//! ("limited"), or 0 to 255 ("full", as in JPEG). Chroma is repeated, not interpolated.

use image::RgbImage;
use image::imageops::crop_imm;
use std::borrow::Cow;
use yuv::{
    YuvBiPlanarImage, YuvConversionMode, YuvError, YuvPackedImage, YuvPlanarImage, YuvRange,
    YuvStandardMatrix,
};

/// Which numbers stand for black and white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// Luma 16 to 235, chroma 16 to 240.
    Limited,
    /// 0 to 255.
    Full,
}

/// How many luma samples one chroma sample covers, across and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subsampling {
    /// 1×1
    S444,
    /// 2×1
    S422,
    /// 2×2
    S420,
    /// 4×1
    S411,
}

impl Subsampling {
    /// Columns and rows of a chroma plane.
    pub(super) fn chroma_size(self, width: u32, height: u32) -> [usize; 2] {
        let [across, down] = match self {
            Subsampling::S444 => [1, 1],
            Subsampling::S422 => [2, 1],
            Subsampling::S420 => [2, 2],
            Subsampling::S411 => [4, 1],
        };
        [width.div_ceil(across) as usize, height.div_ceil(down) as usize]
    }
}

const BT601: YuvStandardMatrix = YuvStandardMatrix::Bt601;

/// Three planes, rows without padding. `None` if there are too few bytes.
pub(super) fn planar(
    bytes: &[u8],
    width: u32,
    height: u32,
    subsampling: Subsampling,
    range: Range,
) -> Option<RgbImage> {
    let [columns, rows] = subsampling.chroma_size(width, height);
    let (luma, chroma) = bytes.split_at_checked(width as usize * height as usize)?;
    let (blue, red) = chroma.get(..2 * columns * rows)?.split_at(columns * rows);
    // There is no conversion of 4:1:1: to 4:2:2 first.
    let half = width.div_ceil(2) as usize;
    let double = |plane: &[u8]| -> Vec<u8> {
        plane
            .chunks_exact(columns)
            .flat_map(|row| row.iter().flat_map(|&sample| [sample; 2]).take(half))
            .collect()
    };
    let doubled = (subsampling == Subsampling::S411).then(|| [double(blue), double(red)]);
    let (blue, red, columns) = match &doubled {
        Some([blue, red]) => (&blue[..], &red[..], half),
        None => (blue, red, columns),
    };
    let planes = YuvPlanarImage {
        y_plane: luma,
        y_stride: width,
        u_plane: blue,
        u_stride: columns as u32,
        v_plane: red,
        v_stride: columns as u32,
        width,
        height,
    };
    let range = match range {
        Range::Limited => YuvRange::Limited,
        Range::Full => YuvRange::Full,
    };
    picture(width, height, |rgb, stride| match subsampling {
        Subsampling::S444 => yuv::yuv444_to_rgb(&planes, rgb, stride, range, BT601),
        Subsampling::S420 => yuv::yuv420_to_rgb(&planes, rgb, stride, range, BT601),
        Subsampling::S422 | Subsampling::S411 => yuv::yuv422_to_rgb(&planes, rgb, stride, range, BT601),
    })
}

/// Luma only, taken as full range (which is how cameras give GREY and ffmpeg writes `Cmono`).
/// `stride` is the number of bytes from one row to the next. `None` if there are too few bytes.
pub fn grey(bytes: &[u8], width: u32, height: u32, stride: usize) -> Option<RgbImage> {
    has_rows(bytes, stride, height as usize, width as usize)?;
    let rows = bytes.chunks(stride).take(height as usize);
    let levels = rows.flat_map(|row| row[..width as usize].iter().flat_map(|&level| [level; 3]));
    RgbImage::from_raw(width, height, levels.collect())
}

/// `Y0 U Y1 V` packed (V4L2 `YUYV`), limited range. `None` if there are too few bytes.
pub fn yuyv(bytes: &[u8], width: u32, height: u32, stride: usize) -> Option<RgbImage> {
    has_rows(bytes, stride, height as usize, width.div_ceil(2) as usize * 4)?;
    let bytes = padded(bytes, stride, height);
    // Pixels come in pairs: of an odd number, the last one has a partner that is cut off again.
    let even = width.next_multiple_of(2);
    let packed = YuvPackedImage { yuy: &bytes, yuy_stride: stride as u32, width: even, height };
    let picture = picture(even, height, |rgb, stride| {
        yuv::yuyv422_to_rgb(&packed, rgb, stride, YuvRange::Limited, BT601)
    })?;
    Some(if even == width { picture } else { crop_imm(&picture, 0, 0, width, height).to_image() })
}

/// A luma plane, then one plane of U and V interleaved at half the size (V4L2 `NV12`), limited
/// range. `None` if there are too few bytes.
pub fn nv12(bytes: &[u8], width: u32, height: u32, stride: usize) -> Option<RgbImage> {
    let (luma, chroma) = bytes.split_at_checked(stride.checked_mul(height as usize)?)?;
    has_rows(luma, stride, height as usize, width as usize)?;
    has_rows(chroma, stride, height.div_ceil(2) as usize, width.div_ceil(2) as usize * 2)?;
    let chroma = padded(chroma, stride, height.div_ceil(2));
    let planes = YuvBiPlanarImage {
        y_plane: luma,
        y_stride: stride as u32,
        uv_plane: &chroma,
        uv_stride: stride as u32,
        width,
        height,
    };
    picture(width, height, |rgb, stride| {
        yuv::yuv_nv12_to_rgb(&planes, rgb, stride, YuvRange::Limited, BT601, YuvConversionMode::Balanced)
    })
}

/// A picture that is filled by a conversion; `None` if that finds something wrong with its input.
fn picture(
    width: u32,
    height: u32,
    convert: impl FnOnce(&mut [u8], u32) -> Result<(), YuvError>,
) -> Option<RgbImage> {
    let mut rgb = RgbImage::new(width, height);
    convert(&mut rgb, 3 * width).ok()?;
    Some(rgb)
}

/// Whether there are so many rows of so many bytes; the last one needs no padding.
fn has_rows(bytes: &[u8], stride: usize, rows: usize, row: usize) -> Option<()> {
    let needed = stride.checked_mul(rows.checked_sub(1)?)?.checked_add(row)?;
    (row <= stride && needed <= bytes.len()).then_some(())
}

/// The rows with the padding of the last one, if that is missing.
fn padded(bytes: &[u8], stride: usize, rows: u32) -> Cow<'_, [u8]> {
    let needed = stride * rows as usize;
    if bytes.len() >= needed {
        return Cow::Borrowed(&bytes[..needed]);
    }
    let mut whole = bytes.to_vec();
    whole.resize(needed, 0);
    Cow::Owned(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How far a level may be from the exact one: SIMD versions round products to 16 bits.
    const TOLERANCE: f64 = 3.0;

    /// ITU-R BT.601 in floating point.
    fn exact([luma, blue_difference, red_difference]: [u8; 3], range: Range) -> [f64; 3] {
        let (y, scale) = match range {
            Range::Limited => ((f64::from(luma) - 16.0) * 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (f64::from(luma), 1.0),
        };
        let (u, v) =
            ((f64::from(blue_difference) - 128.0) * scale, (f64::from(red_difference) - 128.0) * scale);
        [y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u].map(|value| value.clamp(0.0, 255.0))
    }

    /// Whether a picture is what the samples (luma, U, V at x, y) stand for.
    fn is_exact(picture: &RgbImage, range: Range, samples: impl Fn(u32, u32) -> [u8; 3]) -> bool {
        picture.enumerate_pixels().all(|(x, y, pixel)| {
            let exact = exact(samples(x, y), range);
            pixel.0.into_iter().zip(exact).all(|(ours, exact)| (f64::from(ours) - exact).abs() <= TOLERANCE)
        })
    }

    #[test]
    fn known_colours_come_out() {
        for (yuv, range, rgb) in [
            ([16, 128, 128], Range::Limited, [0u8, 0, 0]),
            ([235, 128, 128], Range::Limited, [255, 255, 255]),
            ([81, 90, 240], Range::Limited, [254, 0, 0]),
            ([145, 54, 34], Range::Limited, [0, 255, 1]),
            ([41, 240, 110], Range::Limited, [0, 0, 255]),
            ([77, 128, 128], Range::Full, [77, 77, 77]),
        ] {
            // Wide enough for every SIMD version, and one more.
            let bytes = yuv.map(|sample: u8| vec![sample; 129]).concat();
            let picture = planar(&bytes, 129, 1, Subsampling::S444, range).unwrap();
            for pixel in picture.pixels() {
                assert!(
                    pixel.0.iter().zip(rgb).all(|(ours, theirs)| ours.abs_diff(theirs) <= 1),
                    "{pixel:?}"
                );
            }
        }
    }

    proptest! {
        /// Every layout is the picture that its samples stand for, odd sizes and padding included, and
        /// a byte too few is noticed.
        #[test]
        fn layouts_are_exact(width in 1u32..80, height in 1u32..6, padding in 0usize..3, seed: u8, full: bool) {
            // Within the limited range: what is outside of it stands for no colour.
            let sample = |x: u32, y: u32, plane: u32| {
                let any = (x * 31 + y * 17 + plane * 71) as u8 ^ seed;
                16 + any % if plane == 0 { 220 } else { 225 }
            };
            let samples = |across: u32, down: u32| {
                move |x: u32, y: u32| [sample(x, y, 0), sample(x / across, y / down, 1), sample(x / across, y / down, 2)]
            };
            let range = if full { Range::Full } else { Range::Limited };
            for (subsampling, across, down) in [
                (Subsampling::S444, 1, 1),
                (Subsampling::S422, 2, 1),
                (Subsampling::S420, 2, 2),
                (Subsampling::S411, 4, 1),
            ] {
                let plane = |plane: u32, across: u32, down: u32| -> Vec<u8> {
                    let (columns, rows) = (width.div_ceil(across), height.div_ceil(down));
                    (0..rows).flat_map(|y| (0..columns).map(move |x| sample(x, y, plane))).collect()
                };
                let bytes = [plane(0, 1, 1), plane(1, across, down), plane(2, across, down)].concat();
                let picture = planar(&bytes, width, height, subsampling, range).unwrap();
                prop_assert!(is_exact(&picture, range, samples(across, down)), "{:?}", subsampling);
                prop_assert!(planar(&bytes[..bytes.len() - 1], width, height, subsampling, range).is_none());
            }

            let (pairs, half_height) = (width.div_ceil(2), height.div_ceil(2));
            let stride = 4 * pairs as usize + padding;
            let mut packed = vec![0; stride * height as usize];
            for y in 0..height {
                for x in 0..2 * pairs {
                    let at = y as usize * stride + 2 * x as usize;
                    packed[at] = if x < width { sample(x, y, 0) } else { 0 };
                    packed[at + 1] = sample(x / 2, y, 1 + x % 2);
                }
            }
            for end in [packed.len(), packed.len() - padding] {
                let picture = yuyv(&packed[..end], width, height, stride).unwrap();
                prop_assert!(is_exact(&picture, Range::Limited, samples(2, 1)), "yuyv");
            }
            prop_assert!(yuyv(&packed[..packed.len() - padding - 1], width, height, stride).is_none());

            let stride = 2 * pairs as usize + padding;
            let mut interleaved = vec![0; stride * (height + half_height) as usize];
            for y in 0..height {
                for x in 0..width {
                    interleaved[y as usize * stride + x as usize] = sample(x, y, 0);
                }
            }
            for y in 0..half_height {
                for x in 0..2 * pairs {
                    interleaved[(height + y) as usize * stride + x as usize] = sample(x / 2, y, 1 + x % 2);
                }
            }
            for end in [interleaved.len(), interleaved.len() - padding] {
                let picture = nv12(&interleaved[..end], width, height, stride).unwrap();
                prop_assert!(is_exact(&picture, Range::Limited, samples(2, 2)), "nv12");
            }
            prop_assert!(nv12(&interleaved[..interleaved.len() - padding - 1], width, height, stride).is_none());
        }
    }

    #[test]
    fn grey_keeps_its_levels() {
        let picture = grey(&[0, 100, 9, 200, 255, 9], 2, 2, 3).unwrap();
        let levels: Vec<u8> = picture.pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!(levels, [0, 100, 200, 255]);
        assert!(grey(&[0, 100, 9, 200], 2, 2, 3).is_none());
        assert!(grey(&[0; 16], 4, 2, 3).is_none());
    }
}
