//! Stochastic gradient descent with Nesterov momentum and weight decay.
//!
//! Not tch's own optimiser: that one cannot save its momentum, and a resumed training would not
//! be the training that was interrupted.

use crate::loss::ANCHORS;
use crate::variables::Variables;
use std::collections::BTreeMap;
use tch::Tensor;

/// The optimiser's settings and its momentum.
#[derive(Debug)]
pub struct Sgd {
    /// Share of the last update that is kept.
    pub momentum: f64,
    /// Decay of the weights of convolutions and dense layers (not of biases, normalisation, anchors).
    pub weight_decay: f64,
    /// Variables with this prefix learn `prefix_rate` times as fast.
    pub prefix: String,
    /// See `prefix`.
    pub prefix_rate: f64,
    velocities: BTreeMap<String, Tensor>,
}

impl Sgd {
    /// An optimiser at rest.
    pub fn new(momentum: f64, weight_decay: f64, prefix: &str, prefix_rate: f64) -> Self {
        Self { momentum, weight_decay, prefix: prefix.to_string(), prefix_rate, velocities: BTreeMap::new() }
    }

    /// One step along the gradients, which are cleared.
    pub fn step(&mut self, variables: &Variables, learning_rate: f64) {
        tch::no_grad(|| {
            for (name, variable) in variables.trainable() {
                let mut variable = variable.shallow_clone();
                let mut gradient = variable.grad();
                if !gradient.defined() {
                    continue;
                }
                let decays = self.weight_decay > 0.0 && variable.dim() > 1 && name != ANCHORS;
                if decays {
                    gradient += &variable * self.weight_decay;
                }
                let rate =
                    if name.starts_with(&self.prefix) { self.prefix_rate } else { 1.0 } * learning_rate;
                match self.velocities.get_mut(name) {
                    Some(velocity) => {
                        let _ = velocity.g_mul_scalar_(self.momentum);
                        *velocity += &gradient;
                    }
                    None => {
                        self.velocities.insert(name.to_string(), gradient.copy());
                    }
                }
                let update = &gradient + &self.velocities[name] * self.momentum;
                variable -= update * rate;
                let _ = gradient.zero_();
            }
        });
    }

    /// The momentum by variable, to be saved.
    pub fn velocities(&self) -> &BTreeMap<String, Tensor> {
        &self.velocities
    }

    /// Puts saved momentum back.
    pub fn restore(&mut self, velocities: BTreeMap<String, Tensor>) {
        self.velocities = velocities;
    }
}

/// The one-cycle learning rate (Smith, arXiv 1708.07120) at `progress` (0 to 1) of a training:
/// from `peak / 25` up to `peak` in the first fifth, then down to almost nothing along a cosine.
pub fn one_cycle(peak: f64, progress: f64) -> f64 {
    const RISE: f64 = 0.2;
    const START: f64 = 1.0 / 25.0;
    let progress = progress.clamp(0.0, 1.0);
    if progress < RISE {
        peak * (START + (1.0 - START) * progress / RISE)
    } else {
        cosine(peak, (progress - RISE) / (1.0 - RISE))
    }
}

/// From `peak` down to almost nothing along a cosine, at `progress` (0 to 1).
pub fn cosine(peak: f64, progress: f64) -> f64 {
    peak * (0.5 * (1.0 + (std::f64::consts::PI * progress).cos())).max(1e-4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{Architecture, Layer};

    #[test]
    fn one_cycle_rises_and_falls() {
        assert!(one_cycle(1.0, 0.0) < 0.05);
        assert!((one_cycle(1.0, 0.2) - 1.0).abs() < 1e-9);
        assert!(one_cycle(1.0, 0.6) < 0.6 && one_cycle(1.0, 0.6) > 0.4);
        assert!(one_cycle(1.0, 1.0) < 1e-3);
    }

    /// Two steps by hand on w ↦ w·1 (gradient 1), momentum 0.9, no decay:
    /// v₁ = 1, w −= r(1 + 0.9·1); v₂ = 1.9, w −= r(1 + 0.9·1.9).
    #[test]
    fn steps_are_nesterovs() {
        let architecture = Architecture {
            name: "one".into(),
            input: [1, 1, 1],
            logits: 1,
            layers: vec![
                Layer::Input,
                Layer::Flatten,
                Layer::Dense { name: "w".into(), inputs: 1, outputs: 1, bias: false },
            ],
        };
        let variables = Variables::initialise(&architecture, 1);
        let start = variables.get("w.weight").double_value(&[0, 0]);
        let mut sgd = Sgd::new(0.9, 0.0, "none", 1.0);
        for _ in 0..2 {
            variables.get("w.weight").sum(None).backward();
            sgd.step(&variables, 0.1);
        }
        let expected = start - 0.1 * (1.0 + 0.9) - 0.1 * (1.0 + 0.9 * 1.9);
        assert!((variables.get("w.weight").double_value(&[0, 0]) - expected).abs() < 1e-6);
    }
}
