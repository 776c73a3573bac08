//! `anchorwatch-train quantize`: a finished training quantized anew, with other ranges, with fine-tuning,
//! with a look at each layer. Everything about the network is in the training's checkpoint.

use crate::activation_ranges::RangeMethod;
use crate::calibration::CENTRE_PICTURES;
use crate::calibration_options::CalibrationOptions;
use crate::checkpoint::{CHECKPOINT, Checkpoint};
use crate::data_set::{DataSet, Selection};
use crate::deploy::{Deployed, Deployment, F32_FILE, INT8_FILE, metrics, print_reports};
use crate::fit::{refuse_to_replace, writable_folder};
use crate::interrupt::{Interrupt, Interrupted};
use crate::options::default_threads;
use crate::picture_folder::file_name;
use crate::provenance::provenance;
use crate::quantization_aware::{FineTuned, FineTuningOptions};
use crate::quantization_error::{LayerError, layer_errors, sensitivities};
use crate::recipe::{Recipe, digest};
use crate::training::Training;
use crate::variables::Variables;
use anchorwatch::network::ModelFile;
use anchorwatch::network::metadata::Provenance;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Pictures that `--analyze` measures the layers on, at least one of each class.
const ANALYSED_PICTURES: usize = 128;

/// Quantize a finished training anew and write model.onnx (int8) and model.f32.onnx
///
/// Takes the checkpoint that fit left in its --out folder, which says what the network is and which
/// classes it knows, and the pictures it was trained on.
#[derive(clap::Args, Debug)]
pub struct QuantizeArgs {
    /// The folder of a finished training: fit's --out
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The folder of pictures that it was trained on
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The classes that it must know, apart by commas [default: whatever it knows]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    known: Vec<String>,
    /// Pictures of things that are not known, to measure with: a folder, or classes of the data, apart by
    /// commas [default: the classes of the data that are not known]
    #[arg(long, value_name = "DIR|A,B,…")]
    unknown: Option<String>,
    /// Share of each class's pictures that was held out, where the data has no val or test level
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    hold_out: f64,
    /// Where the model files go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace model files that are in --out already
    #[arg(long)]
    overwrite: bool,
    /// Threads [default: one a core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Print what came of it as JSON, on standard output
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    calibration: CalibrationOptions,
    /// How the ranges of activations are chosen for int8: mse (least squared error), min-max, or
    /// percentile:SHARE (without the outermost values)
    #[arg(long, default_value = "mse", value_name = "METHOD", help_heading = "Quantization")]
    ranges: RangeMethod,
    #[command(flatten)]
    fine_tuning: FineTuningOptions,
    /// Show how far each layer's output is from the f32 network's, and what each layer alone would cost
    #[arg(long, help_heading = "Quantization")]
    analyze: bool,
}

/// Runs the command.
pub fn run(args: &QuantizeArgs, interrupt: &Interrupt) -> Result<()> {
    args.check()?;
    let checkpoint = Checkpoint::load(&args.from.join(CHECKPOINT))
        .with_context(|| format!("'{}' has no training to quantize", args.from.display()))?;
    let recipe = checkpoint.recipe.clone();
    args.check_known(&recipe)?;
    let architecture = recipe.architecture()?;
    writable_folder(&args.out)?;
    if !args.overwrite {
        refuse_to_replace(&args.out)?;
    }
    let threads = args.threads.map_or_else(default_threads, usize::from);
    tch::set_num_threads(threads as i32);
    let data = args.data_set(&recipe, threads, interrupt)?;
    let same_pictures = digest(&data.train) == recipe.pictures;
    if !same_pictures {
        log::warn!(
            "the training pictures are not those of the training (other files, or another --hold-out): where it has seen the held-out ones, the figures are too good"
        );
    }
    let mut training = Training::new(
        &architecture,
        &recipe,
        &data.train,
        args.from.join(CHECKPOINT),
        Variables::initialise(&architecture, recipe.seed),
    );
    training.resume(checkpoint)?;
    // With other pictures the number of steps would be another one.
    let steps = recipe.steps(data.train.len());
    ensure!(
        training.step() >= steps || !same_pictures,
        "the training in '{}' is not finished (step {} of {steps}): fit --resume ends it",
        args.from.display(),
        training.step()
    );
    let variables = training.into_variables()?;
    let about = args.about(&recipe)?;
    let nothing_written = |error: anyhow::Error| match error.downcast_ref::<Interrupted>() {
        Some(Interrupted(when)) => Interrupted(format!("{when}: nothing was written")).into(),
        None => error,
    };
    let deployment = Deployment {
        architecture: &architecture,
        variables: &variables,
        name: &about.name,
        classes: &recipe.known,
        input: &recipe.input,
        train: &data.train,
        centre_pictures: &data.train.sample(recipe.known.len(), CENTRE_PICTURES),
        held_out: &data.held_out,
        held_out_source: &data.held_out_source,
        unknown: data.unknown.as_ref(),
        calibration: &args.calibration,
        ranges: args.ranges,
        fine_tuning: args.fine_tuning.fine_tuning(&recipe),
        threads,
        provenance: Provenance {
            backbone: recipe.backbone.clone(),
            seed: recipe.seed,
            epochs: recipe.epochs as f32,
            train_pictures: data.train.counts(recipe.known.len()),
            data: about.data,
            licence: about.licence,
            ..provenance()?
        },
        interrupt,
    };
    let deployed = deployment.write(&args.out).map_err(nothing_written)?;
    let analysis = if args.analyze { Some(Analysis::new(&deployment, &deployed)?) } else { None };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&Outcome::new(&deployed, analysis))?);
        return Ok(());
    }
    if let Some(analysis) = analysis {
        analysis.print();
    }
    print_reports(&deployed.reports);
    if let Some(fine_tuned) = &deployed.fine_tuned {
        println!("{fine_tuned}");
    }
    println!("written to '{}': {INT8_FILE} (deploy this one), {F32_FILE}", args.out.display());
    Ok(())
}

/// What a model file says of itself.
struct About {
    name: String,
    data: String,
    licence: String,
}

impl QuantizeArgs {
    /// What clap cannot check.
    fn check(&self) -> Result<()> {
        ensure!((0.0..1.0).contains(&self.hold_out), "--hold-out is a share, from 0 to below 1");
        self.calibration.check()?;
        self.fine_tuning.check()
    }

    fn check_known(&self, recipe: &Recipe) -> Result<()> {
        let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        ensure!(
            self.known.is_empty() || set(&self.known) == set(&recipe.known),
            "the training in '{}' knows {}: leave --known out, or take another --from",
            self.from.display(),
            recipe.known.join(",")
        );
        Ok(())
    }

    fn data_set(&self, recipe: &Recipe, threads: usize, interrupt: &Interrupt) -> Result<DataSet> {
        let selection = Selection {
            data: &self.data,
            known: &recipe.known,
            unknown: self.unknown.as_deref(),
            hold_out: self.hold_out,
            seed: recipe.seed,
        };
        DataSet::read(&selection, &recipe.input, threads, interrupt)
    }

    /// What the model file beside the checkpoint says, if there is one.
    fn about(&self, recipe: &Recipe) -> Result<About> {
        let beside = self.from.join(F32_FILE);
        if !beside.exists() {
            return Ok(About {
                name: format!("{} {}", file_name(&self.data), recipe.backbone),
                data: file_name(&self.data),
                licence: "not stated".to_string(),
            });
        }
        let metadata =
            ModelFile::read(&beside).with_context(|| format!("cannot use '{}'", beside.display()))?.metadata;
        let Provenance { data, licence, .. } = metadata.training;
        Ok(About { name: metadata.name, data, licence })
    }
}

/// What quantization costs, layer by layer.
struct Analysis {
    layers: Vec<AnalysedLayer>,
    pictures: usize,
}

/// A row of the table.
#[derive(Serialize)]
struct AnalysedLayer {
    #[serde(flatten)]
    error: LayerError,
    /// Of the logits, if this layer alone is in int8.
    alone_sqnr_db: f64,
}

impl Analysis {
    /// Of the network that was deployed, on held-out pictures if there are any.
    fn new(deployment: &Deployment, deployed: &Deployed) -> Result<Self> {
        let batches = deployment.known_batches(ANALYSED_PICTURES);
        let pictures = batches.iter().map(|batch| batch.size()[0] as usize).sum();
        let (folded, quantized) = (&deployed.folded, &deployed.quantized);
        let errors = layer_errors(folded, quantized, &batches)?;
        let alone = sensitivities(folded, quantized, &batches, deployment.interrupt)?;
        let layers = errors.into_iter().zip(alone);
        let layers = layers.map(|(error, alone_sqnr_db)| AnalysedLayer { error, alone_sqnr_db }).collect();
        Ok(Self { layers, pictures })
    }

    fn print(&self) {
        let width = self.layers.iter().map(|layer| layer.error.name.len()).max().unwrap_or(0).max(5);
        println!("{:<width$}{:>12}{:>15}{:>22}", "layer", "SQNR, dB", "mean |error|", "logits' SQNR, alone");
        for AnalysedLayer { error, alone_sqnr_db } in &self.layers {
            let LayerError { name, sqnr_db, mean_absolute } = error;
            println!("{name:<width$}{sqnr_db:>12.1}{mean_absolute:>15.6}{alone_sqnr_db:>22.1}");
        }
        println!(
            "SQNR and error: the int8 network up to there against f32's. Alone: of the logits, in dB, if that \
             layer alone is in int8.\nA larger SQNR is better, 6 dB are one bit. On {} pictures.\n",
            self.pictures
        );
    }
}

/// What came of it, for programs.
#[derive(Serialize)]
struct Outcome<'a> {
    /// The figures of each file, as in its block.
    int8: BTreeMap<String, f64>,
    f32: BTreeMap<String, f64>,
    /// If there was a fine-tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    fine_tuned: Option<&'a FineTuned>,
    /// With `--analyze`: in the order they run. A ratio is null where nothing differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<AnalysedLayer>>,
}

impl<'a> Outcome<'a> {
    fn new(deployed: &'a Deployed, analysis: Option<Analysis>) -> Self {
        let [int8, float] = &deployed.reports;
        Self {
            int8: metrics(&int8.figures),
            f32: metrics(&float.figures),
            fine_tuned: deployed.fine_tuned.as_ref(),
            layers: analysis.map(|analysis| analysis.layers),
        }
    }
}
