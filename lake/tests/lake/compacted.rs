//! Compaction: fewer files with the same events, each once, and never one less for who reads meanwhile.

use crate::fleet::Fleet;
use crate::read::{files, ids, ids_of, name, rows};
use crate::scratch;
use anchorwatch_lake::{Entry, LakeError, LakeSettings, LakeWriter, compact, days};
use anchorwatch_store::Clock;
use arrow_array::cast::AsArray;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

/// The first day's events of a fleet.
fn first_day(count: u32) -> Vec<Entry> {
    Fleet::new(count * 30).take(count as usize).collect()
}

/// Writes events in files of a few rows.
fn write(lake: &Path, entries: &[Entry], rows: usize) {
    let settings = LakeSettings { rows, ..LakeSettings::default() };
    let mut writer = LakeWriter::open(lake, settings).unwrap();
    for group in entries.chunks(rows) {
        group.iter().for_each(|entry| writer.add(entry.clone()).unwrap());
        writer.flush().unwrap();
    }
    writer.close().unwrap();
}

fn expected(entries: &[Entry]) -> Vec<String> {
    let ids: BTreeSet<String> = entries.iter().map(|entry| entry.event.id.clone()).collect();
    ids.into_iter().collect()
}

#[test]
fn a_day_becomes_one_file_a_unit_without_copies() {
    let lake = scratch::folder();
    let lake = lake.path();
    let entries = first_day(400);
    write(lake, &entries, 40);
    // Some come again, one of them put right by its unit.
    let mut again = entries[..100].to_vec();
    again.iter_mut().for_each(|entry| entry.received_ms += 1000);
    again[7].event.clock = Clock::Corrected;
    write(lake, &again, 100);
    assert_eq!(days(lake).unwrap(), ["2026-11-01"]);
    let before = files(lake).len();
    assert!(before > 100, "{before}");

    let done = compact(lake, "2026-11-01", LONG).unwrap();
    assert_eq!((done.units, done.merged, done.removed), (20, before, 0));
    assert_eq!((done.rows, done.duplicates), (400, 100));
    // Those who had listed the files find them.
    assert_eq!(files(lake).len(), before + 20);
    let done = compact(lake, "2026-11-01", LONG).unwrap();
    assert_eq!((done.units, done.removed), (0, 0));
    let done = compact(lake, "2026-11-01", Duration::ZERO).unwrap();
    assert_eq!((done.units, done.removed), (0, before));

    assert_eq!(files(lake).len(), 20);
    assert_eq!(ids(lake), expected(&entries));
    let corrected: Vec<String> = files(lake)
        .iter()
        .flat_map(|file| rows(file))
        .flat_map(|rows| {
            let clocks = rows.column_by_name("clock").unwrap().as_string::<i32>().clone();
            let ids = rows.column_by_name("id").unwrap().as_string::<i32>().clone();
            let found = clocks.iter().zip(ids.iter()).filter(|(clock, _)| *clock == Some("corrected"));
            found.filter_map(|(_, id)| id.map(str::to_string)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(corrected, [again[7].event.id.clone()], "the latest copy is the one that stays");
}

#[test]
fn what_comes_late_is_merged_too() {
    let lake = scratch::folder();
    let lake = lake.path();
    let entries = first_day(400);
    write(lake, &entries[..200], 40);
    compact(lake, "2026-11-01", LONG).unwrap();
    write(lake, &entries[200..], 40);
    // The first compaction's leavings are still there, and are not merged again.
    let done = compact(lake, "2026-11-01", LONG).unwrap();
    assert_eq!((done.rows, done.duplicates), (400, 0));
    compact(lake, "2026-11-01", Duration::ZERO).unwrap();
    assert_eq!(files(lake).len(), 20);
    assert_eq!(ids(lake), expected(&entries));
}

#[test]
fn a_single_file_is_written_anew_only_if_it_has_copies() {
    let lake = scratch::folder();
    let lake = lake.path();
    let entries: Vec<Entry> =
        first_day(400).into_iter().filter(|entry| entry.event.unit == "unit-03").collect();
    write(lake, &entries, 1000);
    assert_eq!(compact(lake, "2026-11-01", LONG).unwrap().units, 0);
    let part = files(lake);
    write(lake, &[entries.clone(), entries.clone()].concat(), 1000);
    std::fs::remove_file(&part[0]).unwrap();
    let done = compact(lake, "2026-11-01", LONG).unwrap();
    assert_eq!((done.units, done.duplicates), (1, entries.len()));
}

#[test]
fn who_reads_meanwhile_misses_nothing() {
    let lake = scratch::folder();
    let lake = lake.path();
    let entries = first_day(600);
    write(lake, &entries[..300], 30);
    let there = expected(&entries[..300]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) || rounds == 0 {
                // Each file that was listed can be read, however long that takes.
                let seen: BTreeSet<String> = files(lake).iter().flat_map(|file| ids_of(file)).collect();
                let missing: Vec<&String> = there.iter().filter(|id| !seen.contains(*id)).collect();
                assert!(missing.is_empty(), "round {rounds}: {missing:?}");
                rounds += 1;
            }
        });
        for group in entries[300..].chunks(60) {
            write(lake, group, 20);
            compact(lake, "2026-11-01", LONG).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    compact(lake, "2026-11-01", Duration::ZERO).unwrap();
    assert_eq!(ids(lake), expected(&entries));
    assert!(files(lake).iter().all(|file| name(file).starts_with("merged-")));
}

#[test]
fn a_day_that_is_not_there_is_said() {
    let lake = scratch::folder();
    write(lake.path(), &first_day(10), 10);
    for day in ["2026-11-02", "", "../etc", "2026-11-01/unit=unit-01"] {
        let error = compact(lake.path(), day, LONG).unwrap_err();
        assert!(matches!(error, LakeError::NoDay { .. }), "{error}");
    }
}
