//! Depthwise convolution with NEON: 16 channels at a time, two taps added up in 16 bits (`smull`,
//! `smlal`) before they are added to the 32-bit sums (`saddw`).
//!
//! Two products fit 16 bits unless all four numbers are -128; where the weights of two such taps
//! are, each product is added by itself.

use core::arch::aarch64::*;

use super::requantization::{Bounds, Four, pack16};
use crate::aligned::AlignedBytes;
use crate::channels::Channels;
use crate::disjoint::Disjoint;
use crate::kernel::{DepthwiseKernel, Form, Taps};

pub(super) const KERNEL: DepthwiseKernel = DepthwiseKernel {
    form: Form::I8,
    convert: |source, zero_point, destination| Form::I8.convert(source, zero_point, destination),
    pack,
    run,
};

/// The first channels of each 16 that are computed together: the last ones overlap the ones before
/// so that there are 16, if there are as many at all.
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

/// See [`DepthwiseKernel::run`].
///
/// # Safety
///
/// As there.
#[target_feature(enable = "neon")]
unsafe fn run(task: &Taps, channels: &Channels, output: &Disjoint<u8>) {
    let taps = task.taps.len();
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

/// Up to 16 channels of all pixels, with a number of taps that is known to the compiler, or 0;
/// with or without adding pairs of products in 16 bits.
///
/// # Safety
///
/// As for [`DepthwiseKernel::run`].
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
    let weights = &weights[..taps.len() * 16];
    let here = (task.channels - first).min(16);
    let constants = [0, 4, 8, 12].map(|four| Four::load(channels, first + four));
    for pixel in 0..task.pixels {
        let begin = task.first + pixel * task.step + first;
        let load = |tap: usize| {
            let at = begin + taps[tap];
            // SAFETY: the caller promises that all taps are there. Fewer than 16 channels are read
            // one by one, so that nothing beyond the activations is.
            unsafe {
                if here == 16 {
                    debug_assert!(at + 16 <= task.activations.len());
                    vld1q_s8(task.activations.as_ptr().add(at).cast())
                } else {
                    let mut all = [0u8; 16];
                    all[..here].copy_from_slice(&task.activations[at..][..here]);
                    vld1q_s8(all.as_ptr().cast())
                }
            }
        };
        let weight = |tap: usize| {
            let weights = &weights[tap * 16..][..16];
            // SAFETY: 16 bytes, just measured off.
            unsafe { vld1q_s8(weights.as_ptr().cast()) }
        };
        let mut sums = [vdupq_n_s32(0); 4];
        let mut add = |low: int16x8_t, high: int16x8_t| {
            let [a, b, c, d] = sums;
            sums = [
                vaddw_s16(a, vget_low_s16(low)),
                vaddw_high_s16(b, low),
                vaddw_s16(c, vget_low_s16(high)),
                vaddw_high_s16(d, high),
            ];
        };
        for tap in (0..taps.len()).step_by(2) {
            let (x, w) = (load(tap), weight(tap));
            let (low, high) = (vmull_s8(vget_low_s8(x), vget_low_s8(w)), vmull_high_s8(x, w));
            if tap + 1 == taps.len() {
                add(low, high);
                break;
            }
            let (x, w) = (load(tap + 1), weight(tap + 1));
            if PAIRS {
                add(vmlal_s8(low, vget_low_s8(x), vget_low_s8(w)), vmlal_high_s8(high, x, w));
            } else {
                add(low, high);
                add(vmull_s8(vget_low_s8(x), vget_low_s8(w)), vmull_high_s8(x, w));
            }
        }
        let mut results = sums;
        for (sums, constants) in results.iter_mut().zip(constants) {
            *sums = constants.requantize(*sums, &bounds);
        }
        // SAFETY: no one else uses these bytes.
        let place = unsafe { output.part(task.start + pixel * task.channels + first, here) };
        let bytes = pack16(results);
        if let Some(place) = place.first_chunk_mut::<16>() {
            // SAFETY: there is room for 16.
            unsafe { vst1q_u8(place.as_mut_ptr(), bytes) };
        } else {
            let mut all = [0; 16];
            // SAFETY: there is room for 16.
            unsafe { vst1q_u8(all.as_mut_ptr(), bytes) };
            place.iter_mut().zip(all).for_each(|(result, byte)| *result = byte);
        }
        channels.output.look_up(place);
    }
}
