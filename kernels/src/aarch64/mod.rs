//! The versions for 64-bit ARM. All of them work channel by channel (`depthwise`) and between
//! layers (`elementwise`) in the same way; they differ in the products of matrices.

mod depthwise;
pub(crate) mod dotprod;
mod elementwise;
pub(crate) mod i8mm;
pub(crate) mod neon;
mod requantization;
mod tiles;
mod winograd;

use crate::kernel::{Convolve, Kernel, Layout, Multiply, WinogradKernel};

/// A version: its products of matrices, and the rest, which is the same for all.
const fn kernel(
    layout: Layout,
    multiply: Multiply,
    convolve: Convolve,
    winograd: Option<WinogradKernel>,
) -> Kernel {
    Kernel {
        layout,
        convert: layout.form.converter(),
        multiply,
        convolve,
        depthwise: depthwise::KERNEL,
        winograd,
        add: elementwise::add,
        sum_pixels: elementwise::sum_pixels,
        max: elementwise::max,
    }
}
