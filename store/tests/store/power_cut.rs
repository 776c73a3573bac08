//! The recording program is killed at random moments. What it had said to be recorded is there, with
//! its whole crop, and the next program goes on where it ended.
//!
//! A kill leaves what was written in the kernel's hands, where a power cut would not: the order of the
//! syncs is stated in `docs/field-log.md`, and this shows that no moment between them is a bad one.

use crate::made::{content, event};
use anchorwatch_store::{Filter, Order, Retention, Store, verify};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "ANCHORWATCH_STORE_POWER_CUT";
const NAME: &str = "power_cut::nothing_recorded_is_lost_and_no_crop_is_torn";
const CUTS: u64 = 500;

fn open(folder: &Path) -> Store {
    // Small, so that old events are being removed too.
    let retention = Retention { max_bytes: Some(400_000), free_floor: 0, ..Retention::default() };
    Store::open(folder, "unit", retention).unwrap()
}

/// The program that is killed: says each number that is recorded.
fn record_until_killed(folder: &Path) -> ! {
    let mut store = open(folder);
    let mut out = std::io::stdout();
    loop {
        let first = i64::try_from(store.totals().unwrap().events + store.totals().unwrap().removed).unwrap();
        let group: Vec<_> = (first..first + 3).map(|number| event(number, 2000)).collect();
        let recorded = store.record(&group);
        assert_eq!(recorded.error, None);
        for id in recorded.ids.into_iter().flatten() {
            writeln!(out, "recorded {id}").unwrap();
        }
    }
}

#[test]
fn nothing_recorded_is_lost_and_no_crop_is_torn() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        record_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut told = 0;
    let mut random = 88_172_645_463_325_252u64;
    for cut in 0..CUTS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // In one run of eight while it starts, otherwise a moment after its first event.
        let mut last = String::new();
        if cut % 8 != 0 {
            while !last.starts_with("recorded") {
                last.clear();
                assert_ne!(said.read_line(&mut last).unwrap(), 0, "it ended by itself");
            }
        }
        std::thread::sleep(Duration::from_micros(random % 10_000));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in said.lines().map_while(Result::ok) {
            // The last line may be cut off by the kill.
            if line.starts_with("recorded unit-") && line.len() == "recorded unit-01234567-0123456789".len() {
                last = line;
            }
        }
        let store = open(folder.path());
        let totals = store.totals().unwrap();
        let newest = totals.events + totals.removed;
        if let Some((_, number)) = last.trim().rsplit_once('-') {
            told = number.parse::<u64>().unwrap();
        }
        assert!(newest >= told, "cut {cut}: event {told} was said to be recorded, {newest} is the last");
        assert_eq!(newest % 3, 0, "cut {cut}: a group is there whole or not at all");
        let mut count = 0;
        let mut expected = None;
        store
            .each(&Filter::default(), Order::Oldest, |event| {
                let number = event.facts.frame;
                assert_eq!(expected.replace(number + 1).unwrap_or(number), number, "cut {cut}");
                assert_eq!(store.crop(&event)?.unwrap(), content(number as i64, 2000), "cut {cut}");
                count += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(count, totals.events, "cut {cut}");
        drop(store);
        if cut % 25 == 24 {
            let findings = verify(folder.path(), false).unwrap();
            assert!(findings.is_whole(), "cut {cut}: {findings:?}");
        }
    }
    assert!(told > CUTS, "the program was killed before it did anything");
}
