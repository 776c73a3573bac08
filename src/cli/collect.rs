//! `anchorwatch collect`: at home, many units' events come into one field log.

use super::terminal;
use anchorwatch_mqtt::{CollectFlags, Collected, Collector, keep_in_store};
use anchorwatch_store::{Retention, Store};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Collect what units send to an MQTT broker into one field log
///
/// It runs until it is ended, and misses nothing while it does not: the broker keeps what it has not
/// acknowledged. 'anchorwatch log' and 'review' show what has come. Past one machine, see docs/mqtt.md:
/// several collectors share a --group, and anchorwatch-lake writes Parquet files.
#[derive(Args, Debug)]
pub struct CollectArgs {
    /// The field log to write into; it is made if it is not there
    folder: PathBuf,

    #[command(flatten)]
    from: CollectFlags,

    /// How the broker knows this collector; must stay the same, and be another for each
    #[arg(long, value_name = "NAME", default_value = "anchorwatch-collector", help_heading = "The broker")]
    client_id: String,

    /// Events only, no pictures
    #[arg(long)]
    no_pictures: bool,

    /// Keep at most so many MiB: the oldest go, starred ones last
    #[arg(long, value_name = "MIB")]
    keep_size: Option<u64>,

    /// End when nothing has come for so many seconds
    #[arg(long, value_name = "SECONDS")]
    idle: Option<f64>,

    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

pub fn run(args: CollectArgs) -> anyhow::Result<ExitCode> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, ended.clone())?;
    }
    let retention = Retention { max_bytes: args.keep_size.map(|size| size << 20), ..Retention::default() };
    let mut store = Store::open(&args.folder, &args.client_id, retention)?;
    let options = args.from.options(args.client_id, !args.no_pictures);
    let collector = Collector::start(options, move |group| keep_in_store(&mut store, group))?;
    let (bar, mut last, mut since) = (terminal::status_line(None), Collected::default(), Instant::now());
    while !ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        let now = collector.report();
        if (now.events, now.pictures) != (last.events, last.pictures) {
            since = Instant::now();
        }
        if args.idle.is_some_and(|idle| since.elapsed().as_secs_f64() > idle) {
            break;
        }
        bar.set_message(said(&now));
        last = now;
    }
    let collected = collector.stop();
    bar.finish_and_clear();
    if args.json {
        terminal::print_json(&collected)?;
    } else {
        terminal::print_line(&said(&collected))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn said(collected: &Collected) -> String {
    let Collected { events, pictures, refused, .. } = collected;
    let mut text = format!("{events} events and {pictures} pictures have come");
    if *refused > 0 {
        text.push_str(&format!(", {refused} messages were refused"));
    }
    if let Some(problem) = &collected.problem {
        text.push_str(&format!("; {problem}"));
    }
    text
}
