//! The writing program is killed at random moments, while it writes, makes files and compacts. Every
//! Parquet file that is there is whole, and what was said to be flushed is in one.

use crate::fleet::Fleet;
use crate::read::{files, ids_of};
use crate::scratch;
use anchorwatch_lake::{LakeSettings, LakeWriter, compact, days};
use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "ANCHORWATCH_LAKE_KILLED";
const FIRST: &str = "ANCHORWATCH_LAKE_FIRST";
const NAME: &str = "killed::no_kill_breaks_a_file_or_loses_what_was_flushed";
const KILLS: u32 = 120;
/// A run that is killed makes fewer events.
const A_RUN: usize = 1_000;

/// The program that is killed: says each event that is flushed.
fn write_until_killed(lake: &Path, first: usize) -> ! {
    let settings = LakeSettings { rows: 30, ..LakeSettings::default() };
    let mut writer = LakeWriter::open(lake, settings).unwrap();
    let mut out = std::io::stdout();
    let mut events: Vec<_> = Fleet::new(KILLS * A_RUN as u32).skip(first).take(A_RUN).collect();
    for (number, group) in events.chunks_mut(7).enumerate() {
        for entry in &mut *group {
            // Few, so that a kill meets all parts of the work.
            entry.event.unit = format!("unit-{}", entry.event.facts.frame % 3);
            writer.add(entry.clone()).unwrap();
        }
        writer.flush().unwrap();
        for entry in group {
            writeln!(out, "flushed {}", entry.event.id).unwrap();
        }
        if number % 6 == 5 {
            for day in days(lake).unwrap() {
                compact(lake, &day, Duration::ZERO).unwrap();
            }
        }
    }
    loop {
        std::thread::park();
    }
}

#[test]
fn no_kill_breaks_a_file_or_loses_what_was_flushed() {
    if let (Some(lake), Some(first)) = (std::env::var_os(FOLDER), std::env::var(FIRST).ok()) {
        write_until_killed(Path::new(&lake), first.parse().unwrap());
    }
    let lake = scratch::folder();
    let mut told: HashSet<String> = HashSet::new();
    let mut read: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    let mut random = 88_172_645_463_325_252u64;
    let mut merged = false;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(FOLDER, lake.path())
            .env(FIRST, (kill as usize * A_RUN).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // In one run of eight while it starts, otherwise a moment after some of its events.
        let mut lines = said.by_ref().lines().map_while(Result::ok);
        let mut heard = Vec::new();
        let events = if kill % 8 == 0 { 0 } else { 1 + random % 80 };
        while heard.len() < events as usize {
            heard.extend(
                Some(lines.next().expect("it ended by itself")).filter(|line| line.starts_with("flushed")),
            );
        }
        std::thread::sleep(Duration::from_micros((random >> 32) % 10_000));
        child.kill().unwrap();
        child.wait().unwrap();
        // The last line may be cut off by the kill.
        let whole = "flushed unit-00-01234567-0123456789".len();
        heard.extend(lines);
        let flushed = heard.iter().filter(|line| line.len() == whole);
        told.extend(flushed.filter_map(|line| line.strip_prefix("flushed ").map(str::to_string)));

        // Just as the kill has left it, each file is whole. A file that was read is never another later.
        let now = files(lake.path());
        read.retain(|file, _| now.contains(file));
        for file in now {
            merged |= file.to_string_lossy().contains("merged-");
            read.entry(file.clone()).or_insert_with(|| ids_of(&file));
        }
        if kill % 10 == 9 {
            LakeWriter::open(lake.path(), LakeSettings::default()).unwrap().close().unwrap();
            for file in files(lake.path()) {
                read.entry(file.clone()).or_insert_with(|| ids_of(&file));
            }
            let there: HashSet<&String> = read.values().flatten().collect();
            let lost: Vec<&String> = told.iter().filter(|id| !there.contains(id)).collect();
            assert!(lost.is_empty(), "kill {kill}: {} of {}: {lost:?}", lost.len(), told.len());
        }
    }
    assert!(merged, "it was killed before it compacted");
    assert!(told.len() > KILLS as usize * 7, "{} events: it was killed too early", told.len());
}
