//! Camera and video pixels to RGB, plainly, one pixel at a time.
//!
//! ITU-R BT.601, as cameras and uncompressed video use it: luma 16 to 235 and chroma 16 to 240
//! ("limited"), or 0 to 255 ("full", as in JPEG). Chroma is repeated, not interpolated.

use image::RgbImage;

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
pub(super) struct Subsampling {
    pub(super) across: u32,
    pub(super) down: u32,
}

/// One pixel. Fixed point with 16 fractional bits, within 1 of the exact value.
fn rgb(luma: u8, blue_difference: u8, red_difference: u8, range: Range) -> [u8; 3] {
    let (luma, to_red, to_green_b, to_green_r, to_blue) = match range {
        // 255/219 for luma, 255/224 × (1.402, 0.344136, 0.714136, 1.772) for chroma
        Range::Limited => ((i32::from(luma) - 16) * 76_309, 104_597, 25_675, 53_279, 132_201),
        Range::Full => (i32::from(luma) * 65_536, 91_881, 22_554, 46_802, 116_130),
    };
    let (blue_difference, red_difference) =
        (i32::from(blue_difference) - 128, i32::from(red_difference) - 128);
    let level = |value: i32| ((value + 0x8000) >> 16).clamp(0, 255) as u8;
    [
        level(luma + to_red * red_difference),
        level(luma - to_green_b * blue_difference - to_green_r * red_difference),
        level(luma + to_blue * blue_difference),
    ]
}

/// Three planes, rows without padding. `None` if there are too few bytes.
pub(super) fn planar(
    bytes: &[u8],
    width: u32,
    height: u32,
    subsampling: Subsampling,
    range: Range,
) -> Option<RgbImage> {
    let luma_size = width as usize * height as usize;
    let chroma_width = width.div_ceil(subsampling.across) as usize;
    let chroma_size = chroma_width * height.div_ceil(subsampling.down) as usize;
    let (luma, chroma) = bytes.split_at_checked(luma_size)?;
    let (blue, red) = chroma.get(..2 * chroma_size)?.split_at(chroma_size);
    Some(RgbImage::from_fn(width, height, |x, y| {
        let at = (y / subsampling.down) as usize * chroma_width + (x / subsampling.across) as usize;
        image::Rgb(rgb(luma[y as usize * width as usize + x as usize], blue[at], red[at], range))
    }))
}

/// Luma only, taken as full range (which is how cameras give GREY and ffmpeg writes `Cmono`).
/// `stride` is the number of bytes from one row to the next. `None` if there are too few bytes.
pub(super) fn grey(bytes: &[u8], width: u32, height: u32, stride: usize) -> Option<RgbImage> {
    let width_bytes = width as usize;
    has_rows(bytes, stride, height as usize, width_bytes)?;
    Some(RgbImage::from_fn(width, height, |x, y| image::Rgb([bytes[y as usize * stride + x as usize]; 3])))
}

/// `Y0 U Y1 V` packed (V4L2 `YUYV`), limited range. `None` if there are too few bytes.
#[cfg_attr(not(feature = "v4l"), allow(dead_code))]
pub(super) fn yuyv(bytes: &[u8], width: u32, height: u32, stride: usize) -> Option<RgbImage> {
    has_rows(bytes, stride, height as usize, width.div_ceil(2) as usize * 4)?;
    Some(RgbImage::from_fn(width, height, |x, y| {
        let pair = y as usize * stride + (x / 2) as usize * 4;
        image::Rgb(rgb(bytes[pair + 2 * (x % 2) as usize], bytes[pair + 1], bytes[pair + 3], Range::Limited))
    }))
}

/// A luma plane, then one plane of U and V interleaved at half the size (V4L2 `NV12`), limited
/// range. `None` if there are too few bytes.
#[cfg_attr(not(feature = "v4l"), allow(dead_code))]
pub(super) fn nv12(bytes: &[u8], width: u32, height: u32, stride: usize) -> Option<RgbImage> {
    let (luma, chroma) = bytes.split_at_checked(stride.checked_mul(height as usize)?)?;
    has_rows(luma, stride, height as usize, width as usize)?;
    has_rows(chroma, stride, height.div_ceil(2) as usize, width.div_ceil(2) as usize * 2)?;
    Some(RgbImage::from_fn(width, height, |x, y| {
        let at = (y / 2) as usize * stride + (x / 2) as usize * 2;
        image::Rgb(rgb(luma[y as usize * stride + x as usize], chroma[at], chroma[at + 1], Range::Limited))
    }))
}

/// Whether there are so many rows of so many bytes; the last one needs no padding.
fn has_rows(bytes: &[u8], stride: usize, rows: usize, row: usize) -> Option<()> {
    let needed = stride.checked_mul(rows.checked_sub(1)?)?.checked_add(row)?;
    (row <= stride && needed <= bytes.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// ITU-R BT.601 in floating point.
    fn exact(luma: u8, blue_difference: u8, red_difference: u8, range: Range) -> [f64; 3] {
        let (y, scale) = match range {
            Range::Limited => ((f64::from(luma) - 16.0) * 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (f64::from(luma), 1.0),
        };
        let (u, v) =
            ((f64::from(blue_difference) - 128.0) * scale, (f64::from(red_difference) - 128.0) * scale);
        [y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u].map(|value| value.clamp(0.0, 255.0))
    }

    #[test]
    fn known_colours_come_out() {
        assert_eq!(rgb(16, 128, 128, Range::Limited), [0, 0, 0]);
        assert_eq!(rgb(235, 128, 128, Range::Limited), [255, 255, 255]);
        assert_eq!(rgb(81, 90, 240, Range::Limited), [254, 0, 0]);
        assert_eq!(rgb(145, 54, 34, Range::Limited), [0, 255, 1]);
        assert_eq!(rgb(41, 240, 110, Range::Limited), [0, 0, 255]);
        assert_eq!(rgb(77, 128, 128, Range::Full), [77, 77, 77]);
    }

    proptest! {
        #[test]
        fn every_pixel_is_within_one_of_the_exact(luma: u8, blue: u8, red: u8, full: bool) {
            let range = if full { Range::Full } else { Range::Limited };
            for (ours, exact) in rgb(luma, blue, red, range).into_iter().zip(exact(luma, blue, red, range)) {
                prop_assert!((f64::from(ours) - exact).abs() <= 1.0, "{} {}", ours, exact);
            }
        }

        /// The same picture in every layout is the same picture, odd sizes and padding included.
        #[test]
        fn layouts_agree(width in 1u32..9, height in 1u32..9, padding in 0usize..3, seed: u8) {
            let sample = |x: u32, y: u32, plane: u32| (x * 31 + y * 17 + plane * 71) as u8 ^ seed;
            let plane = |plane: u32, across: u32, down: u32| -> Vec<u8> {
                let (columns, rows) = (width.div_ceil(across), height.div_ceil(down));
                (0..rows).flat_map(|y| (0..columns).map(move |x| sample(x, y, plane))).collect()
            };
            let luma = plane(0, 1, 1);
            let reference = |across: u32, down: u32| {
                let (blue, red) = (plane(1, across, down), plane(2, across, down));
                let bytes = [luma.clone(), blue, red].concat();
                let cut = planar(&bytes[..bytes.len() - 1], width, height, Subsampling { across, down }, Range::Limited);
                assert!(cut.is_none());
                planar(&bytes, width, height, Subsampling { across, down }, Range::Limited).unwrap()
            };

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
            prop_assert_eq!(yuyv(&packed, width, height, stride).unwrap(), reference(2, 1));
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
            prop_assert_eq!(nv12(&interleaved, width, height, stride).unwrap(), reference(2, 2));
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
