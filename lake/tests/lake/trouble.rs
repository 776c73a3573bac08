//! What cannot be written is kept, and told; nothing that was flushed is lost.

use crate::fleet::Fleet;
use crate::read::{ids, unfinished};
use anchorwatch_lake::{LakeError, LakeSettings, LakeWriter};

#[test]
fn files_that_cannot_be_made_are_made_later() {
    let lake = tempfile::tempdir().unwrap();
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
    let lake = tempfile::tempdir().unwrap();
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
    let lake = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(lake.path().join("_writing")).unwrap();
    std::fs::write(lake.path().join("_writing/x.journal"), "this is no journal of ours").unwrap();
    let mut writer = LakeWriter::open(lake.path(), LakeSettings::default()).unwrap();
    Fleet::new(10).for_each(|entry| writer.add(entry).unwrap());
    writer.close().unwrap();
    assert_eq!(ids(lake.path()).len(), 10);
    assert_eq!(unfinished(lake.path()), [lake.path().join("_writing/x.damaged")]);
}
