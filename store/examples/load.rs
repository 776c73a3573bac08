//! What the store sustains on this machine: events a second with crops, and what a large store takes to
//! list a page and to remove old events. `cargo run --release -p anchorwatch-store --example load -- DIR`
//!
//! Usage: load DIR [SECONDS [ROWS]]. 200 events a second come for SECONDS (20); then a store is filled to
//! ROWS (1 000 000) without crops, but for those of the oldest, which are removed.

use anchorwatch_store::{Crop, Facts, Filter, Kind, Moment, NewEvent, Order, Picture, Retention, Store};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const A_SECOND: u64 = 200;
const CROP_BYTES: usize = 6000;
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: load DIR [SECONDS [ROWS]]")?);
    let seconds = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let rows = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    sustained(&folder.join("sustained"), seconds)?;
    large(&folder.join("large"), rows)
}

fn event(number: u64, bytes: usize) -> NewEvent {
    let number_ms = i64::try_from(number).unwrap_or(0) * 5;
    let moment = Moment {
        utc_ms: 1_767_225_600_000 + number_ms,
        uptime_ms: number_ms,
        boot: "load".to_string(),
        clock_set: true,
    };
    let mut facts = Facts::new(Kind::Single, moment, "/dev/video0");
    facts.class = CLASSES.get(number as usize % 10).map(|class| (*class).to_string());
    facts.runner_up = CLASSES.get((number as usize + 3) % 10).map(|class| (*class).to_string());
    facts.score = Some(12.5);
    facts.threshold = Some(10.0);
    facts.distances = vec![number as f32; 10];
    facts.logits = vec![number as f32; 10];
    facts.model = "0123456789abcdef".to_string();
    let crop = (bytes > 0).then(|| Crop {
        bytes: (0..bytes).map(|at| (at as u64 * 7 + number * 31) as u8).collect(),
        picture: Picture::Jpeg,
        size: [96, 96],
    });
    NewEvent { facts, crop, identity: None }
}

/// Resident memory in MiB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Events come at their times, and those that wait are recorded together.
fn sustained(folder: &Path, seconds: u64) -> Result<(), Failure> {
    let mut store = Store::open(folder, "load", Retention::default())?;
    let (send, receive) = channel();
    let begin = Instant::now();
    let coming = std::thread::spawn(move || {
        for number in 0..seconds * A_SECOND {
            let due = begin + Duration::from_micros(number * 1_000_000 / A_SECOND);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if send.send((Instant::now(), event(number, CROP_BYTES))).is_err() {
                return;
            }
        }
    });
    let (mut recorded, mut lost, mut longest, mut groups) = (0, 0, Duration::ZERO, 0u64);
    let mut memory_early = 0.0;
    while let Ok(first) = receive.recv() {
        let (times, group): (Vec<Instant>, Vec<NewEvent>) =
            std::iter::once(first).chain(receive.try_iter()).unzip();
        let result = store.record(&group);
        recorded += group.len() as u64 - result.lost_events;
        lost += result.lost_events + result.lost_crops;
        groups += 1;
        longest = times.iter().map(Instant::elapsed).fold(longest, Duration::max);
        if memory_early == 0.0 && begin.elapsed() > Duration::from_secs(seconds / 5) {
            memory_early = memory();
        }
    }
    let took = begin.elapsed().as_secs_f64();
    coming.join().map_err(|_| "the thread that makes events ended")?;
    println!(
        "{recorded} events with crops of {CROP_BYTES} bytes in {took:.1} s: {:.0} a second",
        recorded as f64 / took
    );
    println!(
        "  lost {lost}, {:.1} events a group, an event is durable after at most {longest:.0?}",
        recorded as f64 / groups as f64
    );
    println!("  memory {memory_early:.1} MiB early, {:.1} MiB at the end", memory());
    Ok(())
}

fn large(folder: &Path, rows: u64) -> Result<(), Failure> {
    let mut store = Store::open(folder, "load", Retention { free_floor: 0, ..Retention::default() })?;
    let begin = Instant::now();
    let mut number = store.totals()?.events;
    while number < rows {
        let end = (number + 5000).min(rows);
        // Every fourth of the oldest has a crop.
        let crop = |number: u64| if number < 4000 && number.is_multiple_of(4) { CROP_BYTES } else { 0 };
        store.record(&(number..end).map(|number| event(number, crop(number))).collect::<Vec<_>>());
        number = end;
    }
    println!(
        "{} events, filled in {:.0?}, {} MB",
        store.totals()?.events,
        begin.elapsed(),
        store.bytes()? / 1_000_000
    );
    let starred: Vec<String> = store
        .page(&Filter::default(), Order::Oldest, None, 50)?
        .events
        .into_iter()
        .map(|event| event.id)
        .collect();
    store.star(&starred, true)?;
    let all = Filter::default();
    let middle = Filter { until_ms: Some(1_767_225_600_000 + i64::try_from(rows)? * 5 / 2), ..all.clone() };
    for (what, filter) in [
        ("the newest", all.clone()),
        ("of a class", Filter { class: Some("ship".into()), ..all.clone() }),
        (
            "of a class, unsent, from the middle",
            Filter { class: Some("ship".into()), sent: Some(false), ..middle.clone() },
        ),
        ("starred", Filter { starred: Some(true), ..all.clone() }),
        ("of a label that there is not", Filter { label: Some("kite".into()), ..all.clone() }),
        ("single, from the middle", Filter { kind: Some(Kind::Single), ..middle }),
    ] {
        let begin = Instant::now();
        let found = store.page(&filter, Order::Newest, None, 100)?.events.len();
        println!("page of {found} {what}: {:.1?}", begin.elapsed());
    }
    let begin = Instant::now();
    let unsent = store.unsent("load", 0, 100)?.len();
    println!("the {unsent} oldest unsent: {:.1?}", begin.elapsed());
    let limit = store.bytes()?.saturating_sub(3_000_000);
    store.set_retention(Retention { max_bytes: Some(limit), free_floor: 0, ..Retention::default() });
    let (mut steps, mut longest, mut removed) = (0, Duration::ZERO, 0);
    loop {
        let begin = Instant::now();
        let step = store.retain()?;
        longest = longest.max(begin.elapsed());
        steps += 1;
        removed += step.events;
        if !step.more {
            break;
        }
    }
    println!("{removed} events removed in {steps} steps, the longest {longest:.1?}");
    Ok(())
}
