//! The Winograd method of [`crate::convolution`] with NEON: `smlal` adds products of 16-bit
//! numbers, half as many a cycle as `smull` on bytes gives, but a quarter of them is enough.

use core::arch::aarch64::*;

use super::requantization::{Bounds, Four, store4};
use super::tiles::tiles;
use crate::channels::Channels;
use crate::convolution::{self, NINTH, POSITIONS};
use crate::disjoint::Disjoint;
use crate::kernel::{Block, Form, Layout, TilePlace};

/// A vector of weights is those of 8 columns for one activation.
pub(super) const LAYOUT: Layout = Layout { form: Form::I16, columns: 8, vector: 8, depth: 1 };

tiles! { features: "neon", rows: 8, fewer: [1 2 3 4 5 6 7] }

/// The sums of R pixels and V vectors of output channels.
///
/// # Safety
///
/// The processor has NEON, the block is sound and has V = 2 vectors, and its runs are multiples
/// of 8.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile<const R: usize, const V: usize>(block: &Block, pixels: &[usize]) -> [[int32x4_t; V]; R] {
    assert!(V == 2 && block.run.is_multiple_of(8), "Winograd's blocks are whole vectors");
    let pixels: [usize; R] = core::array::from_fn(|row| pixels[row]);
    let activations = block.activations.as_ptr().cast::<i16>();
    let mut weights = block.weights.as_ptr().cast::<i16>();
    let mut sums = [[vdupq_n_s32(0); R]; 2];
    for &run in block.runs {
        // SAFETY: the block is sound: runs and weights are as long as they are read here.
        unsafe {
            let rows: [*const i16; R] = core::array::from_fn(|row| activations.add(pixels[row] + run));
            for step in (0..block.run).step_by(8) {
                let x: [int16x8_t; R] = core::array::from_fn(|row| vld1q_s16(rows[row].add(step)));
                let [low, high] = &mut sums;
                macro_rules! steps {
                    ($($number:literal)+) => {$(
                        let w = vld1q_s16(weights.add($number * 8));
                        for ((low, high), &x) in low.iter_mut().zip(high.iter_mut()).zip(&x) {
                            *low = vmlal_laneq_s16::<$number>(*low, vget_low_s16(w), x);
                            *high = vmlal_high_laneq_s16::<$number>(*high, w, x);
                        }
                    )+};
                }
                steps! { 0 1 2 3 4 5 6 7 }
                weights = weights.add(64);
            }
        }
    }
    // A new array, so that the sums themselves need no address.
    core::array::from_fn(|row| core::array::from_fn(|vector| sums[vector][row]))
}

/// See [`crate::kernel::WinogradKernel::input`].
///
/// # Safety
///
/// As there; the processor has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn input(
    pixels: &[&[u8]; POSITIONS],
    channels: usize,
    zero_point: u8,
    transformed: &mut [u8],
    step: usize,
) {
    let zero_points = vdup_n_u8(zero_point);
    assert!(pixels.iter().all(|pixel| pixel.len() >= channels));
    assert!(transformed.len() >= ((POSITIONS - 1) * step + channels) * 2 && channels.is_multiple_of(8));
    for channel in (0..channels).step_by(8) {
        let load = |position: usize| {
            // SAFETY: there are as many channels, and they are a multiple of 8.
            let bytes = unsafe { vld1_u8(pixels[position].as_ptr().add(channel)) };
            vreinterpretq_s16_u16(vsubl_u8(bytes, zero_points))
        };
        let place = transformed.as_mut_ptr().cast::<i16>().wrapping_add(channel);
        let store = |position: usize, vector| {
            // SAFETY: there is room for all channels at every position.
            unsafe { vst1q_s16(place.add(position * step), vector) };
        };
        convolution::transform_input(vdupq_n_s16(0), load, |d| six(d), store);
    }
}

/// `Bᵀ·d`, 8 at a time.
#[inline]
#[target_feature(enable = "neon")]
fn six(d: [int16x8_t; 6]) -> [int16x8_t; 6] {
    convolution::six(d, |a, b| vaddq_s16(a, b), |a, b| vsubq_s16(a, b), |a| vshlq_n_s16::<2>(a))
}

/// See [`crate::kernel::WinogradKernel::output`].
///
/// # Safety
///
/// As there; the processor has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn output(
    products: &[i32],
    step: usize,
    columns: usize,
    place: &TilePlace,
    channels: &Channels,
    output: &Disjoint<u8>,
) {
    assert!(products.len() >= (POSITIONS - 1) * step + columns);
    let bounds = Bounds::new(&channels.output);
    let ninth = vdupq_n_s32(NINTH);
    for column in (0..place.first.columns).step_by(4) {
        let load = |position: usize| {
            // SAFETY: the columns are whole vectors.
            unsafe { vld1q_s32(products.as_ptr().add(position * step + column)) }
        };
        let rows = convolution::transform_output(vdupq_n_s32(0), load, |m| four(m));
        let constants = Four::load(channels, place.first.channel + column);
        let here = (place.first.columns - column).min(4);
        for (y, row) in rows.into_iter().enumerate().take(place.rows) {
            let mut steps = four(row);
            for sum in &mut steps {
                *sum = constants.steps(vshrq_n_s32::<6>(vmulq_s32(*sum, ninth)));
            }
            let mut pixels = [[0; 4]; 4];
            // SAFETY: there is room for 16 bytes.
            unsafe { vst1q_u8(pixels.as_flattened_mut().as_mut_ptr(), bounds.sixteen(steps)) };
            for (x, bytes) in pixels.into_iter().enumerate().take(place.pixels) {
                let start = place.first.start + y * place.row_step + x * place.first.step + column;
                // SAFETY: the caller promises that these bytes are his alone.
                let results = unsafe { output.part(start, here) };
                store4(bytes, results);
                channels.output.look_up(results);
            }
        }
    }
}

/// `Aᵀ·m` times 24, 4 at a time.
#[inline]
#[target_feature(enable = "neon")]
fn four(m: [int32x4_t; 6]) -> [int32x4_t; 4] {
    convolution::four(m, |a, b| vaddq_s32(a, b), |a, b| vsubq_s32(a, b), |a| vshlq_n_s32::<2>(a))
}
