//! Trains Class Anchor Clustering networks and exports them, quantized, for anchorwatch.

mod architecture;
mod augment;
mod backbones;
mod folded;
mod loss;
mod network;
mod sgd;
mod variables;

fn main() {}
