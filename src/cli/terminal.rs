//! Standard output, standard error, and the progress bars between the two: lines are printed above
//! the bars, and messages too.

use crate::record::timestamp;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::LazyLock;
use std::time::SystemTime;

static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Sets up messages and bars.
pub fn set_up(verbose: u8, quiet: bool) {
    let (ours, others) = match verbose {
        _ if quiet => (log::LevelFilter::Error, log::LevelFilter::Error),
        0 => (log::LevelFilter::Warn, log::LevelFilter::Error),
        1 => (log::LevelFilter::Info, log::LevelFilter::Warn),
        2 => (log::LevelFilter::Debug, log::LevelFilter::Info),
        _ => (log::LevelFilter::Trace, log::LevelFilter::Debug),
    };
    if quiet {
        BARS.set_draw_target(ProgressDrawTarget::hidden());
    }
    let mut builder = env_logger::Builder::new();
    builder.filter_level(others).filter_module("anchorwatch", ours).parse_default_env();
    builder.format(move |output, record| {
        let level = match record.level() {
            log::Level::Error => "error",
            log::Level::Warn => "warning",
            log::Level::Info => "info",
            log::Level::Debug => "debug",
            log::Level::Trace => "trace",
        };
        if verbose > 1 {
            write!(output, "{} {} ", timestamp(SystemTime::now()), record.target())?;
        }
        writeln!(output, "{level}: {}", record.args())
    });
    builder.target(env_logger::Target::Pipe(Box::new(AboveBars))).init();
}

/// Standard error, above the bars.
struct AboveBars;

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        BARS.suspend(|| std::io::stderr().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Prints a line to standard output, above the bars.
///
/// # Errors
/// If nobody reads it any more. (`println!` would panic.)
pub fn print_line(line: &str) -> std::io::Result<()> {
    BARS.suspend(|| writeln!(std::io::stdout(), "{line}"))
}

/// Prints a line to standard error, above the bars.
///
/// # Errors
/// If nobody reads it any more.
pub fn print_message(line: &str) -> std::io::Result<()> {
    BARS.suspend(|| writeln!(std::io::stderr(), "{line}"))
}

/// Prints a value as JSON over several lines.
///
/// # Errors
/// As [`print_line`].
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(print_line(&serde_json::to_string_pretty(value)?)?)
}

/// Whether standard output is read by a person.
pub fn is_interactive() -> bool {
    std::io::stdout().is_terminal()
}

/// A bar over so many steps; none is drawn when standard error is no terminal.
pub fn progress_bar(steps: u64, what: &str) -> ProgressBar {
    let bar = BARS.add(ProgressBar::new(steps));
    bar.set_style(style("{msg} {wide_bar} {pos}/{len}, {eta} left"));
    bar.set_message(what.to_string());
    bar
}

/// One line that tells what goes on, with a bar if it is known how many steps there are.
pub fn status_line(steps: Option<u64>) -> ProgressBar {
    let bar = BARS.add(steps.map_or_else(ProgressBar::new_spinner, ProgressBar::new));
    bar.set_style(style(if steps.is_some() {
        "{bar:20} {pos}/{len}  {wide_msg}"
    } else {
        "{spinner} {wide_msg}"
    }));
    bar
}

fn style(template: &str) -> ProgressStyle {
    // A template that does not parse would be seen in every test; the fallback is a plain bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
