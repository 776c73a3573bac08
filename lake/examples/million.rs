//! A million events of twenty units over thirty days, written into a lake, counted by DuckDB, compacted,
//! and counted again: what each takes on this machine, and whether the counts are true.
//!
//! `cargo run --release -p anchorwatch-lake --example million -- DIR [EVENTS]`, where DIR is empty or not
//! there yet. DuckDB is taken from Python (`scripts/setup-python.sh`).

#[path = "../tests/lake/duckdb.rs"]
mod duckdb;
#[path = "../tests/lake/fleet.rs"]
mod fleet;
#[path = "../../tests/support/python.rs"]
mod python;

use anchorwatch_lake::{COUNT_UNKNOWNS, LakeSettings, LakeWriter, compact, days, duckdb_views};
use fleet::{Fleet, Truth};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let lake = PathBuf::from(arguments.next().ok_or("usage: million DIR [EVENTS]")?);
    let events = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    if lake.exists() && std::fs::read_dir(&lake)?.next().is_some() {
        return Err(format!("'{}' is not empty", lake.display()).into());
    }

    let begin = Instant::now();
    let mut fleet = Fleet::new(events);
    // Files as small as those of a fleet that sends little in five minutes.
    let mut writer = LakeWriter::open(&lake, LakeSettings { rows: 10_000, ..LakeSettings::default() })?;
    for (number, entry) in fleet.by_ref().enumerate() {
        writer.add(entry)?;
        if number % 1000 == 999 {
            writer.flush()?; // as a collector does before it acknowledges
        }
    }
    writer.close()?;
    told(&format!("{events} events written, a flush each thousand"), begin, &lake)?;
    count(&lake, &fleet.truth)?;

    for what in ["compacted", "what was merged removed"] {
        let begin = Instant::now();
        for day in days(&lake)? {
            compact(&lake, &day, Duration::ZERO)?;
        }
        told(what, begin, &lake)?;
    }
    count(&lake, &fleet.truth)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    println!("memory at most: {}", peak.trim());
    Ok(())
}

fn told(what: &str, begin: Instant, lake: &Path) -> Result<(), Failure> {
    let took = begin.elapsed().as_secs_f64();
    let (mut files, mut bytes, mut folders) = (0, 0, vec![lake.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files += 1;
                bytes += entry.metadata()?.len();
            }
        }
    }
    println!("{what}: {took:.1} s; {files} files, {:.0} MB", bytes as f64 / 1e6);
    Ok(())
}

/// Counts what is unknown by unit and day, and compares with the truth.
fn count(lake: &Path, truth: &Truth) -> Result<(), Failure> {
    let Some(python) = python::python_with("duckdb") else { return Ok(()) };
    let views = duckdb_views(lake);
    let on_copies = COUNT_UNKNOWNS.replace("FROM events", "FROM copies");
    for (what, sql) in [("each once", COUNT_UNKNOWNS), ("all copies", on_copies.as_str())] {
        // What Python itself takes to start is measured by a query of nothing.
        let begin = Instant::now();
        duckdb::query(&python, &[&views], "SELECT 1");
        let start = begin.elapsed();
        let begin = Instant::now();
        let rows = duckdb::query(&python, &[&views], sql);
        let took = begin.elapsed().saturating_sub(start).as_secs_f64();
        let counted: Option<Truth> = rows
            .iter()
            .map(|row| {
                let text = |index: usize| Some(row.get(index)?.as_str()?.to_string());
                Some(((text(0)?, text(1)?), row.get(2)?.as_u64()?))
            })
            .collect();
        if counted.as_ref() != Some(truth) {
            return Err(format!("{what}: DuckDB counts other unknowns than there are").into());
        }
        let unknowns: u64 = truth.values().sum();
        println!("{unknowns} unknowns in {} rows of unit and day, {what}: {took:.2} s", truth.len());
    }
    Ok(())
}
