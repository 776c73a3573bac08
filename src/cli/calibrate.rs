//! `anchorwatch calibrate`: a new threshold from pictures of the place where the model is used.

use super::exit::UsageError;
use super::judge_pictures::{judge_pictures, tell_unusable};
use super::known_of_log::{KnownOfLog, KnownPicture};
use super::{class_folders, inspect, logged_pictures, model, terminal};
use crate::evaluate::{self, FEWEST, Weighted, class_thresholds, pictures_needed};
use crate::network::metadata::{ClassScores, Threshold};
use crate::network::{Metadata, Model, ModelFile};
use anyhow::bail;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Fit a model's threshold to new pictures of its classes
///
/// Another camera or light moves the scores. This judges pictures of known objects, taken where the
/// model will be used, and writes a copy of the model with the threshold that accepts the chosen
/// share of them. Nothing else in it changes but the scores that 'inspect' lists. From a field log it
/// takes what is known: samples ('run --keep-known'), and false alarms that somebody has labelled.
/// Classes that have thresholds of their own keep their share of it, unless --per-class finds new ones.
#[derive(Args, Debug)]
pub struct CalibrateArgs {
    /// The model file
    model: PathBuf,

    /// Pictures of known classes, not used in training: DIR/<class>/*, named as in the model; or a field
    /// log, of which samples of known things and events with the label of a known class are taken
    #[arg(long, value_name = "DIR")]
    known: PathBuf,

    /// The share of known pictures to accept, its true-positive rate, between 0 and 1; of a field log, of
    /// all judgements that its pictures stand for
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    tpr: f64,

    /// Give each class a threshold of its own, found with the pictures of known things that are given the
    /// class, rightly or not: each accepts the share. Where these are too few, the class has that of all
    #[arg(long)]
    per_class: bool,

    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Judge so many pictures at a time [default: as many as there are processors]
    #[arg(long, value_name = "COUNT")]
    threads: Option<std::num::NonZeroUsize>,
}

pub fn run(args: &CalibrateArgs) -> anyhow::Result<ExitCode> {
    if !(args.tpr > 0.0 && args.tpr < 1.0) {
        return Err(UsageError("--tpr must be between 0 and 1, such as 0.95".to_string()).into());
    }
    let mut file = ModelFile::read(&args.model)?;
    let model = Model::load(&args.model)?;
    let threads = model::threads(args.threads);
    let is_log = logged_pictures::is_log(&args.known);
    if args.per_class && is_log {
        let what = "--per-class takes folders of pictures: what a threshold from a field log promises of a class is nothing";
        return Err(UsageError(what.to_string()).into());
    }
    let known = if is_log {
        let of_log = KnownOfLog::read(&args.known, &model, threads)?;
        terminal::print_line(&of_log.text(&args.known))?;
        of_log.pictures
    } else {
        of_folders(&args.known, &model, threads)?
    };
    // Of a log the question is another, since its pictures stand for others: see `check_grain`.
    let needed = if is_log { FEWEST } else { pictures_needed(args.tpr) };
    if known.len() < needed {
        bail!(
            "{} usable pictures are too few: to place {} % of them on one side takes at least {needed}",
            known.len(),
            percent(args.tpr)
        );
    }

    let old = file.metadata.threshold.value;
    let scores: Vec<Weighted> = known
        .iter()
        .map(|known| Weighted {
            // On the scale of θ, where a class has a threshold of its own that keeps its share of it.
            score: if args.per_class { known.verdict.score } else { known.verdict.relative_score() * old },
            stands_for: known.stands_for,
        })
        .collect();
    if is_log {
        check_grain(&scores, args.tpr)?;
    }
    let threshold = threshold(&scores, args.tpr, is_log);
    let value = threshold.value;
    if !(value.is_finite() && value > 0.0) {
        bail!("the threshold would be {value}: the network gives no usable numbers for these pictures");
    }
    let mut told = told_of_all(old, &threshold, &scores);
    told.push_str(&format!("\nwritten to {}\npromise: ", args.output.display()));
    if args.per_class {
        told.push_str(inspect::ALONE);
    }
    match threshold.promise() {
        Some(promise) => told.push_str(&promise.to_string()),
        None => told.push_str(inspect::NO_PROMISE),
    }
    let classes = &model.metadata().classes;
    let statistics = statistics(&known, classes, is_log);
    file.metadata.class_thresholds.iter_mut().for_each(|own| *own *= value / old);
    // What they promised was of other pictures.
    file.metadata.class_calibrations.clear();
    file.metadata.threshold = threshold;
    if args.per_class {
        told.push_str(&calibrate_classes(&mut file.metadata, &known, args.tpr)?);
    }
    // Classes without pictures keep what they had.
    file.metadata.known_scores.retain(|old| statistics.iter().all(|new| new.class != old.class));
    file.metadata.known_scores.extend(statistics);
    file.metadata.known_scores.sort_by_key(|scores| classes.iter().position(|class| *class == scores.class));
    file.write(&args.output)?;
    terminal::print_line(&told)?;
    Ok(ExitCode::SUCCESS)
}

/// The threshold for these scores; of a log, by what they stand for.
fn threshold(scores: &[Weighted], tpr: f64, is_log: bool) -> Threshold {
    if is_log {
        let source = format!("{}, from a field log: promises nothing", source());
        Threshold::calibrate_weighted(scores, tpr, &source)
    } else {
        let scores: Vec<f32> = scores.iter().map(|one| one.score).collect();
        Threshold::calibrate(&scores, tpr, &source())
    }
}

fn source() -> String {
    format!("anchorwatch {} calibrate", env!("CARGO_PKG_VERSION"))
}

/// What is told of the threshold for all, in one line.
fn told_of_all(old: f32, threshold: &Threshold, scores: &[Weighted]) -> String {
    let accepted = scores.iter().filter(|one| one.score <= threshold.value).count();
    let mut told = format!(
        "threshold {} → {}: accepts {accepted} of {} pictures of known objects ({} %)",
        inspect::digits(old),
        inspect::digits(threshold.value),
        scores.len(),
        percent(accepted as f64 / scores.len() as f64)
    );
    if threshold.weighted {
        let share = percent(f64::from(threshold.measured_tpr));
        told.push_str(&format!(", which stand for {share} % of all these judgements"));
    }
    told
}

/// Gives the classes that enough of the pictures are given a threshold of their own; what is told of that.
fn calibrate_classes(metadata: &mut Metadata, known: &[KnownPicture], tpr: f64) -> anyhow::Result<String> {
    let judged: Vec<evaluate::KnownPicture> = known
        .iter()
        .map(|known| evaluate::KnownPicture {
            class: known.class,
            predicted: known.verdict.class,
            score: known.verdict.score,
        })
        .collect();
    let own = class_thresholds(&judged, metadata.classes.len(), tpr, &source());
    metadata.set_class_thresholds(&own);
    let few: Vec<String> = (0..own.len())
        .filter(|&class| own[class].is_none())
        .map(|class| {
            let given = judged.iter().filter(|picture| picture.predicted == Some(class)).count();
            format!("{} ({given})", metadata.classes[class])
        })
        .collect();
    let needed = pictures_needed(tpr);
    let few = few.join(", ");
    if metadata.class_calibrations.is_empty() {
        bail!(
            "no class is given the {needed} pictures that a threshold of its own takes: {few}. Leave --per-class out, or take more pictures"
        );
    }
    let mut told = inspect::of_classes(metadata);
    if !few.is_empty() {
        told.push_str(&format!(
            "\nwithout a threshold of their own, which takes {needed} pictures given the class: {few}"
        ));
    }
    Ok(told)
}

/// The pictures of folders, each of which stands for itself.
fn of_folders(root: &Path, model: &Model, threads: usize) -> anyhow::Result<Vec<KnownPicture>> {
    let known = class_folders::known(root, &model.metadata().classes)?;
    let files: Vec<&Path> = known.iter().flatten().map(PathBuf::as_path).collect();
    let classes = known.iter().enumerate().flat_map(|(class, files)| files.iter().map(move |_| class));
    let (judgements, unusable) = judge_pictures(model, &files, threads)?;
    tell_unusable(&unusable)?;
    let judged = classes.zip(judgements).filter_map(|(class, judgement)| {
        Some(KnownPicture { class, verdict: judgement?.verdict, stands_for: 1.0 })
    });
    Ok(judged.collect())
}

/// Of the classes that have pictures.
fn statistics(known: &[KnownPicture], classes: &[String], is_log: bool) -> Vec<ClassScores> {
    let of_class = |(class, name): (usize, &String)| {
        let of_class: Vec<&KnownPicture> = known.iter().filter(|picture| picture.class == class).collect();
        let right = of_class.iter().filter(|picture| picture.verdict.class == Some(class));
        let scores = of_class
            .iter()
            .map(|picture| Weighted { score: picture.verdict.score, stands_for: picture.stands_for });
        if of_class.is_empty() {
            None
        } else if is_log {
            let right = right.map(|picture| picture.stands_for).sum();
            Some(ClassScores::weighted(name, &scores.collect::<Vec<_>>(), right))
        } else {
            Some(ClassScores::new(name, &scores.map(|one| one.score).collect::<Vec<_>>(), right.count()))
        }
    };
    classes.iter().enumerate().filter_map(of_class).collect()
}

/// Whether the outermost picture stands for less than the share that is to be left out: otherwise that
/// share lies within it, and nothing says where.
fn check_grain(scores: &[Weighted], tpr: f64) -> anyhow::Result<()> {
    let total: f64 = scores.iter().map(|one| one.stands_for).sum();
    let outermost = scores.iter().max_by(|one, other| one.score.total_cmp(&other.score));
    let Some(outermost) = outermost.filter(|one| one.stands_for > total * (1.0 - tpr) * (1.0 + 1e-9)) else {
        return Ok(());
    };
    bail!(
        "the outermost picture stands for {} of {total} judgements, more than the {} % that are to be left out: keep more samples, or give a smaller --tpr",
        outermost.stands_for,
        percent(1.0 - tpr)
    );
}

fn percent(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_to_be_left_out_must_be_more_than_one_picture() {
        let scores = |outermost: f64| -> Vec<Weighted> {
            let of = |(score, stands_for)| Weighted { score, stands_for };
            [(1.0, 900.0 - outermost), (3.0, outermost), (2.0, 100.0)].map(of).to_vec()
        };
        check_grain(&scores(50.0), 0.95).unwrap();
        let text = check_grain(&scores(51.0), 0.95).unwrap_err().to_string();
        assert!(text.contains("51 of 1000 judgements") && text.contains("the 5 % that"), "{text}");
        check_grain(&scores(51.0), 0.9).unwrap();
    }
}
