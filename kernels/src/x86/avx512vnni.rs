//! AVX-512 with VNNI. `vpdpbusd` multiplies the input's bytes with the weights' and adds four
//! products to each 32-bit sum, without saturating: nothing is widened.

use core::arch::x86_64::*;

use super::avx2;
use super::tiles::tiles;
use super::winograd;
use crate::channels::{Channels, Output};
use crate::disjoint::Disjoint;
use crate::kernel::{Form, Kernel, Layout, Place, WinogradKernel};

pub(crate) static KERNEL: Kernel = Kernel {
    layout: Layout { form: Form::U8, columns: 64, vector: 16, depth: 4 },
    convert: |source, zero_point, destination| Form::U8.convert(source, zero_point, destination),
    multiply,
    convolve,
    depthwise: avx2::DEPTHWISE,
    winograd: Some(WinogradKernel {
        layout: Layout { form: Form::I16, columns: 32, vector: 16, depth: 2 },
        multiply: words::multiply,
        input: winograd::input,
        output: winograd::output,
    }),
    add: avx2::add,
    sum_pixels: avx2::sum_pixels,
    max: avx2::max,
};

type Vector = __m512i;

tiles! {
    features: "avx512f,avx512bw,avx512vl,avx512vnni", lanes: 16, rows: 6, fewer: [1 2 3 4 5],
    vectors: [1 2 3 4], element: u8,
    zero: _mm512_setzero_si512, set1: _mm512_set1_epi32, load: _mm512_load_si512,
    store: _mm512_storeu_si512, dot: _mm512_dpbusd_epi32, requantize: requantize_tile,
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
    bias: __m512i,
    multiplier: __m512,
    negative_multiplier: __m512,
}

impl Sixteen {
    /// Those from `channel` on. There are some beyond the last channel.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn load(channels: &Channels, channel: usize) -> Self {
        let bias = &channels.bias[channel..channel + 16];
        let multiplier = &channels.multiplier[channel..channel + 16];
        let negative_multiplier = &channels.negative_multiplier[channel..channel + 16];
        // SAFETY: there are 16 of each.
        unsafe {
            Self {
                bias: _mm512_loadu_si512(bias.as_ptr().cast()),
                multiplier: _mm512_loadu_ps(multiplier.as_ptr()),
                negative_multiplier: _mm512_loadu_ps(negative_multiplier.as_ptr()),
            }
        }
    }

    /// The bytes of 16 sums: see [`crate::channels::requantize`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn requantize(self, sums: __m512i, bounds: &Bounds) -> __m128i {
        let sums = _mm512_add_epi32(sums, self.bias);
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

/// Makes bytes of a tile's sums.
///
/// # Safety
///
/// The processor has AVX-512, and no one else uses the bytes of these pixels and channels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn requantize_tile<const R: usize, const V: usize>(
    tile: &[[__m512i; V]; R],
    start: usize,
    place: &Place,
    channels: &Channels,
    output: &Disjoint<u8>,
) {
    let bounds = Bounds::new(&channels.output);
    for vector in 0..V {
        let columns = (place.columns - vector * 16).min(16);
        let constants = Sixteen::load(channels, place.channel + vector * 16);
        for (row, vectors) in tile.iter().enumerate() {
            let bytes = constants.requantize(vectors[vector], &bounds);
            // SAFETY: the caller promises that these bytes are his alone.
            let results = unsafe { output.part(start + row * place.step + vector * 16, columns) };
            avx2::store16(bytes, results);
            channels.output.look_up(results);
        }
    }
}
