//! `anchorwatch-train fit`: from a folder of pictures to the two model files.

use crate::activation_ranges::RangeMethod;
use crate::budget::Budget;
use crate::calibration::CENTRE_PICTURES;
use crate::calibration_options::CalibrationOptions;
use crate::checkpoint::{CHECKPOINT, Checkpoint};
use crate::data_set::{DataSet, Selection};
use crate::deploy::{Deployment, F32_FILE, INT8_FILE, print_reports};
use crate::interrupt::{Interrupt, Interrupted};
use crate::options::TrainingOptions;
use crate::picture_folder::{PictureFolder, file_name};
use crate::pictures::Pictures;
use crate::provenance::provenance;
use crate::quantization_aware::FineTuningOptions;
use crate::recipe::Recipe;
use crate::report;
use crate::training::{Ending, Training};
use crate::variables::Variables;
use anchorwatch::network::metadata::Provenance;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

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
    /// Replace a model, a checkpoint or a report that is there already
    #[arg(long, conflicts_with = "resume")]
    overwrite: bool,
    /// Write a page of figures, too: one HTML file, to look at in a browser. Of a training that is
    /// finished already, the same command with --resume writes it
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    #[command(flatten)]
    options: TrainingOptions,
    #[command(flatten)]
    budget: Budget,

    #[command(flatten)]
    calibration: CalibrationOptions,

    /// How the ranges of activations are chosen for int8: mse (least squared error), min-max, or
    /// percentile:SHARE (without the outermost values)
    #[arg(long, default_value = "mse", value_name = "METHOD", help_heading = "Training")]
    ranges: RangeMethod,
    #[command(flatten)]
    fine_tuning: FineTuningOptions,
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

/// Runs the command.
pub fn run(args: &FitArgs, interrupt: &Interrupt) -> Result<()> {
    args.options.check()?;
    args.calibration.check()?;
    args.fine_tuning.check()?;
    let checkpoint = prepare_output(&args.out, args.resume, args.overwrite)?;
    if let Some(path) = &args.report {
        report::prepare(path, args.resume || args.overwrite)?;
    }
    let options = &args.within_budget(&checkpoint)?;
    let threads = options.threads();
    tch::set_num_threads(threads as i32);
    let data = DataSet::read(
        &Selection {
            data: &args.data,
            known: &args.known,
            unknown: args.unknown.as_deref(),
            hold_out: options.hold_out,
            seed: options.seed,
        },
        &options.input(),
        threads,
        interrupt,
    )?;
    let recipe = options.recipe(data.classes.clone(), &data.train, options.seed);
    let architecture = options.architecture(&recipe.input, recipe.known.len());
    let variables = if args.resume {
        Variables::initialise(&architecture, options.seed)
    } else {
        options.start(&architecture, options.seed)?
    };
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
    training.checkpoint_every = options.checkpoint_every;
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

    let history = std::mem::take(&mut training.history);
    let variables = training.into_variables()?;
    let centre_pictures = data.train.sample(recipe.known.len(), CENTRE_PICTURES);
    let deployment = Deployment {
        architecture: &architecture,
        variables: &variables,
        name: &args.name(),
        classes: &recipe.known,
        input: &recipe.input,
        train: &data.train,
        centre_pictures: &centre_pictures,
        held_out: &data.held_out,
        held_out_source: &data.held_out_source,
        unknown: data.unknown.as_ref(),
        calibration: &args.calibration,
        ranges: args.ranges,
        fine_tuning: args.fine_tuning.fine_tuning(&recipe),
        threads,
        provenance: args.provenance(&recipe, &data)?,
        interrupt,
    };
    let deployed = deployment
        .write(&args.out)
        .map_err(|error| if error.is::<Interrupted>() { Interrupted(how_to_resume).into() } else { error })?;
    print_reports(&deployed.reports);
    if let Some(fine_tuned) = &deployed.fine_tuned {
        println!("{fine_tuned}");
    }
    println!("written to '{}': {INT8_FILE} (deploy this one), {F32_FILE}", args.out.display());
    if let Some(path) = &args.report {
        report::write(path, &deployment, &deployed, &history)?;
    }
    Ok(())
}

impl FitArgs {
    /// The options, with the network that --target asks for.
    fn within_budget(&self, checkpoint: &Path) -> Result<TrainingOptions> {
        if self.budget.target.is_none() {
            return Ok(self.options.clone());
        }
        if self.resume {
            return Ok(Budget::of_checkpoint(&self.options, &Checkpoint::load(checkpoint)?.recipe));
        }
        let TrainingOptions { hold_out, seed, .. } = self.options;
        let classes = PictureFolder::list(&self.data, &self.known, hold_out, seed)?.classes.len();
        self.budget.applied(&self.options, classes)
    }

    fn name(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| format!("{} {}", file_name(&self.data), self.options.backbone.name()))
    }

    fn provenance(&self, recipe: &Recipe, data: &DataSet) -> Result<Provenance> {
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
