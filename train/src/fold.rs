//! From a trained network to the deployed one: batch normalisation folded into the convolution
//! before it, activations fused, dropout gone. Changes nothing but the last bits of the logits.

use crate::architecture::{Architecture, Layer};
use crate::folded::{ConvGeometry, FoldedLayer, FoldedNetwork, FoldedNode};
use crate::variables::Variables;
use tch::{Device, Kind, Tensor, no_grad};

/// The deployed form of a network with these variables (running statistics, not a batch's).
///
/// # Panics
/// If a batch normalisation does not follow a convolution directly, an activation follows
/// something that has none to fuse it into, or a shortcut reads a layer from before its batch
/// normalisation or activation: a mistake in a backbone, not in anyone's input.
pub fn fold(architecture: &Architecture, variables: &Variables) -> FoldedNetwork {
    let mut nodes: Vec<FoldedNode> = Vec::new();
    // Which node computes a layer's output; None where only the fused result exists.
    let mut node_of: Vec<Option<usize>> = Vec::new();
    for (index, layer) in architecture.layers.iter().enumerate() {
        let before = nodes.len().wrapping_sub(1);
        match layer {
            Layer::Input => {
                let shape = architecture.input.map(|size| size as usize).to_vec();
                let (name, layer) = ("pixels".to_string(), FoldedLayer::Input);
                nodes.push(FoldedNode { name, layer, inputs: vec![], shape });
            }
            Layer::Conv { name, inputs, outputs, kernel, stride, padding, groups, .. } => {
                let geometry = ConvGeometry {
                    inputs: *inputs as usize,
                    outputs: *outputs as usize,
                    kernel: *kernel as usize,
                    stride: *stride as usize,
                    padding: padding.map(|zeros| zeros as usize),
                    groups: *groups as usize,
                };
                let (weight, bias) = values(architecture, index, variables);
                let side = |size: usize| {
                    (size + geometry.padding[0] + geometry.padding[1] - geometry.kernel) / geometry.stride + 1
                };
                let input = &nodes[before].shape;
                let shape = vec![geometry.outputs, side(input[1]), side(input[2])];
                nodes.push(FoldedNode {
                    name: name.clone(),
                    layer: FoldedLayer::Conv { geometry, weight, bias, activation: None },
                    inputs: vec![before],
                    shape,
                });
            }
            Layer::BatchNorm { name, .. } => {
                let follows = matches!(architecture.layers[index - 1], Layer::Conv { .. });
                assert!(follows, "batch normalisation '{name}' does not follow a convolution");
                replace_output(&mut node_of, before);
            }
            Layer::Activation(function) => {
                let node = &mut nodes[before];
                match &mut node.layer {
                    FoldedLayer::Conv { activation, .. }
                    | FoldedLayer::Add { activation }
                    | FoldedLayer::Dense { activation, .. }
                        if activation.is_none() =>
                    {
                        *activation = Some(*function);
                    }
                    _ => panic!("the activation after '{}' cannot be fused", node.name),
                }
                replace_output(&mut node_of, before);
            }
            Layer::Add { with } => {
                let shortcut = node_of[*with].expect("the shortcut's layer has an output of its own");
                let shape = nodes[before].shape.clone();
                let name = format!("add{index}");
                let layer = FoldedLayer::Add { activation: None };
                nodes.push(FoldedNode { name, layer, inputs: vec![before, shortcut], shape });
            }
            Layer::GlobalAveragePool => {
                let shape = vec![nodes[before].shape[0], 1, 1];
                let (name, layer) = (format!("pool{index}"), FoldedLayer::GlobalAveragePool);
                nodes.push(FoldedNode { name, layer, inputs: vec![before], shape });
            }
            Layer::Flatten => {
                let shape = vec![nodes[before].shape.iter().product()];
                let (name, layer) = (format!("flatten{index}"), FoldedLayer::Flatten);
                nodes.push(FoldedNode { name, layer, inputs: vec![before], shape });
            }
            Layer::Dropout(_) | Layer::ChannelDropout(_) => {}
            Layer::Dense { name, inputs, outputs, .. } => {
                let (weight, bias) = values(architecture, index, variables);
                nodes.push(FoldedNode {
                    name: name.clone(),
                    layer: FoldedLayer::Dense {
                        weight,
                        bias,
                        inputs: *inputs as usize,
                        outputs: *outputs as usize,
                        activation: None,
                    },
                    inputs: vec![before],
                    shape: vec![*outputs as usize],
                });
            }
        }
        node_of.push(Some(nodes.len() - 1));
    }
    FoldedNetwork { nodes }
}

/// What a node computed until now no longer exists: its batch normalisation or activation is
/// part of it.
fn replace_output(node_of: &mut [Option<usize>], node: usize) {
    for output in node_of.iter_mut().filter(|output| **output == Some(node)) {
        *output = None;
    }
}

/// Weight and bias of layer `index`, a convolution or a dense layer, as they are deployed: with the batch
/// normalisation that follows it folded in, computed in f64 and rounded to f32. The weight has the
/// variable's shape. Gradients pass through to the variables.
///
/// # Panics
/// If the layer has no weights.
pub fn deployed_weights(architecture: &Architecture, index: usize, variables: &Variables) -> [Tensor; 2] {
    let get = |name: &str, part: &str| variables.get(&format!("{name}.{part}")).to_kind(Kind::Double);
    let (Layer::Conv { name, outputs, bias, .. } | Layer::Dense { name, outputs, bias, .. }) =
        &architecture.layers[index]
    else {
        panic!("layer {index} has no weights");
    };
    let weight = get(name, "weight");
    let bias = if *bias { get(name, "bias") } else { Tensor::zeros([*outputs], (Kind::Double, Device::Cpu)) };
    let folded = match architecture.layers.get(index + 1) {
        Some(Layer::BatchNorm { name, eps, .. }) => {
            let factor = get(name, "weight") / (get(name, "running_var") + *eps).sqrt();
            let bias = (bias - get(name, "running_mean")) * &factor + get(name, "bias");
            [weight * factor.view([-1, 1, 1, 1]), bias]
        }
        _ => [weight, bias],
    };
    folded.map(|exact| exact.to_kind(Kind::Float))
}

/// The same as plain numbers, row-major.
fn values(architecture: &Architecture, index: usize, variables: &Variables) -> (Vec<f32>, Vec<f32>) {
    let [weight, bias] = no_grad(|| deployed_weights(architecture, index, variables)).map(|tensor| {
        let flat = tensor.contiguous().view([-1]);
        let mut values = vec![0.0; flat.numel()];
        flat.copy_data(&mut values, flat.numel());
        values
    });
    (weight, bias)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Activation;
    use crate::backbones;
    use crate::network::{Pass, forward};
    use crate::random_networks::randomise;
    use crate::variables::seed_libtorch;

    #[track_caller]
    fn assert_folding_changes_nothing(architecture: &Architecture, seed: u64) {
        let mut variables = Variables::initialise(architecture, seed);
        randomise(&mut variables, seed);
        let [channels, height, width] = architecture.input;
        let generator = seed_libtorch(seed);
        let input = Tensor::randn([3, channels, height, width], (Kind::Float, Device::Cpu));
        drop(generator);
        let wanted = no_grad(|| forward(architecture, &variables, &input, Pass::Evaluation));
        let network = fold(architecture, &variables);
        let got = network.logits(&input);
        assert_eq!(got.size(), [3, architecture.logits]);
        let off = (&got - &wanted).abs().max().double_value(&[]);
        let size = wanted.abs().max().double_value(&[]);
        assert!(size > 1e-3 && off <= 1e-4 * size.max(1.0), "off by {off} at logits of {size}");
    }

    #[test]
    fn folding_changes_nothing_in_any_backbone() {
        for activation in [Activation::LeakyRelu(0.2), Activation::Relu] {
            assert_folding_changes_nothing(&backbones::cac9([3, 32, 32], 6, activation, 1.0, 0.3), 1);
        }
        assert_folding_changes_nothing(&backbones::cac9([1, 28, 28], 6, Activation::Relu, 1.0, 0.3), 2);
        assert_folding_changes_nothing(&backbones::tiny([3, 32, 32], 10, 1.0), 3);
        assert_folding_changes_nothing(&backbones::tiny([3, 64, 64], 10, 1.0), 4);
        assert_folding_changes_nothing(&backbones::efficientnet_lite0([3, 64, 64], 20, 16), 5);
    }

    #[test]
    fn shapes_are_those_of_the_tensors() {
        let architecture = backbones::efficientnet_lite0([3, 96, 96], 5, 16);
        let network = fold(&architecture, &Variables::initialise(&architecture, 1));
        let input = Tensor::zeros([2, 3, 96, 96], (Kind::Float, Device::Cpu));
        let _ = network.visit(&input, |index, output| {
            let shape: Vec<usize> = output.size()[1..].iter().map(|&size| size as usize).collect();
            assert_eq!(shape, network.nodes[index].shape, "{}", network.nodes[index].name);
        });
    }

    #[test]
    #[should_panic(expected = "does not follow a convolution")]
    fn a_batch_normalisation_with_nothing_to_fold_into_is_refused() {
        let architecture = Architecture {
            name: "wrong".to_string(),
            input: [3, 4, 4],
            logits: 3,
            layers: vec![
                Layer::Input,
                Layer::BatchNorm { name: "bn".to_string(), channels: 3, eps: 1e-5 },
                Layer::GlobalAveragePool,
                Layer::Flatten,
            ],
        };
        fold(&architecture, &Variables::initialise(&architecture, 1));
    }
}
