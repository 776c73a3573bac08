//! What quantization costs, layer by layer: how far the int8 network is from the float one at each
//! layer, and how far its logits would be if that layer alone were in int8. Errors are given as
//! signal-to-quantization-noise ratios: 10·log₁₀ of the sum of the squared float values over that of the
//! squared differences, in dB; larger is better, 6 dB are one bit.

use crate::folded::{FoldedLayer, FoldedNetwork};
use crate::folded_forward::compute;
use crate::interrupt::Interrupt;
use crate::progress;
use crate::quantized::{Quantization, QuantizedLayer, QuantizedNetwork, QuantizedWeights};
use crate::simulate::store;
use anyhow::{Result, ensure};
use serde::Serialize;
use tch::{Kind, Tensor, no_grad};

/// Pictures at a time: the outputs of all layers are in memory at once.
const PICTURES: i64 = 16;

/// How far the int8 network's output of a layer is from the float network's. The error is that of the
/// whole int8 network up to there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerError {
    /// The layer's name; the last one's output is the logits.
    pub name: String,
    /// Signal-to-quantization-noise ratio in dB; larger is better. Infinite if nothing differs.
    pub sqnr_db: f64,
    /// Mean absolute difference, in the units of the layer's output; smaller is better.
    pub mean_absolute: f64,
}

/// The errors of all layers, in the order they run; what only changes a shape is left out. `quantized` is
/// what `folded` was quantized to, `batches` are B×C×H×W inputs, normalised.
///
/// # Errors
/// Without pictures, or if the two are not the same network.
pub fn layer_errors(
    folded: &FoldedNetwork,
    quantized: &QuantizedNetwork,
    batches: &[Tensor],
) -> Result<Vec<LayerError>> {
    check(folded, quantized, batches)?;
    let mut sums = vec![ErrorSum::default(); folded.nodes.len()];
    for pictures in parts(batches) {
        let float = outputs(folded, &pictures);
        let _ = quantized.visit(&pictures, |index, output| {
            let scale = quantized.nodes[index].output.map_or(1.0, |output| f64::from(output.scale));
            sums[index].add(&float[index], &(output.to_kind(Kind::Double) * scale));
        });
    }
    let error = |index: usize| LayerError {
        name: folded.nodes[index].name.clone(),
        sqnr_db: sums[index].sqnr_db(),
        mean_absolute: sums[index].mean_absolute(),
    };
    Ok(computing(folded).into_iter().map(error).collect())
}

/// The signal-to-quantization-noise ratio of the logits, in dB, if one layer alone is in int8, its weights
/// and its output, and everything else in float: one for each of [`layer_errors`]. The smallest are of the
/// layers that cost most.
///
/// # Errors
/// As [`layer_errors`], and if it is interrupted.
pub fn sensitivities(
    folded: &FoldedNetwork,
    quantized: &QuantizedNetwork,
    batches: &[Tensor],
    interrupt: &Interrupt,
) -> Result<Vec<f64>> {
    check(folded, quantized, batches)?;
    let layers = computing(folded);
    let parts = parts(batches);
    let bar = progress::bar((parts.len() * layers.len()) as u64, "each layer alone in int8");
    let mut sums = vec![ErrorSum::default(); layers.len()];
    for pictures in &parts {
        let float = outputs(folded, pictures);
        for (sum, &index) in sums.iter_mut().zip(&layers) {
            interrupt.check()?;
            let logits = no_grad(|| logits_with_one_in_int8(index, folded, quantized, &float, pictures));
            sum.add(&float[float.len() - 1], &logits);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(sums.iter().map(ErrorSum::sqnr_db).collect())
}

/// Logits (B×N) with node `index` in int8; `float` are the outputs of all nodes in float.
fn logits_with_one_in_int8(
    index: usize,
    folded: &FoldedNetwork,
    quantized: &QuantizedNetwork,
    float: &[Tensor],
    pictures: &Tensor,
) -> Tensor {
    // Only what depends on the node is computed again.
    let mut changed: Vec<Option<Tensor>> = float.iter().map(|_| None).collect();
    for (later, node) in folded.nodes.iter().enumerate().skip(index) {
        if later > index && node.inputs.iter().all(|&read| changed[read].is_none()) {
            continue;
        }
        let inputs: Vec<&Tensor> =
            node.inputs.iter().map(|&read| changed[read].as_ref().unwrap_or(&float[read])).collect();
        changed[later] = Some(if later == index {
            let of_integers = with_weights_of(&node.layer, &quantized.nodes[index].layer);
            let output = compute(&of_integers, pictures, &inputs);
            match quantized.nodes[index].output {
                Some(how) => stored(output, how),
                None => output,
            }
        } else {
            compute(&node.layer, pictures, &inputs)
        });
    }
    changed.pop().flatten().unwrap_or_else(|| float[float.len() - 1].shallow_clone())
}

/// What real values stand for once they are stored in u8.
fn stored(real: Tensor, how: Quantization) -> Tensor {
    store(real.to_kind(Kind::Double), how) * f64::from(how.scale)
}

/// A layer with the weights that its integers stand for, computing in float.
fn with_weights_of(float: &FoldedLayer, integers: &QuantizedLayer) -> FoldedLayer {
    let mut layer = float.clone();
    if let FoldedLayer::Conv { weight, bias, .. } | FoldedLayer::Dense { weight, bias, .. } = &mut layer
        && let QuantizedLayer::Conv { weights, .. } | QuantizedLayer::Dense { weights, .. } = integers
    {
        (*weight, *bias) = values(weights);
    }
    layer
}

fn values(weights: &QuantizedWeights) -> (Vec<f32>, Vec<f32>) {
    let taps = weights.weight.len() / weights.scales.len();
    let rows = weights.weight.chunks_exact(taps).zip(&weights.scales);
    let weight = rows.flat_map(|(row, &scale)| row.iter().map(move |&tap| f32::from(tap) * scale)).collect();
    let bias = weights.bias.iter().zip(&weights.bias_scales);
    (weight, bias.map(|(&bias, &scale)| (f64::from(bias) * f64::from(scale)) as f32).collect())
}

fn check(folded: &FoldedNetwork, quantized: &QuantizedNetwork, batches: &[Tensor]) -> Result<()> {
    ensure!(!batches.is_empty(), "there are no pictures to measure the quantization's error on");
    let same = folded.nodes.len() == quantized.nodes.len()
        && folded.nodes.iter().zip(&quantized.nodes).all(|(one, other)| one.name == other.name);
    ensure!(same, "the int8 network was not made of this float network");
    Ok(())
}

/// The nodes that compute something: not the change of a shape, unless it gives the logits.
fn computing(folded: &FoldedNetwork) -> Vec<usize> {
    let last = folded.nodes.len() - 1;
    let computes = |&index: &usize| index == last || folded.nodes[index].layer != FoldedLayer::Flatten;
    (0..=last).filter(computes).collect()
}

fn parts(batches: &[Tensor]) -> Vec<Tensor> {
    batches.iter().flat_map(|batch| batch.split(PICTURES, 0)).collect()
}

/// What each node of the float network gives.
fn outputs(folded: &FoldedNetwork, pictures: &Tensor) -> Vec<Tensor> {
    let mut outputs = Vec::with_capacity(folded.nodes.len());
    let _ = folded.visit(pictures, |_, output| outputs.push(output.shallow_clone()));
    outputs
}

/// Sums over values and their differences.
#[derive(Clone, Copy, Debug, Default)]
struct ErrorSum {
    signal: f64,
    noise: f64,
    absolute: f64,
    values: usize,
}

impl ErrorSum {
    fn add(&mut self, float: &Tensor, int8: &Tensor) {
        let sum = |tensor: Tensor| tensor.sum(Kind::Double).double_value(&[]);
        let float = float.to_kind(Kind::Double);
        let difference = int8.to_kind(Kind::Double) - &float;
        self.values += float.numel();
        self.signal += sum(float.square());
        self.noise += sum(difference.square());
        self.absolute += sum(difference.abs());
    }

    fn sqnr_db(&self) -> f64 {
        if self.noise == 0.0 { f64::INFINITY } else { 10.0 * (self.signal / self.noise).log10() }
    }

    fn mean_absolute(&self) -> f64 {
        self.absolute / self.values as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;
    use crate::backbones;
    use crate::fold::fold;
    use crate::quantize::{QuantizeOptions, quantize};
    use crate::random_networks::{random_architecture, random_pictures, random_variables};
    use crate::variables::Variables;

    fn both(architecture: &Architecture, variables: &Variables) -> (FoldedNetwork, QuantizedNetwork) {
        let folded = fold(architecture, variables);
        let pictures = [random_pictures(architecture, 8, 1)];
        let quantized = quantize(&folded, &pictures, &QuantizeOptions::default()).unwrap();
        (folded, quantized)
    }

    #[test]
    fn errors_are_those_of_the_values_one_by_one() {
        for seed in 0..10 {
            let architecture = random_architecture(seed);
            let (folded, quantized) = both(&architecture, &random_variables(&architecture, seed));
            // More than one part, and a last one that is smaller.
            let batches = [random_pictures(&architecture, 19, seed), random_pictures(&architecture, 3, seed)];
            let errors = layer_errors(&folded, &quantized, &batches).unwrap();

            let all = Tensor::cat(&batches, 0);
            let numbers = |tensor: &Tensor| {
                Vec::<f64>::try_from(tensor.to_kind(Kind::Double).contiguous().view([-1])).unwrap()
            };
            let float: Vec<Vec<f64>> = outputs(&folded, &all).iter().map(numbers).collect();
            let mut int8: Vec<Vec<f64>> = Vec::new();
            let _ = quantized.visit(&all, |_, output| int8.push(numbers(output)));
            for error in &errors {
                let index = folded.nodes.iter().position(|node| node.name == error.name).unwrap();
                let scale = quantized.nodes[index].output.map_or(1.0, |output| f64::from(output.scale));
                let pairs = || float[index].iter().zip(&int8[index]);
                let signal: f64 = float[index].iter().map(|value| value * value).sum();
                let noise: f64 = pairs().map(|(one, other)| (other * scale - one).powi(2)).sum();
                let mean = pairs().map(|(one, other)| (other * scale - one).abs()).sum::<f64>()
                    / float[index].len() as f64;
                assert!((error.mean_absolute - mean).abs() <= 1e-3 * mean, "{error:?} {mean}");
                let ratio = 10.0 * (signal / noise).log10();
                assert!((error.sqnr_db - ratio).abs() < 0.02, "{error:?} {ratio}");
            }
            let flattened = folded.nodes.iter().filter(|node| node.layer == FoldedLayer::Flatten).count();
            assert_eq!(errors.len(), folded.nodes.len() - flattened);
            assert_eq!(errors[errors.len() - 1].name, "classify");
        }
    }

    #[test]
    fn the_layer_that_was_made_to_quantize_badly_is_the_most_sensitive() {
        let architecture = backbones::tiny([3, 16, 16], 4, 1.0);
        let variables = random_variables(&architecture, 3);
        let pictures = [random_pictures(&architecture, 32, 2)];
        let worst = |variables: &Variables| {
            let (folded, quantized) = both(&architecture, variables);
            let errors = layer_errors(&folded, &quantized, &pictures).unwrap();
            let alone = sensitivities(&folded, &quantized, &pictures, &Interrupt::never()).unwrap();
            assert_eq!(alone.len(), errors.len());
            // Everything together is hardly better than the worst alone, by chance.
            let least = alone.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(errors[errors.len() - 1].sqnr_db < least + 3.0, "{errors:?} {alone:?}");
            let index = alone.iter().position(|&ratio| ratio == least).unwrap();
            (errors[index].name.clone(), least)
        };
        let (_, before) = worst(&variables);
        // In each channel one weight is so large that few steps are left for the others; it reads a
        // channel that is always zero.
        let name = "block3.pointwise.conv.weight";
        tch::no_grad(|| {
            for (part, value) in [("weight", 0.0), ("bias", -1.0)] {
                let _ = variables.get(&format!("block3.depthwise.bn.{part}")).narrow(0, 0, 1).fill_(value);
            }
            let _ = variables.get(name).narrow(1, 0, 1).fill_(30.0);
        });
        let (layer, after) = worst(&variables);
        assert_eq!(layer, "block3.pointwise.conv");
        assert!(after < before - 6.0, "{before} {after}");
    }

    #[test]
    fn no_pictures_or_another_network_is_an_error() {
        let architecture = random_architecture(1);
        let (folded, quantized) = both(&architecture, &random_variables(&architecture, 1));
        assert!(layer_errors(&folded, &quantized, &[]).unwrap_err().to_string().contains("no pictures"));
        let other = backbones::tiny([3, 16, 16], 4, 1.0);
        let other = fold(&other, &Variables::initialise(&other, 1));
        let pictures = [random_pictures(&architecture, 2, 1)];
        assert!(layer_errors(&other, &quantized, &pictures).unwrap_err().to_string().contains("not made of"));
    }
}
