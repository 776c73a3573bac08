//! The variables of a network by name: made at random, saved, loaded, averaged. Not the
//! computation (see [`crate::network`]).
//!
//! Not tch's `VarStore`: convolution weights are kept channels-last, which trains about a third
//! faster on a CPU and which `VarStore` does not offer, and names may contain dots, as those of
//! published checkpoints do.

use crate::architecture::{Architecture, Layer};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::{Device, Kind, Tensor};

/// libtorch has one generator of random numbers for the whole process. Seeds it, and keeps it from
/// everyone else until the guard is dropped: so the numbers drawn meanwhile depend on the seed alone.
pub fn seed_libtorch(seed: u64) -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    let guard = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed as i64);
    guard
}

/// Named variables: parameters (with gradients) and running statistics (without).
#[derive(Debug)]
pub struct Variables {
    map: BTreeMap<String, Tensor>,
}

impl Variables {
    /// Fresh variables for an architecture: He-normal convolutions (fan out), uniform dense layers,
    /// the identity for batch normalisation. The same seed gives the same values.
    pub fn initialise(architecture: &Architecture, seed: u64) -> Self {
        let _generator = seed_libtorch(seed);
        let mut map = BTreeMap::new();
        let float = (Kind::Float, Device::Cpu);
        for layer in &architecture.layers {
            match layer {
                Layer::Conv { name, inputs, outputs, kernel, groups, bias, .. } => {
                    let fan_out = (kernel * kernel * outputs / groups) as f64;
                    let weight = Tensor::randn([*outputs, inputs / groups, *kernel, *kernel], float);
                    let weight = channels_last(&(weight * (2.0 / fan_out).sqrt()));
                    map.insert(format!("{name}.weight"), weight.set_requires_grad(true));
                    if *bias {
                        let bias = Tensor::zeros([*outputs], float);
                        map.insert(format!("{name}.bias"), bias.set_requires_grad(true));
                    }
                }
                Layer::BatchNorm { name, channels, .. } => {
                    map.insert(
                        format!("{name}.weight"),
                        Tensor::ones([*channels], float).set_requires_grad(true),
                    );
                    map.insert(
                        format!("{name}.bias"),
                        Tensor::zeros([*channels], float).set_requires_grad(true),
                    );
                    map.insert(format!("{name}.running_mean"), Tensor::zeros([*channels], float));
                    map.insert(format!("{name}.running_var"), Tensor::ones([*channels], float));
                }
                Layer::Dense { name, inputs, outputs, bias } => {
                    let bound = 1.0 / (*inputs as f64).sqrt();
                    let weight = Tensor::empty([*outputs, *inputs], float).uniform_(-bound, bound);
                    map.insert(format!("{name}.weight"), weight.set_requires_grad(true));
                    if *bias {
                        let bias = Tensor::empty([*outputs], float).uniform_(-bound, bound);
                        map.insert(format!("{name}.bias"), bias.set_requires_grad(true));
                    }
                }
                Layer::Input
                | Layer::Activation(_)
                | Layer::Add { .. }
                | Layer::GlobalAveragePool
                | Layer::Flatten
                | Layer::Dropout(_)
                | Layer::ChannelDropout(_) => {}
            }
        }
        Self { map }
    }

    /// The same values once more, trained apart from these.
    pub fn copy(&self) -> Self {
        let copy = |variable: &Tensor| variable.detach().copy().set_requires_grad(variable.requires_grad());
        Self { map: self.map.iter().map(|(name, variable)| (name.clone(), copy(variable))).collect() }
    }

    /// The variable of that name.
    ///
    /// # Panics
    /// If the architecture that these variables were made for has no such variable: a programming
    /// error, not an input error.
    pub fn get(&self, name: &str) -> &Tensor {
        self.map.get(name).unwrap_or_else(|| panic!("no variable {name}"))
    }

    /// Adds a variable that is trained with the others but is no part of the network.
    pub fn learn(&mut self, name: &str, start: Tensor) {
        self.map.insert(name.to_string(), start.set_requires_grad(true));
    }

    /// All variables by name.
    pub fn by_name(&self) -> &BTreeMap<String, Tensor> {
        &self.map
    }

    /// The trainable ones by name.
    pub fn trainable(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.map
            .iter()
            .filter(|(_, tensor)| tensor.requires_grad())
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Number of trainable values.
    pub fn parameters(&self) -> i64 {
        self.trainable().map(|(_, tensor)| tensor.numel() as i64).sum()
    }

    /// Copies values over from tensors of the same names and shapes. With `skip`, variables whose
    /// name starts so keep their values; all others must be there.
    pub fn assign(&mut self, values: &BTreeMap<String, Tensor>, skip: Option<&str>) -> Result<()> {
        tch::no_grad(|| {
            for (name, variable) in &mut self.map {
                if skip.is_some_and(|prefix| name.starts_with(prefix)) {
                    continue;
                }
                let value = values.get(name).with_context(|| format!("the weights have no '{name}'"))?;
                if value.size() != variable.size() {
                    bail!(
                        "'{name}' is {:?} in the weights, but {:?} in the network",
                        value.size(),
                        variable.size()
                    );
                }
                variable.copy_(value);
            }
            Ok(())
        })
    }
}

/// The same values with channels-last strides.
pub fn channels_last(tensor: &Tensor) -> Tensor {
    tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Reads all tensors of a safetensors file.
pub fn read_safetensors(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let tensors = Tensor::read_safetensors(path)
        .with_context(|| format!("cannot read '{}' as safetensors", path.display()))?;
    Ok(tensors.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones;

    #[test]
    fn a_seed_gives_the_same_values() {
        let architecture = backbones::tiny([3, 32, 32], 4, 1.0);
        let first = Variables::initialise(&architecture, 7);
        let second = Variables::initialise(&architecture, 7);
        let other = Variables::initialise(&architecture, 8);
        assert_eq!(first.get("stem.conv.weight"), second.get("stem.conv.weight"));
        assert_ne!(first.get("stem.conv.weight"), other.get("stem.conv.weight"));
    }

    #[test]
    fn assigning_a_wrong_shape_is_an_error_that_names_it() {
        let mut variables = Variables::initialise(&backbones::tiny([3, 32, 32], 4, 1.0), 1);
        let other = Variables::initialise(&backbones::tiny([3, 32, 32], 5, 1.0), 2);
        let values =
            other.by_name().iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        let message = variables.assign(&values, None).unwrap_err().to_string();
        assert!(message.contains("classify.bias"), "{message}");
        variables.assign(&values, Some("classify")).unwrap();
        assert_eq!(variables.get("stem.conv.weight"), other.get("stem.conv.weight"));
    }
}
