//! AVX2. Activations and weights are widened to i16 and multiplied with `vpmaddwd`, which is exact
//! for all weights, while `vpmaddubsw` on bytes saturates; both do 32 products a cycle. The
//! widening is done once a band and once for the weights, outside the inner loop.

use core::arch::x86_64::*;

use crate::addition::Terms;
use crate::aligned::AlignedBytes;
use crate::channels::{Channels, Output};
use crate::disjoint::Disjoint;
use crate::kernel::{DepthwiseKernel, Form, Kernel, Layout, Sums, Taps, Tile};
use crate::scalar;

/// Pixels and vectors of output channels in the largest tile: 12 of the 16 registers are sums.
const ROWS: usize = 6;
const VECTORS: usize = 2;

pub(crate) static KERNEL: Kernel = Kernel {
    layout: Layout { form: Form::I16, rows: ROWS, columns: VECTORS * 8, vector: 8, depth: 2 },
    convert,
    multiply,
    requantize,
    depthwise: DepthwiseKernel {
        form: Form::U8,
        convert: |source, zero_point, destination| Form::U8.convert(source, zero_point, destination),
        pack: pack_depthwise,
        run: depthwise,
    },
    add,
    sum_pixels,
    max,
};

/// See [`Kernel::convert`]: to `x - zero_point` as i16.
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn convert(source: &[u8], zero_point: u8, destination: &mut [u8]) {
    let zero_points = _mm256_set1_epi16(i16::from(zero_point));
    let (sources, rest) = source.as_chunks::<16>();
    let (destinations, last) = destination[..source.len() * 2].as_chunks_mut::<32>();
    for (from, to) in sources.iter().zip(destinations) {
        // SAFETY: 16 bytes are read and 32 written, as many as there are.
        unsafe {
            let x = _mm256_cvtepu8_epi16(_mm_loadu_si128(from.as_ptr().cast()));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm256_sub_epi16(x, zero_points));
        }
    }
    Form::I16.convert(rest, zero_point, last);
}

/// See [`Kernel::multiply`].
///
/// # Safety
///
/// As there.
pub(super) unsafe fn multiply(task: &Tile, sums: &mut [i32]) {
    type Multiply = unsafe fn(&Tile, &mut [i32]);
    static BY_SIZE: [[Multiply; ROWS]; VECTORS] = [
        [tile::<1, 1>, tile::<2, 1>, tile::<3, 1>, tile::<4, 1>, tile::<5, 1>, tile::<6, 1>],
        [tile::<1, 2>, tile::<2, 2>, tile::<3, 2>, tile::<4, 2>, tile::<5, 2>, tile::<6, 2>],
    ];
    // SAFETY: the caller promises what is needed, and the tile has this size.
    unsafe { BY_SIZE[task.columns / 8 - 1][task.rows.len() - 1](task, sums) }
}

/// A tile of R pixels and V vectors of output channels.
///
/// # Safety
///
/// The processor has AVX2, and the tile is sound and of that size.
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize, const V: usize>(tile: &Tile, sums: &mut [i32]) {
    assert!(sums.len() >= R * V * 8);
    let mut accumulators = [[_mm256_setzero_si256(); V]; R];
    let mut weights = tile.weights.as_ptr().cast::<__m256i>();
    let activations = tile.activations.as_ptr().cast::<i16>();
    for &run in tile.runs {
        // SAFETY: the tile is sound, so runs and weights are as long as they are read here.
        unsafe {
            let rows: [*const i16; R] = core::array::from_fn(|row| activations.add(tile.rows[row] + run));
            for pair in (0..tile.run).step_by(2) {
                let w: [__m256i; V] = core::array::from_fn(|vector| _mm256_load_si256(weights.add(vector)));
                weights = weights.add(V);
                for row in 0..R {
                    let x = _mm256_set1_epi32(rows[row].add(pair).cast::<i32>().read_unaligned());
                    for vector in 0..V {
                        let products = _mm256_madd_epi16(x, w[vector]);
                        accumulators[row][vector] = _mm256_add_epi32(accumulators[row][vector], products);
                    }
                }
            }
        }
    }
    for (row, sums) in accumulators.iter().zip(sums.chunks_exact_mut(V * 8)) {
        for (vector, sums) in row.iter().zip(sums.chunks_exact_mut(8)) {
            // SAFETY: there is room for 8 sums.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), *vector) };
        }
    }
}

/// The constants of 8 channels.
#[derive(Clone, Copy)]
pub(super) struct Eight {
    bias: __m256i,
    multiplier: __m256,
    negative_multiplier: __m256,
}

impl Eight {
    /// Those from `channel` on. There are some beyond the last channel.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn load(channels: &Channels, channel: usize) -> Self {
        let bias = &channels.bias[channel..channel + 8];
        let multiplier = &channels.multiplier[channel..channel + 8];
        let negative_multiplier = &channels.negative_multiplier[channel..channel + 8];
        // SAFETY: there are 8 of each.
        unsafe {
            Self {
                bias: _mm256_loadu_si256(bias.as_ptr().cast()),
                multiplier: _mm256_loadu_ps(multiplier.as_ptr()),
                negative_multiplier: _mm256_loadu_ps(negative_multiplier.as_ptr()),
            }
        }
    }

    /// The results of 8 sums, as 32-bit numbers of 0 to 255: see [`crate::channels::requantize`].
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn requantize<const LEAKY: bool>(self, sums: __m256i, bounds: &Bounds) -> __m256i {
        let value = _mm256_cvtepi32_ps(_mm256_add_epi32(sums, self.bias));
        let multiplier = if LEAKY {
            // By the sign; -0 does not come out of a conversion.
            _mm256_blendv_ps(self.multiplier, self.negative_multiplier, value)
        } else {
            self.multiplier
        };
        bounds.round(_mm256_mul_ps(value, multiplier))
    }
}

/// The constants of an output.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    low: __m256,
    high: __m256,
    zero_point: __m256i,
}

impl Bounds {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(output: &Output) -> Self {
        Self {
            low: _mm256_set1_ps(output.low),
            high: _mm256_set1_ps(output.high),
            zero_point: _mm256_set1_epi32(output.zero_point),
        }
    }

    /// See [`Output::round`]: the conversion rounds half to even.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn round(&self, steps: __m256) -> __m256i {
        let bounded = _mm256_min_ps(_mm256_max_ps(steps, self.low), self.high);
        _mm256_add_epi32(_mm256_cvtps_epi32(bounded), self.zero_point)
    }
}

/// 16 results of 0 to 255 as bytes, in order.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn pack16(low: __m256i, high: __m256i) -> __m128i {
    // Packing works in halves: 0-3 8-11 4-7 12-15.
    let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low, high));
    _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
}

/// Stores up to 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store16(bytes: __m128i, results: &mut [u8]) {
    if let Some(results) = results.first_chunk_mut::<16>() {
        // SAFETY: there is room for 16.
        unsafe { _mm_storeu_si128(results.as_mut_ptr().cast(), bytes) };
    } else {
        let mut all = [0; 16];
        // SAFETY: there is room for 16.
        unsafe { _mm_storeu_si128(all.as_mut_ptr().cast(), bytes) };
        results.copy_from_slice(&all[..results.len()]);
    }
}

/// See [`Kernel::requantize`].
///
/// # Safety
///
/// As there.
pub(super) unsafe fn requantize(task: &Sums, channels: &Channels, output: &Disjoint<u8>) {
    // SAFETY: the caller promises what is needed.
    unsafe {
        if channels.leaky {
            requantize_rows::<true>(task, channels, output);
        } else {
            requantize_rows::<false>(task, channels, output);
        }
    }
}

/// # Safety
///
/// As for [`Kernel::requantize`].
#[target_feature(enable = "avx2")]
unsafe fn requantize_rows<const LEAKY: bool>(task: &Sums, channels: &Channels, output: &Disjoint<u8>) {
    let bounds = Bounds::new(&channels.output);
    for column in (0..task.columns).step_by(16) {
        let columns = (task.columns - column).min(16);
        let low = Eight::load(channels, task.channel + column);
        let high = Eight::load(channels, task.channel + column + 8);
        for row in 0..task.rows {
            let sums = &task.sums[row * task.stride + column..];
            // SAFETY: no one else uses these bytes; the sums of a tile are whole vectors.
            let results = unsafe { output.part(task.start + row * task.step + column, columns) };
            let eight = |sums: &[i32]| {
                let sums = &sums[..8];
                // SAFETY: there are 8.
                unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) }
            };
            let first = low.requantize::<LEAKY>(eight(sums), &bounds);
            let second =
                if columns > 8 { high.requantize::<LEAKY>(eight(&sums[8..]), &bounds) } else { first };
            store16(pack16(first, second), results);
            channels.output.look_up(results);
        }
    }
}

/// For each 16 channels and each pair of taps: 8 pairs of weights as i16, then 8 more. The order
/// of channels is the one in which unpacking interleaves: 0-3 8-11, then 4-7 12-15.
fn pack_depthwise(weights: &[i8], taps: usize) -> AlignedBytes {
    let channels = weights.len() / taps;
    let pairs = taps.div_ceil(2);
    let mut packed = AlignedBytes::zeroed(channels.div_ceil(16) * pairs * 64);
    for (channel, weights) in weights.chunks_exact(taps).enumerate() {
        let lane = channel % 16;
        let place = lane / 4 % 2 * 8 + lane / 8 * 4 + lane % 4;
        for (tap, &weight) in weights.iter().enumerate() {
            let at = ((channel / 16 * pairs + tap / 2) * 16 + place) * 2 + tap % 2;
            packed.bytes_mut()[at * 2..][..2].copy_from_slice(&i16::from(weight).to_ne_bytes());
        }
    }
    packed
}

/// See [`DepthwiseKernel::run`].
///
/// # Safety
///
/// As there.
unsafe fn depthwise(task: &Taps, channels: &Channels, output: &Disjoint<u8>) {
    // SAFETY: the caller promises what is needed.
    unsafe {
        match (task.taps.len(), channels.leaky) {
            (9, false) => depthwise_row::<9, false>(task, channels, output),
            (25, false) => depthwise_row::<25, false>(task, channels, output),
            (_, false) => depthwise_row::<0, false>(task, channels, output),
            (_, true) => depthwise_row::<0, true>(task, channels, output),
        }
    }
}

/// With a number of taps that is known to the compiler, or 0.
///
/// # Safety
///
/// As for [`DepthwiseKernel::run`].
#[target_feature(enable = "avx2")]
unsafe fn depthwise_row<const TAPS: usize, const LEAKY: bool>(
    task: &Taps,
    channels: &Channels,
    output: &Disjoint<u8>,
) {
    let bounds = Bounds::new(&channels.output);
    let taps = if TAPS > 0 { &task.taps[..TAPS] } else { task.taps };
    let pairs = taps.len().div_ceil(2);
    for first in (0..task.channels).step_by(16) {
        let here = (task.channels - first).min(16);
        let low = Eight::load(channels, first);
        let high = Eight::load(channels, first + 8);
        let weights = &task.weights[first / 16 * pairs * 64..][..pairs * 64];
        for pixel in 0..task.pixels {
            let begin = task.first + pixel * task.step + first;
            let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
            for pair in 0..pairs {
                let load = |tap: usize| {
                    let at = begin + taps[tap];
                    // SAFETY: the caller promises that all taps are there. The last channels are
                    // read one by one, so that nothing beyond the activations is.
                    unsafe {
                        let bytes = if here == 16 {
                            debug_assert!(at + 16 <= task.activations.len());
                            _mm_loadu_si128(task.activations.as_ptr().add(at).cast())
                        } else {
                            let mut all = [0u8; 16];
                            all[..here].copy_from_slice(&task.activations[at..][..here]);
                            _mm_loadu_si128(all.as_ptr().cast())
                        };
                        _mm256_cvtepu8_epi16(bytes)
                    }
                };
                let a = load(pair * 2);
                // Without a second tap the weight is 0.
                let b = if pair * 2 + 1 < taps.len() { load(pair * 2 + 1) } else { a };
                // SAFETY: 64 bytes for each pair, just measured off.
                let (w_even, w_odd) = unsafe {
                    let weights = weights.as_ptr().cast::<__m256i>().add(pair * 2);
                    (_mm256_load_si256(weights), _mm256_load_si256(weights.add(1)))
                };
                even = _mm256_add_epi32(even, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w_even));
                odd = _mm256_add_epi32(odd, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w_odd));
            }
            let first_sums = _mm256_permute2x128_si256::<0x20>(even, odd);
            let second_sums = _mm256_permute2x128_si256::<0x31>(even, odd);
            let bytes = pack16(
                low.requantize::<LEAKY>(first_sums, &bounds),
                high.requantize::<LEAKY>(second_sums, &bounds),
            );
            // SAFETY: no one else uses these bytes.
            let results = unsafe { output.part(task.start + pixel * task.channels + first, here) };
            store16(bytes, results);
            channels.output.look_up(results);
        }
    }
}

/// See [`Kernel::add`].
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn add(a: &[u8], b: &[u8], results: &mut [u8], terms: &Terms) {
    let bounds = Bounds::new(&terms.output);
    let multipliers = terms.multipliers.map(|multiplier| _mm256_set1_ps(multiplier));
    let zero_points = terms.zero_points.map(|zero_point| _mm256_set1_epi32(zero_point));
    let (one, slope) = (_mm256_set1_ps(1.0), _mm256_set1_ps(terms.output.slope));
    let eight = |a: __m128i, b: __m128i| {
        let term = |bytes: __m128i, index: usize| {
            let x = _mm256_sub_epi32(_mm256_cvtepu8_epi32(bytes), zero_points[index]);
            _mm256_mul_ps(_mm256_cvtepi32_ps(x), multipliers[index])
        };
        let steps = _mm256_add_ps(term(a, 0), term(b, 1));
        bounds.round(_mm256_mul_ps(steps, _mm256_blendv_ps(one, slope, steps)))
    };
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    let (chunks, rest) = results.as_chunks_mut::<16>();
    for ((a, b), results) in a_chunks.iter().zip(b_chunks).zip(chunks) {
        // SAFETY: there are 16 bytes of each.
        let (a, b) = unsafe { (_mm_loadu_si128(a.as_ptr().cast()), _mm_loadu_si128(b.as_ptr().cast())) };
        let low = eight(a, b);
        let high = eight(_mm_srli_si128::<8>(a), _mm_srli_si128::<8>(b));
        store16(pack16(low, high), results);
    }
    scalar::add_tensors(a_rest, b_rest, rest, terms);
}

/// See [`Kernel::sum_pixels`]; the compiler makes vectors of it.
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn sum_pixels(input: &[u8], sums: &mut [i32]) {
    scalar::sum_pixels(input, sums);
}

/// See [`Kernel::max`]; the compiler makes vectors of it.
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn max(pixel: &[u8], results: &mut [u8]) {
    scalar::max(pixel, results);
}
