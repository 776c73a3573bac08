//! `anchorwatch-train import`: the checkpoints that the paper's authors published, as model files.

use crate::activation_ranges::RangeMethod;
use crate::backbones;
use crate::calibration_options::CalibrationOptions;
use crate::data_set::report_skipped;
use crate::deploy::{Deployment, F32_FILE, INT8_FILE, print_reports};
use crate::fit::{refuse_to_replace, writable_folder};
use crate::history::History;
use crate::interrupt::Interrupt;
use crate::options::default_threads;
use crate::picture_folder::{Labelled, Levels, class_folders, file_name};
use crate::pictures::Pictures;
use crate::provenance::provenance;
use crate::report;
use crate::torch_file::read_torch_file;
use crate::variables::{Variables, read_safetensors};
use anchorwatch::network::metadata::{Colour, InputSpec, Provenance, ResizeRule};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Training pictures of each class that its centre is computed from: the first ones by name.
const CENTRE_PICTURES: usize = 1000;

/// Bring in a checkpoint of the paper's authors: writes model.onnx (int8) and model.f32.onnx
///
/// The network is the authors' nine-convolution one with LeakyReLU. The class centres are computed
/// from the first 1000 training pictures of each known class, the threshold and the figures from the
/// test pictures: DIR/train/CLASS and DIR/test/CLASS (or val).
#[derive(clap::Args, Debug)]
pub struct ImportArgs {
    /// The checkpoint: .safetensors, or .pth as torch.save writes it
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// The known and unknown classes: {"Known": […], "Unknown": […]}, indices of the sorted class names
    #[arg(long, value_name = "FILE")]
    split: PathBuf,
    /// The pictures the checkpoint was trained on
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the model files go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Which data set it is, for its mean and standard deviation
    #[arg(long, value_enum, required_unless_present_all = ["mean", "std"])]
    set: Option<Set>,
    /// Mean of each channel on a scale of 0 to 1, apart by commas, instead of --set's
    #[arg(long, value_delimiter = ',', requires = "std", value_name = "M,M,M")]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel, likewise
    #[arg(long, value_delimiter = ',', requires = "mean", value_name = "S,S,S")]
    std: Option<Vec<f32>>,
    #[command(flatten)]
    calibration: CalibrationOptions,
    /// How the ranges of activations are chosen for int8: mse (least squared error), min-max, or
    /// percentile:SHARE (without the outermost values)
    #[arg(long, default_value = "mse", value_name = "METHOD")]
    ranges: RangeMethod,
    /// Threads [default: one a core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// The model's name [default: that of the checkpoint]
    #[arg(long)]
    name: Option<String>,
    /// Licence of the data and the weights
    #[arg(long, default_value = "not stated")]
    licence: String,
    /// Replace model files or a report that are there already
    #[arg(long)]
    overwrite: bool,
    /// Write a page of figures, too: one HTML file, to look at in a browser
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

/// Data sets whose normalisation in the authors' trial 0 is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Set {
    /// Mean 0.1321, standard deviation 0.3101
    Mnist,
    /// Mean 0.4858, 0.4771, 0.4326, standard deviation 0.2422, 0.2374, 0.2547
    Cifar10,
}

impl Set {
    fn normalisation(self) -> (Vec<f32>, Vec<f32>) {
        match self {
            Set::Mnist => (vec![0.1321], vec![0.3101]),
            Set::Cifar10 => (vec![0.4858, 0.4771, 0.4326], vec![0.2422, 0.2374, 0.2547]),
        }
    }
}

/// The authors' file of known and unknown classes.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Split {
    known: Vec<usize>,
    unknown: Vec<usize>,
}

/// Runs the command.
pub fn run(args: &ImportArgs, interrupt: &Interrupt) -> Result<()> {
    args.calibration.check()?;
    writable_folder(&args.out)?;
    if !args.overwrite {
        refuse_to_replace(&args.out)?;
    }
    if let Some(path) = &args.report {
        report::prepare(path, args.overwrite)?;
    }
    let threads = args.threads.map_or_else(default_threads, usize::from);
    tch::set_num_threads(threads as i32);
    let values = read_checkpoint(&args.checkpoint)?;
    let shape = Shape::of(&values)
        .with_context(|| format!("'{}' is not the authors' network", args.checkpoint.display()))?;
    let input = args.input(&shape)?;
    let files = Files::list(&args.data, &args.split, shape.logits)?;
    let read = |files: &[Labelled], what: &str| {
        let pictures = Pictures::decode(files, &input, threads, what, interrupt)?;
        report_skipped(&pictures.skipped, what);
        Ok::<_, anyhow::Error>(pictures)
    };
    let train = read(&files.train, "training pictures")?;
    let known = read(&files.known, "known test pictures")?;
    let unknown = read(&files.unknown, "unknown test pictures")?;

    let side = i64::from(shape.side);
    let activation = crate::architecture::Activation::LeakyRelu(backbones::LEAKY_SLOPE);
    let architecture =
        backbones::cac9([shape.channels, side, side], shape.logits as i64, activation, 1.0, 0.0);
    let mut variables = Variables::initialise(&architecture, 0);
    variables.assign(&values, None)?;
    let centre_pictures: Vec<usize> = (0..train.len()).collect();
    let name = args
        .name
        .clone()
        .unwrap_or_else(|| args.checkpoint.file_stem().unwrap_or_default().to_string_lossy().into_owned());
    let deployment = Deployment {
        architecture: &architecture,
        variables: &variables,
        name: &name,
        classes: &files.classes,
        input: &input,
        train: &train,
        centre_pictures: &centre_pictures,
        held_out: &known,
        held_out_source: "the test pictures of the known classes",
        unknown: Some(&unknown).filter(|pictures| !pictures.is_empty()),
        calibration: &args.calibration,
        ranges: args.ranges,
        fine_tuning: None,
        threads,
        provenance: Provenance {
            backbone: architecture.name.clone(),
            train_pictures: train.counts(files.classes.len()),
            data: file_name(&args.data),
            licence: args.licence.clone(),
            ..provenance()?
        },
        interrupt,
    };
    let deployed = deployment.write(&args.out)?;
    print_reports(&deployed.reports);
    println!("written to '{}': {INT8_FILE} (deploy this one), {F32_FILE}", args.out.display());
    if let Some(path) = &args.report {
        report::write(path, &deployment, &deployed, &History::default())?;
    }
    Ok(())
}

impl ImportArgs {
    fn input(&self, shape: &Shape) -> Result<InputSpec> {
        let (mean, std) = match (&self.mean, &self.std, self.set) {
            (Some(mean), Some(std), _) => (mean.clone(), std.clone()),
            (_, _, Some(set)) => set.normalisation(),
            _ => unreachable!("clap asks for --set or both of --mean and --std"),
        };
        let channels = shape.channels as usize;
        ensure!(
            mean.len() == channels && std.len() == channels,
            "the checkpoint's input has {channels} channel(s), but {} mean(s) and {} standard deviation(s) are given: is --set right?",
            mean.len(),
            std.len()
        );
        ensure!(
            mean.iter().all(|mean| mean.is_finite()) && std.iter().all(|&std| std.is_finite() && std > 0.0),
            "means must be numbers, standard deviations above 0"
        );
        let colour = if channels == 1 { Colour::Grey } else { Colour::Rgb };
        Ok(InputSpec {
            width: shape.side,
            height: shape.side,
            colour,
            resize: ResizeRule::Stretch,
            mean,
            std,
        })
    }
}

/// The tensors by name, in whichever format.
fn read_checkpoint(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    ensure!(path.exists(), "there is no checkpoint '{}'", path.display());
    let is_safetensors = path.extension().is_some_and(|ending| ending == "safetensors");
    if is_safetensors { read_safetensors(path) } else { read_torch_file(path) }
}

/// What the checkpoint's tensors say of the network.
#[derive(Debug, PartialEq)]
struct Shape {
    channels: i64,
    /// of the square input, in pixels
    side: u32,
    logits: usize,
}

impl Shape {
    fn of(values: &BTreeMap<String, Tensor>) -> Result<Self> {
        let size = |name: &str, dimensions: usize| {
            let size = values.get(name).with_context(|| format!("it has no '{name}'"))?.size();
            ensure!(size.len() == dimensions, "'{name}' is {size:?}");
            Ok(size)
        };
        let first = size("encoder.conv1.weight", 4)?;
        let classifier = size("classify.weight", 2)?;
        ensure!(matches!(first[1], 1 | 3), "its input has {} channels", first[1]);
        // Three strides of 2, then 128 channels.
        let cells = (classifier[1] / 128) as f64;
        let side = 8 * cells.sqrt().round() as i64;
        ensure!(
            side * side / 64 * 128 == classifier[1] && (8..=512).contains(&side),
            "its classifier reads {} values, which is no square input",
            classifier[1]
        );
        Ok(Self { channels: first[1], side: side as u32, logits: classifier[0] as usize })
    }
}

/// The picture files of the split.
struct Files {
    classes: Vec<String>,
    train: Vec<Labelled>,
    known: Vec<Labelled>,
    unknown: Vec<Labelled>,
}

impl Files {
    fn list(data: &Path, split: &Path, logits: usize) -> Result<Self> {
        let text =
            std::fs::read_to_string(split).with_context(|| format!("cannot read '{}'", split.display()))?;
        let mut split: Split = serde_json::from_str(&text).with_context(|| {
            format!("'{}' is no split: it must be {{\"Known\": […], \"Unknown\": […]}}", split.display())
        })?;
        // The authors number the classes in ascending order, whatever the order in the file.
        split.known.sort_unstable();
        ensure!(
            split.known.len() == logits,
            "the split has {} known classes, the checkpoint has {logits}",
            split.known.len()
        );
        if let Some(class) = split.known.iter().find(|class| split.unknown.contains(class)) {
            anyhow::bail!("class {class} of the split is known and unknown at once");
        }
        let levels = Levels::find(data)?;
        let held_out = levels
            .held_out
            .with_context(|| format!("'{}' needs the levels train/ and test/ (or val/)", data.display()))?;
        let train = class_folders(&levels.train)?;
        let test = class_folders(&held_out)?;
        let names: Vec<&String> = train.keys().collect();
        let name = |class: usize| -> Result<&String> {
            names.get(class).copied().with_context(|| {
                format!(
                    "the split has class {class}, but '{}' has {} classes",
                    levels.train.display(),
                    names.len()
                )
            })
        };
        let classes: Vec<String> =
            split.known.iter().map(|&class| name(class).cloned()).collect::<Result<_>>()?;
        let of_level = |level: &BTreeMap<String, Vec<PathBuf>>, class: &String| {
            level.get(class).cloned().with_context(|| format!("there are no pictures of class '{class}'"))
        };
        let mut files = Self { classes: classes.clone(), train: vec![], known: vec![], unknown: vec![] };
        for (class, name) in classes.iter().enumerate() {
            let first = of_level(&train, name)?.into_iter().take(CENTRE_PICTURES);
            files.train.extend(first.map(|path| (path, class)));
            files.known.extend(of_level(&test, name)?.into_iter().map(|path| (path, class)));
        }
        for &class in &split.unknown {
            files.unknown.extend(of_level(&test, name(class)?)?.into_iter().map(|path| (path, 0)));
        }
        Ok(files)
    }
}
