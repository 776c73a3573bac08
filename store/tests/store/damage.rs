//! Files that are damaged: told of, kept aside, and saved as far as they can be read.

use crate::made::{content, event};
use anchorwatch_store::{DATABASE, Filter, Order, Retention, Store, StoreError, verify};
use std::path::Path;

const EVENTS: i64 = 3000;

fn open(folder: &Path) -> Store {
    Store::open(folder, "unit", Retention { free_floor: 0, ..Retention::default() }).unwrap()
}

/// A log of many events, closed.
fn filled(folder: &Path) -> Vec<String> {
    let mut store = open(folder);
    let group: Vec<_> = (0..EVENTS).map(|number| event(number, if number < 5 { 500 } else { 0 })).collect();
    store.record(&group).ids.into_iter().flatten().collect()
}

#[test]
fn what_is_no_database_is_kept_aside_and_recording_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    let garbage = content(1, 9000);
    std::fs::write(&path, &garbage).unwrap();
    let error = Store::attach(folder.path()).err().unwrap();
    assert!(error.is_damage() && error.to_string().contains("verify --repair"), "{error}");
    let mut store = open(folder.path());
    let aside = store.set_aside().unwrap().to_path_buf();
    assert_eq!(std::fs::read(aside).unwrap(), garbage);
    assert_eq!(store.record(&[event(1, 10)]).error, None);
}

#[test]
fn damaged_pages_are_found_and_the_rest_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let ids = filled(folder.path());
    let path = folder.path().join(DATABASE);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 3 * 4096].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let found = verify(folder.path(), false).unwrap();
    assert!(!found.damage.is_empty() && !found.repaired);
    assert!(std::fs::read(&path).unwrap() == bytes, "looking changes nothing");
    let found = verify(folder.path(), true).unwrap();
    assert!(found.repaired && found.events > 2000, "{} of {EVENTS} saved", found.events);
    assert!(verify(folder.path(), false).unwrap().is_whole());
    assert!(std::fs::read(folder.path().join("aside/events-1.db")).unwrap() == bytes);
    // Identifiers go on, and the first events have their crops.
    let mut store = open(folder.path());
    let first = store.event(&ids[0]).unwrap().unwrap();
    assert_eq!(store.crop(&first).unwrap().unwrap(), content(0, 500));
    let next = store.record(&[event(1, 0)]).ids[0].clone().unwrap();
    assert!(!ids.contains(&next));
}

#[test]
fn a_log_of_changes_that_was_cut_off_is_a_shorter_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    for number in 0..30 {
        store.record(&[event(number, 0)]);
    }
    let wal = std::fs::read(folder.path().join("events.db-wal")).unwrap();
    assert!(wal.len() > 100_000);
    for part in 0..8 {
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(folder.path().join(DATABASE), copy.path().join(DATABASE)).unwrap();
        // What the tables are made of is at its beginning.
        let cut = wal.len() - (wal.len() - 200_000.min(wal.len() / 2)) * part / 8 - 1;
        std::fs::write(copy.path().join("events.db-wal"), &wal[..cut]).unwrap();
        let store = open(copy.path());
        let mut frames = Vec::new();
        store
            .each(&Filter::default(), Order::Oldest, |event| {
                frames.push(event.facts.frame);
                Ok(())
            })
            .unwrap();
        assert!(frames.len() < 30 && frames.iter().copied().eq(0..frames.len() as u64), "{frames:?}");
        assert_eq!(store.set_aside(), None);
    }
}

#[test]
fn crops_are_checked_against_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let ids = filled(folder.path());
    let crop = |at: usize| folder.path().join(format!("crops/000000/{}.jpg", ids[at]));
    std::fs::remove_file(crop(0)).unwrap();
    std::fs::write(crop(1), &content(1, 500)[..300]).unwrap();
    let mut rotten = content(2, 500);
    rotten[77] ^= 4;
    std::fs::write(crop(2), rotten).unwrap();
    std::fs::write(crop(3), "").unwrap();
    let orphan = folder.path().join("crops/000000/other.jpg");
    std::fs::write(&orphan, "whose?").unwrap();
    for repair in [false, true] {
        let found = verify(folder.path(), repair).unwrap();
        assert_eq!(found.missing, ids[..1]);
        assert_eq!(found.torn, ids[1..4]);
        assert_eq!(found.orphans, ["crops/000000/other.jpg"]);
        assert_eq!((found.repaired, orphan.exists()), (repair, !repair));
    }
    let found = verify(folder.path(), false).unwrap();
    assert!(found.is_whole() && found.events == EVENTS as u64, "{found:?}");
    assert_eq!(std::fs::read(folder.path().join("aside/crops/000000/other.jpg")).unwrap(), b"whose?");
    // A program that records is not disturbed.
    let _recording = open(folder.path());
    assert!(matches!(verify(folder.path(), true), Err(StoreError::InUse(_))));
    assert!(verify(folder.path(), false).unwrap().recording);
}

#[test]
fn a_newer_program_s_log_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let newer = rusqlite::Connection::open(folder.path().join(DATABASE)).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let opened = Store::open(folder.path(), "unit", Retention::default());
    assert!(matches!(opened, Err(StoreError::Newer { found: 99, .. })));
    assert!(matches!(Store::attach(folder.path()), Err(StoreError::Newer { .. })));
}
