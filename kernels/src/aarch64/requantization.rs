//! From sums in registers to bytes.

use core::arch::aarch64::*;

use crate::channels::{Channels, Output};
use crate::disjoint::Disjoint;
use crate::kernel::Place;

/// The constants of 4 channels.
#[derive(Clone, Copy)]
pub(super) struct Four {
    bias: int32x4_t,
    multiplier: float32x4_t,
    negative_multiplier: float32x4_t,
}

impl Four {
    /// Those from `channel` on. There are some beyond the last channel.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn load(channels: &Channels, channel: usize) -> Self {
        let bias = &channels.bias[channel..channel + 4];
        let multiplier = &channels.multiplier[channel..channel + 4];
        let negative_multiplier = &channels.negative_multiplier[channel..channel + 4];
        // SAFETY: there are 4 of each.
        unsafe {
            Self {
                bias: vld1q_s32(bias.as_ptr()),
                multiplier: vld1q_f32(multiplier.as_ptr()),
                negative_multiplier: vld1q_f32(negative_multiplier.as_ptr()),
            }
        }
    }

    /// The results of 4 sums, as 32-bit numbers of 0 to 255: see [`crate::channels::requantize`].
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn requantize(self, sums: int32x4_t, bounds: &Bounds) -> int32x4_t {
        let sums = vaddq_s32(sums, self.bias);
        let multiplier = vbslq_f32(vcltzq_s32(sums), self.negative_multiplier, self.multiplier);
        bounds.round(vmulq_f32(vcvtq_f32_s32(sums), multiplier))
    }
}

/// The constants of an output.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    low: float32x4_t,
    high: float32x4_t,
    zero_point: int32x4_t,
}

impl Bounds {
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn new(output: &Output) -> Self {
        Self {
            low: vdupq_n_f32(output.low),
            high: vdupq_n_f32(output.high),
            zero_point: vdupq_n_s32(output.zero_point),
        }
    }

    /// See [`Output::round`]: the conversion rounds half to even.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn round(&self, steps: float32x4_t) -> int32x4_t {
        let bounded = vminq_f32(vmaxq_f32(steps, self.low), self.high);
        vaddq_s32(vcvtnq_s32_f32(bounded), self.zero_point)
    }
}

/// 8 results of 0 to 255 as bytes, in order.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn pack8(low: int32x4_t, high: int32x4_t) -> uint8x8_t {
    vreinterpret_u8_s8(vmovn_s16(vuzp1q_s16(vreinterpretq_s16_s32(low), vreinterpretq_s16_s32(high))))
}

/// 16 results of 0 to 255 as bytes, in order.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn pack16(vectors: [int32x4_t; 4]) -> uint8x16_t {
    let [a, b, c, d] = vectors.map(|vector| vreinterpretq_s16_s32(vector));
    let (low, high) = (vuzp1q_s16(a, b), vuzp1q_s16(c, d));
    vuzp1q_u8(vreinterpretq_u8_s16(low), vreinterpretq_u8_s16(high))
}

/// Stores up to 8 bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn store8(bytes: uint8x8_t, results: &mut [u8]) {
    if let Some(results) = results.first_chunk_mut::<8>() {
        // SAFETY: there is room for 8.
        unsafe { vst1_u8(results.as_mut_ptr(), bytes) };
    } else {
        let all = vget_lane_u64::<0>(vreinterpret_u64_u8(bytes)).to_le_bytes();
        results.iter_mut().zip(all).for_each(|(result, byte)| *result = byte);
    }
}

/// Makes bytes of a tile's sums.
///
/// # Safety
///
/// The processor has NEON, and no one else uses the bytes of these pixels and channels.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn requantize_tile<const R: usize, const V: usize>(
    tile: &[[int32x4_t; V]; R],
    start: usize,
    place: &Place,
    channels: &Channels,
    output: &Disjoint<u8>,
) {
    let bounds = Bounds::new(&channels.output);
    let low = Four::load(channels, place.channel);
    let high = Four::load(channels, place.channel + 4 * (V - 1));
    for (row, vectors) in tile.iter().enumerate() {
        let left = low.requantize(vectors[0], &bounds);
        let right = if V > 1 { high.requantize(vectors[V - 1], &bounds) } else { left };
        // SAFETY: the caller promises that these bytes are his alone.
        let results = unsafe { output.part(start + row * place.step, place.columns) };
        store8(pack8(left, right), results);
        channels.output.look_up(results);
    }
}
