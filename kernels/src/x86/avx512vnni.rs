//! AVX-512 with VNNI. `vpdpbusd` multiplies the input's bytes with the weights' and adds four
//! products to each 32-bit sum, without saturating: nothing is widened.

use core::arch::x86_64::*;

use super::avx2;
use super::kernel;
use super::tiles::tiles;
use crate::channels::{Channels, Output};
use crate::disjoint::Disjoint;
use crate::kernel::{Form, Kernel, Layout, Place};

pub(crate) static KERNEL: Kernel =
    kernel(LAYOUT, Form::U8.converter(), (multiply, convolve), (WORDS, words::multiply));

const LAYOUT: Layout = Layout { form: Form::U8, columns: 64, vector: 16, depth: 4 };

/// Of Winograd's method.
const WORDS: Layout = Layout { form: Form::I16, columns: 32, vector: 16, depth: 2 };

type Vector = __m512i;

tiles! {
    features: "avx512f,avx512bw,avx512vl,avx512vnni", lanes: 16, rows: 6, fewer: [1 2 3 4 5],
    vectors: [1 2 3 4], element: u8,
    zero: _mm512_setzero_si512, set1: _mm512_set1_epi32, load: _mm512_load_si512,
    store: _mm512_storeu_si512, dot: _mm512_dpbusd_epi32, constants: Constants,
}

/// The products of Winograd's method: of 16-bit numbers.
mod words {
    use super::*;

    tiles! {
        features: "avx512f,avx512bw,avx512vl,avx512vnni", lanes: 16, rows: 8, fewer: [1 2 3 4 5 6 7],
        vectors: [1 2], element: i16,
        zero: _mm512_setzero_si512, set1: _mm512_set1_epi32, load: _mm512_load_si512,
        store: _mm512_storeu_si512, dot: _mm512_dpwssd_epi32,
    }
}

/// The constants of 16 channels.
#[derive(Clone, Copy)]
struct Sixteen {
    multiplier: __m512,
    negative_multiplier: __m512,
}

impl Sixteen {
    /// Those from `channel` on. There are some beyond the last channel.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn load(channels: &Channels, channel: usize) -> Self {
        let multiplier = &channels.multiplier[channel..channel + 16];
        let negative_multiplier = &channels.negative_multiplier[channel..channel + 16];
        // SAFETY: there are 16 of each.
        unsafe {
            Self {
                multiplier: _mm512_loadu_ps(multiplier.as_ptr()),
                negative_multiplier: _mm512_loadu_ps(negative_multiplier.as_ptr()),
            }
        }
    }

    /// The bytes of 16 sums with their bias: see [`crate::channels::requantize`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn requantize(self, sums: __m512i, bounds: &Bounds) -> __m128i {
        let negative = _mm512_cmplt_epi32_mask(sums, _mm512_setzero_si512());
        let multiplier = _mm512_mask_mov_ps(self.multiplier, negative, self.negative_multiplier);
        let steps = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), multiplier);
        let bounded = _mm512_min_ps(_mm512_max_ps(steps, bounds.low), bounds.high);
        _mm512_cvtepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(bounded), bounds.zero_point))
    }
}

/// The constants of an output.
#[derive(Clone, Copy)]
struct Bounds {
    low: __m512,
    high: __m512,
    zero_point: __m512i,
}

impl Bounds {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn new(output: &Output) -> Self {
        Self {
            low: _mm512_set1_ps(output.low),
            high: _mm512_set1_ps(output.high),
            zero_point: _mm512_set1_epi32(output.zero_point),
        }
    }
}

/// What makes bytes of the sums of V × 16 channels.
struct Constants<'a, const V: usize> {
    bias: [__m512i; V],
    sixteen: [Sixteen; V],
    bounds: Bounds,
    place: &'a Place,
    output: &'a Output,
}

impl<'a, const V: usize> Constants<'a, V> {
    /// Those of the place's channels.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn new(channels: &'a Channels, place: &'a Place) -> Self {
        let mut bias = [_mm512_setzero_si512(); V];
        let mut sixteen = [Sixteen::load(channels, place.channel); V];
        for vector in 0..V {
            let channel = place.channel + vector * 16;
            let numbers = &channels.bias[channel..channel + 16];
            // SAFETY: there are 16.
            bias[vector] = unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) };
            sixteen[vector] = Sixteen::load(channels, channel);
        }
        Self { bias, sixteen, bounds: Bounds::new(&channels.output), place, output: &channels.output }
    }

    /// Makes bytes of a tile's sums, the first pixel's at `start`. It is always inlined, into functions
    /// that have the instructions: the sums come in registers.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512, and no one else uses the bytes of these pixels and channels.
    #[inline(always)]
    unsafe fn store<const R: usize>(&self, tile: &[[__m512i; V]; R], start: usize, output: &Disjoint<u8>) {
        // SAFETY: the caller promises AVX-512, and that these bytes are his alone.
        unsafe {
            for vector in 0..V {
                let columns = (self.place.columns - vector * 16).min(16);
                for (row, vectors) in tile.iter().enumerate() {
                    let bytes = self.sixteen[vector].requantize(vectors[vector], &self.bounds);
                    let results = output.part(start + row * self.place.step + vector * 16, columns);
                    if columns == 16 && self.output.table.is_none() {
                        _mm_storeu_si128(results.as_mut_ptr().cast(), bytes);
                    } else {
                        avx2::store_fewer(bytes, results);
                        self.output.look_up(results);
                    }
                }
            }
        }
    }
}
