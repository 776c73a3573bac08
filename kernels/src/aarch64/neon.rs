//! NEON of every 64-bit ARM processor (Cortex-A53, A72). `smull` and `smlal2` multiply 16 bytes of a
//! pixel with 16 of an output channel and add them in pairs, in 16 bits; `sadalp` adds these to four
//! 32-bit sums of that pixel and channel, which are added up at the end of the tile. Nothing is
//! broadcast or rearranged: each loaded vector is used four times as it is.
//!
//! Two products fit 16 bits unless all four numbers are -128. Blocks whose weights allow that
//! ([`Block::extreme`]) have each product widened by itself.

use core::arch::aarch64::*;

use super::tiles::tiles;
use super::{kernel, winograd};
use crate::kernel::{Block, Form, Kernel, Layout, WinogradKernel};

pub(crate) static KERNEL: Kernel = kernel(LAYOUT, multiply, convolve, Some(WINOGRAD));

const LAYOUT: Layout = Layout { form: Form::I8, columns: 8, vector: 4, depth: DEPTH };

const WINOGRAD: WinogradKernel = WinogradKernel {
    layout: winograd::LAYOUT,
    multiply: winograd::multiply,
    input: winograd::input,
    output: winograd::output,
};

/// A vector of bytes.
const DEPTH: usize = 16;

tiles! { features: "neon", rows: 4, fewer: [1 2 3], convolve }

/// The sums of R pixels and V vectors of output channels.
///
/// # Safety
///
/// The processor has NEON, the block is sound and has V vectors.
#[inline(always)]
unsafe fn tile<const R: usize, const V: usize>(block: &Block, pixels: &[usize]) -> [[int32x4_t; V]; R] {
    // SAFETY: the caller promises what is needed.
    unsafe {
        let mut fours = [[vdupq_n_s32(0); R]; V];
        for (vector, four) in fours.iter_mut().enumerate() {
            *four = if block.extreme {
                four_columns::<R, false>(block, pixels, vector * 4)
            } else {
                four_columns::<R, true>(block, pixels, vector * 4)
            };
        }
        core::array::from_fn(|row| fours.map(|four| four[row]))
    }
}

/// The sums of R pixels and the four columns from `column` on; with or without adding pairs of
/// products in 16 bits.
///
/// # Safety
///
/// The processor has NEON, the block is sound and has these columns.
#[inline(always)]
unsafe fn four_columns<const R: usize, const PAIRS: bool>(
    block: &Block,
    pixels: &[usize],
    column: usize,
) -> [int32x4_t; R] {
    // SAFETY: the caller promises the instructions, and that the block is sound: runs and weights
    // are as long as they are read here, and only the pointer to the next weights,
    // which is not read, may lie beyond the last ones.
    unsafe {
        let pixels: [usize; R] = core::array::from_fn(|row| pixels[row]);
        let activations = block.activations.as_ptr().cast::<i8>();
        let mut weights = block.weights[column * DEPTH..].as_ptr().cast::<i8>();
        let mut sums = [[vdupq_n_s32(0); R]; 4];
        for &run in block.runs {
            let rows: [*const i8; R] = core::array::from_fn(|row| activations.add(pixels[row] + run));
            for step in (0..block.run).step_by(DEPTH) {
                let x: [int8x16_t; R] = core::array::from_fn(|row| vld1q_s8(rows[row].add(step)));
                for (column, sums) in sums.iter_mut().enumerate() {
                    let w = vld1q_s8(weights.add(column * DEPTH));
                    for (sum, &x) in sums.iter_mut().zip(&x) {
                        let low = vmull_s8(vget_low_s8(x), vget_low_s8(w));
                        if PAIRS {
                            *sum = vpadalq_s16(*sum, vmlal_high_s8(low, x, w));
                        } else {
                            *sum = vpadalq_s16(*sum, low);
                            *sum = vpadalq_s16(*sum, vmull_high_s8(x, w));
                        }
                    }
                }
                weights = weights.wrapping_add(block.columns * DEPTH);
            }
        }
        core::array::from_fn(|row| {
            let [a, b, c, d] = sums.map(|sums| sums[row]);
            vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
        })
    }
}
