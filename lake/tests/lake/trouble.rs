//! What cannot be written is kept, and told; nothing that was flushed is lost.

use crate::fleet::Fleet;
use crate::read::{ids, unfinished};
use crate::scratch;
use crate::small_disk::SmallDisk;
use anchorwatch_lake::{LakeError, LakeSettings, LakeWriter};
use std::collections::BTreeSet;

#[test]
fn a_full_disk_loses_nothing_that_was_taken() {
    let Some(disk) = SmallDisk::mount("4m") else { return };
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![7; 2 << 20]).unwrap();
    let lake = disk.path().join("lake");
    let settings = LakeSettings { rows: 2000, ..LakeSettings::default() };
    let mut writer = LakeWriter::open(&lake, settings).unwrap();
    let mut fleet = Fleet::new(100_000);
    let mut taken = BTreeSet::new();
    let error = loop {
        for entry in fleet.by_ref().take(300) {
            taken.insert(entry.event.id.clone());
            writer.add(entry).unwrap();
        }
        if let Err(error) = writer.flush() {
            break error.to_string();
        }
        assert!(taken.len() < 50_000, "the disk never fills");
    };
    assert!(error.contains("No space left"), "{error}");
    assert!(writer.flush().is_err());
    std::fs::remove_file(&filler).unwrap();
    writer.flush().unwrap();
    writer.close().unwrap();
    // What was being written when the disk was full may be there twice.
    let there: BTreeSet<String> = ids(&lake).into_iter().collect();
    assert_eq!(there, taken);
    assert!(unfinished(&lake).is_empty());
}

#[test]
fn files_that_cannot_be_made_are_made_later() {
    let lake = scratch::folder();
    let settings = LakeSettings { seconds: 0, ..LakeSettings::default() };
    let mut writer = LakeWriter::open(lake.path(), settings).unwrap();
    // A file where the folder of the first day should be.
    let obstacle = lake.path().join("day=2026-11-01");
    std::fs::write(&obstacle, "").unwrap();
    for entry in Fleet::new(600).take(40) {
        writer.add(entry).unwrap();
        writer.flush().unwrap();
    }
    assert!(writer.trouble().unwrap().contains("day=2026-11-01"), "{:?}", writer.trouble());
    let error = writer.close().unwrap_err();
    assert!(matches!(error, LakeError::File { .. }), "{error}");

    std::fs::remove_file(&obstacle).unwrap();
    let writer = LakeWriter::open(lake.path(), LakeSettings::default()).unwrap();
    assert_eq!(writer.trouble(), None);
    assert_eq!(ids(lake.path()).len(), 40);
    assert!(unfinished(lake.path()).is_empty());
}

#[test]
fn events_that_cannot_be_written_are_kept() {
    let lake = scratch::folder();
    let mut writer = LakeWriter::open(lake.path(), LakeSettings::default()).unwrap();
    std::fs::remove_dir(lake.path().join("_writing")).unwrap();
    Fleet::new(10).for_each(|entry| writer.add(entry).unwrap());
    assert!(matches!(writer.flush(), Err(LakeError::File { .. })));
    assert!(matches!(writer.flush(), Err(LakeError::File { .. })));
    std::fs::create_dir(lake.path().join("_writing")).unwrap();
    writer.flush().unwrap();
    writer.close().unwrap();
    assert_eq!(ids(lake.path()).len(), 10);
}

#[test]
fn a_journal_that_cannot_be_read_is_kept_aside() {
    let lake = scratch::folder();
    std::fs::create_dir_all(lake.path().join("_writing")).unwrap();
    std::fs::write(lake.path().join("_writing/x.journal"), "this is no journal of ours").unwrap();
    let mut writer = LakeWriter::open(lake.path(), LakeSettings::default()).unwrap();
    Fleet::new(10).for_each(|entry| writer.add(entry).unwrap());
    writer.close().unwrap();
    assert_eq!(ids(lake.path()).len(), 10);
    assert_eq!(unfinished(lake.path()), [lake.path().join("_writing/x.damaged")]);
}
