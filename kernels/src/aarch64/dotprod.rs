//! NEON with the dot product (Cortex-A76, A78AE): `sdot` multiplies four bytes of a pixel with
//! four of each of four output channels, and adds them to these channels' sums. A pixel's bytes
//! are loaded 16 at a time, and each four of them taken from there.
//!
//! Winograd's method does not pay: its 16-bit products are an eighth of these a cycle, and it
//! needs a quarter of them.

use core::arch::aarch64::*;

use super::kernel;
use super::tiles::tiles;
use crate::kernel::{Block, Form, Kernel, Layout};

pub(crate) static KERNEL: Kernel = kernel(LAYOUT, multiply, convolve, None);

const LAYOUT: Layout = Layout { form: Form::I8, columns: 8, vector: 4, depth: DEPTH };

/// What one instruction adds up.
const DEPTH: usize = 4;

tiles! { features: "neon,dotprod", rows: 8, fewer: [1 2 3 4 5 6 7], convolve }

/// Adds the dot products of four columns' weights with the four activations of that number.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot<const NUMBER: i32>(mut sums: int32x4_t, weights: int8x16_t, activations: int8x16_t) -> int32x4_t {
    // `vdotq_laneq_s32` of the standard library is not stable yet.
    // SAFETY: only registers change, and the function has the feature.
    unsafe {
        core::arch::asm!(
            "sdot {sums:v}.4s, {weights:v}.16b, {activations:v}.4b[{number}]",
            sums = inout(vreg) sums,
            weights = in(vreg) weights,
            activations = in(vreg) activations,
            number = const NUMBER,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
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
        let activations = block.activations.as_ptr().cast::<i8>();
        let mut weights = block.weights.as_ptr().cast::<i8>();
        let mut sums = [[vdupq_n_s32(0); R]; V];
        for &run in block.runs {
            let rows: [*const i8; R] = core::array::from_fn(|row| activations.add(pixels[row] + run));
            let whole = block.run / 16 * 16;
            macro_rules! step {
                ($x:ident, $number:literal) => {
                    for (vector, sums) in sums.iter_mut().enumerate() {
                        let w = vld1q_s8(weights.add(vector * 16));
                        for (sum, &x) in sums.iter_mut().zip(&$x) {
                            *sum = dot::<$number>(*sum, w, x);
                        }
                    }
                    weights = weights.add(V * 16);
                };
            }
            for start in (0..whole).step_by(16) {
                let x: [int8x16_t; R] = core::array::from_fn(|row| vld1q_s8(rows[row].add(start)));
                step!(x, 0);
                step!(x, 1);
                step!(x, 2);
                step!(x, 3);
            }
            for start in (whole..block.run).step_by(DEPTH) {
                let x: [int8x16_t; R] = core::array::from_fn(|row| {
                    let four = rows[row].add(start).cast::<i32>().read_unaligned();
                    vreinterpretq_s8_s32(vdupq_n_s32(four))
                });
                step!(x, 0);
            }
        }
        // A new array, so that the sums themselves need no address.
        core::array::from_fn(|row| core::array::from_fn(|vector| sums[vector][row]))
    }
}
