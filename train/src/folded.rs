//! The network as it is deployed: batch normalisation folded into the convolutions, activations
//! fused, weights as plain arrays. What is exported, calibrated and quantized.
//!
//! Data only: [`crate::fold`] makes it, [`crate::folded_forward`] runs it.

use crate::architecture::Activation;

/// What a convolution does, without its weights. The kernel is square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step, the same along both sides.
    pub stride: usize,
    /// Zeros before (top and left) and after (bottom and right).
    pub padding: [usize; 2],
    /// Groups; as many as input channels for a depthwise convolution.
    pub groups: usize,
}

impl ConvGeometry {
    /// Shape of the weight: outputs, inputs/groups, kernel, kernel.
    pub fn weight_shape(&self) -> [i64; 4] {
        [self.outputs, self.inputs / self.groups, self.kernel, self.kernel].map(|size| size as i64)
    }
}

/// A deployed layer. Its output's shape is in [`FoldedNode::shape`].
#[derive(Clone, Debug, PartialEq)]
pub enum FoldedLayer {
    /// The network's input. Always node 0.
    Input,
    /// Convolution with bias, then the activation. `weight` is row-major in
    /// [`ConvGeometry::weight_shape`], `bias` has one value an output channel.
    Conv { geometry: ConvGeometry, weight: Vec<f32>, bias: Vec<f32>, activation: Option<Activation> },
    /// Sum of two nodes, then the activation.
    Add { activation: Option<Activation> },
    /// Mean over height and width: [C, 1, 1].
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
    /// Unique in the network.
    pub name: String,
    /// What it computes.
    pub layer: FoldedLayer,
    /// The nodes it reads.
    pub inputs: Vec<usize>,
    /// Output shape without the batch: `[C, H, W]`, or `[C]` after `Flatten`.
    pub shape: Vec<usize>,
}

/// The deployed network; the last node's output is the logits.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldedNetwork {
    /// Nodes in the order they run.
    pub nodes: Vec<FoldedNode>,
}
