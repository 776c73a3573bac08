//! `anchorwatch man DIR`: the manual's pages, made of the same text as `--help`.

use anyhow::Context;
use clap::builder::{Resettable, StyledStr};
use clap::{Args, Command};
use clap_mangen::Man;
use std::path::{Path, PathBuf};
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

pub fn run(args: &ManArgs, program: Command) -> anyhow::Result<ExitCode> {
    // A page for `help` would say nothing that `--help` does not.
    let mut program = program.disable_help_subcommand(true);
    // Gives subcommands their full names, and the flags that all of them have.
    program.build();
    std::fs::create_dir_all(&args.folder)
        .and_then(|()| write_pages(&program, &args.folder))
        .with_context(|| format!("manual pages into '{}'", args.folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn write_pages(command: &Command, folder: &Path) -> std::io::Result<()> {
    for subcommand in command.get_subcommands() {
        write_pages(subcommand, folder)?;
    }
    let nothing = Resettable::<StyledStr>::Reset;
    let man = Man::new(command.clone().after_long_help(nothing));
    let mut page = Vec::new();
    man.render(&mut page)?;
    // What comes after the flags is laid out with spaces and lines, which must stay as they are.
    if let Some(text) = command.get_after_long_help() {
        page.extend_from_slice(b".SH NOTES\n.nf\n");
        for line in text.to_string().lines() {
            // Neither a command of the formatter's nor a hyphen that copies as another character.
            let line = line.replace('\\', "\\e").replace('-', "\\-");
            page.extend_from_slice(format!("\\&{line}\n").as_bytes());
        }
        page.extend_from_slice(b".fi\n");
    }
    std::fs::write(folder.join(man.get_filename()), page)
}
