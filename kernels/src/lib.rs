//! Exact int8 layers.
#![no_std]
// Elsewhere there is the scalar version only, and what the others are told is not read.
#![cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code, unused_imports))]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod addition;
mod aligned;
mod channels;
mod convolution;
mod dense;
mod description;
mod disjoint;
mod flat;
mod isa;
mod kernel;
mod picture;
mod pooling;
mod program;
mod quantization;
#[cfg(test)]
mod reference;
mod rounding;
mod scalar;
mod workers;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use addition::Addition;
pub use aligned::Workspace;
pub use convolution::{Convolution, ConvolutionSpec, Method};
pub use dense::{Dense, DenseSpec};
pub use description::{DescribedStep, Description};
pub use flat::{FlatError, FlatProgram, FlatSizes, encode_flat};
pub use isa::{Isa, IsaError};
pub use picture::PixelTables;
pub use pooling::{GlobalAveragePool, MaxPool};
pub use program::{Memory, Operation, Program, Step};
pub use quantization::{Activation, Quantization, Requantization, SpecError, flip_sign};
pub use workers::Workers;
