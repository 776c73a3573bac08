//! Depthwise convolution with NEON: 16 channels at a time, two taps added up in 16 bits (`smull`,
//! `smlal`) before they are added to the 32-bit sums (`saddw`).
//!
//! Two products fit 16 bits unless all four numbers are -128; where the weights of two such taps
//! are, each product is added by itself.

use core::arch::aarch64::*;

use super::requantization::{Bounds, Four};
use crate::aligned::AlignedBytes;
use crate::channels::{Channels, requantize};
use crate::disjoint::Disjoint;
use crate::kernel::{DepthwiseKernel, Form, Taps, TapsKernel};

pub(super) const KERNEL: DepthwiseKernel =
    DepthwiseKernel::Taps(TapsKernel { form: Form::I8, convert: Form::I8.converter(), pack, run });

/// The first channel of each 16 that are computed together: the last 16 overlap the ones before
/// them rather than be fewer, if there are as many at all.
fn starts(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels).step_by(16).map(move |first| first.min(channels.saturating_sub(16)))
}

/// For each 16 channels, the weights tap by tap; after all of them a byte for each 16, which is 1
/// if two neighbouring taps are both -128.
fn pack(weights: &[i8], taps: usize) -> AlignedBytes {
    let channels = weights.len() / taps;
    let blocks = channels.div_ceil(16);
    let mut packed = AlignedBytes::zeroed(blocks * taps * 16 + blocks);
    let (vectors, flags) = packed.bytes_mut().split_at_mut(blocks * taps * 16);
    for ((first, vectors), flag) in starts(channels).zip(vectors.chunks_exact_mut(taps * 16)).zip(flags) {
        for (lane, weights) in weights[first * taps..].chunks_exact(taps).take(16).enumerate() {
            for (tap, &weight) in weights.iter().enumerate() {
                vectors[tap * 16 + lane] = weight as u8;
            }
            if weights.chunks_exact(2).any(|pair| pair == [i8::MIN; 2]) {
                *flag = 1;
            }
        }
    }
    packed
}

/// See [`TapsKernel::run`].
///
/// # Safety
///
/// As there.
#[target_feature(enable = "neon")]
unsafe fn run(task: &Taps, channels: &Channels, output: &Disjoint<u8>) {
    let taps = task.taps.len();
    if cfg!(test) {
        let last = task.first + task.pixels.saturating_sub(1) * task.step;
        let tap = task.taps.iter().max().map_or(0, |tap| tap + task.channels);
        assert!(last + tap <= task.activations.len(), "a tap outside the activations");
    }
    if task.channels < 16 {
        // SAFETY: the caller promises that these bytes are his alone.
        return unsafe { few_channels(task, channels, output) };
    }
    let flags = &task.weights[task.channels.div_ceil(16) * taps * 16..];
    let vectors = task.weights.chunks_exact(taps * 16);
    for ((first, weights), &flag) in starts(task.channels).zip(vectors).zip(flags) {
        // SAFETY: the caller promises what is needed.
        unsafe {
            match (taps, flag) {
                (9, 0) => sixteen::<9, true>(task, first, weights, channels, output),
                (25, 0) => sixteen::<25, true>(task, first, weights, channels, output),
                (_, 0) => sixteen::<0, true>(task, first, weights, channels, output),
                _ => sixteen::<0, false>(task, first, weights, channels, output),
            }
        }
    }
}

/// 16 channels of all pixels, with a number of taps that is known to the compiler, or 0; with or
/// without adding pairs of products in 16 bits.
///
/// # Safety
///
/// As for [`TapsKernel::run`]; there are 16 channels from `first` on, and the weights are theirs.
#[target_feature(enable = "neon")]
unsafe fn sixteen<const TAPS: usize, const PAIRS: bool>(
    task: &Taps,
    first: usize,
    weights: &[u8],
    channels: &Channels,
    output: &Disjoint<u8>,
) {
    let bounds = Bounds::new(&channels.output);
    let taps = if TAPS > 0 { &task.taps[..TAPS] } else { task.taps };
    let weights = weights[..taps.len() * 16].as_ptr().cast::<i8>();
    let load = |lane: usize| Four::load(channels, first + lane);
    let constants = [load(0), load(4), load(8), load(12)];
    let put = |pixel: usize, [a, b, c, d]: [int32x4_t; 4]| {
        let [of_a, of_b, of_c, of_d] = constants;
        let bytes = bounds.sixteen([of_a.steps(a), of_b.steps(b), of_c.steps(c), of_d.steps(d)]);
        // SAFETY: the caller promises that these 16 bytes are his alone.
        let results = unsafe {
            let results = output.part(task.start + pixel * task.channels + first, 16);
            vst1q_u8(results.as_mut_ptr(), bytes);
            results
        };
        channels.output.look_up(results);
    };
    let at = |pixel: usize| &task.activations[task.first + pixel * task.step + first..];
    let mut pixel = 0;
    // SAFETY: the caller promises that all taps of these channels are there.
    unsafe {
        while pixel + 2 <= task.pixels {
            let [one, other] = sums::<2, PAIRS>(at(pixel), task.step, taps, weights);
            put(pixel, one);
            put(pixel + 1, other);
            pixel += 2;
        }
        if pixel < task.pixels {
            let [sums] = sums::<1, PAIRS>(at(pixel), task.step, taps, weights);
            put(pixel, sums);
        }
    }
}

/// The sums of 16 channels of P pixels.
///
/// # Safety
///
/// The processor has NEON; all taps of these pixels and channels are in the activations, which begin
/// at the first pixel's first channel, and the weights have 16 bytes for each tap.
#[inline(always)]
unsafe fn sums<const P: usize, const PAIRS: bool>(
    activations: &[u8],
    step: usize,
    taps: &[usize],
    weights: *const i8,
) -> [[int32x4_t; 4]; P] {
    // SAFETY: the caller promises what is needed.
    unsafe {
        let activations = activations.as_ptr().cast::<i8>();
        let mut sums = [[vdupq_n_s32(0); 4]; P];
        let (pairs, rest) = taps.as_chunks::<2>();
        let mut weights = weights;
        for pair in pairs {
            let w = [vld1q_s8(weights), vld1q_s8(weights.add(16))];
            weights = weights.add(32);
            for (pixel, sums) in sums.iter_mut().enumerate() {
                let from = activations.add(pixel * step);
                let x = [vld1q_s8(from.add(pair[0])), vld1q_s8(from.add(pair[1]))];
                let [low, high] = products(x[0], w[0]);
                if PAIRS {
                    let low = vmlal_s8(low, vget_low_s8(x[1]), vget_low_s8(w[1]));
                    widen(sums, [low, vmlal_high_s8(high, x[1], w[1])]);
                } else {
                    widen(sums, [low, high]);
                    widen(sums, products(x[1], w[1]));
                }
            }
        }
        if let [tap] = rest {
            let w = vld1q_s8(weights);
            for (pixel, sums) in sums.iter_mut().enumerate() {
                widen(sums, products(vld1q_s8(activations.add(pixel * step + tap)), w));
            }
        }
        sums
    }
}

/// 16 products.
#[inline]
#[target_feature(enable = "neon")]
fn products(x: int8x16_t, w: int8x16_t) -> [int16x8_t; 2] {
    [vmull_s8(vget_low_s8(x), vget_low_s8(w)), vmull_high_s8(x, w)]
}

/// Adds 16 numbers to the sums.
#[inline]
#[target_feature(enable = "neon")]
fn widen([a, b, c, d]: &mut [int32x4_t; 4], [low, high]: [int16x8_t; 2]) {
    *a = vaddw_s16(*a, vget_low_s16(low));
    *b = vaddw_high_s16(*b, low);
    *c = vaddw_s16(*c, vget_low_s16(high));
    *d = vaddw_high_s16(*d, high);
}

/// Layers of fewer than 16 channels, which no network has many of: one by one.
///
/// # Safety
///
/// No one else uses the bytes of these pixels.
unsafe fn few_channels(task: &Taps, channels: &Channels, output: &Disjoint<u8>) {
    for pixel in 0..task.pixels {
        let activations = &task.activations[task.first + pixel * task.step..];
        // SAFETY: the caller promises that these bytes are his alone.
        let results = unsafe { output.part(task.start + pixel * task.channels, task.channels) };
        for (channel, result) in results.iter_mut().enumerate() {
            let weights = task.weights[channel..].iter().step_by(16);
            let sum = task.taps.iter().zip(weights).fold(0i32, |sum, (tap, &weight)| {
                sum.wrapping_add(i32::from(activations[tap + channel] as i8) * i32::from(weight as i8))
            });
            *result = requantize(sum, channel, channels);
        }
    }
}
