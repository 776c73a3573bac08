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
