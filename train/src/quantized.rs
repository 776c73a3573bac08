//! A network in int8, as data: what [`crate::quantize`] makes, [`crate::export`] writes and
//! [`crate::simulate`] runs.
//!
//! # What an integer engine has to compute
//!
//! Every node but the last has a [`Quantization`] of its output, one a tensor: a real value x is
//! stored as `q = saturate(round(x / scale) + zero_point)`, round half to even, saturated to
//! 0..=255, and q stands for `(q − zero_point)·scale`. Zero is always exact, so zero padding is
//! `zero_point`. A node after `Relu` or `Relu6` has zero point 0.
//!
//! Weights are i8 in −127..=127, symmetric, with one scale an output channel; a bias is i32 with
//! scale s_x·s_w, s_x being the scale of the input and s_w that of the channel's weights.
//! For convolution and dense layers, with input q_x and output channel c:
//!
//! ```text
//! acc = bias[c] + Σ (q_x − z_x)·w_q            exactly, in i32
//! y   = activation(acc·(s_x·s_w[c]))
//! q_y = saturate(round(y / s_y) + z_y)          unless it is the last node: then y is the answer
//! ```
//!
//! acc fits an i32: |bias| ≤ 2³⁰, and the sum stays below 2³⁰ up to 33 000 taps a channel
//! (255·127 each). Since Σ z_x·w_q depends on the weights only, it may be taken off the bias
//! beforehand (away from padding, or with padding filled with z_x). For `Relu` with z_y = 0 the
//! activation is what saturation does anyway, and `Relu6` is a smaller upper bound,
//! `round(6 / s_y)`; `LeakyRelu` multiplies negative values by its slope before rounding.
//!
//! Rounding makes a deep network chaotic. An engine that multiplies by `s_x·s_w[c]/s_y` in f32,
//! or computes QDQ in f32 altogether, stores a value one step off where y / s_y is within about
//! 10⁻⁵ to 10⁻⁴ of a half. One such step moves the thousand values that depend on it by some
//! hundredths of a step, of which a share again falls on the other side of a half: a share p of
//! values that are off becomes about √p in the next layer. After four or five layers the two runs
//! differ as much as two draws of the quantization noise do, though neither is worse. Only an
//! engine that keeps that multiplier in f64 gives the same integers, and so the same logits, as
//! [`crate::simulate`]: acc is exact, so is its product with the multiplier but for 2⁻⁵².
//!
//! `Add` computes `activation((q_a − z_a)·s_a + (q_b − z_b)·s_b)` and stores that; the two
//! scales differ. `GlobalAveragePool` stores the mean, `Σ (q − z)·(s / count)`, under a scale of
//! its own. `Flatten` moves nothing and keeps its input's quantization. The last node's output,
//! the logits, is never rounded: the rejection score is made of distances between them.

use crate::architecture::Activation;
use crate::folded::ConvGeometry;

/// How a tensor of real values is stored in u8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// The step between neighbouring values; positive.
    pub scale: f32,
    /// What stands for 0.
    pub zero_point: u8,
}

/// Weights and bias of a convolution or dense layer in integers.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedWeights {
    /// Row-major, the output channel first; −127..=127.
    pub weight: Vec<i8>,
    /// s_w, one an output channel.
    pub scales: Vec<f32>,
    /// One an output channel, in units of `bias_scales`.
    pub bias: Vec<i32>,
    /// The input's scale times s_w, rounded to f32.
    pub bias_scales: Vec<f32>,
}

/// A layer in int8.
#[derive(Clone, Debug, PartialEq)]
pub enum QuantizedLayer {
    /// The network's input: normalised f32. Always node 0.
    Input,
    /// Convolution with bias, then the activation.
    Conv { geometry: ConvGeometry, weights: QuantizedWeights, activation: Option<Activation> },
    /// Sum of two nodes, then the activation.
    Add { activation: Option<Activation> },
    /// Mean over height and width.
    GlobalAveragePool,
    /// C×H×W to C·H·W.
    Flatten,
    /// Dense layer with bias, then the activation.
    Dense { inputs: usize, outputs: usize, weights: QuantizedWeights, activation: Option<Activation> },
}

/// A node of the network in int8.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedNode {
    /// The name of the layer, unique in the network.
    pub name: String,
    /// What it computes.
    pub layer: QuantizedLayer,
    /// The nodes it reads.
    pub inputs: Vec<usize>,
    /// Output shape without the batch: `[C, H, W]`, or `[C]` after `Flatten`.
    pub shape: Vec<usize>,
    /// How the output is stored; None for the last node, whose output stays real. That of
    /// `Flatten` is its input's.
    pub output: Option<Quantization>,
}

/// The network in int8; the last node's output is the logits, in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedNetwork {
    /// Nodes in the order they run.
    pub nodes: Vec<QuantizedNode>,
}
