//! Quantization-aware fine-tuning: a trained network learns a little longer as the int8 network that is
//! deployed of it, where post-training quantization costs more than one wants. When, for how long, and
//! what it brought; the int8 network that learns is [`crate::fake_quantization`]'s, the loop is
//! [`crate::training`]'s.

use crate::architecture::Architecture;
use crate::fake_quantization::FakeQuantized;
use crate::interrupt::{Interrupt, Interrupted};
use crate::pictures::Pictures;
use crate::quantized::QuantizedNetwork;
use crate::recipe::Recipe;
use crate::training::{Ending, Training};
use crate::variables::Variables;
use anchorwatch::evaluate::Figures;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::fmt;

/// The learning rate that a fine-tuning starts with, as a share of the training's highest: the network is
/// to settle near where it is.
const RATE_SHARE: f64 = 0.05;

/// What `--qat-above` alone fine-tunes for.
const DEFAULT_EPOCHS: f64 = 1.0;

/// The options of a fine-tuning, for every command that can do one.
#[derive(clap::Args, Clone, Debug)]
pub struct FineTuningOptions {
    /// Fine-tune the int8 network for so many epochs, 0.5 is possible (quantization-aware training)
    #[arg(long, value_name = "EPOCHS", help_heading = "Quantization")]
    qat: Option<f64>,
    /// Fine-tune it only if it loses more than LOSS, such as 0.003, of the f32 network's AUROC (without
    /// unknown pictures: of its accuracy); for one epoch if --qat says nothing else
    #[arg(long, value_name = "LOSS", help_heading = "Quantization")]
    qat_above: Option<f64>,
}

impl FineTuningOptions {
    /// What clap cannot check.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.qat.is_none_or(|epochs| epochs.is_finite() && epochs > 0.0),
            "--qat must be above 0: leave it out for none"
        );
        ensure!(
            self.qat_above.is_none_or(|loss| (0.0..1.0).contains(&loss)),
            "--qat-above is a difference of AUROCs, from 0 to below 1"
        );
        Ok(())
    }

    /// What is asked for, of a training with this recipe.
    pub fn fine_tuning<'a>(&self, recipe: &'a Recipe) -> Option<FineTuning<'a>> {
        let epochs = self.qat.or(self.qat_above.map(|_| DEFAULT_EPOCHS))?;
        Some(FineTuning { recipe, epochs, above: self.qat_above })
    }
}

/// A fine-tuning that is asked for.
#[derive(Clone, Debug)]
pub struct FineTuning<'a> {
    /// How the network was trained.
    pub recipe: &'a Recipe,
    /// Passes over the training pictures.
    pub epochs: f64,
    /// Only if quantization costs more; in any case if there is no such amount.
    pub above: Option<f64>,
}

impl FineTuning<'_> {
    /// Whether it is to be done, given what post-training quantization made of a network.
    pub fn is_due(&self, int8: &Figures, float: &Figures) -> bool {
        let [float, int8] = Measure::common(float, int8).of([float, int8]);
        self.above.is_none_or(|above| float - int8 > above)
    }

    /// The variables after it. `network` is what the architecture with these variables was quantized to.
    ///
    /// # Errors
    /// If it is interrupted or diverges.
    pub fn run(
        &self,
        architecture: &Architecture,
        variables: &Variables,
        network: &QuantizedNetwork,
        pictures: &Pictures,
        interrupt: &Interrupt,
    ) -> Result<Variables> {
        let recipe = Recipe {
            epochs: self.epochs,
            learning_rate: self.recipe.learning_rate * RATE_SHARE,
            average: 0.0,
            ..self.recipe.clone()
        };
        let int8 = FakeQuantized::new(architecture, network);
        let mut training = Training::fine_tuning(&recipe, pictures, variables.copy(), architecture, int8);
        let ending =
            training.run(&|| interrupt.requested()).context("the fine-tuning for int8 did not succeed")?;
        if ending == Ending::Interrupted {
            return Err(Interrupted(" while fine-tuning for int8".to_string()).into());
        }
        training.into_variables()
    }
}

/// The figure that says what quantization costs; larger is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Of unknown against known pictures.
    Auroc,
    /// Of known pictures, where there are no unknown ones.
    Accuracy,
}

impl Measure {
    /// The best one that both have.
    fn common(one: &Figures, other: &Figures) -> Self {
        if one.auroc.is_some() && other.auroc.is_some() { Self::Auroc } else { Self::Accuracy }
    }

    fn of<const N: usize>(self, figures: [&Figures; N]) -> [f64; N] {
        figures.map(|figures| match self {
            Self::Auroc => figures.auroc.unwrap_or(f64::NAN),
            Self::Accuracy => figures.accuracy,
        })
    }
}

/// What a fine-tuning brought.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FineTuned {
    /// Passes over the training pictures.
    pub epochs: f64,
    /// What the next three are.
    pub measure: Measure,
    /// Of the network in float.
    pub float: f64,
    /// Of the int8 network before.
    pub post_training: f64,
    /// Of the int8 network after.
    pub fine_tuned: f64,
}

impl FineTuned {
    /// From the figures of the three networks.
    pub fn new(epochs: f64, float: &Figures, post_training: &Figures, fine_tuned: &Figures) -> Self {
        let measure = Measure::common(float, post_training);
        let [float, post_training, fine_tuned] = measure.of([float, post_training, fine_tuned]);
        Self { epochs, measure, float, post_training, fine_tuned }
    }

    /// Whether the fine-tuned network is the one to deploy.
    pub fn is_no_worse(&self) -> bool {
        self.fine_tuned >= self.post_training
    }
}

impl fmt::Display for FineTuned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measure = match self.measure {
            Measure::Auroc => "AUROC",
            Measure::Accuracy => "accuracy",
        };
        write!(
            formatter,
            "int8 fine-tuned for {} epoch(s): {measure} {:.4}, before {:.4}, f32 {:.4} (higher is better); ",
            self.epochs, self.fine_tuned, self.post_training, self.float
        )?;
        let kept = if self.is_no_worse() { "the fine-tuned network" } else { "the network before it" };
        write!(formatter, "{kept} is deployed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation_ranges::RangeMethod;
    use crate::backbones;
    use crate::fold::fold;
    use crate::loss::{class_anchor_loss, distances, fixed_anchors};
    use crate::quantize::{QuantizeOptions, quantize, quantize_with};
    use crate::recipe::Draw;
    use crate::recipe::tests::recipe;
    use crate::training::normalise;
    use anchorwatch::evaluate::KnownPicture;
    use rand::Rng;
    use tch::{Kind, Tensor};

    /// Stripes that lie, stand, or lean to the left or right, 12×12, with noise.
    fn stripes() -> Pictures {
        let mut random = recipe().random(Draw::Order, 7);
        let mut pictures = Pictures { shape: [12, 12, 3], ..Pictures::default() };
        for index in 0..64 {
            let (class, phase) = (index % 4, random.random_range(0..4));
            for (row, column) in (0..12).flat_map(|row| (0..12).map(move |column| (row, column))) {
                let along = [row, column, row + column, row + 12 - column][class] + phase;
                let bright = if along % 4 < 2 { 60u8 } else { 150 };
                pictures.bytes.extend((0..3).map(|_| bright + random.random_range(0..60)));
            }
            pictures.classes.push(class);
        }
        pictures
    }

    fn recipe_for_stripes() -> Recipe {
        let mut recipe = recipe();
        [recipe.input.width, recipe.input.height] = [12; 2];
        recipe.known = ["lying", "standing", "left", "right"].map(str::to_string).to_vec();
        let (augment, flip) = (crate::augment::Augment::None, false);
        Recipe { epochs: 15.0, learning_rate: 0.1, composites: 0.0, augment, flip, ..recipe }
    }

    /// Makes the first channel of the first activation 200 times as large, and the weights that read it as
    /// much smaller: in float nothing changes, in int8 little is left of the other channels.
    fn quantizes_badly(variables: &Variables) {
        let scale = |name: &str, factor: f64| {
            let _ = variables.get(name).narrow(0, 0, 1).g_mul_scalar_(factor);
        };
        tch::no_grad(|| {
            scale("stem.bn.weight", 200.0);
            scale("stem.bn.bias", 200.0);
            scale("block0.depthwise.conv.weight", 1.0 / 200.0);
        });
    }

    #[test]
    fn a_network_that_quantizes_badly_is_better_after_fine_tuning() {
        let (recipe, pictures) = (recipe_for_stripes(), stripes());
        tch::set_num_threads(1);
        let architecture = recipe.architecture().unwrap();
        assert_eq!(architecture, backbones::tiny([3, 12, 12], 4, 1.0));
        let folder = tempfile::tempdir().unwrap();
        let start = Variables::initialise(&architecture, 1);
        let mut training =
            Training::new(&architecture, &recipe, &pictures, folder.path().join("checkpoint"), start);
        training.run(&|| false).unwrap();
        let variables = training.into_variables().unwrap();
        quantizes_badly(&variables);

        let all: Vec<usize> = (0..pictures.len()).collect();
        let input = normalise(pictures.batch(&all).to_kind(Kind::Float) / 255.0, &recipe.input);
        let loss = |logits: Tensor| {
            let distances = distances(&logits, &fixed_anchors(4));
            class_anchor_loss(&distances, &pictures.targets(&all)).double_value(&[])
        };
        let folded = fold(&architecture, &variables);
        let options = QuantizeOptions { ranges: RangeMethod::MinMax };
        let quantized = quantize(&folded, &[input.shallow_clone()], &options).unwrap();
        let [float, before] = [loss(folded.logits(&input)), loss(quantized.logits(&input))];
        assert!(before > 2.0 * float, "{before} {float}");

        let fine_tuning = FineTuning { recipe: &recipe, epochs: 5.0, above: None };
        let weight = variables.get("stem.conv.weight").copy();
        let tuned =
            fine_tuning.run(&architecture, &variables, &quantized, &pictures, &Interrupt::never()).unwrap();
        // The network in float is still the one that was trained, and batch normalisation stays.
        assert_eq!(variables.get("stem.conv.weight"), &weight);
        assert_ne!(tuned.get("stem.conv.weight"), &weight);
        for part in ["running_mean", "running_var"] {
            let name = format!("stem.bn.{part}");
            assert_eq!(tuned.get(&name), variables.get(&name));
        }
        let outputs: Vec<_> = quantized.nodes.iter().map(|node| node.output).collect();
        let deployed = quantize_with(&fold(&architecture, &tuned), &outputs).unwrap();
        let after = loss(deployed.logits(&input));
        assert!(after < 0.5 * before, "{after}, before {before}, float {float}");
    }

    /// Figures with this accuracy, and AUROC if there are unknown pictures.
    fn figures(right: usize, unknown: &[f32]) -> Figures {
        let known: Vec<KnownPicture> = (0..10)
            .map(|index| KnownPicture {
                class: 0,
                predicted: Some(usize::from(index >= right)),
                score: index as f32,
            })
            .collect();
        Figures::new(&known, unknown, 5.0)
    }

    #[test]
    fn it_is_due_when_int8_loses_more_than_the_amount() {
        let recipe = recipe();
        let due = |above, int8: &Figures, float: &Figures| {
            FineTuning { recipe: &recipe, epochs: 1.0, above }.is_due(int8, float)
        };
        // By accuracy, 0.8 against 0.9, where there are no unknown pictures.
        assert!(due(None, &figures(9, &[]), &figures(8, &[])));
        assert!(due(Some(0.05), &figures(8, &[]), &figures(9, &[])));
        assert!(!due(Some(0.15), &figures(8, &[]), &figures(9, &[])));
        // By AUROC, 0.5 against 1, where there are.
        assert!(due(Some(0.4), &figures(9, &[4.5]), &figures(8, &[20.0])));
        assert!(!due(Some(0.6), &figures(8, &[4.5]), &figures(9, &[20.0])));
    }

    #[test]
    fn the_better_one_is_kept_and_what_is_asked_for_is_checked() {
        let brought = FineTuned::new(2.0, &figures(9, &[]), &figures(6, &[]), &figures(8, &[]));
        assert!(brought.is_no_worse() && brought.measure == Measure::Accuracy);
        let text = brought.to_string();
        assert!(text.contains("accuracy 0.8000, before 0.6000, f32 0.9000"), "{text}");
        assert!(text.contains("the fine-tuned network is deployed"), "{text}");
        let worse = FineTuned { fine_tuned: 0.5, ..brought };
        assert!(!worse.is_no_worse() && worse.to_string().contains("the network before it"));

        let recipe = recipe();
        let options = |qat, qat_above| FineTuningOptions { qat, qat_above };
        assert!(options(None, None).fine_tuning(&recipe).is_none());
        let above = options(None, Some(0.003)).fine_tuning(&recipe).unwrap();
        assert_eq!((above.epochs, above.above), (DEFAULT_EPOCHS, Some(0.003)));
        let both = options(Some(3.0), Some(0.0)).fine_tuning(&recipe).unwrap();
        assert_eq!((both.epochs, both.above), (3.0, Some(0.0)));
        for wrong in [options(Some(0.0), None), options(Some(f64::NAN), None), options(None, Some(-0.1))] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
