//! `anchorwatch-train data check`: what is wrong with a folder of pictures, before hours are spent on it.
//!
//! [`listing`] says which files `fit` would take, [`scan`] decodes every one of them, once; from what it has
//! seen, [`balance`], [`duplicates`] and [`wrong_labels`] make [`findings`]. Nothing is changed or deleted.

mod balance;
mod contact_sheet;
mod duplicates;
mod findings;
mod listing;
mod near_pairs;
mod scan;
mod wrong_labels;

use crate::checkpoint::write_whole;
use crate::interrupt::Interrupt;
use crate::options::default_threads;
use anchorwatch::network::Model;
use anyhow::{Context, Result, ensure};
use findings::Report;
use listing::Listing;
use scan::Scan;
use std::io::Write;
use std::path::PathBuf;

/// Exit status with `--strict` when something was found.
pub const EXIT_FOUND: u8 = 4;

/// Look after the pictures
#[derive(clap::Args, Debug)]
pub struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(clap::Subcommand, Debug)]
enum DataCommand {
    Check(CheckArgs),
}

/// Find what is wrong with a folder of pictures: broken files, duplicates, leaks, wrong labels
///
/// Reads DIR as fit does (DIR/CLASS/*.jpg, or DIR/train/CLASS and DIR/val/CLASS), decodes every picture,
/// and says what is wrong, how much of it, and what to do. Duplicates are found by a perceptual hash, also
/// between classes and between the levels; pictures that may have the wrong label by their neighbours in
/// the features of a network. Nothing is changed. docs/data-check.md says more.
///
/// Exit status: 0 it was checked; 1 the folder cannot be used; 4 with --strict, something was found.
#[derive(clap::Args, Debug)]
struct CheckArgs {
    /// The folder of pictures
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// The network whose features say what looks alike [default: the default model inside this program]
    #[arg(long, value_name = "MODEL.onnx")]
    model: Option<PathBuf>,
    /// Do not look for wrong labels: without the network it is several times as fast
    #[arg(long, conflicts_with = "model")]
    no_labels: bool,
    /// From which correlation on two pictures are nearly the same: 0.99 or more for digits and drawings,
    /// which are this much alike anyway
    #[arg(long, default_value_t = 0.96, value_name = "SHARE")]
    alike: f32,
    /// Exit with status 4 if anything was found
    #[arg(long)]
    strict: bool,
    /// Print one JSON object with every finding in full
    #[arg(long)]
    json: bool,
    /// Also write a page with small pictures of everything that was found
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Threads [default: one a core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// Something was found, and `--strict` was given.
#[derive(Debug, thiserror::Error)]
#[error("{0} kinds of faults were found (--strict)")]
pub struct Found(usize);

/// Runs the command.
pub fn run(args: &DataArgs, interrupt: &Interrupt) -> Result<()> {
    let DataCommand::Check(args) = &args.command;
    let report = check(args, interrupt)?;
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.text() };
    std::io::stdout().write_all(text.as_bytes()).context("cannot print what was found")?;
    if let Some(path) = &args.report {
        write_whole(path, contact_sheet::page(&report, interrupt)?.as_bytes())?;
    }
    ensure!(!args.strict || report.findings.is_empty(), Found(report.findings.len()));
    Ok(())
}

fn check(args: &CheckArgs, interrupt: &Interrupt) -> Result<Report> {
    ensure!((0.5..=1.0).contains(&args.alike), "--alike is a correlation, from 0.5 to 1");
    let threads = args.threads.map_or_else(default_threads, usize::from);
    tch::set_num_threads(threads as i32);
    let listing = Listing::read(&args.data)?;
    let model = if args.no_labels || listing.classes.len() < 2 { None } else { Some(args.model()?) };
    let scan = Scan::read(&listing.pictures, model.as_ref(), threads, interrupt)?;

    let mut findings = listing.findings();
    findings.extend(scan.findings(&listing));
    findings.extend(balance::findings(&listing, &scan));
    findings.extend(duplicates::findings(&listing, &scan, args.alike, threads, interrupt)?);
    let mut agreement = None;
    if model.is_some() {
        let labels = wrong_labels::WrongLabels::find(&listing, &scan, interrupt)?;
        agreement = labels.as_ref().map(|labels| labels.agreement);
        findings.extend(labels.and_then(|labels| labels.finding(&listing)));
    }
    Ok(Report::new(&args.data, &listing, &scan, agreement, findings))
}

impl CheckArgs {
    fn model(&self) -> Result<Model> {
        match &self.model {
            Some(path) => Ok(Model::load(path)?),
            None => Model::embedded()
                .context("there is no network to look for wrong labels with: give --model, or --no-labels"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Interrupted;
    use image::RgbImage;

    #[test]
    fn an_interrupt_ends_every_part() {
        let folder = tempfile::tempdir().unwrap();
        for (class, number) in [("a", 0), ("a", 1), ("b", 2), ("b", 3)] {
            let path = folder.path().join(class).join(format!("{number}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            RgbImage::from_fn(20, 20, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, number * 60]))
                .save(path)
                .unwrap();
        }
        let listing = Listing::read(folder.path()).unwrap();
        let scan = |interrupt: &Interrupt| Scan::read(&listing.pictures, None, 2, interrupt);
        let interrupted = |error: anyhow::Error| assert!(error.is::<Interrupted>(), "{error}");
        interrupted(scan(&Interrupt::already()).err().unwrap());
        let seen = scan(&Interrupt::never()).unwrap();
        interrupted(duplicates::findings(&listing, &seen, 0.96, 2, &Interrupt::already()).unwrap_err());
    }
}
