//! Depthwise convolution with AVX2, for all versions: `vpmaddwd` multiplies the values of two rows with
//! their taps and adds both products, and is exact for all weights.

use core::arch::x86_64::*;

use super::avx2::Constants;
use super::tiles::hidden;
use crate::aligned::AlignedBytes;
use crate::channels::Channels;
use crate::disjoint::Disjoint;
use crate::kernel::{DepthwiseKernel, PAIR_CHANNELS, PairsKernel, PairsTask, Place, Ring, parts};

pub(super) const KERNEL: DepthwiseKernel = DepthwiseKernel::Pairs(PairsKernel { pack, run });

/// Bytes of a pixel's 16 channels in a pair of rows: two vectors.
const PIXEL: usize = Ring::PIXEL;

/// Bytes of one.
const VECTOR: usize = PIXEL / 2;

/// The most output pixels together: 10 of the 16 registers are sums.
const PIXELS: usize = 5;

/// For each 16 channels, each pair of rows and each kernel column: each channel's two taps as i16.
/// Where the kernel does not meet a row of its first or last pair the tap is 0.
fn pack(weights: &[i8], [height, width]: [usize; 2], parity: usize) -> AlignedBytes {
    let taps = (height + parity).div_ceil(2) * width;
    let channels = weights.len() / (height * width);
    let mut packed = AlignedBytes::zeroed(channels.div_ceil(PAIR_CHANNELS) * taps * PIXEL);
    for (channel, weights) in weights.chunks_exact(height * width).enumerate() {
        for (index, &weight) in weights.iter().enumerate() {
            let (y, x) = (parity + index / width, index % width);
            let tap = channel / PAIR_CHANNELS * taps + y / 2 * width + x;
            let at = tap * PIXEL + channel % PAIR_CHANNELS * 4 + y % 2 * 2;
            packed.bytes_mut()[at..][..2].copy_from_slice(&i16::from(weight).to_ne_bytes());
        }
    }
    packed
}

/// See [`PairsKernel::run`].
///
/// # Safety
///
/// As there.
unsafe fn run(task: &PairsTask, ring: &mut [u8], channels: &Channels, output: &Disjoint<u8>) {
    // SAFETY: the caller promises what is needed.
    unsafe {
        match (task.spec.kernel[1], task.spec.stride[1]) {
            (3, 1) => run_rows::<3, 1>(task, ring, channels, output),
            (3, 2) => run_rows::<3, 2>(task, ring, channels, output),
            (5, 1) => run_rows::<5, 1>(task, ring, channels, output),
            (5, 2) => run_rows::<5, 2>(task, ring, channels, output),
            _ => run_rows::<0, 0>(task, ring, channels, output),
        }
    }
}

/// With a number of kernel columns and a step between pixels that are known to the compiler, or 0.
///
/// # Safety
///
/// As for [`PairsKernel::run`].
#[target_feature(enable = "avx2")]
unsafe fn run_rows<const WIDTH: usize, const STEP: usize>(
    task: &PairsTask,
    ring: &mut [u8],
    channels: &Channels,
    output: &Disjoint<u8>,
) {
    let PairsTask { spec, output_width, ring: Ring { kept, width: pair_width }, .. } = *task;
    let (width, step) = if WIDTH > 0 { (WIDTH, STEP) } else { (spec.kernel[1], spec.stride[1]) };
    assert!((output_width - 1) * step + width <= pair_width, "all taps of a row are there");
    let pairs = [0, 1].map(|parity| Ring::pairs(spec, parity));
    for (weights, pairs) in task.weights.iter().zip(pairs) {
        assert!(weights.len() >= pairs * width * PIXEL, "as many weights as taps");
    }
    let size = pair_width * PIXEL;
    let ring = &mut ring[..kept * size];
    let columns = (spec.channels - task.channel).min(PAIR_CHANNELS);
    let place = Place { channel: task.channel, columns, start: task.channel, step: spec.channels };
    let constants = Constants::<2>::new(channels, &place);
    // The number of each pair that is kept, and where the pairs are that an output row needs.
    let mut made = [usize::MAX; Ring::MAX_HEIGHT.div_ceil(2) + 1];
    let mut places = [0; Ring::MAX_HEIGHT.div_ceil(2) + 1];
    for y in task.rows.clone() {
        let parity = y * spec.stride[0] % 2;
        let places = &mut places[..pairs[parity]];
        for (index, place) in places.iter_mut().enumerate() {
            let pair = y * spec.stride[0] / 2 + index;
            let slot = pair % kept;
            *place = slot * size;
            if made[slot] != pair {
                made[slot] = pair;
                interleave(task, pair * 2, columns, &mut ring[slot * size..][..size]);
            }
        }
        let task_weights = task.weights[parity].as_ptr();
        let mut start = y * output_width * spec.channels + task.channel;
        let mut rows = ring.as_ptr();
        for pixels in parts(output_width, PIXELS) {
            macro_rules! pixels {
                ($count:literal) => {
                    // SAFETY: the taps of the last pixel are there, and so are the weights; the caller
                    // promises that these bytes are his alone.
                    unsafe {
                        let constants = &*hidden(&raw const constants);
                        let mut sums = [constants.bias; $count];
                        let mut weights = hidden(task_weights);
                        for &place in &*places {
                            let mut from = rows.add(place);
                            for _ in 0..width {
                                let low = _mm256_load_si256(weights.cast());
                                let high = _mm256_load_si256(weights.add(VECTOR).cast());
                                for (pixel, [sum, next]) in sums.iter_mut().enumerate() {
                                    let at = from.add(pixel * step * PIXEL);
                                    *sum = dot(*sum, _mm256_loadu_si256(at.cast()), low);
                                    *next = dot(*next, _mm256_loadu_si256(at.add(VECTOR).cast()), high);
                                }
                                weights = weights.add(PIXEL);
                                // Else what a neighbour reads as well would be kept for it, and the sums
                                // would not stay in registers.
                                from = hidden(from.add(PIXEL));
                            }
                        }
                        constants.store::<$count>(&sums, start, output);
                    }
                };
            }
            match pixels {
                1 => pixels!(1),
                2 => pixels!(2),
                3 => pixels!(3),
                4 => pixels!(4),
                _ => pixels!(5),
            }
            start += pixels * spec.channels;
            // Beyond the row once there is no pixel left.
            rows = rows.wrapping_add(pixels * step * PIXEL);
        }
    }
}

/// Makes a pair of the padded input's row `upper` and the one below it.
#[target_feature(enable = "avx2")]
fn interleave(task: &PairsTask, upper: usize, columns: usize, pair: &mut [u8]) {
    let PairsTask { spec, input, channel, .. } = *task;
    let zeros = [task.zero_point; PAIR_CHANNELS];
    let length = spec.width * spec.channels;
    // Where a row begins, and how far it is to the next pixel. A row of padding is one pixel, again
    // and again.
    let row = |y: usize| match y.checked_sub(spec.padding[0]).filter(|&y| y < spec.height) {
        Some(y) => (input[y * length..][..length][channel..].as_ptr(), spec.channels),
        None => (zeros.as_ptr(), 0),
    };
    let ((mut one, one_step), (mut other, other_step)) = (row(upper), row(upper + 1));
    let (left, rest) = pair.split_at_mut(spec.padding[1] * PIXEL);
    let (middle, right) = rest.split_at_mut(spec.width * PIXEL);
    let padding = _mm_set1_epi8(task.zero_point as i8);
    for side in [left, right] {
        for pixel in side.as_chunks_mut().0 {
            put(padding, padding, pixel);
        }
    }
    let pixels = middle.as_chunks_mut().0;
    if columns == PAIR_CHANNELS {
        for pixel in pixels {
            // SAFETY: each row has these channels in all pixels.
            let (upper, lower) = unsafe { (_mm_loadu_si128(one.cast()), _mm_loadu_si128(other.cast())) };
            put(upper, lower, pixel);
            (one, other) = (one.wrapping_add(one_step), other.wrapping_add(other_step));
        }
    } else {
        for pixel in pixels {
            // SAFETY: as above.
            let (upper, lower) = unsafe { (load_fewer(one, columns), load_fewer(other, columns)) };
            put(upper, lower, pixel);
            (one, other) = (one.wrapping_add(one_step), other.wrapping_add(other_step));
        }
    }
}

/// Some bytes: the last channels, where these are fewer than 16.
///
/// # Safety
///
/// There are as many.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2")]
unsafe fn load_fewer(bytes: *const u8, count: usize) -> __m128i {
    let mut all = [0u8; PAIR_CHANNELS];
    // SAFETY: the caller promises that there are so many, and then 16 are read.
    unsafe {
        all[..count].copy_from_slice(core::slice::from_raw_parts(bytes, count));
        _mm_loadu_si128(all.as_ptr().cast())
    }
}

/// Stores a pixel's channels of both rows.
#[inline]
#[target_feature(enable = "avx2")]
fn put(upper: __m128i, lower: __m128i, pixel: &mut [u8; PIXEL]) {
    let low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(upper, lower));
    let high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(upper, lower));
    // SAFETY: there is room for both.
    unsafe {
        _mm256_storeu_si256(pixel.as_mut_ptr().cast(), low);
        _mm256_storeu_si256(pixel.as_mut_ptr().add(VECTOR).cast(), high);
    }
}

/// Two products each.
#[inline]
#[target_feature(enable = "avx2")]
fn dot(sums: __m256i, values: __m256i, weights: __m256i) -> __m256i {
    _mm256_add_epi32(sums, _mm256_madd_epi16(values, weights))
}
