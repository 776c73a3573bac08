//! The transforms of [`crate::convolution`]'s Winograd method with AVX2.

use core::arch::x86_64::*;

use super::avx2::{Bounds, Eight, bias8, store_fewer};
use crate::channels::Channels;
use crate::convolution::{NINTH, POSITIONS};
use crate::disjoint::Disjoint;
use crate::kernel::TilePlace;

/// See [`crate::kernel::WinogradKernel::input`].
///
/// # Safety
///
/// As there; the processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn input(
    pixels: &[&[u8]; POSITIONS],
    channels: usize,
    zero_point: u8,
    transformed: &mut [u8],
    step: usize,
) {
    let zero_points = _mm256_set1_epi16(i16::from(zero_point));
    assert!(pixels.iter().all(|pixel| pixel.len() >= channels));
    assert!(transformed.len() >= ((POSITIONS - 1) * step + channels) * 2 && channels.is_multiple_of(16));
    for channel in (0..channels).step_by(16) {
        let mut rows = [[_mm256_setzero_si256(); 6]; 6];
        for x in 0..6 {
            let down = core::array::from_fn(|y| {
                // SAFETY: there are as many channels, and they are a multiple of 16.
                let bytes = unsafe { _mm_loadu_si128(pixels[y * 6 + x].as_ptr().add(channel).cast()) };
                _mm256_sub_epi16(_mm256_cvtepu8_epi16(bytes), zero_points)
            });
            for (row, vector) in rows.iter_mut().zip(six(down)) {
                row[x] = vector;
            }
        }
        for (y, row) in rows.into_iter().enumerate() {
            for (x, vector) in six(row).into_iter().enumerate() {
                // SAFETY: there is room for all channels at every position.
                unsafe {
                    let place = transformed.as_mut_ptr().cast::<i16>().add((y * 6 + x) * step + channel);
                    _mm256_storeu_si256(place.cast(), vector);
                }
            }
        }
    }
}

/// `Bᵀ·d`, 16 at a time.
#[inline]
#[target_feature(enable = "avx2")]
fn six(d: [__m256i; 6]) -> [__m256i; 6] {
    let add = |a, b| _mm256_add_epi16(a, b);
    let sub = |a, b| _mm256_sub_epi16(a, b);
    let four = |a| _mm256_slli_epi16::<2>(a);
    let two = |a| _mm256_add_epi16(a, a);
    let a = sub(d[4], four(d[2]));
    let b = sub(d[3], four(d[1]));
    let c = sub(d[4], d[2]);
    let e = two(sub(d[3], d[1]));
    // 4·d0 - 5·d2 + d4 = 4·(d0 - d2) + c, and likewise the last.
    let first = add(four(sub(d[0], d[2])), c);
    let last = add(four(sub(d[1], d[3])), sub(d[5], d[3]));
    [first, add(a, b), sub(a, b), add(c, e), sub(c, e), last]
}

/// See [`crate::kernel::WinogradKernel::output`].
///
/// # Safety
///
/// As there; the processor has AVX2.
pub(super) unsafe fn output(
    products: &[i32],
    step: usize,
    columns: usize,
    place: &TilePlace,
    channels: &Channels,
    output: &Disjoint<u8>,
) {
    // SAFETY: the caller promises what is needed.
    unsafe {
        if channels.plain {
            output_of::<true>(products, step, columns, place, channels, output);
        } else {
            output_of::<false>(products, step, columns, place, channels, output);
        }
    }
}

/// The same, `PLAIN` being [`Channels::plain`].
///
/// # Safety
///
/// As for [`output`].
#[target_feature(enable = "avx2")]
unsafe fn output_of<const PLAIN: bool>(
    products: &[i32],
    step: usize,
    columns: usize,
    place: &TilePlace,
    channels: &Channels,
    output: &Disjoint<u8>,
) {
    assert!(products.len() >= (POSITIONS - 1) * step + columns);
    let bounds = Bounds::new(&channels.output);
    let ninth = _mm256_set1_epi32(NINTH);
    for column in (0..place.first.columns).step_by(8) {
        let mut rows = [[_mm256_setzero_si256(); 6]; 4];
        for x in 0..6 {
            let down = four(core::array::from_fn(|y| {
                // SAFETY: the columns are whole vectors.
                unsafe { _mm256_loadu_si256(products.as_ptr().add((y * 6 + x) * step + column).cast()) }
            }));
            for (row, vector) in rows.iter_mut().zip(down) {
                row[x] = vector;
            }
        }
        let channel = place.first.channel + column;
        let (constants, bias) = (Eight::load(channels, channel), bias8(channels, channel));
        let here = (place.first.columns - column).min(8);
        let whole = here == 8 && channels.output.table.is_none();
        for (y, row) in rows.into_iter().enumerate().take(place.rows) {
            let steps = four(row).map(|vector| {
                let sum = _mm256_srai_epi32::<6>(_mm256_mullo_epi32(vector, ninth));
                constants.steps::<PLAIN>(_mm256_add_epi32(sum, bias))
            });
            let start = place.first.start + y * place.row_step + column;
            let [left, right] = bounds.bytes::<PLAIN>(steps);
            let pixels = [left, _mm_unpackhi_epi64(left, left), right, _mm_unpackhi_epi64(right, right)];
            for (x, bytes) in pixels.into_iter().enumerate().take(place.pixels) {
                // SAFETY: the caller promises that these bytes are his alone.
                let results = unsafe { output.part(start + x * place.first.step, here) };
                if whole {
                    // SAFETY: there is room for 8.
                    unsafe { _mm_storel_epi64(results.as_mut_ptr().cast(), bytes) };
                } else {
                    store_fewer(bytes, results);
                    channels.output.look_up(results);
                }
            }
        }
    }
}

/// `Aᵀ·m` times 24, 8 at a time.
#[inline]
#[target_feature(enable = "avx2")]
fn four(m: [__m256i; 6]) -> [__m256i; 4] {
    let add = |a, b| _mm256_add_epi32(a, b);
    let sub = |a, b| _mm256_sub_epi32(a, b);
    let twice = |a| _mm256_add_epi32(a, a);
    let (s1, d1) = (add(m[1], m[2]), sub(m[1], m[2]));
    let (s2, d2) = (add(m[3], m[4]), sub(m[3], m[4]));
    // 6·m0 - 4·s1 + s2; -4·d1 + 2·d2; 4·(s2 - s1); -4·d1 + 8·d2 + 24·m5.
    let first = add(twice(sub(add(twice(m[0]), m[0]), twice(s1))), s2);
    let second = twice(sub(d2, twice(d1)));
    let third = _mm256_slli_epi32::<2>(sub(s2, s1));
    let last = add(sub(twice(d2), d1), twice(add(twice(m[5]), m[5])));
    [first, second, third, _mm256_slli_epi32::<2>(last)]
}
