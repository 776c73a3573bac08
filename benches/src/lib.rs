//! What the benchmarks share: networks of the shapes that matter, with random weights, and how
//! fast the processor's clock runs.

pub mod clock;
pub mod stack;
