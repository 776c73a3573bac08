//! `anchorwatch eval`: how well a model does, measured with the engine that is deployed.

use super::exit::UsageError;
use super::judge_pictures::{Unusable, judge_pictures, tell_unusable};
use super::{class_folders, model, terminal};
use crate::evaluate::{Figures, KnownPicture};
use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measure a model on labelled pictures
///
/// Judges pictures of known classes and of other things with the engine that 'run' uses, and prints
/// the figures of the open-set literature. In all of them a larger score means more unknown.
#[derive(Args, Debug)]
pub struct EvalArgs {
    /// The model file; without it, the default model inside this program
    #[arg(short, long, env = "ANCHORWATCH_MODEL", value_name = "FILE")]
    model: Option<PathBuf>,

    /// Pictures of known classes, not used in training: DIR/<class>/*, named as in the model
    #[arg(long, value_name = "DIR")]
    known: PathBuf,

    /// Pictures of anything else, in folders or not; without them only accuracy and TPR are measured
    #[arg(long, value_name = "DIR")]
    unknown: Option<PathBuf>,

    /// Judge so many pictures at a time [default: as many as there are processors]
    #[arg(long, value_name = "COUNT")]
    threads: Option<std::num::NonZeroUsize>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Everything that is measured.
#[derive(Serialize)]
struct Evaluation {
    /// The model, by its digest.
    model: String,
    threshold: f32,
    #[serde(flatten)]
    figures: Figures,
    classes: Vec<ClassFigures>,
    unknown: Vec<UnknownFigures>,
    unusable: Vec<Unusable>,
}

/// One known class.
#[derive(Serialize)]
struct ClassFigures {
    class: String,
    pictures: usize,
    /// Share given this class, accepted or not; larger is better.
    accuracy: Option<f64>,
    /// Share accepted at the threshold; larger is better.
    tpr: Option<f64>,
    /// Median of score ÷ threshold.
    median_relative_score: Option<f32>,
}

/// The unknown pictures of one folder.
#[derive(Serialize)]
struct UnknownFigures {
    folder: String,
    pictures: usize,
    /// Share taken for known at the threshold; smaller is better.
    fpr: Option<f64>,
    /// Median of score ÷ threshold.
    median_relative_score: Option<f32>,
}

pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let model = model::load(args.model.as_deref())?;
    let classes = &model.metadata().classes;
    if let Some(unknown) = &args.unknown {
        check_apart(&args.known, unknown)?;
    }
    let known = class_folders::known(&args.known, classes)?;
    let unknown = args.unknown.as_deref().map(|root| class_folders::unknown(root, classes)).transpose()?;
    let unknown = unknown.unwrap_or_default();

    let files = known.iter().chain(unknown.values()).flatten();
    let files: Vec<&Path> = files.map(PathBuf::as_path).collect();
    let threads = model::threads(args.threads);
    let (judgements, unusable) = judge_pictures(&model, &files, threads)?;

    // Score ÷ threshold: a class may have a threshold of its own.
    let mut verdicts = judgements.into_iter().map(|judgement| judgement.map(|judgement| judgement.verdict));
    let threshold = model.metadata().threshold.value;
    let (mut known_pictures, mut per_class) = (Vec::new(), Vec::new());
    for (class, files) in known.iter().enumerate() {
        let judged = verdicts.by_ref().take(files.len()).flatten();
        let judged: Vec<_> = judged
            .map(|verdict| KnownPicture { class, predicted: verdict.class, score: verdict.relative_score() })
            .collect();
        let scores: Vec<f32> = judged.iter().map(|picture| picture.score).collect();
        per_class.push(ClassFigures {
            class: classes[class].clone(),
            pictures: judged.len(),
            accuracy: share(
                judged.iter().filter(|picture| picture.predicted == Some(class)).count(),
                judged.len(),
            ),
            tpr: share(accepted(&scores), judged.len()),
            median_relative_score: median(&scores),
        });
        known_pictures.extend(judged);
    }
    let (mut unknown_scores, mut per_folder) = (Vec::new(), Vec::new());
    for (folder, files) in &unknown {
        let scores: Vec<f32> =
            verdicts.by_ref().take(files.len()).flatten().map(|verdict| verdict.relative_score()).collect();
        per_folder.push(UnknownFigures {
            folder: folder.clone(),
            pictures: scores.len(),
            fpr: share(accepted(&scores), scores.len()),
            median_relative_score: median(&scores),
        });
        unknown_scores.extend(scores);
    }
    if known_pictures.is_empty() {
        let first = unusable.first().map_or("", |first| &first.why);
        bail!("none of the known pictures can be used; the first: {first}");
    }
    if unknown_scores.is_empty() && !unknown.is_empty() {
        let root = args.unknown.as_deref().unwrap_or(Path::new(""));
        let first =
            unusable.iter().find(|picture| picture.path.starts_with(root)).map_or("", |first| &first.why);
        bail!("none of the unknown pictures can be used; the first: {first}");
    }
    let evaluation = Evaluation {
        model: model.id().to_string(),
        threshold,
        figures: Figures::new(&known_pictures, &unknown_scores, 1.0),
        classes: per_class,
        unknown: per_folder,
        unusable,
    };
    if args.json {
        terminal::print_json(&evaluation)?;
    } else {
        tell_unusable(&evaluation.unusable)?;
        terminal::print_line(&evaluation.text(&model::place(args.model.as_deref())))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A picture must not be known and unknown.
fn check_apart(known: &Path, unknown: &Path) -> anyhow::Result<()> {
    let real = |path: &Path| {
        std::fs::canonicalize(path).with_context(|| format!("cannot read the folder '{}'", path.display()))
    };
    let (real_known, real_unknown) = (real(known)?, real(unknown)?);
    if real_known.starts_with(&real_unknown) || real_unknown.starts_with(&real_known) {
        let what = format!(
            "--known '{}' and --unknown '{}' overlap: a picture cannot be both",
            known.display(),
            unknown.display()
        );
        return Err(UsageError(what).into());
    }
    Ok(())
}

fn accepted(relative_scores: &[f32]) -> usize {
    relative_scores.iter().filter(|score| **score <= 1.0).count()
}

fn share(count: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| count as f64 / of as f64)
}

/// `None` when there are none, or it is not finite.
fn median(scores: &[f32]) -> Option<f32> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(scores.len() / 2).copied().filter(|median| median.is_finite())
}

impl Evaluation {
    fn text(&self, place: &str) -> String {
        let mut text = format!("{place} ({}), threshold {:.4}\n", self.model, self.threshold);
        let figures = &self.figures;
        let mut line = |name: &str, value: Option<f64>, what: &str| {
            if let Some(value) = value {
                // Writing to a String cannot fail.
                let _ = write!(text, "\n  {name:<12} {value:.4}   {what}");
            }
        };
        line("accuracy", Some(figures.accuracy), "known pictures given the right class (larger is better)");
        line("AUROC", figures.auroc, "an unknown picture scores above a known one (larger is better)");
        line(
            "FPR@95TPR",
            figures.fpr_at_95_tpr,
            "unknown taken for known where 95 % of known pass (smaller is better)",
        );
        line("OSCR", figures.oscr, "open-set classification rate (larger is better)");
        line("TPR", Some(figures.tpr), "known accepted at the model's threshold (larger is better)");
        line("FPR", figures.fpr, "unknown taken for known at the model's threshold (smaller is better)");
        let percent =
            |share: Option<f64>| share.map_or("-".to_string(), |share| format!("{:.1} %", share * 100.0));
        let number = |score: Option<f32>| score.map_or("-".to_string(), |score| format!("{score:.2}"));
        let names = self
            .classes
            .iter()
            .map(|class| &class.class)
            .chain(self.unknown.iter().map(|group| &group.folder));
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0).max(18);
        let _ = write!(
            text,
            "\n\n  {:<width$} {:>8} {:>9} {:>9} {:>13}",
            "known class", "pictures", "accuracy", "accepted", "median score*"
        );
        for class in &self.classes {
            let (accuracy, tpr, median) =
                (percent(class.accuracy), percent(class.tpr), number(class.median_relative_score));
            let _ = write!(
                text,
                "\n  {:<width$} {:>8} {accuracy:>9} {tpr:>9} {median:>13}",
                class.class, class.pictures
            );
        }
        if !self.unknown.is_empty() {
            let _ = write!(
                text,
                "\n\n  {:<width$} {:>8} {:>9} {:>9} {:>13}",
                "unknown pictures in", "pictures", "", "accepted", "median score*"
            );
        }
        for group in &self.unknown {
            let folder = if group.folder.is_empty() { "(the folder itself)" } else { &group.folder };
            let (fpr, median) = (percent(group.fpr), number(group.median_relative_score));
            let _ =
                write!(text, "\n  {folder:<width$} {:>8} {:>9} {fpr:>9} {median:>13}", group.pictures, "");
        }
        text + "\n\n  * score ÷ threshold: up to 1 is known, above it is unknown"
    }
}
