//! `anchorwatch enroll`: a class from a few pictures, without training.

use super::exit::UsageError;
use super::judge_pictures::{judge_pictures, tell_unusable};
use super::{class_folders, logged_pictures, model, terminal};
use crate::capture::{Source, SourceOptions};
use crate::evaluate::{Enrolment, Figures, KnownPicture};
use crate::network::{Metadata, Model, ModelFile, Scoring};
use anchorwatch_store::{Filter, Store};
use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Add a class to a model from a few pictures, without training
///
/// Writes a copy of the model with one class centre more: the mean of the pictures' logits. It is
/// measured by leaving out one picture at a time whether the class will be recognised or confused with
/// another; with --known and --unknown also what it does to them. It costs seconds, on the board too;
/// training the class with the others (anchorwatch-train) tells it apart better.
#[derive(Args, Debug)]
pub struct EnrollArgs {
    /// The model file
    model: PathBuf,

    /// What the class is called
    #[arg(long, value_name = "NAME")]
    name: String,

    /// Its pictures: a folder of them, or a field log, whose events with this class as their label are
    /// taken
    #[arg(long, value_name = "DIR")]
    from: PathBuf,

    /// Of a field log: take the events with this label instead
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,

    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// The share of its pictures that the class's threshold accepts [default: as the model's]
    #[arg(long, value_name = "SHARE")]
    tpr: Option<f64>,

    /// Pictures of the classes that are there, to see what happens to them: DIR/<class>/*
    #[arg(long, value_name = "DIR")]
    known: Option<PathBuf>,

    /// Pictures of other things, to see how many of them pass for the new class
    #[arg(long, value_name = "DIR")]
    unknown: Option<PathBuf>,

    /// Write the model even if most pictures of the class are taken for another one
    #[arg(long)]
    force: bool,

    /// Judge so many pictures at a time [default: as many as there are processors]
    #[arg(long, value_name = "COUNT")]
    threads: Option<std::num::NonZeroUsize>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Below this share of left-out pictures that are given the class, it is not one for this network.
const LEAST_RECOGNISED: f64 = 0.5;

/// What is told.
#[derive(Serialize)]
struct Told {
    class: String,
    pictures: usize,
    /// Share of left-out pictures that are given the new class.
    recognised: f64,
    /// And accepted by its threshold.
    accepted: f64,
    threshold: f32,
    /// Mean distance of a left-out picture to the centre of the others.
    spread: f32,
    nearest_class: String,
    distance_to_nearest_class: f32,
    /// Left-out pictures by the class that they are given, where it is another one.
    confused: Vec<(String, usize)>,
    /// Known and unknown pictures before and after.
    before: Option<Figures>,
    after: Option<Figures>,
    /// Known pictures that are given the new class.
    taken_from: Vec<(String, usize)>,
    written: bool,
}

pub fn run(args: &EnrollArgs) -> anyhow::Result<ExitCode> {
    if args.tpr.is_some_and(|tpr| !(tpr > 0.0 && tpr < 1.0)) {
        return Err(UsageError("--tpr must be between 0 and 1, such as 0.95".to_string()).into());
    }
    if args.unknown.is_some() && args.known.is_none() {
        return Err(UsageError("--unknown needs --known: the two are compared".to_string()).into());
    }
    let mut file = ModelFile::read(&args.model)?;
    let model = Model::load(&args.model)?;
    let threads = model::threads(args.threads);
    let logits = logits_of_class(args, &model, threads)?;
    let tpr = args.tpr.unwrap_or(f64::from(file.metadata.threshold.target_tpr));
    let enrolment = Enrolment::new(&file.metadata, &args.name, &logits, tpr)?;
    let block = enrolment.added_to(&file.metadata);
    let names = |(class, count): (usize, usize)| (block.classes[class].clone(), count);
    let counts = |given: &[usize]| {
        given.iter().copied().enumerate().filter(|(_, count)| *count > 0).map(names).collect::<Vec<_>>()
    };
    let old = file.metadata.classes.len();

    let (mut before, mut after, mut taken_from) = (None, None, Vec::new());
    if let Some(known) = &args.known {
        let others = Others::judge(args, known, &model, threads)?;
        before = Some(others.figures(&file.metadata)?.0);
        let (figures, taken) = others.figures(&block)?;
        (after, taken_from) = (Some(figures), counts(&taken));
    }
    let written = args.force || enrolment.recognised() >= LEAST_RECOGNISED;
    let accepted = f64::from(enrolment.threshold.measured_tpr) * enrolment.threshold.pictures as f64;
    let told = Told {
        class: enrolment.name.clone(),
        pictures: logits.len(),
        recognised: enrolment.recognised(),
        accepted: accepted / logits.len() as f64,
        threshold: enrolment.threshold.value,
        spread: enrolment.spread,
        nearest_class: block.classes[enrolment.nearest.0].clone(),
        distance_to_nearest_class: enrolment.nearest.1,
        confused: counts(&enrolment.given[..old]),
        before,
        after,
        taken_from,
        written,
    };
    if written {
        file.metadata = block.clone();
        file.write(&args.output)?;
    }
    if args.json {
        terminal::print_json(&told)?;
    } else {
        terminal::print_line(&told.text())?;
        if written {
            terminal::print_line(&format!("written to {}", args.output.display()))?;
        }
    }
    if let (false, Some((class, count))) = (written, enrolment.confused_with()) {
        bail!(
            "'{}' looks like '{}' to this network: {count} of {} pictures are taken for it. Take other pictures, train the class with the others, or give --force",
            args.name,
            block.classes[class],
            logits.len()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The logits of the new class's pictures.
fn logits_of_class(args: &EnrollArgs, model: &Model, threads: usize) -> anyhow::Result<Vec<Vec<f32>>> {
    if logged_pictures::is_log(&args.from) {
        return of_log(&args.from, args.label.as_deref().unwrap_or(&args.name), model, threads);
    }
    if args.label.is_some() {
        let what = format!("--label is for a field log, and '{}' is none", args.from.display());
        return Err(UsageError(what).into());
    }
    let spec = args.from.to_str().context("folder names must be UTF-8")?;
    let Source::Pictures(pictures) = Source::open(spec, &SourceOptions::default())? else {
        bail!("'{spec}' is no folder of pictures, and no field log")
    };
    let files: Vec<&Path> = pictures.paths().iter().map(PathBuf::as_path).collect();
    let (judgements, unusable) = judge_pictures(model, &files, threads)?;
    tell_unusable(&unusable)?;
    Ok(judgements.into_iter().flatten().map(|judgement| judgement.logits).collect())
}

/// Those of the events with this label.
fn of_log(folder: &Path, label: &str, model: &Model, threads: usize) -> anyhow::Result<Vec<Vec<f32>>> {
    let store = Store::attach(folder)?;
    let filter = Filter { label: Some(label.to_string()), ..Filter::default() };
    let events = logged_pictures::events(&store, &filter)?;
    let logged = logged_pictures::logits(&store, &events, model, threads)?;
    tell_unusable(&logged.unusable)?;
    if logged.unusable.is_empty() && logged.logits.iter().all(Option::is_none) {
        bail!(
            "no event in '{}' has the label '{label}': label some with 'anchorwatch review'",
            folder.display()
        );
    }
    Ok(logged.logits.into_iter().flatten().collect())
}

/// Logits of known pictures, by class, and of unknown ones.
struct Others {
    known: Vec<(usize, Vec<f32>)>,
    unknown: Vec<Vec<f32>>,
}

impl Others {
    fn judge(args: &EnrollArgs, known: &Path, model: &Model, threads: usize) -> anyhow::Result<Self> {
        let classes = &model.metadata().classes;
        let known = class_folders::known(known, classes)?;
        let mut with_new = classes.clone();
        with_new.push(args.name.clone());
        let unknown =
            args.unknown.as_deref().map(|root| class_folders::unknown(root, &with_new)).transpose()?;
        let unknown: Vec<PathBuf> = unknown.unwrap_or_default().into_values().flatten().collect();
        let files: Vec<&Path> = known.iter().flatten().chain(&unknown).map(PathBuf::as_path).collect();
        let (judgements, unusable) = judge_pictures(model, &files, threads)?;
        tell_unusable(&unusable)?;
        let mut judgements = judgements.into_iter();
        let mut others = Self { known: Vec::new(), unknown: Vec::new() };
        for (class, files) in known.iter().enumerate() {
            let of_class = judgements.by_ref().take(files.len()).flatten();
            others.known.extend(of_class.map(|judgement| (class, judgement.logits)));
        }
        others.unknown.extend(judgements.flatten().map(|judgement| judgement.logits));
        if others.known.is_empty() {
            bail!("none of the known pictures can be used");
        }
        Ok(others)
    }

    /// How these are judged with a block; and of each class, how many pictures are given the last one.
    fn figures(&self, block: &Metadata) -> anyhow::Result<(Figures, Vec<usize>)> {
        let scoring = Scoring::new(block);
        let mut distances = vec![0.0; block.classes.len()];
        let last = block.classes.len() - 1;
        let (mut known, mut taken) = (Vec::new(), vec![0; block.classes.len()]);
        for (class, logits) in &self.known {
            let verdict = scoring.verdict(logits, &mut distances)?;
            if verdict.class == Some(last) && *class != last {
                taken[*class] += 1;
            }
            known.push(KnownPicture {
                class: *class,
                predicted: verdict.class,
                score: verdict.relative_score(),
            });
        }
        let unknown =
            self.unknown.iter().map(|logits| Ok(scoring.verdict(logits, &mut distances)?.relative_score()));
        let unknown: Vec<f32> = unknown.collect::<anyhow::Result<_>>()?;
        Ok((Figures::new(&known, &unknown, 1.0), taken))
    }
}

impl Told {
    fn text(&self) -> String {
        // Writing to a String cannot fail.
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let list = |counts: &[(String, usize)]| {
            let parts: Vec<String> = counts.iter().map(|(class, count)| format!("{count} {class}")).collect();
            parts.join(", ")
        };
        let mut text = format!(
            "'{}' from {} pictures, each judged by the centre of the others:\n",
            self.class, self.pictures
        );
        let _ = write!(text, "\n  recognised   {}", percent(self.recognised));
        let _ = write!(
            text,
            "\n  and accepted {} (threshold of the class {:.4})",
            percent(self.accepted),
            self.threshold
        );
        if !self.confused.is_empty() {
            let _ = write!(text, "\n  taken for    {}", list(&self.confused));
        }
        let _ = write!(
            text,
            "\n  spread       {:.2} from its centre; the nearest class, {}, is {:.2} away",
            self.spread, self.nearest_class, self.distance_to_nearest_class
        );
        if let (Some(before), Some(after)) = (&self.before, &self.after) {
            let _ = write!(text, "\n\n  {:<36} {:>9} {:>9}", "", "before", "after");
            let mut line = |what: &str, before: Option<f64>, after: Option<f64>| {
                if let (Some(before), Some(after)) = (before, after) {
                    let _ = write!(text, "\n  {what:<36} {before:>9.4} {after:>9.4}");
                }
            };
            line("accuracy on known pictures", Some(before.accuracy), Some(after.accuracy));
            line("known flagged: false alarms", Some(1.0 - before.tpr), Some(1.0 - after.tpr));
            line("unknown taken for known", before.fpr, after.fpr);
            line("AUROC (larger is better)", before.auroc, after.auroc);
            if !self.taken_from.is_empty() {
                let _ = write!(text, "\n  known pictures given '{}': {}", self.class, list(&self.taken_from));
            }
        }
        text + "\n"
    }
}
