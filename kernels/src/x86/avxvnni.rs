//! AVX-VNNI: `vpdpbusd` as in `avx512vnni`, on 256 bits, of processors without AVX-512.

use core::arch::x86_64::*;

use super::avx2::Constants;
use super::kernel;
use super::tiles::tiles;
use crate::kernel::{Form, Kernel, Layout};

pub(crate) static KERNEL: Kernel =
    kernel(LAYOUT, Form::U8.converter(), (multiply, convolve), (WORDS, words::multiply));

const LAYOUT: Layout = Layout { form: Form::U8, columns: 16, vector: 8, depth: 4 };

/// Of Winograd's method.
const WORDS: Layout = Layout { form: Form::I16, columns: 16, vector: 8, depth: 2 };

type Vector = __m256i;

tiles! {
    features: "avx2,avxvnni", lanes: 8, rows: 6, fewer: [1 2 3 4 5], vectors: [1 2], element: u8,
    zero: _mm256_setzero_si256, set1: _mm256_set1_epi32, load: _mm256_load_si256,
    store: _mm256_storeu_si256, dot: _mm256_dpbusd_avx_epi32, constants: Constants,
}

/// The products of Winograd's method: of 16-bit numbers.
mod words {
    use super::*;

    tiles! {
        features: "avx2,avxvnni", lanes: 8, rows: 6, fewer: [1 2 3 4 5], vectors: [1 2], element: i16,
        zero: _mm256_setzero_si256, set1: _mm256_set1_epi32, load: _mm256_load_si256,
        store: _mm256_storeu_si256, dot: _mm256_dpwssd_avx_epi32,
    }
}
