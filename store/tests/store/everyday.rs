//! Recording, reading, marking, exporting.

use crate::made::{DAY, content, event, moment};
use anchorwatch_store::{
    Clock, Filter, Identity, Kind, Marks, Moment, Order, Position, Retention, Store, StoreError, verify,
};

fn open(folder: &std::path::Path) -> Store {
    Store::open(folder, "unit-7", Retention { free_floor: 0, ..Retention::default() }).unwrap()
}

#[test]
fn what_is_recorded_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut new = event(1, 300);
    new.facts.position = Some(Position { latitude: 47.5, longitude: 8.25, altitude: None });
    new.facts.details.insert("summary".into(), serde_json::json!({ "frames": 3 }));
    let recorded = store.record(std::slice::from_ref(&new));
    assert_eq!((recorded.lost_events, recorded.lost_crops, recorded.error), (0, 0, None));
    let id = recorded.ids[0].clone().unwrap();
    assert!(id.starts_with("unit_7-") && id.ends_with("-0000000001"), "{id}");
    let read = store.event(&id).unwrap().unwrap();
    assert_eq!((&read.facts, read.clock), (&new.facts, Clock::Set));
    assert_eq!(store.crop(&read).unwrap().unwrap(), content(1, 300));
    let line = read.json();
    assert_eq!((&line["time"], &line["relative_score"]), (&"2026-01-01T00:00:01.000Z".into(), &1.25.into()));
    assert_eq!(line["summary"]["frames"], 3);
    assert!(verify(folder.path(), false).unwrap().is_whole());
}

#[test]
fn numbers_go_on_after_a_new_start_and_are_never_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for start in 0..3 {
        let mut store = open(folder.path());
        let recorded = store.record(&[event(start, 10), event(start, 10)]);
        assert!(recorded.ids.into_iter().all(|id| ids.insert(id.unwrap())));
        store.set_retention(Retention { max_bytes: Some(0), free_floor: 0, ..Retention::default() });
        while store.retain().unwrap().more {}
        assert_eq!(store.totals().unwrap().events, 0);
    }
    assert!(ids.last().unwrap().ends_with("0000000006"));
}

#[test]
fn pages_by_filter_go_on_where_the_last_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let ids = store.record(&(0..100).map(|number| event(number, 0)).collect::<Vec<_>>()).ids;
    let ids: Vec<String> = ids.into_iter().flatten().collect();
    store.star(&ids[..10], true).unwrap();
    store.label(&ids[5..7], Some("kite")).unwrap();
    store.ignore(&ids[..3], true).unwrap();
    for (filter, expected) in [
        (Filter::default(), 100),
        (Filter { class: Some("dog".into()), ..Filter::default() }, 33),
        (Filter { since_ms: Some(DAY + 90_000), ..Filter::default() }, 10),
        (Filter { until_ms: Some(DAY + 90_000), ..Filter::default() }, 90),
        (Filter { starred: Some(true), ..Filter::default() }, 10),
        (Filter { starred: Some(true), ignored: Some(false), ..Filter::default() }, 7),
        (Filter { label: Some("kite".into()), ..Filter::default() }, 2),
        (Filter { labelled: Some(false), ..Filter::default() }, 98),
        (Filter { kind: Some(Kind::Started), ..Filter::default() }, 0),
        (Filter { unit: Some("unit_7".into()), with_crop: Some(false), ..Filter::default() }, 100),
    ] {
        for order in [Order::Newest, Order::Oldest] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = store.page(&filter, order, after, 7).unwrap();
                seen.extend(page.events.iter().map(|event| event.seq));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen.len(), expected, "{filter:?}");
            assert!(seen.is_sorted_by(|a, b| (a < b) == (order == Order::Oldest)), "{seen:?}");
        }
        assert_eq!(store.count(&filter).unwrap(), expected as u64);
    }
}

#[test]
fn the_spool_is_read_oldest_first_and_forgets_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.record(&(0..10).map(|number| event(number, 20)).collect::<Vec<_>>());
    // Another program sends, and is killed before the last acknowledgement.
    let mut sender = Store::attach(folder.path()).unwrap();
    let first = sender.unsent("unit_7", 0, 6).unwrap();
    assert!(first.iter().map(|event| event.seq).eq(1..=6));
    sender.mark_sent(&first[..5].iter().map(|event| &event.id).collect::<Vec<_>>()).unwrap();
    drop(sender);
    assert!(store.unsent("unit_7", 0, 99).unwrap().iter().map(|event| event.seq).eq(6..=10));
    assert_eq!((store.totals().unwrap().unsent, store.units().unwrap()), (5, vec!["unit_7".to_string()]));
    assert_eq!(store.crops_unsent("unit_7", 3, 99).unwrap().len(), 7);
    store.mark_crop_sent(&[&first[5].id]).unwrap();
    assert_eq!(store.crops_unsent("unit_7", 3, 99).unwrap().len(), 6);
}

#[test]
fn events_of_other_units_keep_their_names_and_duplicates_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut foreign = event(1, 20);
    foreign.facts.moment.clock_set = false;
    foreign.identity = Some(Identity { id: "far/../away-1".into(), unit: "far".into() });
    assert_eq!(store.record(std::slice::from_ref(&foreign)).duplicates, 0);
    // Sent again, since its clock was put right.
    foreign.facts.moment = Moment { utc_ms: DAY + 5, clock_set: true, ..foreign.facts.moment };
    assert_eq!(store.record(&[foreign.clone(), foreign]).duplicates, 2);
    let read = store.event("far/../away-1").unwrap().unwrap();
    assert_eq!((read.facts.moment.utc_ms, read.unit.as_str()), (DAY + 5, "far"));
    assert!(store.folder().join(read.crop.unwrap()).starts_with(folder.path().join("crops/000000")));
    assert_eq!(store.totals().unwrap().events, 1);
}

#[test]
fn times_are_put_right_once_the_clock_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let in_1970 = |uptime_ms: i64, boot: &str| {
        let mut new = event(0, 0);
        new.facts.moment = Moment { utc_ms: uptime_ms, uptime_ms, boot: boot.into(), clock_set: false };
        new
    };
    let ids: Vec<String> = store
        .record(&[in_1970(10_000, "before"), in_1970(20_000, "boot-a"), in_1970(30_000, "boot-a")])
        .ids
        .into_iter()
        .flatten()
        .collect();
    store.mark_sent(&ids).unwrap();
    let time = |store: &Store, id: &str| {
        let event = store.event(id).unwrap().unwrap();
        (event.facts.moment.utc_ms, event.clock, event.marks.sent)
    };
    assert_eq!(time(&store, &ids[1]), (20_000, Clock::Unset, true));
    store.record(&[event(0, 0)]); // at 60 s of uptime it is DAY
    assert_eq!(time(&store, &ids[1]), (DAY - 40_000, Clock::Corrected, false));
    assert_eq!(time(&store, &ids[2]), (DAY - 30_000, Clock::Corrected, false));
    // Of another start of the system nothing is known.
    assert_eq!(time(&store, &ids[0]), (10_000, Clock::Unset, true));
    assert_eq!(store.clock_was_set(&moment(9)).unwrap(), 0);
    let quiet = store.record(&[in_1970(1_000, "boot-b")]).ids[0].clone().unwrap();
    let now = Moment { utc_ms: DAY, uptime_ms: 5_000, boot: "boot-b".into(), clock_set: true };
    assert_eq!(store.clock_was_set(&now).unwrap(), 1);
    assert_eq!(time(&store, &quiet).0, DAY - 4_000);
}

#[test]
fn marks_are_set_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let ids: Vec<String> =
        store.record(&[event(0, 30), event(1, 30), event(2, 0)]).ids.into_iter().flatten().collect();
    store.mark_sent(&ids[..1]).unwrap();
    let kite = Marks { label: Some("kite".into()), starred: true, ..Marks::default() };
    let aside = Marks { ignored: true, ..Marks::default() };
    let marks = [(ids[0].as_str(), &kite), (&ids[1], &aside), ("gone", &kite)];
    store.set_marks(marks).unwrap();
    let marks = |id: &String| store.event(id).unwrap().unwrap().marks;
    // What the network did is not a person's to change.
    assert_eq!(marks(&ids[0]), Marks { sent: true, ..kite });
    assert_eq!((marks(&ids[1]), marks(&ids[2])), (aside, Marks::default()));
    store.set_marks([(ids[0].as_str(), &Marks::default())]).unwrap();
    assert_eq!(store.count(&Filter { labelled: Some(true), ..Filter::default() }).unwrap(), 0);
}

#[test]
fn exports_are_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut odd = event(1, 30);
    odd.facts.source = "a \"quoted\", source\nof two lines".into();
    let ids: Vec<String> =
        store.record(&[event(0, 30), odd, event(2, 0)]).ids.into_iter().flatten().collect();
    store.label(&ids[..1], Some("../kite")).unwrap();
    let all = Filter::default();
    let mut lines = Vec::new();
    assert_eq!(store.export_jsonl(&all, &mut lines).unwrap(), 3);
    let lines: Vec<serde_json::Value> =
        String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[1]["source"], "a \"quoted\", source\nof two lines");
    let mut table = Vec::new();
    assert_eq!(store.export_csv(&all, &mut table).unwrap(), 3);
    let mut read = csv::Reader::from_reader(&table[..]);
    let rows: Vec<csv::StringRecord> = read.records().map(Result::unwrap).collect();
    assert_eq!((rows.len(), &rows[1][7]), (3, "a \"quoted\", source\nof two lines"));
    let mut coco = Vec::new();
    assert_eq!(store.export_coco(&all, &mut coco).unwrap(), 2);
    let coco: serde_json::Value = serde_json::from_slice(&coco).unwrap();
    assert_eq!(coco["images"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&coco["annotations"][0]["bbox"], &coco["categories"][1]["name"]),
        (&serde_json::json!([0, 0, 8, 6]), &"unknown".into())
    );
    let pictures = folder.path().join("pictures");
    assert_eq!(store.export_folders(&all, &pictures).unwrap(), 2);
    assert_eq!(std::fs::read(pictures.join(format!("_.._kite/{}.jpg", ids[0]))).unwrap(), content(0, 30));
    assert!(pictures.join(format!("unlabelled/{}.jpg", ids[1])).exists());
}

#[test]
fn one_program_records_and_others_read() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Store::attach(folder.path()), Err(StoreError::Missing(_))));
    let mut recording = open(folder.path());
    recording.record(&[event(0, 0)]);
    let second = Store::open(folder.path(), "unit", Retention::default());
    assert!(matches!(second, Err(StoreError::InUse(_))));
    let mut reader = Store::attach(folder.path()).unwrap();
    let refused = reader.record(&[event(1, 0)]);
    assert!(refused.lost_events == 1 && refused.error.unwrap().contains("reading"));
    assert!(matches!(reader.retain(), Err(StoreError::ReadOnly(_))));
    let totals = recording.totals().unwrap();
    assert_eq!((totals.events, totals.removed), (1, 0), "what it could not write has removed nothing");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(Store::open(&file, "unit", Retention::default()), Err(StoreError::File { .. })));
}

#[test]
fn samples_of_the_known_are_told_apart_and_do_not_wait_to_be_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut group: Vec<_> = (0..4).map(|number| event(number, 30)).collect();
    for sample in &mut group[1..3] {
        sample.facts.kind = Kind::Known;
        sample.facts.details.insert("stands_for".into(), 70.into());
    }
    let ids: Vec<String> = store.record(&group).ids.into_iter().flatten().collect();
    let count = |sample| store.count(&Filter { sample, ..Filter::default() }).unwrap();
    assert_eq!([None, Some(true), Some(false)].map(count), [4, 2, 2]);
    assert_eq!(store.totals().unwrap().unsent, 2);
    for waiting in [store.unsent("unit_7", 0, 9).unwrap(), store.crops_unsent("unit_7", 0, 9).unwrap()] {
        assert!(waiting.iter().map(|event| event.seq).eq([1, 4]), "{waiting:?}");
    }
    let line = store.event(&ids[1]).unwrap().unwrap().json();
    assert_eq!((&line["phase"], &line["stands_for"]), (&"known".into(), &70.into()));
    assert!(line["logits"].is_array() && line["crop"].is_string());
    // In COCO's form it is what it was judged to be, or what somebody says it is.
    store.label(&ids[2..3], Some("kite")).unwrap();
    let mut coco = Vec::new();
    store.export_coco(&Filter::default(), &mut coco).unwrap();
    let coco: serde_json::Value = serde_json::from_slice(&coco).unwrap();
    let names: Vec<&str> = coco["annotations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            coco["categories"][one["category_id"].as_u64().unwrap() as usize - 1]["name"].as_str().unwrap()
        })
        .collect();
    assert_eq!(names, ["unknown", "dog", "kite", "unknown"]);
    drop(store);
    assert!(verify(folder.path(), false).unwrap().is_whole());
}
