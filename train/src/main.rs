//! Trains Class Anchor Clustering networks and exports them, quantized, for anchorwatch.

mod activation_ranges;
mod architecture;
mod augment;
mod backbones;
mod export;
mod fold;
mod folded;
mod folded_forward;
mod loss;
mod network;
mod onnx_graph;
mod quantize;
mod quantized;
#[cfg(test)]
mod random_networks;
mod sgd;
mod simulate;
mod variables;

fn main() {}
