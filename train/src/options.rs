//! The options of a training, for every command that trains: the network, the schedule, the variation
//! of the pictures. What is trained on, and what comes of it, is the command's affair.

use crate::architecture::{Activation, Architecture};
use crate::augment::Augment;
use crate::backbones::{self, Backbone, Variant};
use crate::loss::Loss;
use crate::network::Precision;
use crate::pictures::Pictures;
use crate::pretrained;
use crate::recipe::{Recipe, digest};
use crate::variables::Variables;
use anchorwatch::network::metadata::{Colour, InputSpec, ResizeRule};
use anyhow::{Result, bail, ensure};

/// How a network is trained.
#[derive(clap::Args, Clone, Debug)]
pub struct TrainingOptions {
    /// The network
    #[arg(long, value_enum, default_value = "cac9", help_heading = "Network")]
    pub backbone: Backbone,
    /// The non-linearity of cac9; the paper's is leaky-relu
    #[arg(long, value_enum, help_heading = "Network")]
    pub activation: Option<ActivationChoice>,
    /// Side of the square input in pixels [default: 32; efficientnet-lite0: 128]
    #[arg(long, value_parser = clap::value_parser!(u32).range(8..=512), help_heading = "Network")]
    pub size: Option<u32>,
    /// Share of the channels that cac9, tiny and resnet have: 0.5 computes a quarter as much [default: 1]
    #[arg(long, value_name = "SHARE", help_heading = "Network")]
    pub width: Option<f64>,
    /// How many of efficientnet-lite0's 16 blocks to have: with 13, the file is of 1.8 MB instead of 4, and
    /// faster [default: 16]
    #[arg(long, value_parser = clap::value_parser!(u8).range(3..=16), help_heading = "Network")]
    pub blocks: Option<u8>,
    /// Share of the channels that cac9 drops in training after every third convolution: the paper's is
    /// 0.3, for a long training or easy pictures [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Network")]
    pub dropout: Option<f64>,
    /// Use brightness only, one channel
    #[arg(long, help_heading = "Network")]
    pub grey: bool,
    /// How a picture of another shape becomes square
    #[arg(long, value_enum, default_value = "stretch", help_heading = "Network")]
    pub resize: ResizeChoice,

    /// What is made small
    #[arg(long, value_enum, default_value = "cac", help_heading = "Training")]
    pub loss: Loss,
    /// Passes over the training pictures, 1.5 is possible [default: cac9 8, tiny 30, resnet 20, efficientnet-lite0 15]
    #[arg(long, help_heading = "Training")]
    pub epochs: Option<f64>,
    /// Pictures a step [default: 128; efficientnet-lite0: 32]
    #[arg(long, help_heading = "Training")]
    pub batch: Option<usize>,
    /// Highest learning rate of the one-cycle schedule [default depends on the network]
    #[arg(long, help_heading = "Training")]
    pub learning_rate: Option<f64>,
    /// The pretrained layers' share of the learning rate, from 0 (they stay as they are) to 1
    /// [default: efficientnet-lite0 0.5]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    pub backbone_rate: Option<f64>,
    /// Weight decay [default depends on the network]
    #[arg(long, help_heading = "Training")]
    pub weight_decay: Option<f64>,
    /// Train on pictures put together from two classes, too, as things that are neither: so many for
    /// each picture, such as 0.25
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", help_heading = "Training")]
    pub composites: f64,
    /// Deploy the running average of the weights over the last steps instead of the last weights: the
    /// share of the average that each step keeps, such as 0.999 [default: 0, the last weights]
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", help_heading = "Training")]
    pub average: f64,
    /// How much pictures are varied [default: light; efficientnet-lite0: standard]
    #[arg(long, value_enum, help_heading = "Training")]
    pub augment: Option<Augment>,
    /// Mirror pictures at random; this is the default
    #[arg(long, overrides_with = "no_flip", help_heading = "Training")]
    pub flip: bool,
    /// Never mirror pictures: for digits, letters, signs
    #[arg(long, help_heading = "Training")]
    pub no_flip: bool,
    /// Share of each class's pictures to hold out where the data has no val or test level
    #[arg(long, default_value_t = 0.15, value_name = "SHARE", help_heading = "Training")]
    pub hold_out: f64,
    /// In which numbers the layers compute while training
    #[arg(long, value_enum, default_value = "f32", help_heading = "Training")]
    pub precision: Precision,
    /// Of every random choice; the same seed and --threads give the same model
    #[arg(long, default_value_t = 1, help_heading = "Training")]
    pub seed: u64,
    /// Threads [default: one a core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Training")]
    pub threads: Option<u16>,
    /// Epochs between checkpoints
    #[arg(long, default_value_t = 1.0, value_name = "EPOCHS", help_heading = "Training")]
    pub checkpoint_every: f64,
}

/// See `--activation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ActivationChoice {
    /// max(x, 0): the faster one on boards
    Relu,
    /// The paper's, slope 0.2
    LeakyRelu,
}

/// See `--resize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ResizeChoice {
    /// The whole picture, its aspect ratio not kept
    Stretch,
    /// The largest centred square
    CentreCrop,
}

impl ResizeChoice {
    fn rule(self) -> ResizeRule {
        match self {
            ResizeChoice::Stretch => ResizeRule::Stretch,
            ResizeChoice::CentreCrop => ResizeRule::CentreCrop,
        }
    }
}

/// What a backbone is trained with if nothing else is asked for.
struct Defaults {
    epochs: f64,
    batch: usize,
    learning_rate: f64,
    backbone_rate: f64,
    weight_decay: f64,
    augment: Augment,
}

impl Defaults {
    fn of(backbone: Backbone) -> Self {
        let fresh = Self {
            epochs: 8.0,
            batch: 128,
            learning_rate: 0.05,
            backbone_rate: 1.0,
            weight_decay: 5e-4,
            augment: Augment::Light,
        };
        match backbone {
            Backbone::Cac9 => fresh,
            Backbone::Tiny => Self { epochs: 30.0, learning_rate: 0.1, ..fresh },
            Backbone::Resnet => Self { epochs: 20.0, learning_rate: 0.1, ..fresh },
            Backbone::EfficientnetLite0 => Self {
                epochs: 15.0,
                batch: 32,
                learning_rate: 0.02,
                backbone_rate: 0.5,
                weight_decay: 1e-4,
                augment: Augment::Standard,
            },
        }
    }
}

impl TrainingOptions {
    /// What clap cannot check.
    pub fn check(&self) -> Result<()> {
        let positive = |name: &str, value: Option<f64>| match value {
            Some(value) if !(value.is_finite() && value > 0.0) => bail!("--{name} must be above 0"),
            _ => Ok(()),
        };
        positive("epochs", self.epochs)?;
        positive("learning-rate", self.learning_rate)?;
        positive("checkpoint-every", Some(self.checkpoint_every))?;
        ensure!(self.batch.is_none_or(|batch| batch >= 2), "--batch must be 2 or more");
        ensure!((0.0..1.0).contains(&self.hold_out), "--hold-out is a share, from 0 to below 1");
        ensure!(
            self.weight_decay.is_none_or(|decay| decay.is_finite() && decay >= 0.0),
            "--weight-decay must be 0 or more"
        );
        ensure!((0.0..=1.0).contains(&self.composites), "--composites is a share, from 0 to 1");
        ensure!((0.0..1.0).contains(&self.average), "--average is a share, from 0 to below 1");
        ensure!(
            self.activation.is_none() || self.backbone == Backbone::Cac9,
            "--activation is for cac9 only: {} has its own",
            self.backbone.name()
        );
        ensure!(
            self.width.is_none_or(|width| (0.1..=4.0).contains(&width)),
            "--width is a share of the channels, from 0.1 to 4"
        );
        ensure!(
            self.dropout.is_none_or(|dropout| (0.0..1.0).contains(&dropout)),
            "--dropout is a share of the channels, from 0 to below 1"
        );
        ensure!(
            self.dropout.is_none() || self.backbone == Backbone::Cac9,
            "--dropout is for cac9 only: {} has its own",
            self.backbone.name()
        );
        let pretrained = self.backbone == Backbone::EfficientnetLite0;
        ensure!(
            self.width.is_none() || !pretrained,
            "--width is for cac9, tiny and resnet: efficientnet-lite0's weights have their widths"
        );
        ensure!(self.blocks.is_none() || pretrained, "--blocks is for efficientnet-lite0 only");
        ensure!(
            self.backbone_rate.is_none_or(|rate| pretrained && (0.0..=1.0).contains(&rate)),
            "--backbone-rate is a share from 0 to 1, for efficientnet-lite0 only: the others have no pretrained layers"
        );
        ensure!(
            !(self.grey && self.backbone == Backbone::EfficientnetLite0),
            "efficientnet-lite0's pretrained weights are for colour pictures: leave --grey out, or take cac9, tiny or resnet"
        );
        Ok(())
    }

    /// Threads to train with.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(default_threads, usize::from)
    }

    /// How a picture becomes the input; mean and standard deviation are not known yet.
    pub fn input(&self) -> InputSpec {
        let size = self.size.unwrap_or(self.backbone.default_size());
        let colour = if self.grey { Colour::Grey } else { Colour::Rgb };
        InputSpec { width: size, height: size, colour, resize: self.resize.rule(), mean: vec![], std: vec![] }
    }

    /// The recipe of a training on these pictures, whose mean and standard deviation go into the input.
    pub fn recipe(&self, known: Vec<String>, pictures: &Pictures, seed: u64) -> Recipe {
        let defaults = Defaults::of(self.backbone);
        let (mean, std) = normalisation(self.backbone, pictures);
        Recipe {
            backbone: self.backbone.name().to_string(),
            width: self.width.unwrap_or(1.0),
            blocks: self.blocks,
            dropout: self.dropout.unwrap_or(0.0),
            activation: (self.backbone == Backbone::Cac9).then(|| format!("{:?}", self.cac9_activation())),
            input: InputSpec { mean, std, ..self.input() },
            known,
            pictures: digest(pictures),
            loss: self.loss,
            epochs: self.epochs.unwrap_or(defaults.epochs),
            batch: self.batch.unwrap_or(defaults.batch),
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            backbone_rate: self.backbone_rate.unwrap_or(defaults.backbone_rate),
            weight_decay: self.weight_decay.unwrap_or(defaults.weight_decay),
            composites: self.composites,
            average: self.average,
            augment: self.augment.unwrap_or(defaults.augment),
            flip: !self.no_flip,
            precision: self.precision,
            seed,
            threads: self.threads(),
        }
    }

    /// The network for such inputs and so many classes.
    pub fn architecture(&self, input: &InputSpec, classes: usize) -> Architecture {
        let variant = Variant {
            backbone: self.backbone,
            activation: self.cac9_activation(),
            width: self.width.unwrap_or(1.0),
            dropout: self.dropout.unwrap_or(0.0),
            blocks: self.blocks,
        };
        variant.architecture(input, classes)
    }

    /// The values that a training starts from.
    ///
    /// # Errors
    /// If the pretrained weights are not there.
    pub fn start(&self, architecture: &Architecture, seed: u64) -> Result<Variables> {
        let mut variables = Variables::initialise(architecture, seed);
        if self.backbone == Backbone::EfficientnetLite0 {
            pretrained::load_efficientnet_lite0(&mut variables)?;
        }
        Ok(variables)
    }

    fn cac9_activation(&self) -> Activation {
        match self.activation {
            Some(ActivationChoice::LeakyRelu) => Activation::LeakyRelu(backbones::LEAKY_SLOPE),
            Some(ActivationChoice::Relu) | None => Activation::Relu,
        }
    }
}

/// One a core.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Mean and standard deviation of each channel: those of the pretrained weights, or of the pictures.
fn normalisation(backbone: Backbone, pictures: &Pictures) -> (Vec<f32>, Vec<f32>) {
    if backbone == Backbone::EfficientnetLite0 {
        let (mean, std) = pretrained::EFFICIENTNET_LITE0_NORMALISATION;
        return (mean.to_vec(), std.to_vec());
    }
    let (mean, std) = pictures.statistics();
    // Four digits, as people write them; a constant channel must not divide by nothing.
    let round = |value: f32| (value * 1e4).round() / 1e4;
    (mean.into_iter().map(round).collect(), std.into_iter().map(|std| round(std).max(0.01)).collect())
}
