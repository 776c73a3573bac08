//! The running average of a network's variables over its training (Polyak averaging; exponential, as
//! in Izmailov et al., arXiv 1803.05407, and most recipes since): usually a little better than where
//! the last step happened to end.

use crate::variables::Variables;
use std::collections::BTreeMap;
use tch::Tensor;

/// An average of all variables, the running statistics of batch normalisation included.
#[derive(Debug)]
pub struct Average {
    /// Share of the average that a step keeps, when there were many.
    decay: f64,
    values: BTreeMap<String, Tensor>,
}

impl Average {
    /// An average of nothing yet.
    pub fn new(decay: f64) -> Self {
        Self { decay, values: BTreeMap::new() }
    }

    /// Takes in the variables after step number `step`, the first being 0. The first steps count for
    /// more, so that the random start is soon forgotten.
    pub fn add(&mut self, variables: &Variables, step: u64) {
        let step = step as f64;
        let decay = self.decay.min((1.0 + step) / (10.0 + step));
        tch::no_grad(|| {
            for (name, variable) in variables.by_name() {
                match self.values.get_mut(name) {
                    Some(average) => {
                        let _ = average.lerp_(&variable.detach(), 1.0 - decay);
                    }
                    None => {
                        self.values.insert(name.clone(), variable.detach().copy());
                    }
                }
            }
        });
    }

    /// The average by variable, to be saved.
    pub fn values(&self) -> &BTreeMap<String, Tensor> {
        &self.values
    }

    /// Puts a saved average back.
    pub fn restore(&mut self, values: BTreeMap<String, Tensor>) {
        self.values = values;
    }
}
