//! The program's face: commands, flags, configuration, and what is printed. One file a command; what
//! the commands do with frames and models is in the other modules of the library.

mod bench;
mod calibrate;
#[cfg(feature = "v4l")]
mod cameras;
mod class_folders;
#[cfg(feature = "mqtt")]
mod collect;
mod completions;
mod config;
mod demo;
mod doctor;
mod enroll;
mod eval;
mod exit;
mod firmware;
mod inspect;
mod judge_pictures;
mod known_of_log;
mod link;
mod log;
mod logged_pictures;
mod man;
mod model;
#[cfg(feature = "web")]
mod review;
mod run;
mod run_display;
mod run_lines;
#[cfg(feature = "mqtt")]
mod send;
mod settings;
mod terminal;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Tells an object that a model was trained on from one that it has never seen.
///
/// A model made by anchorwatch-train knows some classes. Each picture, or region of a frame, gets a
/// verdict: known, with its class, or UNKNOWN. The number behind it is the rejection score ÷ the
/// model's threshold: up to 1.0 is known, above it is unknown, and larger is more unknown.
#[derive(Debug, Parser)]
#[command(name = "anchorwatch", version, arg_required_else_help = true)]
#[command(after_long_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// The configuration file. [default: the first there is of
    /// $XDG_CONFIG_HOME/anchorwatch/config.toml (~/.config/…) and /etc/anchorwatch/config.toml]
    #[arg(long, global = true, env = "ANCHORWATCH_CONFIG", value_name = "FILE", help_heading = "Everywhere")]
    config: Option<PathBuf>,

    /// Say more: -v what is done, -vv for finding errors (RUST_LOG is heeded too)
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Everywhere")]
    verbose: u8,

    /// No progress, and of the messages only errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Everywhere")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Log(log::LogArgs),
    #[cfg(feature = "web")]
    Review(review::ReviewArgs),
    #[cfg(feature = "mqtt")]
    Send(send::SendArgs),
    #[cfg(feature = "mqtt")]
    Collect(collect::CollectArgs),
    #[cfg(feature = "v4l")]
    Cameras(cameras::CamerasArgs),
    Eval(eval::EvalArgs),
    Inspect(inspect::InspectArgs),
    Bench(bench::BenchArgs),
    Calibrate(calibrate::CalibrateArgs),
    Enroll(enroll::EnrollArgs),
    Link(link::LinkArgs),
    Firmware(firmware::FirmwareArgs),
    Doctor(doctor::DoctorArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

const AFTER_HELP: &str = "\
Examples:
  anchorwatch run --demo                          what it does, on pictures inside the program
  anchorwatch run --source holiday/               every picture in a folder
  anchorwatch run --source /dev/video0 --events unknown/    a camera; unknown things are kept
  anchorwatch log unknown/ --since 2h             what was kept in the last two hours
  anchorwatch cameras                             which cameras there are, and what they can do
  anchorwatch doctor --source /dev/video0         whether all is well on this board, and what to do
  anchorwatch inspect model.onnx --verify         what a model knows, and whether it runs right here

Configuration: flags go before environment variables (ANCHORWATCH_…, named at each flag), and these
before the configuration file; 'anchorwatch config' prints what results, as such a file.

Exit codes:
  0  it went well; for 'run' also when ended by Ctrl-C or SIGTERM
  1  it failed: no such source, the camera is gone, the disk is full, …; 'doctor' found a fault
  2  wrong usage, configuration or model file: starting it again will not help
  3  'inspect --verify': this device does not compute what the model should give; 'link version':
     the companion's firmware is of another version; 'log DIR verify': something kept is not whole";

/// The whole program.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.format(&mut Cli::command()).exit(),
    };
    terminal::set_up(cli.verbose, cli.quiet);
    settings::warn_of_unknown_variables(&Cli::command());
    // Every command has matches of its own: it was parsed from them.
    let own = matches.subcommand().map_or(&matches, |(_, own)| own);
    let file = cli.config.as_deref();
    let result = match cli.command {
        Command::Run(args) => run::run(args, own, file),
        Command::Log(args) => log::run(&args),
        #[cfg(feature = "web")]
        Command::Review(args) => review::run(args),
        #[cfg(feature = "mqtt")]
        Command::Send(args) => send::run(args, own, file),
        #[cfg(feature = "mqtt")]
        Command::Collect(args) => collect::run(args),
        #[cfg(feature = "v4l")]
        Command::Cameras(args) => cameras::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Enroll(args) => enroll::run(&args),
        Command::Link(args) => link::run(&args),
        Command::Firmware(args) => firmware::run(&args),
        Command::Doctor(args) => doctor::run(args, own, file),
        Command::Config(args) => config::run(args, own, file),
        Command::Completions(args) => completions::run(&args, &mut Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
    };
    exit::code(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_and_flags_fit_together() {
        Cli::command().debug_assert();
    }
}
