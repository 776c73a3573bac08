//! Runs a [`FoldedNetwork`] in libtorch, in f32: the figures that a quantized network is compared
//! with, and the activations whose ranges are calibrated.

use crate::architecture::Activation;
use crate::folded::{ConvGeometry, FoldedLayer, FoldedNetwork};
use crate::variables::channels_last;
use tch::{Kind, Tensor, no_grad};

impl FoldedNetwork {
    /// Logits (B×N) of a batch of inputs (B×C×H×W, normalised).
    pub fn logits(&self, input: &Tensor) -> Tensor {
        self.visit(input, |_, _| {})
    }

    /// The same, and shows each node's output (B×C×H×W with channels-last strides, or B×C) to
    /// `see` as soon as it is there. No more of them are kept than are still to be read.
    pub fn visit(&self, input: &Tensor, mut see: impl FnMut(usize, &Tensor)) -> Tensor {
        no_grad(|| {
            run(self.nodes.iter().map(|node| node.inputs.as_slice()), |index, inputs| {
                let output = compute(&self.nodes[index].layer, input, inputs);
                see(index, &output);
                output
            })
        })
    }
}

/// What one layer gives for the outputs of the nodes it reads; `input` is the network's, for the first.
pub fn compute(layer: &FoldedLayer, input: &Tensor, inputs: &[&Tensor]) -> Tensor {
    match layer {
        FoldedLayer::Input => channels_last(input),
        FoldedLayer::Conv { geometry, weight, bias, activation } => {
            let weight = Tensor::from_slice(weight).view(geometry.weight_shape());
            activate(convolve(inputs[0], &weight, Some(&Tensor::from_slice(bias)), geometry), *activation)
        }
        FoldedLayer::Add { activation } => activate(inputs[0] + inputs[1], *activation),
        FoldedLayer::GlobalAveragePool => inputs[0].mean_dim([2i64, 3].as_slice(), true, None),
        FoldedLayer::Flatten => inputs[0].flatten(1, -1),
        FoldedLayer::Dense { weight, bias, inputs: columns, outputs, activation } => {
            let weight = Tensor::from_slice(weight).view([*outputs as i64, *columns as i64]);
            activate(inputs[0].linear(&weight, Some(&Tensor::from_slice(bias))), *activation)
        }
    }
}

/// Runs nodes in order, each given the outputs of the nodes it reads, and returns the last output.
/// An output is dropped as soon as nothing is left that reads it.
pub fn run<'a>(
    nodes: impl Iterator<Item = &'a [usize]> + Clone,
    mut compute: impl FnMut(usize, &[&Tensor]) -> Tensor,
) -> Tensor {
    let mut readers = vec![0; nodes.clone().count()];
    nodes.clone().flatten().for_each(|&read| readers[read] += 1);
    let mut outputs: Vec<Option<Tensor>> = Vec::with_capacity(readers.len());
    for (index, reads) in nodes.enumerate() {
        let inputs: Vec<&Tensor> =
            reads.iter().map(|&read| outputs[read].as_ref().expect("a node reads earlier ones")).collect();
        let output = compute(index, &inputs);
        outputs.push(Some(output));
        for &read in reads {
            readers[read] -= 1;
            if readers[read] == 0 {
                outputs[read] = None;
            }
        }
    }
    outputs.pop().flatten().expect("a network has nodes, and none reads the last")
}

/// A convolution of that geometry, in the kind and memory layout of its arguments.
pub fn convolve(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, geometry: &ConvGeometry) -> Tensor {
    let [before, after] = geometry.padding.map(|zeros| zeros as i64);
    let stride = geometry.stride as i64;
    let groups = geometry.groups as i64;
    if before == after {
        return input.conv2d(weight, bias, [stride, stride], [before, before], [1, 1], groups);
    }
    let padded = input.constant_pad_nd([before, after, before, after]);
    padded.conv2d(weight, bias, [stride, stride], [0, 0], [1, 1], groups)
}

/// Applies an activation in place; f32 or f64.
pub fn activate(mut x: Tensor, activation: Option<Activation>) -> Tensor {
    match activation {
        None => x,
        Some(Activation::Relu) => x.relu_(),
        Some(Activation::Relu6) => x.clamp_(0.0, 6.0),
        Some(Activation::LeakyRelu(slope)) => {
            let kind: Kind = x.kind();
            x.prelu(&Tensor::from_slice(&[slope]).to_kind(kind))
        }
    }
}
