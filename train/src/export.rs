//! Networks as ONNX models: standard operators only, so that any ONNX engine runs them. The
//! `anchorwatch` metadata block is not written here.
//!
//! The input is `pixels`, N×C×H×W normalised f32, the output `logits`, N×classes f32.
//!
//! A quantized network is written in QDQ form with the names that onnxruntime's quantizer gives:
//! each stored output as QuantizeLinear → DequantizeLinear, weights and biases as i8 and i32
//! constants behind a DequantizeLinear along axis 0. `Flatten` reads the dequantized tensor and
//! has no pair of its own.

use crate::architecture::Activation;
use crate::folded::{ConvGeometry, FoldedLayer, FoldedNetwork};
use crate::onnx_graph::{OnnxGraph, float, int, ints};
use crate::quantized::{Quantization, QuantizedLayer, QuantizedNetwork, QuantizedWeights};
use tract_onnx::pb::ModelProto;

const INPUT: &str = "pixels";
const OUTPUT: &str = "logits";

/// The network in f32.
pub fn float_onnx(network: &FoldedNetwork) -> ModelProto {
    let mut graph = OnnxGraph::default();
    let last = network.nodes.len() - 1;
    for (index, node) in network.nodes.iter().enumerate() {
        let inputs: Vec<String> =
            node.inputs.iter().map(|&read| value_name(&network.nodes[read].name, read, last)).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let output = value_name(&node.name, index, last);
        match &node.layer {
            FoldedLayer::Input => {}
            FoldedLayer::Conv { geometry, weight, bias, activation } => {
                let names = [format!("{}.weight", node.name), format!("{}.bias", node.name)];
                graph.f32s(&names[0], &geometry.weight_shape(), weight);
                graph.f32s(&names[1], &[bias.len() as i64], bias);
                conv(&mut graph, &node.name, inputs[0], &names, geometry, *activation, &output);
            }
            FoldedLayer::Dense { weight, bias, inputs: columns, outputs, activation } => {
                let names = [format!("{}.weight", node.name), format!("{}.bias", node.name)];
                graph.f32s(&names[0], &[*outputs as i64, *columns as i64], weight);
                graph.f32s(&names[1], &[bias.len() as i64], bias);
                dense(&mut graph, &node.name, inputs[0], &names, *activation, &output);
            }
            FoldedLayer::Add { activation } => {
                activated(&mut graph, "Add", &node.name, &inputs, vec![], *activation, &output);
            }
            FoldedLayer::GlobalAveragePool => {
                graph.node_with_output("GlobalAveragePool", &node.name, &inputs, &output, vec![]);
            }
            FoldedLayer::Flatten => {
                graph.node_with_output("Flatten", &node.name, &inputs, &output, vec![int("axis", 1)]);
            }
        }
    }
    graph.into_model((INPUT, &network.nodes[0].shape), (OUTPUT, &network.nodes[last].shape))
}

/// The network in int8, QDQ form.
pub fn int8_onnx(network: &QuantizedNetwork) -> ModelProto {
    let mut graph = OnnxGraph::default();
    let last = network.nodes.len() - 1;
    // What the readers of a node read: the dequantized tensor where there is one.
    let mut read_as: Vec<String> = Vec::with_capacity(network.nodes.len());
    for (index, node) in network.nodes.iter().enumerate() {
        let inputs: Vec<&str> = node.inputs.iter().map(|&read| read_as[read].as_str()).collect();
        let output = value_name(&node.name, index, last);
        match &node.layer {
            QuantizedLayer::Input => {}
            QuantizedLayer::Conv { geometry, weights, activation } => {
                let names = dequantized_weights(&mut graph, &node.name, weights, &geometry.weight_shape());
                conv(&mut graph, &node.name, inputs[0], &names, geometry, *activation, &output);
            }
            QuantizedLayer::Dense { inputs: columns, outputs, weights, activation } => {
                let shape = [*outputs as i64, *columns as i64];
                let names = dequantized_weights(&mut graph, &node.name, weights, &shape);
                dense(&mut graph, &node.name, inputs[0], &names, *activation, &output);
            }
            QuantizedLayer::Add { activation } => {
                activated(&mut graph, "Add", &node.name, &inputs, vec![], *activation, &output);
            }
            QuantizedLayer::GlobalAveragePool => {
                graph.node_with_output("GlobalAveragePool", &node.name, &inputs, &output, vec![]);
            }
            QuantizedLayer::Flatten => {
                graph.node_with_output("Flatten", &node.name, &inputs, &output, vec![int("axis", 1)]);
            }
        }
        let flatten = matches!(node.layer, QuantizedLayer::Flatten);
        read_as.push(match node.output {
            Some(quantization) if !flatten => quantize_dequantize(&mut graph, &output, quantization),
            _ => output,
        });
    }
    graph.into_model((INPUT, &network.nodes[0].shape), (OUTPUT, &network.nodes[last].shape))
}

/// The name of a node's real output.
fn value_name(node: &str, index: usize, last: usize) -> String {
    if index == 0 {
        INPUT.to_string()
    } else if index == last {
        OUTPUT.to_string()
    } else {
        format!("{node}_output")
    }
}

fn conv(
    graph: &mut OnnxGraph,
    name: &str,
    input: &str,
    weights: &[String; 2],
    geometry: &ConvGeometry,
    activation: Option<Activation>,
    output: &str,
) {
    let ConvGeometry { kernel, stride, padding: [before, after], groups, .. } = *geometry;
    let [kernel, stride, before, after, groups] =
        [kernel, stride, before, after, groups].map(|size| size as i64);
    let attributes = vec![
        ints("dilations", &[1, 1]),
        int("group", groups),
        ints("kernel_shape", &[kernel, kernel]),
        ints("pads", &[before, before, after, after]),
        ints("strides", &[stride, stride]),
    ];
    activated(graph, "Conv", name, &[input, &weights[0], &weights[1]], attributes, activation, output);
}

fn dense(
    graph: &mut OnnxGraph,
    name: &str,
    input: &str,
    weights: &[String; 2],
    activation: Option<Activation>,
    output: &str,
) {
    let inputs = [input, &weights[0], &weights[1]];
    activated(graph, "Gemm", name, &inputs, vec![int("transB", 1)], activation, output);
}

/// A node and, if it has one, its activation as another node.
fn activated(
    graph: &mut OnnxGraph,
    op_type: &str,
    name: &str,
    inputs: &[&str],
    attributes: Vec<tract_onnx::pb::AttributeProto>,
    activation: Option<Activation>,
    output: &str,
) {
    let Some(activation) = activation else {
        graph.node_with_output(op_type, name, inputs, output, attributes);
        return;
    };
    let linear = format!("{name}_linear");
    graph.node_with_output(op_type, name, inputs, &linear, attributes);
    let name = format!("{name}_activation");
    match activation {
        Activation::Relu => graph.node_with_output("Relu", &name, &[&linear], output, vec![]),
        Activation::LeakyRelu(slope) => {
            graph.node_with_output("LeakyRelu", &name, &[&linear], output, vec![float("alpha", slope)]);
        }
        Activation::Relu6 => {
            let [low, high] = [format!("{name}_min"), format!("{name}_max")];
            graph.f32s(&low, &[], &[0.0]);
            graph.f32s(&high, &[], &[6.0]);
            graph.node_with_output("Clip", &name, &[&linear, &low, &high], output, vec![]);
        }
    }
}

/// Stores a value in u8 and reads it again; returns the name of what was read.
fn quantize_dequantize(graph: &mut OnnxGraph, value: &str, quantization: Quantization) -> String {
    let [scale, zero_point] = [format!("{value}_scale"), format!("{value}_zero_point")];
    graph.f32s(&scale, &[], &[quantization.scale]);
    graph.u8s(&zero_point, &[], &[quantization.zero_point]);
    let stored = format!("{value}_QuantizeLinear");
    graph.node("QuantizeLinear", &stored, &[value, &scale, &zero_point], vec![]);
    let read = format!("{value}_DequantizeLinear");
    graph.node("DequantizeLinear", &read, &[&stored, &scale, &zero_point], vec![]);
    read
}

/// Adds weight and bias as integers; returns the names of their real values.
fn dequantized_weights(
    graph: &mut OnnxGraph,
    node: &str,
    weights: &QuantizedWeights,
    shape: &[i64],
) -> [String; 2] {
    let channels = weights.bias.len();
    let [weight, bias] = [format!("{node}.weight"), format!("{node}.bias")];
    graph.i8s(&format!("{weight}_quantized"), shape, &weights.weight);
    graph.f32s(&format!("{weight}_scale"), &[channels as i64], &weights.scales);
    graph.i8s(&format!("{weight}_zero_point"), &[channels as i64], &vec![0; channels]);
    graph.i32s(&format!("{bias}_quantized"), &[channels as i64], &weights.bias);
    graph.f32s(&format!("{bias}_scale"), &[channels as i64], &weights.bias_scales);
    graph.i32s(&format!("{bias}_zero_point"), &[channels as i64], &vec![0; channels]);
    [weight, bias].map(|value| {
        let parts = ["quantized", "scale", "zero_point"].map(|part| format!("{value}_{part}"));
        let read = format!("{value}_DequantizeLinear");
        let inputs = [parts[0].as_str(), &parts[1], &parts[2]];
        graph.node("DequantizeLinear", &read, &inputs, vec![int("axis", 0)]);
        read
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;
    use crate::backbones;
    use crate::fold::fold;
    use crate::quantize::{QuantizeOptions, quantize};
    use crate::random_networks::{random_architecture, random_pictures, random_variables, tract_logits};
    use tch::Tensor;

    fn backbones() -> Vec<Architecture> {
        vec![
            backbones::cac9([3, 32, 32], 6, Activation::LeakyRelu(0.2), 1.0, 0.3),
            backbones::cac9([1, 28, 28], 10, Activation::Relu, 1.0, 0.3),
            backbones::tiny([3, 32, 32], 10, 1.0),
            backbones::efficientnet_lite0([3, 64, 64], 20, 16),
            backbones::efficientnet_lite0([3, 64, 64], 20, 12),
        ]
    }

    #[track_caller]
    fn assert_f32_is_the_same_in_tract(architecture: &Architecture, seed: u64) {
        let network = fold(architecture, &random_variables(architecture, seed));
        let pictures = random_pictures(architecture, 2, seed);
        let wanted = network.logits(&pictures);
        let got = tract_logits(&float_onnx(&network), &pictures);
        let off = (&got - &wanted).abs().max().double_value(&[]);
        let size = wanted.abs().max().double_value(&[]);
        assert!(off <= 1e-3 * size, "{}: off by {off} at logits of {size}", architecture.name);
    }

    #[test]
    fn tract_computes_the_f32_model_as_libtorch_does() {
        for architecture in backbones() {
            assert_f32_is_the_same_in_tract(&architecture, 1);
        }
        for seed in 0..60 {
            assert_f32_is_the_same_in_tract(&random_architecture(seed), seed);
        }
    }

    /// The int8 model's logits: exact, as tract computes them, and those of the network in f32.
    fn int8_logits(architecture: &Architecture, seed: u64) -> [Tensor; 3] {
        let network = fold(architecture, &random_variables(architecture, seed));
        let calibration =
            [random_pictures(architecture, 16, seed), random_pictures(architecture, 16, seed + 1)];
        let quantized = quantize(&network, &calibration, &QuantizeOptions::default()).unwrap();
        let pictures = random_pictures(architecture, 8, seed + 2);
        let in_tract = tract_logits(&int8_onnx(&quantized), &pictures);
        [quantized.logits(&pictures), in_tract, network.logits(&pictures)]
    }

    #[test]
    fn tract_computes_small_int8_models_as_the_exact_reference_does() {
        let mut steps_off: Vec<f64> = Vec::new();
        for seed in 0..60 {
            let [exact, in_tract, _] = int8_logits(&random_architecture(seed), seed);
            let step = (exact.max() - exact.min()).double_value(&[]) / 255.0;
            steps_off.extend(Vec::<f64>::try_from(((in_tract - exact).abs() / step).flatten(0, -1)).unwrap());
        }
        let within = steps_off.iter().filter(|&&steps| steps <= 1.0).count() as f64 / steps_off.len() as f64;
        let exactly =
            steps_off.iter().filter(|&&steps| steps <= 1e-2).count() as f64 / steps_off.len() as f64;
        assert!(within >= 0.999 && exactly >= 0.98, "{within} within a step, {exactly} within a hundredth");
    }

    /// tract computes QDQ in f32: now and then a value falls on the other side of a half, and from
    /// layer to layer more and more others follow (see [`crate::quantized`]). In the end the two
    /// differ as two draws of the quantization's noise do, but by no more.
    #[test]
    fn tract_computes_deep_int8_models_nearly_as_the_exact_reference_does() {
        for architecture in backbones() {
            let [exact, in_tract, float] = int8_logits(&architecture, 1);
            let rms = |difference: Tensor| difference.square().mean(None).sqrt().double_value(&[]);
            let (of_tract, of_quantization) = (rms(in_tract - &exact), rms(exact - float));
            assert!(of_tract <= of_quantization, "{}: {of_tract} {of_quantization}", architecture.name);
        }
    }
}
