//! `anchorwatch config`: what file, environment and flags come to.

use super::settings::Settings;
use super::terminal::print_line;
use clap::{ArgMatches, Args};
use std::path::Path;
use std::process::ExitCode;

/// Print the configuration that file, environment and flags come to
///
/// The output is a configuration file itself, with a comment at each key that says where its value
/// comes from. Every key is also a flag of 'run', explained there.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    #[command(flatten)]
    settings: Settings,
}

pub fn run(args: ConfigArgs, matches: &ArgMatches, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let layers = args.settings.over_file(matches, file)?;
    print_line(layers.to_toml()?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
