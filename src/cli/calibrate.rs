//! `anchorwatch calibrate`: a new threshold from pictures of the place where the model is used.

use super::exit::UsageError;
use super::judge_pictures::{judge_pictures, tell_unusable};
use super::{class_folders, model, terminal};
use crate::network::metadata::{ClassScores, Threshold};
use crate::network::{Model, ModelFile};
use anyhow::bail;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Fit a model's threshold to new pictures of its classes
///
/// Another camera or light moves the scores. This judges pictures of known objects, taken where the
/// model will be used, and writes a copy of the model with the threshold that accepts the chosen
/// share of them. Nothing else in it changes but the scores that 'inspect' lists.
#[derive(Args, Debug)]
pub struct CalibrateArgs {
    /// The model file
    model: PathBuf,

    /// Pictures of known classes, not used in training: DIR/<class>/*, named as in the model
    #[arg(long, value_name = "DIR")]
    known: PathBuf,

    /// The share of known pictures to accept, its true-positive rate, between 0 and 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    tpr: f64,

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
    let classes = &model.metadata().classes;
    let known = class_folders::known(&args.known, classes)?;
    let files: Vec<&Path> = known.iter().flatten().map(PathBuf::as_path).collect();
    let threads = model::threads(args.threads);
    let (judgements, unusable) = judge_pictures(&model, &files, threads)?;
    tell_unusable(&unusable)?;

    let old = file.metadata.threshold.value;
    let mut judgements = judgements.into_iter();
    let (mut scores, mut statistics) = (Vec::new(), Vec::new());
    for (class, files) in known.iter().enumerate() {
        let judged = judgements.by_ref().take(files.len()).flatten();
        let judged: Vec<_> = judged.map(|judgement| judgement.verdict).collect();
        let right = judged.iter().filter(|verdict| verdict.class == Some(class)).count();
        let of_class: Vec<f32> = judged.iter().map(|verdict| verdict.score).collect();
        // On the scale of θ, where a class has a threshold of its own: that keeps its share of it.
        let on_one_scale = judged.iter().map(|verdict| verdict.relative_score() * old);
        scores.extend(on_one_scale);
        if !of_class.is_empty() {
            statistics.push(ClassScores::new(&classes[class], &of_class, right));
        }
    }
    let needed = pictures_needed(args.tpr);
    if scores.len() < needed {
        bail!(
            "{} usable pictures are too few: to place {} % of them on one side takes at least {needed}",
            scores.len(),
            percent(args.tpr)
        );
    }
    let source = format!("anchorwatch {} calibrate", env!("CARGO_PKG_VERSION"));
    let threshold = Threshold::calibrate(&scores, args.tpr, &source);
    let value = threshold.value;
    if !(value.is_finite() && value > 0.0) {
        bail!("the threshold would be {value}: the network gives no usable numbers for these pictures");
    }
    let accepted = scores.iter().filter(|score| **score <= value).count();
    let promise = threshold.promise();
    file.metadata.class_thresholds.iter_mut().for_each(|own| *own *= value / old);
    file.metadata.threshold = threshold;
    // Classes without pictures keep what they had.
    file.metadata.known_scores.retain(|old| statistics.iter().all(|new| new.class != old.class));
    file.metadata.known_scores.extend(statistics);
    file.metadata.known_scores.sort_by_key(|scores| classes.iter().position(|class| *class == scores.class));
    file.write(&args.output)?;
    terminal::print_line(&format!(
        "threshold {old:.4} → {value:.4}: accepts {} of {} pictures of known objects ({} %)\nwritten to {}",
        accepted,
        scores.len(),
        percent(accepted as f64 / scores.len() as f64),
        args.output.display()
    ))?;
    if let Some(promise) = promise {
        terminal::print_line(&super::inspect::promise(&promise))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn percent(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0
}

/// With fewer, the quantile would be the outermost picture itself.
fn pictures_needed(tpr: f64) -> usize {
    // 1 − 0.95 is a little more than 0.05.
    ((1.0 / (1.0 - tpr) - 1e-6).ceil() as usize).max(20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarer_the_rejection_the_more_pictures_are_needed() {
        assert_eq!([0.5, 0.9, 0.95, 0.99].map(pictures_needed), [20, 20, 20, 100]);
    }
}
