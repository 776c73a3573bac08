//! `anchorwatch man DIR`: the manual's pages, made of the same text as `--help`.

use anyhow::Context;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the manual's pages: anchorwatch.1, anchorwatch-run.1, …
///
/// To read one without installing it: anchorwatch man /tmp/man, then man -l /tmp/man/anchorwatch-run.1
#[derive(Args, Debug)]
pub struct ManArgs {
    /// The folder that they are written into; it is made if need be
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(args: &ManArgs, program: clap::Command) -> anyhow::Result<ExitCode> {
    let named = || format!("manual pages into '{}'", args.folder.display());
    std::fs::create_dir_all(&args.folder).with_context(named)?;
    // A page for `help` would say nothing that `--help` does not.
    clap_mangen::generate_to(program.disable_help_subcommand(true), &args.folder).with_context(named)?;
    Ok(ExitCode::SUCCESS)
}
