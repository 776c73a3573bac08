//! How fast this machine runs a network: one with random weights, quantized, in the engine that is
//! deployed, since the time does not depend on the weights.

use crate::activation_ranges::RangeMethod;
use crate::architecture::Architecture;
use crate::calibration;
use crate::export::int8_onnx;
use crate::fold::fold;
use crate::quantize::{QuantizeOptions, quantize};
use crate::variables::{Variables, seed_libtorch};
use anchorwatch::network::metadata::{Colour, InputSpec, METADATA_VERSION, Metadata, Provenance, ResizeRule};
use anchorwatch::network::{Model, ModelFile};
use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// How long is measured, at least.
const LONG_ENOUGH: Duration = Duration::from_millis(700);

/// Runs that are measured, at least.
const RUNS: usize = 10;

/// Of the weights and of the pictures that the ranges of activations are taken from.
const SEED: u64 = 1;

/// Frames a second of the int8 network on one core of this machine: 1 ÷ the median time of the network
/// alone, without what reads and resizes pictures.
///
/// # Errors
/// If the network cannot be run.
pub fn frames_per_second(architecture: &Architecture) -> Result<f64> {
    let model = random_model(architecture)?.with_threads(1);
    let mut session = model.session()?;
    let pixels = vec![127; architecture.input.iter().product::<i64>().unsigned_abs() as usize];
    session.logits(&pixels)?; // the first one finds nothing in the caches
    let started = Instant::now();
    let mut times = Vec::new();
    while times.len() < RUNS || started.elapsed() < LONG_ENOUGH {
        let begin = Instant::now();
        session.logits(&pixels)?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(1.0 / times[times.len() / 2].as_secs_f64().max(1e-9))
}

/// The network in int8 with random weights, ready to run.
pub fn random_model(architecture: &Architecture) -> Result<Model> {
    let folded = fold(architecture, &Variables::initialise(architecture, SEED));
    let [channels, height, width] = architecture.input;
    let pictures = {
        let _generator = seed_libtorch(SEED);
        Tensor::rand([1, channels, height, width], (Kind::Float, Device::Cpu))
    };
    let quantized = quantize(&folded, &[pictures], &QuantizeOptions { ranges: RangeMethod::MinMax })?;
    let classes = architecture.logits as usize;
    let mut threshold = calibration::threshold(&[], 0.95, "");
    threshold.value = 0.0;
    let metadata = Metadata {
        version: METADATA_VERSION,
        name: architecture.name.clone(),
        classes: (0..classes).map(|class| class.to_string()).collect(),
        centres: calibration::anchors(classes),
        input: InputSpec {
            width: width as u32,
            height: height as u32,
            colour: if channels == 1 { Colour::Grey } else { Colour::Rgb },
            resize: ResizeRule::Stretch,
            mean: vec![0.0; channels as usize],
            std: vec![1.0; channels as usize],
        },
        threshold,
        class_thresholds: Vec::new(),
        class_calibrations: Vec::new(),
        known_scores: Vec::new(),
        training: Provenance { precision: "int8".to_string(), ..Provenance::default() },
        golden: Vec::new(),
    };
    Model::from_file(&ModelFile { onnx: int8_onnx(&quantized), metadata })
        .with_context(|| format!("{} does not run on this machine", architecture.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones;

    #[test]
    fn a_network_runs_in_integers_and_has_a_speed() {
        let tiny = backbones::tiny([3, 16, 16], 3, 0.25);
        assert!(random_model(&tiny).unwrap().all_integer());
        let speed = frames_per_second(&tiny).unwrap();
        assert!(speed.is_finite() && speed > 0.0, "{speed}");
    }
}
