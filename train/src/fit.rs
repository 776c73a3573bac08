//! `anchorwatch-train fit`: from a folder of pictures to the two model files.

use crate::activation_ranges::RangeMethod;
use crate::architecture::{Activation, Architecture};
use crate::augment::Augment;
use crate::backbones::{self, Backbone};
use crate::checkpoint::{CHECKPOINT, Checkpoint};
use crate::deploy::{Deployment, F32_FILE, INT8_FILE, print_reports};
use crate::interrupt::{Interrupt, Interrupted};
use crate::picture_folder::{PictureFolder, file_name, unknown_pictures};
use crate::pictures::Pictures;
use crate::pretrained;
use crate::provenance::provenance;
use crate::recipe::{Recipe, digest};
use crate::training::{Ending, Training};
use crate::variables::Variables;
use anchorwatch::network::metadata::{Colour, InputSpec, Provenance, ResizeRule};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// Training pictures of each class that its centre is computed from, at most.
const CENTRE_PICTURES: usize = 1000;

/// Names of unreadable files that are printed; of more, only the count.
const NAMED_FILES: usize = 10;

/// Train a network on a folder of pictures and write model.onnx (int8) and model.f32.onnx
///
/// The folder has one sub-folder a class: DIR/CLASS/*.jpg. With DIR/train/CLASS and DIR/val/CLASS (or
/// DIR/test/CLASS) the second level is held out from training; otherwise a share of the pictures is.
/// The held-out pictures set the threshold and give the figures that are printed at the end.
#[derive(clap::Args, Debug)]
pub struct FitArgs {
    /// The folder of pictures
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The classes to know, apart by commas; the others then serve as unknowns [default: all]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    known: Vec<String>,
    /// Pictures of things that are not known, to measure with (never trained on): a folder, or
    /// classes of the data, apart by commas [default: the classes of the data that are not known]
    #[arg(long, value_name = "DIR|A,B,…")]
    unknown: Option<String>,
    /// Where the model files and the checkpoint go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Continue an interrupted training in --out (give the same options again)
    #[arg(long)]
    resume: bool,
    /// Replace a model or a checkpoint that is in --out already
    #[arg(long, conflicts_with = "resume")]
    overwrite: bool,

    /// The network
    #[arg(long, value_enum, default_value = "cac9", help_heading = "Network")]
    backbone: Backbone,
    /// The non-linearity of cac9; the paper's is leaky-relu
    #[arg(long, value_enum, help_heading = "Network")]
    activation: Option<ActivationChoice>,
    /// Side of the square input in pixels [default: 32; efficientnet-lite0: 128]
    #[arg(long, value_parser = clap::value_parser!(u32).range(8..=512), help_heading = "Network")]
    size: Option<u32>,
    /// Share of the channels that cac9 and tiny have: 0.5 computes a quarter as much [default: 1]
    #[arg(long, value_name = "SHARE", help_heading = "Network")]
    width: Option<f64>,
    /// Use brightness only, one channel
    #[arg(long, help_heading = "Network")]
    grey: bool,
    /// How a picture of another shape becomes square
    #[arg(long, value_enum, default_value = "stretch", help_heading = "Network")]
    resize: ResizeChoice,

    /// Passes over the training pictures, 1.5 is possible [default: cac9 8, tiny 30, efficientnet-lite0 15]
    #[arg(long, help_heading = "Training")]
    epochs: Option<f64>,
    /// Pictures a step [default: 128; efficientnet-lite0: 32]
    #[arg(long, help_heading = "Training")]
    batch: Option<usize>,
    /// Highest learning rate of the one-cycle schedule [default depends on the network]
    #[arg(long, help_heading = "Training")]
    learning_rate: Option<f64>,
    /// The pretrained layers' share of the learning rate, from 0 (they stay as they are) to 1
    /// [default: efficientnet-lite0 0.5]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    backbone_rate: Option<f64>,
    /// Weight decay [default depends on the network]
    #[arg(long, help_heading = "Training")]
    weight_decay: Option<f64>,
    /// How much pictures are varied [default: light; efficientnet-lite0: standard]
    #[arg(long, value_enum, help_heading = "Training")]
    augment: Option<Augment>,
    /// Mirror pictures at random; this is the default
    #[arg(long, overrides_with = "no_flip", help_heading = "Training")]
    flip: bool,
    /// Never mirror pictures: for digits, letters, signs
    #[arg(long, help_heading = "Training")]
    no_flip: bool,
    /// Share of each class's pictures to hold out where the data has no val or test level
    #[arg(long, default_value_t = 0.15, value_name = "SHARE", help_heading = "Training")]
    hold_out: f64,
    /// Share of known pictures that the threshold accepts (true-positive rate)
    #[arg(long, default_value_t = 0.95, help_heading = "Training")]
    tpr: f64,
    /// How the ranges of activations are chosen for int8: mse (least squared error), min-max, or
    /// percentile:SHARE (without the outermost values)
    #[arg(long, default_value = "mse", value_name = "METHOD", help_heading = "Training")]
    ranges: RangeMethod,
    /// Of every random choice; the same seed and --threads give the same model
    #[arg(long, default_value_t = 1, help_heading = "Training")]
    seed: u64,
    /// Threads [default: one a core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Training")]
    threads: Option<u16>,
    /// Epochs between checkpoints
    #[arg(long, default_value_t = 1.0, value_name = "EPOCHS", help_heading = "Training")]
    checkpoint_every: f64,

    /// The model's name [default: that of the data folder and the network]
    #[arg(long, help_heading = "What the model file says of itself")]
    name: Option<String>,
    /// Licence of the data and the weights
    #[arg(long, default_value = "not stated", help_heading = "What the model file says of itself")]
    licence: String,
    /// What the pictures are and where they come from [default: the data folder's name]
    #[arg(long, value_name = "TEXT", help_heading = "What the model file says of itself")]
    data_note: Option<String>,
}

/// See `--activation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ActivationChoice {
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

/// Everything that is needed of the pictures.
struct Data {
    listing: PictureFolder,
    train: Pictures,
    held_out: Pictures,
    unknown: Option<Pictures>,
}

/// Runs the command.
pub fn run(args: &FitArgs, interrupt: &Interrupt) -> Result<()> {
    args.check()?;
    let checkpoint = prepare_output(&args.out, args.resume, args.overwrite)?;
    let threads = args.threads();
    tch::set_num_threads(threads as i32);
    let mut input = args.input();
    let data = args.read_data(&input, threads, interrupt)?;
    (input.mean, input.std) = normalisation(args.backbone, &data.train);
    let recipe = args.recipe(&data, input, threads);
    let architecture = args.architecture(&recipe.input, recipe.known.len());
    let mut variables = Variables::initialise(&architecture, args.seed);
    if args.backbone == Backbone::EfficientnetLite0 && !args.resume {
        pretrained::load_efficientnet_lite0(&mut variables)?;
    }
    eprintln!(
        "{} with {} parameters, {} classes, {} training pictures, {} held out, {} unknown",
        architecture.name,
        variables.parameters(),
        recipe.known.len(),
        data.train.len(),
        data.held_out.len(),
        data.unknown.as_ref().map_or(0, Pictures::len)
    );

    let mut training = Training::new(&architecture, &recipe, &data.train, checkpoint.clone(), variables);
    training.checkpoint_every = args.checkpoint_every;
    if args.resume {
        training.resume(Checkpoint::load(&checkpoint)?)?;
        eprintln!("resuming after step {} of {}", training.step(), recipe.steps(data.train.len()));
    }
    let how_to_resume = format!(
        ": the training is saved in '{}'; the same command with --resume continues it",
        checkpoint.display()
    );
    if training.run(&|| interrupt.requested())? == Ending::Interrupted {
        return Err(Interrupted(how_to_resume).into());
    }

    let centre_pictures = data.train.sample(recipe.known.len(), CENTRE_PICTURES);
    let reports = Deployment {
        architecture: &architecture,
        variables: &training.variables,
        name: &args.name(),
        classes: &recipe.known,
        input: &recipe.input,
        train: &data.train,
        centre_pictures: &centre_pictures,
        held_out: &data.held_out,
        held_out_source: &data.listing.held_out_source,
        unknown: data.unknown.as_ref(),
        tpr: args.tpr,
        ranges: args.ranges,
        threads,
        provenance: args.provenance(&recipe, &data)?,
        interrupt,
    }
    .write(&args.out)
    .map_err(|error| if error.is::<Interrupted>() { Interrupted(how_to_resume).into() } else { error })?;
    print_reports(&reports, recipe.known.len());
    println!("written to '{}': {INT8_FILE} (deploy this one), {F32_FILE}", args.out.display());
    Ok(())
}

impl FitArgs {
    /// What clap cannot check.
    fn check(&self) -> Result<()> {
        let positive = |name: &str, value: Option<f64>| match value {
            Some(value) if !(value.is_finite() && value > 0.0) => bail!("--{name} must be above 0"),
            _ => Ok(()),
        };
        positive("epochs", self.epochs)?;
        positive("learning-rate", self.learning_rate)?;
        positive("checkpoint-every", Some(self.checkpoint_every))?;
        ensure!(self.batch.is_none_or(|batch| batch >= 2), "--batch must be 2 or more");
        ensure!(self.tpr > 0.0 && self.tpr <= 1.0, "--tpr is a share, above 0 and up to 1");
        ensure!((0.0..1.0).contains(&self.hold_out), "--hold-out is a share, from 0 to below 1");
        ensure!(
            self.weight_decay.is_none_or(|decay| decay.is_finite() && decay >= 0.0),
            "--weight-decay must be 0 or more"
        );
        ensure!(
            self.activation.is_none() || self.backbone == Backbone::Cac9,
            "--activation is for cac9 only: {} has its own",
            self.backbone.name()
        );
        ensure!(
            self.width.is_none_or(|width| (0.1..=4.0).contains(&width)),
            "--width is a share of the channels, from 0.1 to 4"
        );
        let pretrained = self.backbone == Backbone::EfficientnetLite0;
        ensure!(
            self.width.is_none() || !pretrained,
            "--width is for cac9 and tiny: efficientnet-lite0's weights have their widths"
        );
        ensure!(
            self.backbone_rate.is_none_or(|rate| pretrained && (0.0..=1.0).contains(&rate)),
            "--backbone-rate is a share from 0 to 1, for efficientnet-lite0 only: the others have no pretrained layers"
        );
        ensure!(
            !(self.grey && self.backbone == Backbone::EfficientnetLite0),
            "efficientnet-lite0's pretrained weights are for colour pictures: leave --grey out, or take cac9 or tiny"
        );
        Ok(())
    }

    fn threads(&self) -> usize {
        self.threads.map_or_else(default_threads, usize::from)
    }

    /// Mean and standard deviation are not known yet.
    fn input(&self) -> InputSpec {
        let size = self.size.unwrap_or(self.backbone.default_size());
        let colour = if self.grey { Colour::Grey } else { Colour::Rgb };
        InputSpec { width: size, height: size, colour, resize: self.resize.rule(), mean: vec![], std: vec![] }
    }

    fn read_data(&self, input: &InputSpec, threads: usize, interrupt: &Interrupt) -> Result<Data> {
        let listing = PictureFolder::list(&self.data, &self.known, self.hold_out, self.seed)?;
        for warning in &listing.warnings {
            log::warn!("{warning}");
        }
        let unknown = match &self.unknown {
            Some(argument) => unknown_pictures(argument, &self.data, &listing)?,
            None => listing.others.clone(),
        };
        let unknown: Vec<_> = unknown.into_iter().map(|path| (path, 0)).collect();
        let read = |files: &[(PathBuf, usize)], what: &str| {
            let pictures = Pictures::decode(files, input, threads, what, interrupt)?;
            report_skipped(&pictures.skipped, what);
            Ok::<_, anyhow::Error>(pictures)
        };
        let train = read(&listing.train, "training pictures")?;
        let held_out = read(&listing.held_out, "held-out pictures")?;
        let unknown = if unknown.is_empty() { None } else { Some(read(&unknown, "unknown pictures")?) };
        for (name, count) in listing.classes.iter().zip(train.counts(listing.classes.len())) {
            ensure!(count > 0, "none of the training pictures of class '{name}' can be read");
        }
        if held_out.is_empty() {
            log::warn!(
                "there are no held-out pictures: the threshold comes from the training pictures, and will be too strict"
            );
        }
        Ok(Data { listing, train, held_out, unknown: unknown.filter(|pictures| !pictures.is_empty()) })
    }

    fn recipe(&self, data: &Data, input: InputSpec, threads: usize) -> Recipe {
        let defaults = Defaults::of(self.backbone);
        Recipe {
            backbone: self.backbone.name().to_string(),
            width: self.width.unwrap_or(1.0),
            activation: (self.backbone == Backbone::Cac9).then(|| format!("{:?}", self.cac9_activation())),
            input,
            known: data.listing.classes.clone(),
            pictures: digest(&data.train),
            epochs: self.epochs.unwrap_or(defaults.epochs),
            batch: self.batch.unwrap_or(defaults.batch),
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            backbone_rate: self.backbone_rate.unwrap_or(defaults.backbone_rate),
            weight_decay: self.weight_decay.unwrap_or(defaults.weight_decay),
            augment: self.augment.unwrap_or(defaults.augment),
            flip: !self.no_flip,
            seed: self.seed,
            threads,
        }
    }

    fn cac9_activation(&self) -> Activation {
        match self.activation {
            Some(ActivationChoice::LeakyRelu) => Activation::LeakyRelu(backbones::LEAKY_SLOPE),
            Some(ActivationChoice::Relu) | None => Activation::Relu,
        }
    }

    fn architecture(&self, input: &InputSpec, classes: usize) -> Architecture {
        let shape = [input.channels() as i64, i64::from(input.height), i64::from(input.width)];
        let width = self.width.unwrap_or(1.0);
        match self.backbone {
            Backbone::Cac9 => backbones::cac9(shape, classes as i64, self.cac9_activation(), width),
            Backbone::Tiny => backbones::tiny(shape, classes as i64, width),
            Backbone::EfficientnetLite0 => backbones::efficientnet_lite0(shape, classes as i64),
        }
    }

    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("{} {}", file_name(&self.data), self.backbone.name()))
    }

    fn provenance(&self, recipe: &Recipe, data: &Data) -> Result<Provenance> {
        Ok(Provenance {
            backbone: recipe.backbone.clone(),
            seed: recipe.seed,
            epochs: recipe.epochs as f32,
            train_pictures: data.train.counts(recipe.known.len()),
            data: self.data_note.clone().unwrap_or_else(|| file_name(&self.data)),
            licence: self.licence.clone(),
            ..provenance()?
        })
    }
}

/// One a core.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Makes the output folder, sees that it can be written to before hours are spent, and that nothing
/// in it would be lost. Gives the path of the checkpoint.
fn prepare_output(out: &Path, resume: bool, overwrite: bool) -> Result<PathBuf> {
    writable_folder(out)?;
    let checkpoint = out.join(CHECKPOINT);
    if resume {
        ensure!(
            checkpoint.exists(),
            "there is nothing to resume: '{}' does not exist. Leave --resume out to start",
            checkpoint.display()
        );
    } else if !overwrite {
        ensure!(
            !checkpoint.exists(),
            "'{}' is there already: --resume continues that training, --overwrite replaces it",
            checkpoint.display()
        );
        refuse_to_replace(out)?;
    }
    Ok(checkpoint)
}

/// Makes a folder and tries to write to it.
pub fn writable_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder '{}'", folder.display()))?;
    tempfile::tempfile_in(folder).with_context(|| format!("cannot write to '{}'", folder.display()))?;
    Ok(())
}

/// An error if a folder has model files.
pub fn refuse_to_replace(folder: &Path) -> Result<()> {
    for name in [INT8_FILE, F32_FILE] {
        let path = folder.join(name);
        ensure!(!path.exists(), "'{}' is there already: --overwrite replaces it", path.display());
    }
    Ok(())
}

/// Counts and names the files that could not be used.
pub fn report_skipped(skipped: &[String], what: &str) {
    if skipped.is_empty() {
        return;
    }
    log::warn!("{} of the {what} were skipped:", skipped.len());
    for reason in skipped.iter().take(NAMED_FILES) {
        log::warn!("  {reason}");
    }
    if skipped.len() > NAMED_FILES {
        log::warn!("  and {} more", skipped.len() - NAMED_FILES);
    }
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
