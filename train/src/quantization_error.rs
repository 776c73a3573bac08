//! How far a quantized network is from the float one, layer by layer. The error of a layer is that of
//! the whole int8 network up to there against the float network up to there: what comes in is wrong
//! already, so it mostly grows on the way to the logits.

use crate::folded::{FoldedLayer, FoldedNetwork};
use crate::quantized::QuantizedNetwork;
use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

/// Pictures that go through both networks at a time: the outputs of all float layers are kept for so
/// many.
const AT_ONCE: i64 = 4;

/// The error of one layer's output.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerError {
    /// The layer's name.
    pub name: String,
    /// Signal-to-quantization-noise ratio, `10·log10(Σ f² / Σ (q − f)²)` in dB; larger is better.
    /// Infinite where nothing differs.
    pub sqnr_db: f64,
    /// Mean of |q − f|, in the units of the output; smaller is better.
    pub mean_absolute: f64,
}

/// Sums over all values of a layer's output.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    signal: f64,
    noise: f64,
    absolute: f64,
    values: usize,
}

/// The errors of all layers in the order they run, over batches of inputs (B×C×H×W, normalised). The
/// input is the first one; `Flatten`, which computes nothing, has none.
///
/// # Errors
/// If the networks are not of the same layers, or there are no pictures.
pub fn layer_errors(
    folded: &FoldedNetwork,
    quantized: &QuantizedNetwork,
    batches: &[Tensor],
) -> Result<Vec<LayerError>> {
    let names = |index: usize| (&folded.nodes[index].name, &quantized.nodes[index].name);
    ensure!(
        folded.nodes.len() == quantized.nodes.len()
            && (0..folded.nodes.len()).map(names).all(|(float, int8)| float == int8),
        "the quantized network is not of the float network's layers"
    );
    ensure!(
        batches.iter().any(|batch| batch.size()[0] > 0),
        "there are no pictures to measure the quantization error with"
    );
    let mut sums = vec![Sums::default(); folded.nodes.len()];
    for pictures in batches.iter().flat_map(|batch| batch.split(AT_ONCE, 0)) {
        let mut wanted = Vec::with_capacity(sums.len());
        let _ = folded.visit(&pictures, |_, output| wanted.push(output.copy()));
        let _ = quantized.visit(&pictures, |index, output| {
            let step = quantized.nodes[index].output.map_or(1.0, |stored| f64::from(stored.scale));
            sums[index].add(&wanted[index], &(output.to_kind(Kind::Double) * step));
        });
    }
    let layers = folded.nodes.iter().zip(sums);
    Ok(layers
        .filter(|(node, _)| node.layer != FoldedLayer::Flatten)
        .map(|(node, sums)| sums.error(&node.name))
        .collect())
}

impl Sums {
    fn add(&mut self, wanted: &Tensor, got: &Tensor) {
        let wanted = wanted.to_kind(Kind::Double);
        let difference = got - &wanted;
        let total = |values: Tensor| values.sum(Kind::Double).double_value(&[]);
        self.signal += total(wanted.square());
        self.noise += total(difference.square());
        self.absolute += total(difference.abs());
        self.values += wanted.numel();
    }

    fn error(self, name: &str) -> LayerError {
        let ratio = if self.noise == 0.0 { f64::INFINITY } else { self.signal / self.noise };
        LayerError {
            name: name.to_string(),
            sqnr_db: 10.0 * ratio.log10(),
            mean_absolute: self.absolute / self.values as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::fold;
    use crate::folded::FoldedNode;
    use crate::quantize::{QuantizeOptions, quantize};
    use crate::quantized::{Quantization, QuantizedLayer, QuantizedNode, QuantizedWeights};
    use crate::random_networks::{random_architecture, random_pictures, random_variables};

    /// A pixel of scale 0.5, then a dense layer that doubles it, whose weight is 1.9 in int8.
    fn by_hand() -> (FoldedNetwork, QuantizedNetwork) {
        let stored = Some(Quantization { scale: 0.5, zero_point: 0 });
        let shapes = [vec![1, 1, 1], vec![1], vec![1]];
        let names = ["pixels", "flatten", "double"];
        let inputs = [vec![], vec![0], vec![1]];
        let dense = FoldedLayer::Dense {
            weight: vec![2.0],
            bias: vec![0.0],
            inputs: 1,
            outputs: 1,
            activation: None,
        };
        let weights =
            QuantizedWeights { weight: vec![19], scales: vec![0.1], bias: vec![0], bias_scales: vec![0.05] };
        let int8_dense = QuantizedLayer::Dense { inputs: 1, outputs: 1, weights, activation: None };
        let float = [FoldedLayer::Input, FoldedLayer::Flatten, dense];
        let int8 = [(QuantizedLayer::Input, stored), (QuantizedLayer::Flatten, stored), (int8_dense, None)];
        let part = |index: usize| (names[index].to_string(), inputs[index].clone(), shapes[index].clone());
        let folded = float.into_iter().enumerate().map(|(index, layer)| {
            let (name, inputs, shape) = part(index);
            FoldedNode { name, layer, inputs, shape }
        });
        let quantized = int8.into_iter().enumerate().map(|(index, (layer, output))| {
            let (name, inputs, shape) = part(index);
            QuantizedNode { name, layer, inputs, shape, output }
        });
        (FoldedNetwork { nodes: folded.collect() }, QuantizedNetwork { nodes: quantized.collect() })
    }

    #[test]
    fn errors_by_hand() {
        let (folded, quantized) = by_hand();
        // Stored as 1.0, 2.0, 0.5; the doubled ones are then 1.9, 3.8, 0.95 instead of 2.0, 4.4, 1.0.
        let pixels = |values: &[f32]| Tensor::from_slice(values).view([-1, 1, 1, 1]);
        let batches = [pixels(&[1.0, 2.2]), pixels(&[0.5])];
        let errors = layer_errors(&folded, &quantized, &batches).unwrap();
        let names: Vec<&str> = errors.iter().map(|error| error.name.as_str()).collect();
        assert_eq!(names, ["pixels", "double"]);
        let db = |signal: f64, noise: f64| 10.0 * (signal / noise).log10();
        let expected = [
            (db(1.0 + 4.84 + 0.25, 0.04), 0.2 / 3.0),
            (db(4.0 + 19.36 + 1.0, 0.01 + 0.36 + 0.0025), 0.75 / 3.0),
        ];
        for (error, (sqnr_db, mean_absolute)) in errors.iter().zip(expected) {
            assert!((error.sqnr_db - sqnr_db).abs() < 1e-4, "{error:?} {sqnr_db}");
            assert!((error.mean_absolute - mean_absolute).abs() < 1e-6, "{error:?} {mean_absolute}");
        }
        // What both have exactly has no noise.
        let exact = layer_errors(&folded, &quantized, &[pixels(&[1.0, 2.0])]).unwrap();
        assert_eq!((exact[0].sqnr_db, exact[0].mean_absolute), (f64::INFINITY, 0.0));
        assert!(layer_errors(&folded, &quantized, &[]).is_err());
    }

    #[test]
    fn random_networks_lose_no_more_than_eight_bits_do_and_batches_do_not_matter() {
        for seed in 0..20 {
            let architecture = random_architecture(seed);
            let folded = fold(&architecture, &random_variables(&architecture, seed));
            let pictures = random_pictures(&architecture, 9, seed);
            let quantized =
                quantize(&folded, std::slice::from_ref(&pictures), &QuantizeOptions::default()).unwrap();
            let errors = layer_errors(&folded, &quantized, std::slice::from_ref(&pictures)).unwrap();
            for error in &errors {
                assert!((10.0..80.0).contains(&error.sqnr_db), "seed {seed}: {error:?}");
            }
            let halves = pictures.split(5, 0);
            for (one, other) in errors.iter().zip(layer_errors(&folded, &quantized, &halves).unwrap()) {
                assert!((one.sqnr_db - other.sqnr_db).abs() < 1.0, "{one:?} {other:?}");
            }
            let other = random_architecture(seed + 1);
            let other = fold(&other, &random_variables(&other, seed));
            assert!(layer_errors(&other, &quantized, &[pictures]).is_err());
        }
    }
}
