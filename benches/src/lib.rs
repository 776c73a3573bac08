//! What the benchmarks share: how peers take turns, and networks of the shapes that matter, with
//! random weights.

pub mod contest;
pub mod stack;
