//! A small disk that fills up.

use crate::made::{content, event};
use crate::small_disk::SmallDisk;
use anchorwatch_store::{Filter, Order, Retention, Store, verify};

#[test]
fn on_a_full_disk_old_events_make_room_for_new_ones() {
    let Some(disk) = SmallDisk::mount("16m") else { return };
    let mut store =
        Store::open(disk.path(), "unit", Retention { free_floor: 0, ..Retention::default() }).unwrap();
    for number in 0..200 {
        // 40 MB in all.
        let group: Vec<_> = (0..4).map(|at| event(number * 4 + at, 50_000)).collect();
        let recorded = store.record(&group);
        assert_eq!((recorded.lost_events, recorded.lost_crops, recorded.error), (0, 0, None), "{number}");
    }
    let newest = store.page(&Filter::default(), Order::Newest, None, 1).unwrap().events.remove(0);
    assert_eq!(store.crop(&newest).unwrap().unwrap(), content(799, 50_000));
    let totals = store.totals().unwrap();
    assert!(totals.removed > 400 && totals.events > 50, "{totals:?}");
    drop(store);
    let findings = verify(disk.path(), false).unwrap();
    assert!(findings.is_whole(), "{findings:?}");
}

#[test]
fn the_floor_of_free_space_is_kept() {
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let retention = Retention { free_floor: 12 << 20, ..Retention::default() };
    let mut store = Store::open(disk.path(), "unit", retention).unwrap();
    for number in 0..400 {
        assert_eq!(store.record(&[event(number, 50_000)]).error, None);
    }
    let free = rustix::fs::statvfs(disk.path()).unwrap();
    // One event more than the limit may be there when it is measured.
    assert!(free.f_bavail * free.f_frsize >= (12 << 20) - 200_000);
    assert!(store.totals().unwrap().events > 50);
}

#[test]
fn when_nothing_can_make_room_losses_are_counted_and_it_goes_on() {
    let Some(disk) = SmallDisk::mount("6m") else { return };
    let mut store =
        Store::open(disk.path(), "unit", Retention { free_floor: 0, ..Retention::default() }).unwrap();
    let kept = store.record(&[event(0, 1000)]).ids[0].clone().unwrap();
    // Another program fills the disk, to the last byte.
    let filler = disk.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write(&mut file, &[1; 512]).is_ok_and(|written| written > 0) {}
    let mut lost = 0;
    for number in 1..20 {
        let recorded = store.record(&[event(number, 5_000_000)]);
        lost += recorded.lost_events + recorded.lost_crops;
        assert_eq!(recorded.error.is_some(), recorded.lost_events + recorded.lost_crops > 0);
    }
    assert!(lost > 0, "the disk was not full");
    let totals = store.totals().unwrap();
    assert_eq!(totals.lost_events + totals.lost_crops, lost);
    drop(file);
    std::fs::remove_file(filler).unwrap();
    assert_eq!(store.record(&[event(40, 1000)]).error, None);
    drop(store);
    // The losses are written down, nothing is torn, and no crop lies about.
    let store = Store::attach(disk.path()).unwrap();
    assert_eq!(store.totals().unwrap().lost_events + store.totals().unwrap().lost_crops, lost);
    assert!(store.event(&kept).unwrap().is_some() || totals.removed > 0);
    drop(store);
    let findings = verify(disk.path(), false).unwrap();
    assert!(findings.is_whole(), "{findings:?}");
}
