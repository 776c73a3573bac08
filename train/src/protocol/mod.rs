//! `anchorwatch-train protocol`: the paper's evaluation, trial after trial, and the methods that one
//! would compare with, on the same network with the same budget.

mod evidence;
mod scores;
mod splits;
mod table;

use crate::activation_ranges::RangeMethod;
use crate::calibration::CENTRE_PICTURES;
use crate::calibration_options::CalibrationOptions;
use crate::checkpoint::{CHECKPOINT, Checkpoint, write_whole};
use crate::data_set::{DataSet, Selection};
use crate::deploy::{Deployment, INT8_FILE};
use crate::fit::writable_folder;
use crate::interrupt::{Interrupt, Interrupted};
use crate::loss::Loss;
use crate::options::TrainingOptions;
use crate::pictures::Pictures;
use crate::provenance::provenance;
use crate::recipe::Recipe;
use crate::training::{Ending, Training};
use crate::variables::Variables;
use anchorwatch::evaluate::{Figures, threshold_for_tpr};
use anyhow::{Context, Result, ensure};
use evidence::Evidence;
use scores::Score;
use splits::Splits;
use std::path::{Path, PathBuf};
use table::{Results, Row};

/// The share of known pictures that thresholds accept.
const TPR: f64 = 0.95;

/// Run the paper's evaluation: known against unknown classes, several trials and methods, one table
///
/// Trains a network for each trial and loss, measures every rejection score on it, and writes
/// table.md and results.json into --out. Of a CAC network the int8 file is measured too, as it is
/// deployed. What was trained is kept: the same command goes on where it was interrupted.
#[derive(clap::Args, Debug)]
pub struct ProtocolArgs {
    /// mnist, cifar10, tinyimagenet, or a file: {"source": "…", "trials": {"NAME": ["CLASS", …]}}
    #[arg(value_name = "SPLITS")]
    splits: String,
    /// The folder of pictures: DIR/train/CLASS and DIR/test/CLASS (or val)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where networks, table.md and results.json go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The trials to run, apart by commas
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "0")]
    trial: Vec<String>,
    /// The losses to train with, apart by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "cac,cac-learnt,cross-entropy")]
    losses: Vec<Loss>,

    #[command(flatten)]
    options: TrainingOptions,
}

/// Runs the command.
pub fn run(args: &ProtocolArgs, interrupt: &Interrupt) -> Result<()> {
    let splits = Splits::find(&args.splits)?;
    let mut options = args.options.clone();
    options.grey |= splits.grey;
    options.no_flip |= !splits.flip;
    options.check()?;
    for trial in &args.trial {
        splits.known(trial)?;
    }
    writable_folder(&args.out)?;
    tch::set_num_threads(options.threads() as i32);
    log::info!("{}", splits.source);
    let made = provenance()?;
    let mut results = Results {
        splits: args.splits.clone(),
        command: made.command,
        tool: made.tool,
        backbone: options.backbone.name().to_string(),
        seed: options.seed,
        ..Results::default()
    };
    for trial in &args.trial {
        let known = splits.known(trial)?;
        let selection = Selection {
            data: &args.data,
            known,
            unknown: None,
            hold_out: options.hold_out,
            seed: options.seed,
        };
        let data = DataSet::read(&selection, &options.input(), options.threads(), interrupt)?;
        let unknown = data.unknown.as_ref().context("the data has no classes beside the known ones")?;
        ensure!(!data.held_out.is_empty(), "there are no known pictures to measure with");
        for &loss in &args.losses {
            options.loss = loss;
            let folder = args.out.join(format!("trial-{trial}")).join(loss.name());
            writable_folder(&folder)?;
            eprintln!("trial {trial}, {}: {}", loss.name(), known.join(", "));
            let trained = Trained::new(&options, &data, &folder, interrupt)?;
            results.epochs = trained.recipe.epochs;
            results.rows.extend(trained.rows(trial, &data, unknown, interrupt)?);
            if loss != Loss::CrossEntropy {
                results.rows.push(trained.deployed(trial, &data, &folder, interrupt)?);
            }
            results.write(&args.out)?;
        }
    }
    println!("{}", results.markdown());
    println!("written to '{}': table.md, results.json", args.out.display());
    Ok(())
}

impl Results {
    /// Writes what there is so far.
    fn write(&self, folder: &Path) -> Result<()> {
        write_whole(&folder.join("table.md"), self.markdown().as_bytes())?;
        write_whole(&folder.join("results.json"), &serde_json::to_vec_pretty(self)?)
    }
}

/// A network of a trial, trained to the end.
struct Trained {
    architecture: crate::architecture::Architecture,
    recipe: Recipe,
    variables: Variables,
    options: TrainingOptions,
}

impl Trained {
    /// Trains, or goes on with what the folder has.
    fn new(options: &TrainingOptions, data: &DataSet, folder: &Path, interrupt: &Interrupt) -> Result<Self> {
        let recipe = options.recipe(data.classes.clone(), &data.train, options.seed);
        let architecture = options.architecture(&recipe.input, recipe.known.len());
        let variables = options.start(&architecture, options.seed)?;
        let checkpoint = folder.join(CHECKPOINT);
        let mut training = Training::new(&architecture, &recipe, &data.train, checkpoint.clone(), variables);
        training.checkpoint_every = options.checkpoint_every;
        if checkpoint.exists() {
            let saved = Checkpoint::load(&checkpoint)?;
            training.resume(saved).with_context(|| {
                format!("'{}' is of another training: take another --out", checkpoint.display())
            })?;
        }
        if training.run(&|| interrupt.requested())? == Ending::Interrupted {
            return Err(Interrupted(": the same command goes on from here".to_string()).into());
        }
        let variables = training.into_variables()?;
        Ok(Self { architecture, recipe, variables, options: options.clone() })
    }

    /// Every score, on the network in float.
    fn rows(
        &self,
        trial: &str,
        data: &DataSet,
        unknown: &Pictures,
        interrupt: &Interrupt,
    ) -> Result<Vec<Row>> {
        let evidence =
            Evidence::gather(&self.architecture, &self.variables, &self.recipe, data, unknown, interrupt)?;
        let mut rows = Vec::new();
        for score in Score::ALL {
            interrupt.check()?;
            let [known, unknown] = score.of(&evidence);
            let threshold = threshold_for_tpr(&known, TPR);
            let figures = Figures::new(&evidence.known_pictures(&known), &unknown, threshold);
            rows.push(Row::new(trial, self.recipe.loss.name(), score.name(), &figures));
        }
        Ok(rows)
    }

    /// The paper's score on the int8 file, computed by the engine that is deployed.
    fn deployed(&self, trial: &str, data: &DataSet, folder: &Path, interrupt: &Interrupt) -> Result<Row> {
        let deployed = Deployment {
            architecture: &self.architecture,
            variables: &self.variables,
            name: &format!("trial {trial}, {}", self.recipe.loss.name()),
            classes: &self.recipe.known,
            input: &self.recipe.input,
            train: &data.train,
            centre_pictures: &data.train.sample(self.recipe.known.len(), CENTRE_PICTURES),
            held_out: &data.held_out,
            held_out_source: &data.held_out_source,
            unknown: data.unknown.as_ref(),
            calibration: &CalibrationOptions { tpr: TPR, ..CalibrationOptions::default() },
            ranges: RangeMethod::Mse,
            fine_tuning: None,
            threads: self.options.threads(),
            provenance: provenance()?,
            interrupt,
        }
        .write(folder)
        .with_context(|| format!("cannot write {INT8_FILE}"))?;
        Ok(Row::new(trial, self.recipe.loss.name(), "γ (int8 file)", &deployed.reports[0].figures))
    }
}
