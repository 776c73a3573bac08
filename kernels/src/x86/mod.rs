//! The versions for x86-64.

pub(crate) mod avx2;
pub(crate) mod avx512vnni;
pub(crate) mod avxvnni;
mod depthwise;
mod tiles;
mod winograd;

use crate::kernel::{Convert, Convolve, Kernel, Layout, Multiply, WinogradKernel};

/// A version: its products of matrices, those of Winograd's method, and the rest, which is the same
/// for all.
const fn kernel(
    layout: Layout,
    convert: Convert,
    (multiply, convolve): (Multiply, Convolve),
    (words, multiply_words): (Layout, Multiply),
) -> Kernel {
    Kernel {
        layout,
        convert,
        multiply,
        convolve,
        depthwise: depthwise::KERNEL,
        winograd: Some(WinogradKernel {
            layout: words,
            multiply: multiply_words,
            input: winograd::input,
            output: winograd::output,
        }),
        add: avx2::add,
        sum_pixels: avx2::sum_pixels,
        max: avx2::max,
    }
}
