//! `anchorwatch-lake`: the host's program for fleets. Collects what units send into a lake, brings a field
//! log into one, merges small files, prints the views for DuckDB.

use anchorwatch_lake::{COUNT_UNKNOWNS, Entry, LakeSettings, LakeWriter, compact, days, duckdb_views};
use anchorwatch_mqtt::{CollectFlags, Collector, Group};
use anchorwatch_store::{Crop, Filter, Order, Picture, Store};
use anyhow::{Context, Result};
use clap::{Args, Parser};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Many units' events as Parquet files by day and unit, for DuckDB, Spark and other engines.
#[derive(Debug, Parser)]
#[command(name = "anchorwatch-lake", version, arg_required_else_help = true)]
enum Command {
    Collect(Box<CollectArgs>),
    /// Bring the events of a field log into a lake
    Import {
        /// The folder that 'anchorwatch run --events' or 'collect' was given
        log: PathBuf,
        /// The lake's folder; it is made if it is not there
        lake: PathBuf,
        /// With their pictures
        #[arg(long)]
        pictures: bool,
    },
    /// Merge the small files of each day, and leave out copies of events
    Compact {
        /// The lake's folder
        lake: PathBuf,
        /// This day only, such as 2026-11-26
        #[arg(long)]
        day: Option<String>,
        /// Seconds for which files that were replaced stay: longer than any query takes
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        grace: u64,
    },
    /// Print the statements that tell DuckDB of a lake, and a query that counts unknowns
    Views {
        /// The lake's folder
        lake: PathBuf,
    },
}

/// Collect what units send to an MQTT broker into a lake
///
/// Any number of these may run, on one machine or several that share the lake's folder: give them the same
/// --group and each its own --client-id, and the broker divides the units' events among them. Pictures
/// stay with 'anchorwatch collect'.
#[derive(Args, Debug)]
struct CollectArgs {
    /// The lake's folder; it is made if it is not there
    lake: PathBuf,

    #[command(flatten)]
    from: CollectFlags,

    /// How the broker knows this collector; must stay the same, and be another for each
    #[arg(long, value_name = "NAME", help_heading = "The broker")]
    client_id: String,

    /// Queries see events after so many seconds, or sooner
    #[arg(long, value_name = "SECONDS", default_value_t = LakeSettings::default().seconds)]
    seconds: u64,

    /// End when nothing has come for so many seconds
    #[arg(long, value_name = "SECONDS")]
    idle: Option<f64>,
}

fn main() -> Result<()> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match Command::parse() {
        Command::Collect(args) => collect(*args),
        Command::Import { log, lake, pictures } => import(&log, &lake, pictures),
        Command::Compact { lake, day, grace } => merge(&lake, day, Duration::from_secs(grace)),
        Command::Views { lake } => {
            println!("{}\n\n{COUNT_UNKNOWNS};", duckdb_views(&lake));
            Ok(())
        }
    }
}

fn collect(args: CollectArgs) -> Result<()> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, ended.clone())?;
    }
    let settings = LakeSettings { seconds: args.seconds, ..LakeSettings::default() };
    let writer = Arc::new(Mutex::new(Some(LakeWriter::open(&args.lake, settings)?)));
    let options = args.from.options(args.client_id, false);
    let theirs = writer.clone();
    let collector = Collector::start(options, move |group| keep(&theirs, group))?;
    let (mut kept, mut since, mut said) = (0, Instant::now(), None);
    while !ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(200));
        let now = collector.report().events;
        if now != kept {
            (kept, since) = (now, Instant::now());
        }
        if args.idle.is_some_and(|idle| since.elapsed().as_secs_f64() > idle) {
            break;
        }
        // Files are made in time even when nothing comes. What cannot be written now is kept, and the broker
        // sends again what was not acknowledged.
        if let Some(writer) = writer.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let failed = writer.flush().err().map(|error| error.to_string());
            let trouble = failed.or_else(|| writer.trouble().map(str::to_string));
            if let Some(why) = trouble.as_ref().filter(|why| said.as_ref() != Some(*why)) {
                log::warn!("{why}; it is tried again");
            }
            said = trouble;
        }
    }
    let collected = collector.stop();
    if let Some(writer) = writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
        writer.close()?;
    }
    println!("{} events have come, {} messages were refused", collected.events, collected.refused);
    if let Some(problem) = collected.problem {
        eprintln!("warning: {problem}");
    }
    Ok(())
}

/// Durable when it returns: then the broker may forget the group.
fn keep(writer: &Mutex<Option<LakeWriter>>, group: &Group) -> Result<(), String> {
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    let writer = writer.as_mut().ok_or("it is being ended")?;
    for event in &group.events {
        let entry = Entry::received(event.clone()).map_err(|error| error.to_string())?;
        writer.add(entry).map_err(|error| error.to_string())?;
    }
    writer.flush().map_err(|error| error.to_string())
}

fn import(log: &Path, lake: &Path, pictures: bool) -> Result<()> {
    let store = Store::attach(log)?;
    let mut writer = LakeWriter::open(lake, LakeSettings::default())?;
    let (mut after, mut count) = (None, 0);
    loop {
        let page = store.page(&Filter::default(), Order::Oldest, after, 500)?;
        for event in page.events {
            let bytes = if pictures { store.crop(&event)? } else { None };
            let is_png = event.crop.as_deref().is_some_and(|crop| crop.ends_with(Picture::Png.ending()));
            let picture = if is_png { Picture::Png } else { Picture::Jpeg };
            let crop = bytes.map(|bytes| Crop { bytes, picture, size: event.crop_size });
            writer.add(Entry::recorded(event, crop))?;
            count += 1;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    writer.close()?;
    println!("{count} events are in '{}'", lake.display());
    Ok(())
}

fn merge(lake: &Path, day: Option<String>, grace: Duration) -> Result<()> {
    let all = match day {
        Some(day) => vec![day],
        None => days(lake)?,
    };
    for day in all {
        let done = compact(lake, &day, grace).with_context(|| format!("the day {day}"))?;
        println!(
            "{day}: {} files of {} units merged, {} rows, {} copies left out, {} old files removed",
            done.merged, done.units, done.rows, done.duplicates, done.removed
        );
    }
    Ok(())
}
