//! What every version does between the convolutions.

use core::arch::aarch64::*;

use super::requantization::{Bounds, round};
use crate::addition::Terms;
use crate::scalar;

/// Pixels whose bytes can be added in 16 bits.
const PIXELS: usize = 257;

/// See [`crate::kernel::Kernel::add`].
///
/// # Safety
///
/// The processor has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn add(a: &[u8], b: &[u8], results: &mut [u8], terms: &Terms) {
    let bounds = Bounds::new(&terms.output);
    let multipliers = terms.multipliers.map(|multiplier| vdupq_n_f32(multiplier));
    let zero_points = terms.zero_points.map(|zero_point| vdupq_n_s16(zero_point as i16));
    let slope = vdupq_n_f32(terms.output.slope);
    let term = |x: int16x4_t, index: usize| vmulq_f32(vcvtq_f32_s32(vmovl_s16(x)), multipliers[index]);
    let four = |a: int16x4_t, b: int16x4_t| {
        let steps = vaddq_f32(term(a, 0), term(b, 1));
        round(vbslq_f32(vcltzq_f32(steps), vmulq_f32(steps, slope), steps))
    };
    // Less the zero point: 8 low ones, 8 high ones.
    let words = |bytes: uint8x16_t, index: usize| {
        let [low, high] = [vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes)];
        [low, high].map(|words| vsubq_s16(vreinterpretq_s16_u16(words), zero_points[index]))
    };
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    let (chunks, rest) = results.as_chunks_mut::<16>();
    for ((a, b), results) in a_chunks.iter().zip(b_chunks).zip(chunks) {
        // SAFETY: there are 16 bytes of each.
        let (a, b) = unsafe { (vld1q_u8(a.as_ptr()), vld1q_u8(b.as_ptr())) };
        let ([a_low, a_high], [b_low, b_high]) = (words(a, 0), words(b, 1));
        let bytes = bounds.sixteen([
            four(vget_low_s16(a_low), vget_low_s16(b_low)),
            four(vget_high_s16(a_low), vget_high_s16(b_low)),
            four(vget_low_s16(a_high), vget_low_s16(b_high)),
            four(vget_high_s16(a_high), vget_high_s16(b_high)),
        ]);
        // SAFETY: there is room for 16 bytes.
        unsafe { vst1q_u8(results.as_mut_ptr(), bytes) };
    }
    scalar::add_tensors(a_rest, b_rest, rest, terms);
}

/// See [`crate::kernel::Kernel::sum_pixels`]: 16 channels at a time, in 16 bits as long as that
/// is enough.
///
/// # Safety
///
/// The processor has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn sum_pixels(input: &[u8], sums: &mut [i32]) {
    let channels = sums.len();
    let (chunks, rest) = sums.as_chunks_mut::<16>();
    for pixels in input.chunks(PIXELS * channels) {
        for (index, sums) in chunks.iter_mut().enumerate() {
            let (mut low, mut high) = (vdupq_n_u16(0), vdupq_n_u16(0));
            for pixel in pixels.chunks_exact(channels) {
                let part = &pixel[index * 16..][..16];
                // SAFETY: there are 16 bytes.
                let bytes = unsafe { vld1q_u8(part.as_ptr()) };
                low = vaddw_u8(low, vget_low_u8(bytes));
                high = vaddw_high_u8(high, bytes);
            }
            let (parts, _) = sums.as_chunks_mut::<4>();
            let words = [vget_low_u16(low), vget_high_u16(low), vget_low_u16(high), vget_high_u16(high)];
            for (sums, words) in parts.iter_mut().zip(words) {
                // SAFETY: there are 4 sums.
                unsafe {
                    let sum = vaddw_u16(vreinterpretq_u32_s32(vld1q_s32(sums.as_ptr())), words);
                    vst1q_s32(sums.as_mut_ptr(), vreinterpretq_s32_u32(sum));
                }
            }
        }
    }
    let first = channels - rest.len();
    for (channel, sum) in (first..).zip(rest) {
        *sum += input.iter().skip(channel).step_by(channels).map(|&x| i32::from(x)).sum::<i32>();
    }
}

/// See [`crate::kernel::Kernel::max`].
///
/// # Safety
///
/// The processor has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn max(pixel: &[u8], results: &mut [u8]) {
    let (pixel_chunks, pixel_rest) = pixel.as_chunks::<16>();
    let (chunks, rest) = results.as_chunks_mut::<16>();
    for (x, result) in pixel_chunks.iter().zip(chunks) {
        // SAFETY: there are 16 bytes of each.
        unsafe {
            let larger = vmaxq_u8(vld1q_u8(x.as_ptr()), vld1q_u8(result.as_ptr()));
            vst1q_u8(result.as_mut_ptr(), larger);
        }
    }
    scalar::max(pixel_rest, rest);
}
