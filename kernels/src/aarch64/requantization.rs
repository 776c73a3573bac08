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

    /// 4 sums in steps of the output, rounded: see [`crate::channels::requantize`].
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn steps(self, sums: int32x4_t) -> int32x4_t {
        let sums = vaddq_s32(sums, self.bias);
        let multiplier = vbslq_f32(vcltzq_s32(sums), self.negative_multiplier, self.multiplier);
        round(vmulq_f32(vcvtq_f32_s32(sums), multiplier))
    }
}

/// Half to even, and saturated to 32 bits.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn round(steps: float32x4_t) -> int32x4_t {
    vcvtnq_s32_f32(steps)
}

/// The constants of an output. [`Output::round`] takes the bounds first and rounds then; since
/// these are whole numbers that give bytes, it is the same the other way round, and can be done
/// on more numbers at a time.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    zero_point: int16x8_t,
    low: uint8x16_t,
    high: uint8x16_t,
}

impl Bounds {
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn new(output: &Output) -> Self {
        Self {
            zero_point: vdupq_n_s16(output.zero_point as i16),
            low: vdupq_n_u8((output.low as i32 + output.zero_point) as u8),
            high: vdupq_n_u8((output.high as i32 + output.zero_point) as u8),
        }
    }

    /// 8 numbers with the zero point, in 16 bits and saturated.
    #[inline]
    #[target_feature(enable = "neon")]
    fn words(&self, low: int32x4_t, high: int32x4_t) -> int16x8_t {
        vqaddq_s16(vqmovn_high_s32(vqmovn_s32(low), high), self.zero_point)
    }

    /// The bytes of 8 rounded numbers of steps, in order.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn eight(&self, low: int32x4_t, high: int32x4_t) -> uint8x8_t {
        let bytes = vqmovun_s16(self.words(low, high));
        vmin_u8(vmax_u8(bytes, vget_low_u8(self.low)), vget_low_u8(self.high))
    }

    /// The bytes of 16 rounded numbers of steps, in order.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn sixteen(&self, [a, b, c, d]: [int32x4_t; 4]) -> uint8x16_t {
        let bytes = vqmovun_high_s16(vqmovun_s16(self.words(a, b)), self.words(c, d));
        vminq_u8(vmaxq_u8(bytes, self.low), self.high)
    }
}

/// Stores up to 8 bytes.
#[inline]
#[target_feature(enable = "neon")]
fn store8(bytes: uint8x8_t, results: &mut [u8]) {
    if let Some(results) = results.first_chunk_mut::<8>() {
        // SAFETY: there is room for 8.
        unsafe { vst1_u8(results.as_mut_ptr(), bytes) };
    } else {
        store_fewer(vget_lane_u64::<0>(vreinterpret_u64_u8(bytes)).to_le_bytes(), results);
    }
}

/// Stores up to 4 bytes.
#[inline]
pub(super) fn store4(bytes: [u8; 4], results: &mut [u8]) {
    if let Some(results) = results.first_chunk_mut::<4>() {
        *results = bytes;
    } else {
        store_fewer(bytes, results);
    }
}

/// Stores only some of the bytes: the last output channels, where these are not whole vectors.
#[cold]
fn store_fewer<const N: usize>(bytes: [u8; N], results: &mut [u8]) {
    results.iter_mut().zip(bytes).for_each(|(result, byte)| *result = byte);
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
        let left = low.steps(vectors[0]);
        let right = if V > 1 { high.steps(vectors[V - 1]) } else { left };
        let bytes = bounds.eight(left, right);
        // SAFETY: the caller promises that these bytes are his alone.
        let results = unsafe { output.part(start + row * place.step, place.columns) };
        if V > 1 {
            store8(bytes, results);
        } else {
            store4(vget_lane_u32::<0>(vreinterpret_u32_u8(bytes)).to_le_bytes(), results);
        }
        channels.output.look_up(results);
    }
}
