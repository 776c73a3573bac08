//! NEON with the matrix product of 8-bit numbers (Neoverse N2, Cortex-A710): `usmmla` multiplies
//! eight bytes of each of two pixels with eight of each of two output channels, and adds them to
//! the four sums. Activations are taken as they are, unsigned.
//!
//! Winograd's method does not pay, even less than with the dot product.

use core::arch::aarch64::*;

use super::kernel;
use super::tiles::tiles;
use crate::kernel::{Block, Form, Kernel, Layout};

pub(crate) static KERNEL: Kernel = kernel(LAYOUT, multiply, convolve, None);

const LAYOUT: Layout = Layout { form: Form::U8, columns: 8, vector: 4, depth: DEPTH };

/// What one instruction adds up.
const DEPTH: usize = 8;

tiles! { features: "neon,i8mm", rows: 8, fewer: [1 2 3 4 5 6 7], convolve }

/// Adds the products of two pixels and two columns, eight numbers each.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn multiply_add(mut sums: int32x4_t, pixels: uint8x16_t, columns: int8x16_t) -> int32x4_t {
    // `vusmmlaq_s32` of the standard library is not stable yet.
    // SAFETY: only registers change, and the function has the feature.
    unsafe {
        core::arch::asm!(
            "usmmla {sums:v}.4s, {pixels:v}.16b, {columns:v}.16b",
            sums = inout(vreg) sums,
            pixels = in(vreg) pixels,
            columns = in(vreg) columns,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// The first 64 bits of both, and the last.
#[inline]
#[target_feature(enable = "neon")]
fn zip(a: uint8x16_t, b: uint8x16_t) -> [uint8x16_t; 2] {
    let (a, b) = (vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b));
    [vreinterpretq_u8_u64(vzip1q_u64(a, b)), vreinterpretq_u8_u64(vzip2q_u64(a, b))]
}

/// The sums of R pixels and V vectors of output channels.
///
/// # Safety
///
/// The processor has the features, the block is sound and has V vectors.
#[inline(always)]
unsafe fn tile<const R: usize, const V: usize>(block: &Block, pixels: &[usize]) -> [[int32x4_t; V]; R] {
    // SAFETY: the caller promises the instructions, and that the block is sound: runs and weights
    // are as long as they are read here.
    unsafe {
        let pixels: [usize; R] = core::array::from_fn(|row| pixels[row]);
        let mut weights = block.weights.as_ptr().cast::<i8>();
        // Of two pixels each, in the first half of the rows.
        let mut sums = [[[vdupq_n_s32(0); 2]; V]; R];
        let pairs = R.div_ceil(2);
        for &run in block.runs {
            let rows: [*const u8; R] =
                core::array::from_fn(|row| block.activations.as_ptr().add(pixels[row] + run));
            macro_rules! step {
                ($x:ident, $half:literal) => {
                    for vector in 0..V {
                        for two in 0..2 {
                            let w = vld1q_s8(weights.add((vector * 2 + two) * 16));
                            for pair in 0..pairs {
                                let sum = &mut sums[pair][vector][two];
                                *sum = multiply_add(*sum, $x[pair][$half], w);
                            }
                        }
                    }
                    weights = weights.add(V * 32);
                };
            }
            let mut x = [[vdupq_n_u8(0); 2]; R];
            let whole = block.run / 16 * 16;
            for start in (0..whole).step_by(16) {
                for pair in 0..pairs {
                    let a = vld1q_u8(rows[pair * 2].add(start));
                    let b = if pair * 2 + 1 < R { vld1q_u8(rows[pair * 2 + 1].add(start)) } else { a };
                    x[pair] = zip(a, b);
                }
                step!(x, 0);
                step!(x, 1);
            }
            if whole < block.run {
                for pair in 0..pairs {
                    let a = vld1_u8(rows[pair * 2].add(whole));
                    let b = if pair * 2 + 1 < R { vld1_u8(rows[pair * 2 + 1].add(whole)) } else { a };
                    x[pair][0] = vcombine_u8(a, b);
                }
                step!(x, 0);
            }
        }
        let mut tile = [[vdupq_n_s32(0); V]; R];
        for (row, vectors) in tile.iter_mut().enumerate() {
            for (vector, four) in vectors.iter_mut().enumerate() {
                let [left, right] = sums[row / 2][vector].map(|sums| vreinterpretq_s64_s32(sums));
                let of_pixel = if row % 2 == 0 { vzip1q_s64(left, right) } else { vzip2q_s64(left, right) };
                *four = vreinterpretq_s32_s64(of_pixel);
            }
        }
        tile
    }
}
