//! What the benchmarks share: how peers take turns, networks of the shapes that matter, with random
//! weights, and how fast the processor's clock runs.

pub mod clock;
pub mod contest;
pub mod stack;
