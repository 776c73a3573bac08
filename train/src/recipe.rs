//! Everything that decides what a training gives: what a checkpoint must agree with to be resumed.

use crate::architecture::{Activation, Architecture};
use crate::augment::Augment;
use crate::backbones::{Backbone, LEAKY_SLOPE, Variant};
use crate::loss::Loss;
use crate::network::Precision;
use crate::pictures::Pictures;
use anchorwatch::network::metadata::InputSpec;
use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The settings of a training. The same recipe gives the same network, bit for bit, on the same
/// machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Recipe {
    /// The backbone's name.
    pub backbone: String,
    /// The share of its channels that it has.
    #[serde(default = "whole")]
    pub width: f64,
    /// How many of its blocks it has, if not all.
    #[serde(default)]
    pub blocks: Option<u8>,
    /// The share of channels that it drops in training.
    #[serde(default)]
    pub dropout: f64,
    /// Its activation, where there is a choice.
    pub activation: Option<String>,
    /// How a picture becomes the input.
    pub input: InputSpec,
    /// Names of the known classes.
    pub known: Vec<String>,
    /// SHA-256 of the training pictures, as they are in memory.
    pub pictures: String,
    /// What is made small.
    #[serde(default)]
    pub loss: Loss,
    /// Passes over the training pictures; need not be whole.
    pub epochs: f64,
    /// Pictures a step.
    pub batch: usize,
    /// The peak of the one-cycle schedule.
    pub learning_rate: f64,
    /// The backbone's share of the learning rate; below 1 with pretrained weights.
    pub backbone_rate: f64,
    /// See [`crate::sgd::Sgd`].
    pub weight_decay: f64,
    /// Composites a picture, see [`crate::composites`].
    #[serde(default)]
    pub composites: f64,
    /// See [`crate::average::Average`]; 0 for none.
    #[serde(default)]
    pub average: f64,
    /// How pictures are varied.
    pub augment: Augment,
    /// Whether they are mirrored.
    pub flip: bool,
    /// In which numbers a step computes.
    #[serde(default)]
    pub precision: Precision,
    /// Of every random choice.
    pub seed: u64,
    /// Sums are rounded differently by another number of threads.
    pub threads: usize,
}

fn whole() -> f64 {
    1.0
}

/// What a random choice is for: each has numbers of its own.
#[derive(Clone, Copy, Debug)]
pub enum Draw {
    /// The order of the pictures in an epoch.
    Order,
    /// The variation of the pictures of a step.
    Augment,
}

impl Recipe {
    /// The network that is trained.
    ///
    /// # Errors
    /// If this version has no such network.
    pub fn architecture(&self) -> Result<Architecture> {
        let backbone = Backbone::from_str(&self.backbone, false)
            .map_err(|_| anyhow!("this version has no backbone '{}'", self.backbone))?;
        let activation = match &self.activation {
            Some(name) => [Activation::Relu, Activation::LeakyRelu(LEAKY_SLOPE)]
                .into_iter()
                .find(|activation| format!("{activation:?}") == *name)
                .with_context(|| format!("this version's {} has no activation '{name}'", self.backbone))?,
            None => Activation::Relu,
        };
        let (width, dropout, blocks) = (self.width, self.dropout, self.blocks);
        let variant = Variant { backbone, activation, width, dropout, blocks };
        Ok(variant.architecture(&self.input, self.known.len()))
    }

    /// Steps of one epoch over `pictures` pictures; what is left over after whole batches waits for
    /// the next epoch, which has another order.
    pub fn steps_per_epoch(&self, pictures: usize) -> u64 {
        (pictures / self.batch.min(pictures).max(1)).max(1) as u64
    }

    /// Steps of the whole training.
    pub fn steps(&self, pictures: usize) -> u64 {
        ((self.epochs * self.steps_per_epoch(pictures) as f64).round() as u64).max(1)
    }

    /// The numbers for the `index`-th choice of a kind. They depend on nothing before it, so that a
    /// resumed training needs no state of a generator.
    pub fn random(&self, draw: Draw, index: u64) -> StdRng {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&index.to_le_bytes());
        seed[16] = draw as u8;
        StdRng::from_seed(seed)
    }

    /// An error that names the settings in which a checkpoint's recipe differs from this one.
    pub fn check_same(&self, checkpoint: &Self) -> Result<()> {
        let (ours, theirs) = (serde_json::to_value(self)?, serde_json::to_value(checkpoint)?);
        let mut differences = Vec::new();
        for (key, value) in ours.as_object().into_iter().flatten() {
            if theirs[key] != *value {
                differences.push(match key.as_str() {
                    "pictures" => "the training pictures".to_string(),
                    "input" => "the input's size, colour, resize rule, mean or std".to_string(),
                    key => format!("{key} ({} in the checkpoint, {value} now)", theirs[key]),
                });
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        bail!(
            "the checkpoint is of another training: {} differ. Give the same options with --resume, or start afresh with --overwrite",
            differences.join(", ")
        );
    }
}

/// SHA-256 of pictures and their classes, hexadecimal.
pub fn digest(pictures: &Pictures) -> String {
    let mut digest = Sha256::new();
    digest.update(&pictures.bytes);
    for class in &pictures.classes {
        digest.update((*class as u64).to_le_bytes());
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::backbones;
    use anchorwatch::network::metadata::{Colour, ResizeRule};

    /// A recipe for 8×8 pictures of two classes.
    pub fn recipe() -> Recipe {
        Recipe {
            backbone: "tiny".to_string(),
            width: 1.0,
            blocks: None,
            dropout: 0.0,
            activation: None,
            input: InputSpec {
                width: 8,
                height: 8,
                colour: Colour::Rgb,
                resize: ResizeRule::Stretch,
                mean: vec![0.5; 3],
                std: vec![0.25; 3],
            },
            known: vec!["dark".to_string(), "light".to_string()],
            pictures: String::new(),
            loss: Loss::Cac,
            epochs: 3.0,
            batch: 8,
            learning_rate: 0.05,
            backbone_rate: 1.0,
            weight_decay: 1e-4,
            composites: 0.25,
            average: 0.0,
            augment: Augment::Standard,
            flip: true,
            precision: Precision::F32,
            seed: 5,
            threads: 1,
        }
    }

    #[test]
    fn differences_are_named() {
        let ours = recipe();
        ours.check_same(&ours.clone()).unwrap();
        let theirs = Recipe { seed: 6, pictures: "00".to_string(), ..recipe() };
        let message = ours.check_same(&theirs).unwrap_err().to_string();
        assert!(
            message.contains("the training pictures, seed (6 in the checkpoint, 5 now) differ"),
            "{message}"
        );
    }

    #[test]
    fn the_network_is_the_one_that_was_trained_or_an_error_names_what_is_unknown() {
        let architecture = Recipe { width: 0.5, ..recipe() }.architecture().unwrap();
        assert_eq!(architecture, backbones::tiny([3, 8, 8], 2, 0.5));
        let leaky = Recipe {
            backbone: "cac9".to_string(),
            activation: Some("LeakyRelu(0.2)".to_string()),
            dropout: 0.3,
            ..recipe()
        };
        let expected = backbones::cac9([3, 8, 8], 2, Activation::LeakyRelu(0.2), 1.0, 0.3);
        assert_eq!(leaky.architecture().unwrap(), expected);
        let error = |recipe: Recipe| recipe.architecture().unwrap_err().to_string();
        assert!(error(Recipe { activation: Some("Gelu".to_string()), ..leaky }).contains("'Gelu'"));
        assert!(error(Recipe { backbone: "vgg".to_string(), ..recipe() }).contains("'vgg'"));
    }

    #[test]
    fn steps_count_whole_batches() {
        let recipe = Recipe { epochs: 1.5, ..recipe() };
        assert_eq!(recipe.steps_per_epoch(17), 2);
        assert_eq!(recipe.steps(17), 3);
        assert_eq!(recipe.steps_per_epoch(3), 1);
    }
}
