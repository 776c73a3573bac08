//! The versions for x86-64.

pub(crate) mod avx2;
pub(crate) mod avx512vnni;
pub(crate) mod avxvnni;
mod depthwise;
mod tiles;
mod winograd;
