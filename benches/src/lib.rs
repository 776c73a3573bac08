//! What the benchmarks share: how peers take turns, peers that Python runs, and networks of the shapes that matter, with
//! random weights.

pub mod contest;
pub mod peer;
pub mod stack;
