//! AVX2. Activations and weights are widened to i16 and multiplied with `vpmaddwd`, which is exact
//! for all weights, while `vpmaddubsw` on bytes saturates; both do 32 products a cycle. The
//! widening is done once a band and once for the weights, outside the inner loop.

use core::arch::x86_64::*;

use super::kernel;
use super::tiles::tiles;
use crate::addition::Terms;
use crate::channels::{Channels, Output};
use crate::disjoint::Disjoint;
use crate::kernel::{Form, Kernel, Layout, Place};
use crate::scalar;

/// 12 of the 16 registers are sums.
const LAYOUT: Layout = Layout { form: Form::I16, columns: 16, vector: 8, depth: 2 };

pub(crate) static KERNEL: Kernel = kernel(LAYOUT, convert, (multiply, convolve), (LAYOUT, multiply));

type Vector = __m256i;

tiles! {
    features: "avx2", lanes: 8, rows: 6, fewer: [1 2 3 4 5], vectors: [1 2], element: i16,
    zero: _mm256_setzero_si256, set1: _mm256_set1_epi32, load: _mm256_load_si256,
    store: _mm256_storeu_si256, dot: dot,
    six_by_two: six_by_two, constants: Constants,
}

/// Two products each.
#[inline]
#[target_feature(enable = "avx2")]
fn dot(sums: __m256i, activations: __m256i, weights: __m256i) -> __m256i {
    _mm256_add_epi32(sums, _mm256_madd_epi16(activations, weights))
}

/// Adds a run to the sums of 6 pixels and 16 output channels. By hand, since all 16 registers are
/// needed, the compiler keeps some of the sums in memory, and in its order of instructions the speed
/// depends on the address (by a tenth on Zen 3).
///
/// # Safety
///
/// The processor has AVX2; there are so many steps, at least one, of two activations in each row, and of
/// two vectors of weights, which are aligned.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn six_by_two(
    rows: &[*const i16; 6],
    weights: *const __m256i,
    steps: usize,
    sums: &mut [[__m256i; 2]; 6],
) {
    // SAFETY: what the caller promises is read, and only registers change.
    unsafe {
        core::arch::asm!(
            ".p2align 6",
            "2:",
            "vmovdqa {low}, ymmword ptr [{weights}]",
            "vmovdqa {high}, ymmword ptr [{weights} + 32]",
            "vpbroadcastd {x}, dword ptr [{row0} + 4*{step}]",
            "vpmaddwd {t}, {x}, {low}",
            "vpmaddwd {x}, {x}, {high}",
            "vpaddd {s00}, {s00}, {t}",
            "vpaddd {s01}, {s01}, {x}",
            "vpbroadcastd {x}, dword ptr [{row1} + 4*{step}]",
            "vpmaddwd {t}, {x}, {low}",
            "vpmaddwd {x}, {x}, {high}",
            "vpaddd {s10}, {s10}, {t}",
            "vpaddd {s11}, {s11}, {x}",
            "vpbroadcastd {x}, dword ptr [{row2} + 4*{step}]",
            "vpmaddwd {t}, {x}, {low}",
            "vpmaddwd {x}, {x}, {high}",
            "vpaddd {s20}, {s20}, {t}",
            "vpaddd {s21}, {s21}, {x}",
            "vpbroadcastd {x}, dword ptr [{row3} + 4*{step}]",
            "vpmaddwd {t}, {x}, {low}",
            "vpmaddwd {x}, {x}, {high}",
            "vpaddd {s30}, {s30}, {t}",
            "vpaddd {s31}, {s31}, {x}",
            "vpbroadcastd {x}, dword ptr [{row4} + 4*{step}]",
            "vpmaddwd {t}, {x}, {low}",
            "vpmaddwd {x}, {x}, {high}",
            "vpaddd {s40}, {s40}, {t}",
            "vpaddd {s41}, {s41}, {x}",
            "vpbroadcastd {x}, dword ptr [{row5} + 4*{step}]",
            "vpmaddwd {t}, {x}, {low}",
            "vpmaddwd {x}, {x}, {high}",
            "vpaddd {s50}, {s50}, {t}",
            "vpaddd {s51}, {s51}, {x}",
            "add {weights}, 64",
            "inc {step}",
            "cmp {step}, {steps}",
            "jb 2b",
            s00 = inout(ymm_reg) sums[0][0], s01 = inout(ymm_reg) sums[0][1],
            s10 = inout(ymm_reg) sums[1][0], s11 = inout(ymm_reg) sums[1][1],
            s20 = inout(ymm_reg) sums[2][0], s21 = inout(ymm_reg) sums[2][1],
            s30 = inout(ymm_reg) sums[3][0], s31 = inout(ymm_reg) sums[3][1],
            s40 = inout(ymm_reg) sums[4][0], s41 = inout(ymm_reg) sums[4][1],
            s50 = inout(ymm_reg) sums[5][0], s51 = inout(ymm_reg) sums[5][1],
            low = out(ymm_reg) _, high = out(ymm_reg) _, x = out(ymm_reg) _, t = out(ymm_reg) _,
            row0 = in(reg) rows[0], row1 = in(reg) rows[1], row2 = in(reg) rows[2],
            row3 = in(reg) rows[3], row4 = in(reg) rows[4], row5 = in(reg) rows[5],
            weights = inout(reg) weights => _, step = inout(reg) 0usize => _, steps = in(reg) steps,
            options(pure, readonly, nostack),
        );
    }
}

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

/// The constants of 8 channels.
#[derive(Clone, Copy)]
pub(super) struct Eight {
    multiplier: __m256,
    negative_multiplier: __m256,
}

impl Eight {
    /// Those from `channel` on. There are some beyond the last channel.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn load(channels: &Channels, channel: usize) -> Self {
        let multiplier = &channels.multiplier[channel..channel + 8];
        let negative_multiplier = &channels.negative_multiplier[channel..channel + 8];
        // SAFETY: there are 8 of each.
        unsafe {
            Self {
                multiplier: _mm256_loadu_ps(multiplier.as_ptr()),
                negative_multiplier: _mm256_loadu_ps(negative_multiplier.as_ptr()),
            }
        }
    }

    /// What 8 sums with their bias are in steps of the output, not rounded: see
    /// [`crate::channels::requantize`]; `PLAIN` is [`Channels::plain`].
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn steps<const PLAIN: bool>(&self, sums: __m256i) -> __m256 {
        let value = _mm256_cvtepi32_ps(sums);
        if PLAIN {
            return _mm256_mul_ps(value, self.multiplier);
        }
        // By the sign; -0 does not come out of a conversion.
        let multiplier = _mm256_blendv_ps(self.multiplier, self.negative_multiplier, value);
        _mm256_mul_ps(value, multiplier)
    }
}

/// The bias of 8 channels from `channel` on. There are some beyond the last channel.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn bias8(channels: &Channels, channel: usize) -> __m256i {
    let bias = &channels.bias[channel..channel + 8];
    // SAFETY: there are 8.
    unsafe { _mm256_loadu_si256(bias.as_ptr().cast()) }
}

/// The constants of an output.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    high: __m256,
    zero_point: __m256i,
    /// Of the bytes.
    least: __m256i,
    /// See `least`.
    most: __m256i,
}

impl Bounds {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(output: &Output) -> Self {
        Self {
            high: _mm256_set1_ps(output.high),
            zero_point: _mm256_set1_epi16(output.zero_point as i16),
            least: _mm256_set1_epi8((output.low as i32 + output.zero_point) as i8),
            most: _mm256_set1_epi8((output.high as i32 + output.zero_point) as i8),
        }
    }

    /// The bytes of twice 16 numbers of steps, in order: see [`Output::round`]. The conversion rounds
    /// half to even, and what is outside the bounds saturates later. Only what is too large for the
    /// conversion, which makes it the least number there is, must be bounded before it, unless it is
    /// known that nothing is (`PLAIN`).
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn bytes<const PLAIN: bool>(&self, [a, b, c, d]: [__m256; 4]) -> [__m128i; 2] {
        let words = _mm256_packus_epi16(self.words::<PLAIN>(a, b), self.words::<PLAIN>(c, d));
        let bytes = _mm256_min_epu8(_mm256_max_epu8(words, self.least), self.most);
        // Packing works in halves: 0-3 8-11 of both, then 4-7 12-15 of both.
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let bytes = _mm256_permutevar8x32_epi32(bytes, order);
        [_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes)]
    }

    /// 16 numbers of steps, rounded and above the zero point, as i16.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn words<const PLAIN: bool>(&self, low: __m256, high: __m256) -> __m256i {
        let [low, high] = if PLAIN {
            [_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high)]
        } else {
            [
                _mm256_cvtps_epi32(_mm256_min_ps(low, self.high)),
                _mm256_cvtps_epi32(_mm256_min_ps(high, self.high)),
            ]
        };
        _mm256_adds_epi16(_mm256_packs_epi32(low, high), self.zero_point)
    }
}

/// What makes bytes of the sums of V × 8 channels.
pub(super) struct Constants<'a, const V: usize> {
    pub(super) bias: [__m256i; V],
    eight: [Eight; V],
    bounds: Bounds,
    place: &'a Place,
    output: &'a Output,
    /// Whether all columns are stored, as they are.
    whole: bool,
    /// See [`Channels::plain`].
    plain: bool,
}

impl<'a, const V: usize> Constants<'a, V> {
    /// Those of the place's channels.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(channels: &'a Channels, place: &'a Place) -> Self {
        let mut bias = [_mm256_setzero_si256(); V];
        let mut eight = [Eight::load(channels, place.channel); V];
        for vector in 0..V {
            bias[vector] = bias8(channels, place.channel + vector * 8);
            eight[vector] = Eight::load(channels, place.channel + vector * 8);
        }
        let output = &channels.output;
        let whole = place.columns == V * 8 && output.table.is_none();
        Self { bias, eight, bounds: Bounds::new(output), place, output, whole, plain: channels.plain }
    }

    /// Makes bytes of a tile's sums, the first pixel's at `start`. It is always inlined, into functions
    /// that have the instructions: the sums come in registers.
    ///
    /// # Safety
    ///
    /// The processor has AVX2, and no one else uses the bytes of these pixels and channels.
    #[inline(always)]
    pub(super) unsafe fn store<const R: usize>(
        &self,
        tile: &[[__m256i; V]; R],
        start: usize,
        output: &Disjoint<u8>,
    ) {
        // SAFETY: the caller promises what is needed.
        unsafe {
            if self.plain {
                self.store_rows::<R, true>(tile, start, output);
            } else {
                self.store_rows::<R, false>(tile, start, output);
            }
        }
    }

    /// # Safety
    ///
    /// As for [`Self::store`].
    #[inline(always)]
    unsafe fn store_rows<const R: usize, const PLAIN: bool>(
        &self,
        tile: &[[__m256i; V]; R],
        start: usize,
        output: &Disjoint<u8>,
    ) {
        const { assert!(V == 1 || V == 2) };
        let Self { bounds, place, whole, .. } = self;
        // SAFETY: the caller promises AVX2, and that these bytes are his alone; there is room for
        // those of the last row.
        unsafe {
            let mut first = output.pointer(start, (R - 1) * place.step + place.columns);
            let (low, high) = (&self.eight[0], &self.eight[V - 1]);
            if V == 2 {
                for rows in tile.chunks(2) {
                    // A row that is not there repeats the one that is, and is not stored.
                    let (one, other) = (rows[0], rows[rows.len() - 1]);
                    let [one, other] = bounds.bytes::<PLAIN>([
                        low.steps::<PLAIN>(one[0]),
                        high.steps::<PLAIN>(one[V - 1]),
                        low.steps::<PLAIN>(other[0]),
                        high.steps::<PLAIN>(other[V - 1]),
                    ]);
                    put::<V>(one, first, place, self.output, *whole);
                    if rows.len() == 2 {
                        put::<V>(other, first.add(place.step), place, self.output, *whole);
                        first = first.add(2 * place.step);
                    }
                }
            } else {
                for rows in tile.chunks(4) {
                    let last = rows.len() - 1;
                    let [left, right] = bounds.bytes::<PLAIN>([
                        low.steps::<PLAIN>(rows[0][0]),
                        low.steps::<PLAIN>(rows[1.min(last)][0]),
                        low.steps::<PLAIN>(rows[2.min(last)][0]),
                        low.steps::<PLAIN>(rows[last][0]),
                    ]);
                    let bytes =
                        [left, _mm_unpackhi_epi64(left, left), right, _mm_unpackhi_epi64(right, right)];
                    for (row, bytes) in bytes.into_iter().enumerate().take(rows.len()) {
                        put::<V>(bytes, first.add(row * place.step), place, self.output, *whole);
                    }
                    if rows.len() == 4 {
                        first = first.add(4 * place.step);
                    }
                }
            }
        }
    }
}

/// Stores the bytes of a pixel's V × 8 channels.
///
/// # Safety
///
/// There is room for as many of them as the place has, and no one else uses it.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn put<const V: usize>(bytes: __m128i, results: *mut u8, place: &Place, output: &Output, whole: bool) {
    // SAFETY: the caller promises that there is room.
    unsafe {
        if !whole {
            store_fewer(bytes, core::slice::from_raw_parts_mut(results, place.columns));
            output.look_up(core::slice::from_raw_parts_mut(results, place.columns));
        } else if V == 2 {
            _mm_storeu_si128(results.cast(), bytes);
        } else {
            _mm_storel_epi64(results.cast(), bytes);
        }
    }
}

/// Stores some of 16 bytes: the last output channels, where these are not whole vectors, and what is
/// still to be looked up.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2")]
pub(super) fn store_fewer(bytes: __m128i, results: &mut [u8]) {
    let mut all = [0; 16];
    // SAFETY: there is room for 16.
    unsafe { _mm_storeu_si128(all.as_mut_ptr().cast(), bytes) };
    results.iter_mut().zip(all).for_each(|(result, byte)| *result = byte);
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
    let (a_chunks, a_rest) = a.as_chunks::<32>();
    let (b_chunks, b_rest) = b.as_chunks::<32>();
    let (chunks, rest) = results.as_chunks_mut::<32>();
    for ((a, b), results) in a_chunks.iter().zip(b_chunks).zip(chunks) {
        let steps = |eight: usize| {
            let term = |bytes: &[u8; 32], index: usize| {
                // SAFETY: there are 32 bytes, and 8 are read at 0, 8, 16 or 24.
                let bytes = unsafe { _mm_loadl_epi64(bytes.as_ptr().add(eight * 8).cast()) };
                let x = _mm256_sub_epi32(_mm256_cvtepu8_epi32(bytes), zero_points[index]);
                _mm256_mul_ps(_mm256_cvtepi32_ps(x), multipliers[index])
            };
            let steps = _mm256_add_ps(term(a, 0), term(b, 1));
            _mm256_mul_ps(steps, _mm256_blendv_ps(one, slope, steps))
        };
        let [low, high] = bounds.bytes::<false>([steps(0), steps(1), steps(2), steps(3)]);
        // SAFETY: there is room for 32 bytes.
        unsafe {
            _mm_storeu_si128(results.as_mut_ptr().cast(), low);
            _mm_storeu_si128(results.as_mut_ptr().add(16).cast(), high);
        }
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
