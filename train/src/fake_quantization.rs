//! The int8 network as training sees it: computed in floats, with every weight, bias and activation put
//! where the deployed integers put it (fake quantization; Jacob et al., arXiv 1712.05877, section 3).
//! Gradients pass rounding as if it were not there, and are zero where a value was cut off
//! (straight-through estimator).
//!
//! The ranges of activations stay as post-training quantization chose them; the scales of weights
//! follow the weights. Batch normalisation is folded with its running statistics, which stay as they are
//! too (Krishnamoorthi, arXiv 1806.08342, on freezing them): so the integers are exactly those of
//! [`crate::quantize`], and the logits those of [`crate::simulate`] but for what f32 rounds.

use crate::architecture::{Architecture, Layer};
use crate::fold::deployed_weights;
use crate::folded_forward::{activate, convolve, run};
use crate::quantize::IntegerWeights;
use crate::quantized::{Quantization, QuantizedLayer, QuantizedNetwork};
use crate::variables::{Variables, channels_last};
use tch::{Tensor, no_grad};

/// A network with its ranges, ready to be trained.
pub struct FakeQuantized<'a> {
    architecture: &'a Architecture,
    /// What is computed and how it is stored. Its weights are not read: those come from the variables.
    network: &'a QuantizedNetwork,
    /// The layer of the architecture that a node has its weights from.
    layers: Vec<Option<usize>>,
}

impl<'a> FakeQuantized<'a> {
    /// `network` is what this architecture was quantized to.
    pub fn new(architecture: &'a Architecture, network: &'a QuantizedNetwork) -> Self {
        let layer_of = |node: &str| {
            architecture.layers.iter().position(
                |layer| matches!(layer, Layer::Conv { name, .. } | Layer::Dense { name, .. } if name == node),
            )
        };
        let layers = network.nodes.iter().map(|node| layer_of(&node.name)).collect();
        Self { architecture, network, layers }
    }

    /// Logits (B×N, f32) of a batch of inputs (B×C×H×W, normalised f32), with gradients.
    pub fn logits(&self, variables: &Variables, input: &Tensor) -> Tensor {
        let reads = self.network.nodes.iter().map(|node| node.inputs.as_slice());
        run(reads, |index, inputs| self.node(index, variables, input, inputs))
    }

    fn node(&self, index: usize, variables: &Variables, input: &Tensor, inputs: &[&Tensor]) -> Tensor {
        let node = &self.network.nodes[index];
        let value = match &node.layer {
            QuantizedLayer::Input => channels_last(input),
            QuantizedLayer::Conv { geometry, activation, .. } => {
                let [weight, bias] = self.weights(index, variables);
                activate(convolve(inputs[0], &weight, Some(&bias), geometry), *activation)
            }
            QuantizedLayer::Dense { activation, .. } => {
                let [weight, bias] = self.weights(index, variables);
                activate(inputs[0].linear(&weight, Some(&bias)), *activation)
            }
            QuantizedLayer::Add { activation } => activate(inputs[0] + inputs[1], *activation),
            QuantizedLayer::GlobalAveragePool => inputs[0].mean_dim([2i64, 3].as_slice(), true, None),
            QuantizedLayer::Flatten => return inputs[0].flatten(1, -1),
        };
        match node.output {
            Some(quantization) => stored(&value, quantization),
            None => value,
        }
    }

    /// What the integers of a node's weights and biases stand for.
    fn weights(&self, index: usize, variables: &Variables) -> [Tensor; 2] {
        let layer = self.layers[index].expect("the node was made of a layer");
        let real = deployed_weights(self.architecture, layer, variables);
        let read = self.network.nodes[index].inputs[0];
        let input = self.network.nodes[read].output.expect("only the last node's output is real");
        let [weight, bias] = no_grad(|| IntegerWeights::new(&real[0], &real[1], input.scale).values());
        [straight_through(&real[0], weight), straight_through(&real[1], bias)]
    }
}

/// The values of `rounded`, with the gradient of `real`.
fn straight_through(real: &Tensor, rounded: Tensor) -> Tensor {
    real + (rounded - real).detach()
}

/// What a tensor stands for once it is stored in u8. The gradient is that of the real values within the
/// range, and zero outside.
pub fn stored(real: &Tensor, quantization: Quantization) -> Tensor {
    let Quantization { scale, zero_point } = quantization;
    real.fake_quantize_per_tensor_affine(f64::from(scale), i64::from(zero_point), 0, 255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::fold;
    use crate::quantize::{QuantizeOptions, quantize};
    use crate::random_networks::{random_architecture, random_pictures, random_variables};
    use tch::{Device, Kind};

    fn quantized(architecture: &Architecture, variables: &Variables, seed: u64) -> QuantizedNetwork {
        let pictures = [random_pictures(architecture, 8, seed)];
        quantize(&fold(architecture, variables), &pictures, &QuantizeOptions::default()).unwrap()
    }

    /// What each node of the integer network gives, as real values in f32.
    fn exact_outputs(network: &QuantizedNetwork, pictures: &Tensor) -> Vec<Tensor> {
        let mut outputs = Vec::new();
        let _ = network.visit(pictures, |index, output| {
            let scale = network.nodes[index].output.map_or(1.0, |output| f64::from(output.scale));
            outputs.push((output.to_kind(Kind::Double) * scale).to_kind(Kind::Float));
        });
        outputs
    }

    fn largest(tensor: &Tensor) -> f64 {
        tensor.abs().max().double_value(&[])
    }

    #[test]
    fn every_layer_computes_what_the_deployed_integers_do() {
        let (mut values, mut off) = (0, 0);
        for seed in 0..40 {
            let architecture = random_architecture(seed);
            let variables = random_variables(&architecture, seed);
            let network = quantized(&architecture, &variables, seed);
            let fake = FakeQuantized::new(&architecture, &network);
            let pictures = random_pictures(&architecture, 4, seed + 100);
            let exact = exact_outputs(&network, &pictures);
            for (index, node) in network.nodes.iter().enumerate() {
                let inputs: Vec<&Tensor> = node.inputs.iter().map(|&read| &exact[read]).collect();
                let output = fake.node(index, &variables, &pictures, &inputs).detach();
                let difference = output - &exact[index];
                let Some(output) = node.output else {
                    assert!(largest(&difference) <= 1e-5 * largest(&exact[index]).max(1.0), "seed {seed}");
                    continue;
                };
                // A value between two steps, within f32's precision, may go either way.
                let steps = (difference / f64::from(output.scale)).round().abs();
                assert!(largest(&steps) <= 1.0, "seed {seed}, {}", node.name);
                off += steps.sum(Kind::Int64).int64_value(&[]);
                values += steps.numel() as i64;
            }
        }
        assert!(off * 10_000 <= values, "{off} of {values} values are off");
    }

    #[test]
    fn weights_and_biases_are_exactly_the_deployed_ones() {
        for seed in 0..20 {
            let architecture = random_architecture(seed);
            let variables = random_variables(&architecture, seed);
            let network = quantized(&architecture, &variables, seed);
            let fake = FakeQuantized::new(&architecture, &network);
            for (index, node) in network.nodes.iter().enumerate() {
                let (QuantizedLayer::Conv { weights, .. } | QuantizedLayer::Dense { weights, .. }) =
                    &node.layer
                else {
                    continue;
                };
                let [weight, bias] = fake
                    .weights(index, &variables)
                    .map(|tensor| Vec::<f32>::try_from(tensor.detach().contiguous().view([-1])).unwrap());
                let taps = weight.len() / bias.len();
                for (channel, &scale) in weights.scales.iter().enumerate() {
                    let deployed = &weights.weight[channel * taps..][..taps];
                    let deployed: Vec<f32> = deployed.iter().map(|&tap| f32::from(tap) * scale).collect();
                    assert_eq!(weight[channel * taps..][..taps], deployed, "{}", node.name);
                    let stored = f64::from(weights.bias[channel]) * f64::from(weights.bias_scales[channel]);
                    assert_eq!(bias[channel], stored as f32, "{}", node.name);
                }
            }
        }
    }

    #[test]
    fn gradients_are_straight_through_inside_the_range_and_zero_outside() {
        // 256 steps of 0.1 from −1 to 24.5.
        let quantization = Quantization { scale: 0.1, zero_point: 10 };
        let real = Tensor::from_slice(&[-7.0f32, -1.2, -0.93, 0.0, 3.333, 24.5, 24.7, 1e4]);
        let real = real.set_requires_grad(true);
        let stored = stored(&real, quantization);
        let expected = [-1.0, -1.0, -0.9, 0.0, 3.3, 24.5, 24.5, 24.5];
        assert!(largest(&(&stored - Tensor::from_slice(&expected))) < 1e-5, "{stored:?}");
        let slopes = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        (stored * slopes).sum(Kind::Float).backward();
        let expected = [0.0f32, 0.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0];
        assert_eq!(Vec::<f32>::try_from(real.grad()).unwrap(), expected);
    }

    #[test]
    fn the_variables_get_the_gradients_of_the_values_that_the_integers_stand_for() {
        for seed in 0..20 {
            let architecture = random_architecture(seed);
            let variables = random_variables(&architecture, seed);
            let network = quantized(&architecture, &variables, seed);
            let pictures = random_pictures(&architecture, 4, seed);
            let logits = FakeQuantized::new(&architecture, &network).logits(&variables, &pictures);
            logits.sum(Kind::Float).backward();
            // The last layer is linear: each row's gradient is the sum of what it reads.
            let features = network.nodes.len() - 2;
            let read =
                exact_outputs(&network, &pictures)[features].sum_dim_intlist([0i64].as_slice(), false, None);
            let gradient = variables.get("classify.weight").grad();
            let expected = read.unsqueeze(0).expand_as(&gradient);
            let bound = 0.02 * largest(&expected).max(1e-3);
            assert!(largest(&(&gradient - &expected)) <= bound, "seed {seed}: {gradient:?} {expected:?}");
            // And all that is trained gets one.
            for (name, variable) in variables.trainable() {
                let gradient = variable.grad();
                assert!(gradient.defined() && gradient.isfinite().all().int64_value(&[]) == 1, "{name}");
            }
            let bias = variables.get("classify.bias").grad();
            let ones = Tensor::full(bias.size().as_slice(), 4.0, (Kind::Float, Device::Cpu));
            assert_eq!(bias, ones);
        }
    }
}
