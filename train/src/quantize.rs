//! Post-training quantization: from a [`FoldedNetwork`] and calibration pictures to a
//! [`QuantizedNetwork`]. What the integers mean is in [`crate::quantized`].

use crate::activation_ranges::{RangeMethod, activation_ranges};
use crate::folded::{FoldedLayer, FoldedNetwork};
use crate::quantized::{Quantization, QuantizedLayer, QuantizedNetwork, QuantizedNode, QuantizedWeights};
use anyhow::{Result, bail};
use tch::{Kind, Tensor};

/// How to quantize.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizeOptions {
    /// How ranges of activations are chosen.
    pub ranges: RangeMethod,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        Self { ranges: RangeMethod::Mse }
    }
}

/// Largest stored bias: leaves the accumulator as much room again before it would overflow.
const LARGEST_BIAS: f64 = (1 << 30) as f64;

/// No scale is smaller, so that products of two are normal f32 numbers.
const SMALLEST_SCALE: f64 = 1e-15;

/// Quantizes a network: activations to u8, one scale and zero point a tensor; weights to i8,
/// symmetric, one scale an output channel; biases to i32. The logits stay real. `batches` are
/// calibration pictures as B×C×H×W inputs, normalised; they are run twice.
///
/// # Errors
/// Without calibration pictures, or where weights or activations are not finite.
pub fn quantize(
    network: &FoldedNetwork,
    batches: &[Tensor],
    options: &QuantizeOptions,
) -> Result<QuantizedNetwork> {
    let ranges = activation_ranges(network, batches, options.ranges)?;
    let mut outputs: Vec<Option<Quantization>> = Vec::with_capacity(network.nodes.len());
    for (index, node) in network.nodes.iter().enumerate() {
        outputs.push(if index + 1 == network.nodes.len() {
            None
        } else if matches!(node.layer, FoldedLayer::Flatten) {
            outputs[node.inputs[0]]
        } else {
            Some(quantization(ranges[index]))
        });
    }
    quantize_with(network, &outputs)
}

/// Quantizes a network where it is known how the output of each node is stored.
///
/// # Errors
/// Where weights are not finite.
pub fn quantize_with(network: &FoldedNetwork, outputs: &[Option<Quantization>]) -> Result<QuantizedNetwork> {
    let mut nodes: Vec<QuantizedNode> = Vec::with_capacity(network.nodes.len());
    for (node, &output) in network.nodes.iter().zip(outputs) {
        let input = node.inputs.first().and_then(|&input| outputs[input]);
        let input_scale = input.map_or(1.0, |input| input.scale);
        let layer = match &node.layer {
            FoldedLayer::Input => QuantizedLayer::Input,
            FoldedLayer::Conv { geometry, weight, bias, activation } => QuantizedLayer::Conv {
                geometry: *geometry,
                weights: quantize_weights(&node.name, weight, bias, input_scale)?,
                activation: *activation,
            },
            FoldedLayer::Add { activation } => QuantizedLayer::Add { activation: *activation },
            FoldedLayer::GlobalAveragePool => QuantizedLayer::GlobalAveragePool,
            FoldedLayer::Flatten => QuantizedLayer::Flatten,
            FoldedLayer::Dense { weight, bias, inputs, outputs, activation } => QuantizedLayer::Dense {
                inputs: *inputs,
                outputs: *outputs,
                weights: quantize_weights(&node.name, weight, bias, input_scale)?,
                activation: *activation,
            },
        };
        nodes.push(QuantizedNode {
            name: node.name.clone(),
            layer,
            inputs: node.inputs.clone(),
            shape: node.shape.clone(),
            output,
        });
    }
    Ok(QuantizedNetwork { nodes })
}

/// Spreads the 256 values over a range that contains 0.
fn quantization([low, high]: [f32; 2]) -> Quantization {
    let step = (f64::from(high) - f64::from(low)) / 255.0;
    if step < SMALLEST_SCALE {
        // The tensor is zero on all calibration pictures.
        return Quantization { scale: 1.0, zero_point: 0 };
    }
    let zero_point = (-f64::from(low) / step).round_ties_even().clamp(0.0, 255.0);
    Quantization { scale: step as f32, zero_point: zero_point as u8 }
}

fn quantize_weights(name: &str, weight: &[f32], bias: &[f32], input_scale: f32) -> Result<QuantizedWeights> {
    if !weight.iter().chain(bias).all(|value| value.is_finite()) {
        bail!("the weights of '{name}' are not finite: training has diverged");
    }
    let rows = Tensor::from_slice(weight).view([bias.len() as i64, -1]);
    let integers = IntegerWeights::new(&rows, &Tensor::from_slice(bias), input_scale);
    Ok(QuantizedWeights {
        weight: Vec::try_from(integers.weight.to_kind(Kind::Int8).view([-1]))?,
        scales: Vec::try_from(integers.scales.to_kind(Kind::Float))?,
        bias: Vec::try_from(integers.bias.to_kind(Kind::Int))?,
        bias_scales: Vec::try_from(integers.bias_scales.to_kind(Kind::Float))?,
    })
}

/// Weights and biases in integers, as f64 tensors.
pub struct IntegerWeights {
    /// −127..=127, in the shape of the weights.
    pub weight: Tensor,
    /// One an output channel, exact in f32.
    pub scales: Tensor,
    /// In units of `bias_scales`.
    pub bias: Tensor,
    /// The input's scale times `scales`, rounded to f32.
    pub bias_scales: Tensor,
}

impl IntegerWeights {
    /// Of real ones: weights of shape O×…, O biases.
    pub fn new(weight: &Tensor, bias: &Tensor, input_scale: f32) -> Self {
        let [weight, bias] = [weight, bias].map(|real| real.detach().to_kind(Kind::Double));
        let input_scale = f64::from(input_scale);
        let as_f32 = |exact: Tensor| exact.to_kind(Kind::Float).to_kind(Kind::Double);
        let largest = weight.abs().amax(in_a_channel(&weight), false);
        let for_bias = bias.abs() / (input_scale * LARGEST_BIAS);
        let scales = as_f32((largest / 127.0).maximum(&for_bias).clamp_min(SMALLEST_SCALE));
        let bias_scales = as_f32(&scales * input_scale);
        Self {
            // libtorch rounds half to even.
            weight: (&weight / of_channels(&scales, &weight)).round().clamp(-127.0, 127.0),
            bias: (bias / &bias_scales).round(),
            scales,
            bias_scales,
        }
    }

    /// What the integers stand for: weights and biases in f32.
    pub fn values(&self) -> [Tensor; 2] {
        let weight = &self.weight * of_channels(&self.scales, &self.weight);
        [weight, &self.bias * &self.bias_scales].map(|exact| exact.to_kind(Kind::Float))
    }
}

/// All dimensions but the output channels'.
fn in_a_channel(weight: &Tensor) -> Vec<i64> {
    (1..weight.dim() as i64).collect()
}

/// O values, so shaped that each meets its channel of the weights.
fn of_channels(values: &Tensor, weight: &Tensor) -> Tensor {
    let mut shape = vec![1; weight.dim()];
    shape[0] = -1;
    values.view(shape.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Activation;
    use crate::fold::fold;
    use crate::random_networks::{random_architecture, random_pictures, random_variables};
    use tch::Device;

    #[test]
    fn weights_and_biases_are_within_half_a_step() {
        let weight = [0.5, -1.27, 0.3, 0.0, 0.0, 0.0, 1e-30, 0.0, -1e-30];
        let bias = [0.7, -12.5, 4e5];
        let quantized = quantize_weights("w", &weight, &bias, 0.02).unwrap();
        assert_eq!(&quantized.weight[..3], &[50, -127, 30]);
        let taps = quantized.weight.chunks_exact(3).zip(weight.chunks_exact(3));
        for (channel, ((stored, real), bias)) in taps.zip(bias).enumerate() {
            let (scale, bias_scale) = (quantized.scales[channel], quantized.bias_scales[channel]);
            assert!(bias_scale.is_normal() && (bias_scale / (scale * 0.02) - 1.0).abs() < 1e-6);
            for (&stored, real) in stored.iter().zip(real) {
                assert!((f32::from(stored) * scale - real).abs() <= scale * 0.501);
            }
            let stored = f64::from(quantized.bias[channel]) * f64::from(bias_scale);
            assert!((stored - f64::from(bias)).abs() <= f64::from(bias_scale) * 0.501);
            assert!(quantized.bias[channel].abs() <= 1 << 30);
        }
    }

    #[test]
    fn a_range_is_covered_and_zero_is_exact() {
        for range in [[0.0, 6.0], [-1.0, 3.0], [-2.0, 0.0], [-1e-3, 1e3], [-7e4, 2e-4]] {
            let Quantization { scale, zero_point } = quantization(range);
            let bound = |stored: f32| (stored - f32::from(zero_point)) * scale;
            assert!((bound(0.0) - range[0]).abs() <= scale * 0.51, "{range:?}");
            assert!((bound(255.0) - range[1]).abs() <= scale * 0.51, "{range:?}");
        }
        assert_eq!(quantization([0.0, 5.1]), Quantization { scale: 0.02, zero_point: 0 });
        assert_eq!(quantization([0.0, 0.0]), Quantization { scale: 1.0, zero_point: 0 });
    }

    #[test]
    fn nothing_that_relu_made_has_a_zero_point_and_only_the_logits_stay_real() {
        for seed in 0..30 {
            let architecture = random_architecture(seed);
            let network = fold(&architecture, &random_variables(&architecture, seed));
            let pictures = [random_pictures(&architecture, 8, seed)];
            let quantized = quantize(&network, &pictures, &QuantizeOptions::default()).unwrap();
            let (last, others) = quantized.nodes.split_last().unwrap();
            assert_eq!(last.output, None);
            for node in others {
                let output = node.output.unwrap();
                if let QuantizedLayer::Conv {
                    activation: Some(Activation::Relu | Activation::Relu6), ..
                } = node.layer
                {
                    assert_eq!(output.zero_point, 0, "{}", node.name);
                }
            }
        }
    }

    #[test]
    fn a_diverged_network_or_no_pictures_is_an_error() {
        let architecture = random_architecture(3);
        let mut network = fold(&architecture, &random_variables(&architecture, 3));
        let options = QuantizeOptions::default();
        let message = quantize(&network, &[], &options).unwrap_err().to_string();
        assert!(message.contains("no pictures"), "{message}");
        let [channels, height, width] = architecture.input;
        let nan = Tensor::full([1, channels, height, width], f64::NAN, (Kind::Float, Device::Cpu));
        let message = quantize(&network, &[nan], &options).unwrap_err().to_string();
        assert!(message.contains("not finite"), "{message}");
        for node in &mut network.nodes {
            if let FoldedLayer::Conv { weight, .. } = &mut node.layer {
                weight[0] = f32::INFINITY;
            }
        }
        let pictures = [Tensor::zeros([1, channels, height, width], (Kind::Float, Device::Cpu))];
        assert!(quantize(&network, &pictures, &options).is_err());
    }
}
