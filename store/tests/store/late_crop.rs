//! Pictures that come after their events.

use crate::made::{DAY, content, event};
use anchorwatch_store::{Attached, Crop, Moment, Picture, Retention, Store, StoreError, unit_name, verify};

fn open(folder: &std::path::Path) -> Store {
    Store::open(folder, "unit-7", Retention { free_floor: 0, ..Retention::default() }).unwrap()
}

fn crop(number: i64, bytes: usize, size: [u32; 2]) -> Crop {
    Crop { bytes: content(number, bytes), picture: Picture::Jpeg, size }
}

#[test]
fn a_larger_picture_takes_the_place_of_a_smaller_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let id = store.record(&[event(1, 0)]).ids[0].clone().unwrap();
    assert_eq!(store.attach_crop(&id, &crop(1, 50, [16, 12])).unwrap(), Attached::Kept);
    let thumbnail = store.event(&id).unwrap().unwrap();
    store.mark_crop_sent(&[&id]).unwrap();
    assert_eq!(store.attach_crop(&id, &crop(2, 900, [160, 120])).unwrap(), Attached::Kept);
    // The thumbnail comes again, and so does the whole.
    assert_eq!(store.attach_crop(&id, &crop(1, 50, [16, 12])).unwrap(), Attached::NotNeeded);
    assert_eq!(store.attach_crop(&id, &crop(2, 900, [160, 120])).unwrap(), Attached::NotNeeded);
    assert_eq!(store.attach_crop("nobody-1", &crop(2, 900, [1, 1])).unwrap(), Attached::NoEvent);
    let whole = store.event(&id).unwrap().unwrap();
    assert_eq!((whole.crop_size, whole.crop_bytes, whole.marks.crop_sent), ([160, 120], 900, false));
    assert_eq!(store.crop(&whole).unwrap().unwrap(), content(2, 900));
    assert!(!folder.path().join(thumbnail.crop.unwrap()).exists());
    assert_eq!(store.totals().unwrap().crop_bytes, 900);
    drop(store);
    // The next start finds everything in place.
    let store = open(folder.path());
    assert_eq!(store.crop(&whole).unwrap().unwrap(), content(2, 900));
    drop(store);
    assert!(verify(folder.path(), false).unwrap().is_whole());
}

#[test]
fn an_empty_picture_and_a_reader_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let id = store.record(&[event(1, 30)]).ids[0].clone().unwrap();
    assert_eq!(store.attach_crop(&id, &crop(1, 0, [900, 900])).unwrap(), Attached::NotNeeded);
    let mut reader = Store::attach(folder.path()).unwrap();
    let refused = reader.attach_crop(&id, &crop(1, 50, [900, 900]));
    assert!(matches!(refused, Err(StoreError::ReadOnly(_))));
    assert_eq!(store.event(&id).unwrap().unwrap().crop_bytes, 30);
}

#[test]
fn what_was_put_right_while_it_was_sent_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut early = event(0, 0);
    early.facts.moment = Moment { utc_ms: 9, uptime_ms: 9, boot: "boot-a".into(), clock_set: false };
    store.record(&[early, event(1, 0)]);
    // The first was put right by the second. Read before that, it would be another event.
    let mut read = store.unsent("unit_7", 0, 9).unwrap();
    assert_eq!(read[0].facts.moment.utc_ms, DAY - 60_000 + 9);
    read[0].facts.moment.utc_ms = 9;
    store.mark_sent_as_read(&read).unwrap();
    let left = store.unsent("unit_7", 0, 9).unwrap();
    assert_eq!(left.iter().map(|event| event.seq).collect::<Vec<_>>(), [1]);
    store.mark_sent_as_read(&left).unwrap();
    assert_eq!(store.totals().unwrap().unsent, 0);
}

#[test]
fn a_unit_is_named_in_one_way() {
    assert_eq!(unit_name("unit-7/é"), "unit_7__");
    assert_eq!(unit_name(""), "unit");
}
