//! The network as it is deployed: batch normalisation folded into the convolutions, activations
//! fused, weights as plain arrays. What is exported, calibrated and quantized.

use crate::architecture::Activation;

/// A deployed layer. Its output's shape is in [`FoldedNode::shape`].
#[derive(Clone, Debug, PartialEq)]
pub enum FoldedLayer {
    /// The network's input. Always node 0.
    Input,
    /// Convolution with bias, then the activation.
    Conv {
        /// outputs × inputs/groups × kernel × kernel, row-major
        weight: Vec<f32>,
        /// one an output channel
        bias: Vec<f32>,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        /// zeros before (top and left) and after (bottom and right)
        padding: [usize; 2],
        groups: usize,
        activation: Option<Activation>,
    },
    /// Sum of two nodes, then the activation.
    Add { activation: Option<Activation> },
    /// Mean over height and width.
    GlobalAveragePool,
    /// C×H×W to C·H·W.
    Flatten,
    /// Dense layer with bias, then the activation. `weight` is outputs × inputs, row-major.
    Dense { weight: Vec<f32>, bias: Vec<f32>, inputs: usize, outputs: usize, activation: Option<Activation> },
}

/// A node of the deployed network.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldedNode {
    /// The name of the layer, for people: that of its convolution or dense layer, or made up.
    pub name: String,
    /// What it computes.
    pub layer: FoldedLayer,
    /// The nodes it reads.
    pub inputs: Vec<usize>,
    /// Output shape without the batch: [C, H, W], or [C] after `Flatten`.
    pub shape: Vec<usize>,
}

/// The deployed network; the last node's output is the logits.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldedNetwork {
    /// Nodes in the order they run.
    pub nodes: Vec<FoldedNode>,
}
