//! Trains Class Anchor Clustering networks and exports them, quantized, for anchorwatch.

mod architecture;
mod augment;
mod backbones;
mod checkpoint;
mod folded;
mod interrupt;
mod loss;
mod network;
mod picture_folder;
mod pictures;
mod pretrained;
mod progress;
mod recipe;
mod sgd;
mod torch_file;
mod training;
mod variables;

fn main() {}
