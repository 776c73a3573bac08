//! `anchorwatch log`: lists, filters, exports, checks and repairs what `run --events` has kept.

use super::exit::{DIFFERENT, UsageError};
use super::terminal;
use anchorwatch_store::{Clock, Event, Filter, Findings, Kind, Order, Store, verify};
use clap::{Args, Subcommand, ValueEnum};
use jiff::ZonedDateTime;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Look through the events that 'run --events' has kept, and export or check them
///
/// Without --export, lists the newest events. Times are such as 2026-11-24, '2026-11-24 17:10' (local),
/// 2026-11-24T17:10:30Z, or how long ago: 90min, 2h, 3d. It may be used while 'run' records.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 3 if 'verify' finds something that is not whole.")]
pub struct LogArgs {
    /// The folder that 'run --events' was given
    folder: PathBuf,

    #[command(flatten)]
    which: Which,

    /// List at most so many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,

    /// Print a JSON object for each
    #[arg(long)]
    json: bool,

    /// Write all of them, the oldest first, instead of listing the newest
    #[arg(long, value_name = "FORM", value_enum)]
    export: Option<Form>,

    /// Where to: a file, or the folder of '--export folders' [default: standard output]
    #[arg(short, long, value_name = "PATH", requires = "export")]
    output: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<LogCommand>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Which events")]
struct Which {
    /// Not before this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Most like this known class
    #[arg(long, value_name = "NAME")]
    class: Option<String>,

    /// Given this class by a person
    #[arg(long, value_name = "NAME")]
    label: Option<String>,

    /// What happened: single, started, finished, camera-lost or camera-back; or known, for samples of what
    /// was judged known
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<Kind>,

    /// Samples of what was judged known (run --keep-known) too; without it they are left out, but for
    /// those that somebody has labelled, with --label
    #[arg(long)]
    known: bool,

    /// Recorded by this unit
    #[arg(long, value_name = "NAME")]
    unit: Option<String>,

    /// Starred ones
    #[arg(long)]
    starred: bool,

    /// Those that no broker has acknowledged
    #[arg(long)]
    unsent: bool,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Check the database, and every event against its picture
    Verify {
        /// Put right what is found; what does not belong is moved to DIR/aside, and nothing is deleted
        #[arg(long)]
        repair: bool,

        /// Print one JSON object
        #[arg(long = "json")]
        as_json: bool,
    },
    /// Star events: they are kept longest
    Star {
        /// Their identifiers
        #[arg(required = true)]
        ids: Vec<String>,

        /// Take the stars away
        #[arg(long)]
        remove: bool,
    },
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One JSON object a line
    Jsonl,
    /// A table
    Csv,
    /// COCO's JSON, the pictures' names relative to DIR
    Coco,
    /// Pictures in a folder for each class that a person gave, as the trainer takes them
    Folders,
}

pub fn run(args: &LogArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        Some(LogCommand::Verify { repair, as_json }) => {
            return check(&args.folder, *repair, *as_json || args.json);
        }
        Some(LogCommand::Star { ids, remove }) => {
            let mut store = Store::attach(&args.folder)?;
            for id in ids {
                anyhow::ensure!(store.event(id)?.is_some(), "there is no event '{id}'");
            }
            store.star(ids, !remove)?;
            return Ok(ExitCode::SUCCESS);
        }
        None => {}
    }
    let filter = args.which.filter()?;
    let store = Store::attach(&args.folder)?;
    match args.export {
        Some(form) => export(&store, &filter, form, args.output.as_deref())?,
        None => list(&store, &filter, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Which {
    fn filter(&self) -> Result<Filter, UsageError> {
        let time =
            |text: &Option<String>| text.as_deref().map(|text| time(text, &ZonedDateTime::now())).transpose();
        Ok(Filter {
            since_ms: time(&self.since)?,
            until_ms: time(&self.until)?,
            class: self.class.clone(),
            label: self.label.clone(),
            kind: self.kind,
            unit: self.unit.clone(),
            starred: self.starred.then_some(true),
            sent: self.unsent.then_some(false),
            sample: (!self.has_samples()).then_some(false),
            ..Filter::default()
        })
    }
}

impl Which {
    /// Whether samples of what was judged known are among them.
    fn has_samples(&self) -> bool {
        self.known || self.kind.is_some() || self.label.is_some()
    }
}

fn kind(name: &str) -> Result<Kind, String> {
    let names = Kind::ALL.map(Kind::name).join(", ");
    Kind::named(name).ok_or_else(|| format!("it is one of {names}"))
}

/// Milliseconds since 1970.
fn time(text: &str, now: &ZonedDateTime) -> Result<i64, UsageError> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    if let Ok(time) = text.parse::<DateTime>() {
        let time = time.to_zoned_datetime(TimeZone::system()).ok();
        return time.map(|time| time.timestamp().as_millisecond()).ok_or_else(|| no_time(text));
    }
    let ago = text.parse::<jiff::Span>().ok().and_then(|ago| now.checked_sub(ago).ok());
    ago.map(|time| time.timestamp().as_millisecond()).ok_or_else(|| no_time(text))
}

fn no_time(text: &str) -> UsageError {
    UsageError(format!("'{text}' is no time: try 2026-11-24, '2026-11-24 17:10', 2026-11-24T17:10:30Z or 2h"))
}

fn export(store: &Store, filter: &Filter, form: Form, to: Option<&Path>) -> anyhow::Result<()> {
    if form == Form::Folders {
        let Some(to) = to else {
            let what = "'--export folders' needs the folder to write to: give --output DIR";
            return Err(UsageError(what.to_string()).into());
        };
        let count = store.export_folders(filter, to)?;
        log::info!("{count} pictures are in '{}'", to.display());
        return Ok(());
    }
    let mut out: Box<dyn Write> = match to {
        Some(path) => {
            let file = File::create(path);
            Box::new(BufWriter::new(
                file.map_err(|error| anyhow::anyhow!("cannot write '{}': {error}", path.display()))?,
            ))
        }
        None => Box::new(BufWriter::new(std::io::stdout().lock())),
    };
    let count = match form {
        Form::Csv => store.export_csv(filter, &mut out)?,
        Form::Coco => store.export_coco(filter, &mut out)?,
        Form::Jsonl | Form::Folders => store.export_jsonl(filter, &mut out)?,
    };
    log::info!("{count} events exported");
    Ok(())
}

fn list(store: &Store, filter: &Filter, args: &LogArgs) -> anyhow::Result<()> {
    let page = store.page(filter, Order::Newest, None, args.limit)?;
    for event in &page.events {
        if args.json {
            terminal::print_line(&event.json().to_string())?;
        } else {
            terminal::print_line(&row(event))?;
        }
    }
    if args.json {
        return Ok(());
    }
    let totals = store.totals()?;
    let samples = store.count(&Filter { kind: Some(Kind::Known), ..Filter::default() })?;
    let mut sum = format!(
        "{} events shown of {}; {} unsent, {:.1} MB of pictures",
        page.events.len(),
        if args.which.has_samples() { totals.events } else { totals.events.saturating_sub(samples) },
        totals.unsent,
        totals.crop_bytes as f64 / 1e6
    );
    if samples > 0 {
        sum.push_str(&format!("; {samples} samples of known things (--kind known)"));
    }
    for (number, what) in [
        (totals.removed, "made room for others"),
        (totals.lost_events, "could not be recorded"),
        (totals.lost_crops, "lost their picture"),
    ] {
        if number > 0 {
            sum.push_str(&format!("; {number} {what}"));
        }
    }
    Ok(terminal::print_line(&sum)?)
}

fn row(event: &Event) -> String {
    let facts = &event.facts;
    let utc = jiff::Timestamp::from_millisecond(facts.moment.utc_ms).unwrap_or_default();
    let local = utc.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
    // A time that nobody should believe.
    let doubt = if event.clock == Clock::Unset { '?' } else { ' ' };
    let star = if event.marks.starred { '*' } else { ' ' };
    let class = event.marks.label.clone().or_else(|| facts.class.as_ref().map(|class| format!("({class})")));
    let score = event.relative_score().map_or(String::new(), |score| format!("{score:.2}"));
    format!(
        "{star}{local}{doubt} {:<11} {:<14} {score:>6}  {}  {}",
        facts.kind.name(),
        class.unwrap_or_default(),
        event.id,
        facts.source
    )
}

fn check(folder: &Path, repair: bool, as_json: bool) -> anyhow::Result<ExitCode> {
    let found = verify(folder, repair)?;
    if as_json {
        terminal::print_json(&json!({
            "whole": found.is_whole(),
            "repaired": found.repaired,
            "recording": found.recording,
            "events": found.events,
            "damage": found.damage,
            "missing": found.missing,
            "torn": found.torn,
            "orphans": found.orphans,
        }))?;
    } else {
        terminal::print_line(&said(&found, folder))?;
    }
    let well = found.is_whole() || found.repaired;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

fn said(found: &Findings, folder: &Path) -> String {
    let mut lines = Vec::new();
    for (what, which) in [
        ("damage in the database", &found.damage),
        ("events without their picture", &found.missing),
        ("torn pictures", &found.torn),
        ("pictures without an event", &found.orphans),
    ] {
        if !which.is_empty() {
            lines.push(format!("{} {what}:", which.len()));
            lines.extend(which.iter().map(|which| format!("  {which}")));
        }
    }
    if found.recording {
        lines.push("a program is recording: its newest pictures were not searched".to_string());
    }
    lines.push(match (found.is_whole(), found.repaired) {
        (true, _) => format!("{} events, all whole", found.events),
        (false, true) => {
            format!("{} events; what was found is in '{}' now", found.events, folder.join("aside").display())
        }
        (false, false) => {
            format!("{} events; 'verify --repair' puts this right, and deletes nothing", found.events)
        }
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_understood_in_all_their_forms() {
        let now = "2026-11-24T12:00:00Z".parse::<jiff::Timestamp>().unwrap().to_zoned_datetime(TimeZone::UTC);
        let at = |text: &str| time(text, &now).unwrap();
        assert_eq!(at("2h"), now.timestamp().as_millisecond() - 7_200_000);
        assert_eq!(at("3d"), now.timestamp().as_millisecond() - 3 * 86_400_000);
        assert_eq!(at("2026-11-24T12:00:00Z"), now.timestamp().as_millisecond());
        assert_eq!(at("2026-11-24 17:10") - at("2026-11-24"), (17 * 60 + 10) * 60_000);
        for wrong in ["", "yesterday", "2026-13-01", "9999999999999d"] {
            assert!(time(wrong, &now).is_err(), "{wrong}");
        }
    }
}
