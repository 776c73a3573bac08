//! The transforms of [`crate::convolution`]'s Winograd method with AVX2.

use core::arch::x86_64::*;

use super::avx2::{Bounds, Eight, bias8, store_fewer};
use crate::channels::Channels;
use crate::convolution::{self, NINTH, POSITIONS};
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
        let load = |position: usize| {
            // SAFETY: there are as many channels, and they are a multiple of 16.
            let bytes = unsafe { _mm_loadu_si128(pixels[position].as_ptr().add(channel).cast()) };
            _mm256_sub_epi16(_mm256_cvtepu8_epi16(bytes), zero_points)
        };
        let place = transformed.as_mut_ptr().cast::<i16>().wrapping_add(channel);
        let store = |position: usize, vector| {
            // SAFETY: there is room for all channels at every position.
            unsafe { _mm256_storeu_si256(place.add(position * step).cast(), vector) };
        };
        convolution::transform_input(_mm256_setzero_si256(), load, |d| six(d), store);
    }
}

/// `Bᵀ·d`, 16 at a time.
#[inline]
#[target_feature(enable = "avx2")]
fn six(d: [__m256i; 6]) -> [__m256i; 6] {
    convolution::six(
        d,
        |a, b| _mm256_add_epi16(a, b),
        |a, b| _mm256_sub_epi16(a, b),
        |a| _mm256_slli_epi16::<2>(a),
    )
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
        let load = |position: usize| {
            // SAFETY: the columns are whole vectors.
            unsafe { _mm256_loadu_si256(products.as_ptr().add(position * step + column).cast()) }
        };
        let rows = convolution::transform_output(_mm256_setzero_si256(), load, |m| four(m));
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
    convolution::four(
        m,
        |a, b| _mm256_add_epi32(a, b),
        |a, b| _mm256_sub_epi32(a, b),
        |a| _mm256_slli_epi32::<2>(a),
    )
}
