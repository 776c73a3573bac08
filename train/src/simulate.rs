//! Runs a [`QuantizedNetwork`] in libtorch, exactly: what ONNX says that the exported QDQ file
//! means, with sums in integers and everything else in f64. The oracle for any engine that runs
//! the file, and the source of the golden logits. Not meant to be fast.
//!
//! An engine that computes QDQ in f32 may differ from this by one step where a value falls
//! between two steps within f32's precision, and by what becomes of that further on.

use crate::folded::ConvGeometry;
use crate::folded_forward::{activate, convolve, run};
use crate::quantized::{Quantization, QuantizedLayer, QuantizedNetwork, QuantizedWeights};
use crate::variables::channels_last;
use tch::{Kind, Tensor, no_grad};

/// All integers up to here, and all sums of integers that stay below, are exact in f32.
const EXACT_IN_F32: f64 = (1 << 24) as f64;

impl QuantizedNetwork {
    /// Logits (B×N, f32) of a batch of inputs (B×C×H×W, normalised f32).
    pub fn logits(&self, input: &Tensor) -> Tensor {
        self.visit(input, |_, _| {})
    }

    /// The same, and shows each node's output to `see`: `q − zero_point` in f32, but real values
    /// in f64 for the last node.
    pub fn visit(&self, input: &Tensor, mut see: impl FnMut(usize, &Tensor)) -> Tensor {
        no_grad(|| {
            let logits = run(self.nodes.iter().map(|node| node.inputs.as_slice()), |index, inputs| {
                let output = self.node(index, input, inputs);
                see(index, &output);
                output
            });
            logits.to_kind(Kind::Float)
        })
    }

    fn node(&self, index: usize, input: &Tensor, inputs: &[&Tensor]) -> Tensor {
        let node = &self.nodes[index];
        let of_input =
            |nth: usize| self.nodes[node.inputs[nth]].output.expect("only the last node's is real");
        let real = |nth: usize| inputs[nth].to_kind(Kind::Double) * f64::from(of_input(nth).scale);
        let value = match &node.layer {
            QuantizedLayer::Input => channels_last(&input.to_kind(Kind::Double)),
            QuantizedLayer::Conv { geometry, weights, activation } => {
                let kind = accumulator(weights, of_input(0));
                let sums = convolve_integers(inputs[0], weights, geometry, kind);
                activate(rescale(sums, weights, of_input(0), &[1, -1, 1, 1]), *activation)
            }
            QuantizedLayer::Dense { inputs: columns, outputs, weights, activation } => {
                let kind = accumulator(weights, of_input(0));
                let weight = Tensor::from_slice(&weights.weight).to_kind(kind);
                let weight = weight.view([*outputs as i64, *columns as i64]);
                let sums = inputs[0].to_kind(kind).linear(&weight, None::<&Tensor>);
                activate(rescale(sums, weights, of_input(0), &[1, -1]), *activation)
            }
            QuantizedLayer::Add { activation } => activate(real(0) + real(1), *activation),
            QuantizedLayer::GlobalAveragePool => real(0).mean_dim([2i64, 3].as_slice(), true, None),
            QuantizedLayer::Flatten if node.output.is_some() => return inputs[0].flatten(1, -1),
            QuantizedLayer::Flatten => real(0).flatten(1, -1),
        };
        match node.output {
            Some(quantization) => store(value, quantization),
            None => value,
        }
    }
}

/// `q − zero_point`, in f32, of real values in f64.
pub fn store(value: Tensor, quantization: Quantization) -> Tensor {
    let zero_point = f64::from(quantization.zero_point);
    // libtorch rounds half to even, as ONNX wants it.
    let mut steps = (value / f64::from(quantization.scale)).round();
    steps.clamp_(-zero_point, 255.0 - zero_point).to_kind(Kind::Float)
}

fn convolve_integers(
    input: &Tensor,
    weights: &QuantizedWeights,
    geometry: &ConvGeometry,
    kind: Kind,
) -> Tensor {
    let weight = Tensor::from_slice(&weights.weight).to_kind(kind).view(geometry.weight_shape());
    convolve(&input.to_kind(kind), &weight, None, geometry)
}

/// The kind in which every partial sum of a row is exact, in whatever order it is added up.
fn accumulator(weights: &QuantizedWeights, input: Quantization) -> Kind {
    let zero_point = f64::from(input.zero_point);
    let largest_input = zero_point.max(255.0 - zero_point);
    let taps = weights.weight.len() / weights.bias.len();
    let sum = |row: &[i8]| row.iter().map(|tap| f64::from(tap.unsigned_abs())).sum::<f64>();
    let largest_sum = weights.weight.chunks_exact(taps).map(sum).fold(0.0, f64::max);
    if largest_sum * largest_input < EXACT_IN_F32 { Kind::Float } else { Kind::Double }
}

/// Real values of sums: the bias added, times both scales, channels along the −1 of `shape`.
fn rescale(sums: Tensor, weights: &QuantizedWeights, input: Quantization, shape: &[i64]) -> Tensor {
    let bias = Tensor::from_slice(&weights.bias).to_kind(Kind::Double).view(shape);
    let scales = Tensor::from_slice(&weights.scales).to_kind(Kind::Double) * f64::from(input.scale);
    (sums.to_kind(Kind::Double) + bias) * scales.view(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Activation;
    use crate::fold::fold;
    use crate::quantize::{QuantizeOptions, quantize};
    use crate::quantized::QuantizedNode;
    use crate::random_networks::{random_architecture, random_pictures, random_variables};

    /// The integers of one picture, computed by the formulas in [`crate::quantized`], value by
    /// value; the last entry is the logits.
    fn by_the_formulas(network: &QuantizedNetwork, picture: &[f32]) -> Vec<Vec<f64>> {
        let mut outputs: Vec<Vec<f64>> = Vec::new();
        for node in &network.nodes {
            let quantization = |nth: usize| network.nodes[node.inputs[nth]].output.unwrap();
            let input = |nth: usize| &outputs[node.inputs[nth]];
            let scale = |nth: usize| f64::from(quantization(nth).scale);
            let values: Vec<f64> = match &node.layer {
                QuantizedLayer::Input => picture.iter().map(|&value| f64::from(value)).collect(),
                QuantizedLayer::Conv { geometry, weights, activation } => {
                    let shape = &network.nodes[node.inputs[0]].shape;
                    conv_by_the_formula(input(0), shape, scale(0), geometry, weights, *activation, node)
                }
                QuantizedLayer::Dense { inputs, weights, activation, .. } => (0..weights.bias.len())
                    .map(|channel| {
                        let row = &weights.weight[channel * inputs..(channel + 1) * inputs];
                        let products = row.iter().zip(input(0)).map(|(&w, &x)| i64::from(w) * x as i64);
                        let sum = products.sum::<i64>() + i64::from(weights.bias[channel]);
                        let factor = f64::from(weights.scales[channel]) * scale(0);
                        activated(sum as f64 * factor, *activation)
                    })
                    .collect(),
                QuantizedLayer::Add { activation } => input(0)
                    .iter()
                    .zip(input(1))
                    .map(|(a, b)| activated(a * scale(0) + b * scale(1), *activation))
                    .collect(),
                QuantizedLayer::GlobalAveragePool => {
                    let count = input(0).len() / node.shape[0];
                    let mean = |values: &[f64]| values.iter().sum::<f64>() * scale(0) / count as f64;
                    input(0).chunks_exact(count).map(mean).collect()
                }
                QuantizedLayer::Flatten => input(0).iter().map(|value| value * scale(0)).collect(),
            };
            outputs.push(match node.output {
                Some(Quantization { scale, zero_point }) => {
                    let zero_point = f64::from(zero_point);
                    let stored = |value: &f64| (value / f64::from(scale)).round_ties_even() + zero_point;
                    values.iter().map(|value| stored(value).clamp(0.0, 255.0) - zero_point).collect()
                }
                None => values,
            });
        }
        outputs
    }

    fn conv_by_the_formula(
        input: &[f64],
        shape: &[usize],
        input_scale: f64,
        geometry: &ConvGeometry,
        weights: &QuantizedWeights,
        activation: Option<Activation>,
        node: &QuantizedNode,
    ) -> Vec<f64> {
        let ConvGeometry { inputs, outputs, kernel, stride, padding, groups } = *geometry;
        let mut values = Vec::new();
        for channel in 0..outputs {
            for y in 0..node.shape[1] {
                for x in 0..node.shape[2] {
                    let mut sum = i64::from(weights.bias[channel]);
                    for tap in 0..inputs / groups * kernel * kernel {
                        let from = channel / (outputs / groups) * (inputs / groups) + tap / (kernel * kernel);
                        let (row, column) = (tap / kernel % kernel, tap % kernel);
                        let (row, column) = (y * stride + row, x * stride + column);
                        let inside = |at: usize, size: usize| at >= padding[0] && at < padding[0] + size;
                        if inside(row, shape[1]) && inside(column, shape[2]) {
                            let at = (from * shape[1] + row - padding[0]) * shape[2] + column - padding[0];
                            let weight = weights.weight[channel * inputs / groups * kernel * kernel + tap];
                            sum += i64::from(weight) * input[at] as i64;
                        }
                    }
                    let factor = f64::from(weights.scales[channel]) * input_scale;
                    values.push(activated(sum as f64 * factor, activation));
                }
            }
        }
        values
    }

    fn activated(value: f64, activation: Option<Activation>) -> f64 {
        match activation {
            None => value,
            Some(Activation::Relu) => value.max(0.0),
            Some(Activation::Relu6) => value.clamp(0.0, 6.0),
            Some(Activation::LeakyRelu(slope)) => value * if value < 0.0 { f64::from(slope) } else { 1.0 },
        }
    }

    fn f64s(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.to_kind(Kind::Double).contiguous().view([-1])).unwrap()
    }

    #[test]
    fn every_node_of_random_networks_has_the_integers_of_the_formulas() {
        for seed in 0..60 {
            let architecture = random_architecture(seed);
            let network = fold(&architecture, &random_variables(&architecture, seed));
            let calibration = [random_pictures(&architecture, 8, seed)];
            let quantized = quantize(&network, &calibration, &QuantizeOptions::default()).unwrap();
            let picture = random_pictures(&architecture, 1, seed + 1000);
            let flat = picture.contiguous().view([-1]);
            let wanted = by_the_formulas(&quantized, &Vec::<f32>::try_from(flat).unwrap());
            let _ = quantized.visit(&picture, |index, output| {
                let node = &quantized.nodes[index];
                for (got, wanted) in f64s(output).into_iter().zip(&wanted[index]) {
                    let room = if node.output.is_some() { 0.0 } else { 1e-9 * (1.0 + wanted.abs()) };
                    // A value within f64's precision of a half may go either way.
                    assert!((got - wanted).abs() <= room, "seed {seed}, {}: {got} {wanted}", node.name);
                }
            });
        }
    }

    #[test]
    fn sums_that_f32_would_round_are_exact() {
        let columns = 3001;
        let weights = QuantizedWeights {
            weight: vec![127; columns],
            scales: vec![1.0],
            bias: vec![1],
            bias_scales: vec![1.0],
        };
        let input = Quantization { scale: 1.0, zero_point: 0 };
        let node = |name: &str, layer, inputs, shape, output| QuantizedNode {
            name: name.to_string(),
            layer,
            inputs,
            shape,
            output,
        };
        let layer = QuantizedLayer::Dense { inputs: columns, outputs: 1, weights, activation: None };
        let network = QuantizedNetwork {
            nodes: vec![
                node("pixels", QuantizedLayer::Input, vec![], vec![columns, 1, 1], Some(input)),
                node("flatten", QuantizedLayer::Flatten, vec![0], vec![columns], Some(input)),
                node("classify", layer, vec![1], vec![1], None),
            ],
        };
        let pixels = Tensor::full([1, columns as i64, 1, 1], 255.0, (Kind::Float, tch::Device::Cpu));
        let mut sum = 0.0;
        let _ = network.visit(&pixels, |index, output| {
            if index == 2 {
                sum = output.double_value(&[0, 0]);
            }
        });
        assert_eq!(sum, f64::from(127 * 255 * 3001 + 1));
    }
}
