//! What is written, where it lies, and when it is there.

use crate::fleet::Fleet;
use crate::read::{files, ids, name, rows, unfinished};
use crate::scratch;
use anchorwatch_lake::{Entry, LakeError, LakeSettings, LakeWriter, schema};
use anchorwatch_store::{
    Clock, Crop, Event, Facts, Identity, Kind, Marks, Moment, NewEvent, Picture, Position,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use std::path::Path;

/// 2026-11-26, noon.
const NOON: i64 = 1_795_694_400_000;

fn event(unit: &str, number: u32, utc_ms: i64) -> NewEvent {
    let moment = Moment { utc_ms, uptime_ms: 5000, boot: "boot-a".into(), clock_set: true };
    let facts = Facts::new(Kind::Single, moment, "a test");
    let identity = Identity { id: format!("{unit}-{number}"), unit: unit.into() };
    NewEvent { facts, crop: None, identity: Some(identity) }
}

fn received(unit: &str, number: u32) -> Entry {
    Entry::received(event(unit, number, NOON)).unwrap()
}

fn open(lake: &Path) -> LakeWriter {
    LakeWriter::open(lake, LakeSettings::default()).unwrap()
}

fn only_row(lake: &Path) -> RecordBatch {
    let files = files(lake);
    assert_eq!(files.len(), 1);
    let rows = rows(&files[0]);
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    rows[0].clone()
}

fn text(row: &RecordBatch, name: &str) -> Option<String> {
    let column = row.column_by_name(name).unwrap().as_string::<i32>();
    column.is_valid(0).then(|| column.value(0).to_string())
}

fn whole(row: &RecordBatch, name: &str) -> Option<i64> {
    let column = row.column_by_name(name).unwrap().as_primitive::<Int64Type>();
    column.is_valid(0).then(|| column.value(0))
}

fn numbers(row: &RecordBatch, name: &str) -> Option<Vec<f32>> {
    let column = row.column_by_name(name).unwrap().as_list::<i32>();
    column.is_valid(0).then(|| column.value(0).as_primitive::<Float32Type>().values().to_vec())
}

#[test]
fn every_field_is_in_its_column() {
    let lake = scratch::folder();
    let moment = Moment { utc_ms: NOON + 7, uptime_ms: 61_000, boot: "b".into(), clock_set: false };
    let mut facts = Facts::new(Kind::Finished, moment, "/dev/video0");
    facts.ends = Some("gate-1-0000000007".into());
    facts.frame = 1234;
    facts.region = 2;
    facts.region_box = [1, 2, 30, u32::MAX];
    facts.class = Some("bolt".into());
    facts.score = Some(12.5);
    facts.threshold = Some(10.0);
    facts.distances = vec![1.5, -0.0, 3.25];
    facts.logits = vec![0.5];
    facts.model = "ab12".into();
    facts.position = Some(Position { latitude: -33.5, longitude: 151.25, altitude: None });
    facts.details.insert("worst".into(), 2.5.into());
    let marks =
        Marks { starred: true, label: Some("crow 'Ω'".into()), sent: true, crop_sent: false, ignored: true };
    let event = Event {
        seq: 8,
        id: "gate-1-0000000008".into(),
        unit: "gate".into(),
        facts,
        clock: Clock::Corrected,
        crop: Some("crops/000000/gate.jpg".into()),
        crop_bytes: 4,
        crop_size: [640, 480],
        marks,
    };
    let crop = Crop { bytes: vec![0xFF, 0xD8, 0, 1], picture: Picture::Jpeg, size: [640, 480] };
    let entry = Entry { received_ms: NOON + 9000, ..Entry::recorded(event, Some(crop)) };
    let mut writer = open(lake.path());
    writer.add(entry).unwrap();
    writer.close().unwrap();

    let row = only_row(lake.path());
    assert_eq!(row.schema().fields(), schema().fields());
    for (column, expected) in [
        ("id", Some("gate-1-0000000008")),
        ("unit_name", Some("gate")),
        ("kind", Some("finished")),
        ("ends", Some("gate-1-0000000007")),
        ("boot", Some("b")),
        ("clock", Some("corrected")),
        ("source", Some("/dev/video0")),
        ("class", Some("bolt")),
        ("runner_up", None),
        ("model", Some("ab12")),
        ("model_version", None),
        ("label", Some("crow 'Ω'")),
        ("details", Some(r#"{"worst":2.5}"#)),
        ("crop_path", Some("crops/000000/gate.jpg")),
        ("crop_format", Some("jpg")),
    ] {
        assert_eq!(text(&row, column).as_deref(), expected, "{column}");
    }
    for (column, expected) in [
        ("seq", 8),
        ("uptime_ms", 61_000),
        ("frame", 1234),
        ("region", 2),
        ("box_x", 1),
        ("box_y", 2),
        ("box_width", 30),
        ("box_height", i64::from(u32::MAX)),
        ("crop_bytes", 4),
        ("crop_width", 640),
        ("crop_height", 480),
    ] {
        assert_eq!(whole(&row, column), Some(expected), "{column}");
    }
    for (column, expected) in [("starred", true), ("ignored", true), ("sent", true), ("crop_sent", false)] {
        assert_eq!(row.column_by_name(column).unwrap().as_boolean().value(0), expected, "{column}");
    }
    let column = |name: &str| row.column_by_name(name).unwrap();
    assert_eq!(column("score").as_primitive::<Float32Type>().value(0), 12.5);
    assert_eq!(column("threshold").as_primitive::<Float32Type>().value(0), 10.0);
    assert_eq!(column("latitude").as_primitive::<Float64Type>().value(0), -33.5);
    assert_eq!(column("longitude").as_primitive::<Float64Type>().value(0), 151.25);
    assert!(column("altitude").is_null(0));
    assert_eq!(column("time").as_primitive::<TimestampMillisecondType>().value(0), NOON + 7);
    assert_eq!(column("received").as_primitive::<TimestampMillisecondType>().value(0), NOON + 9000);
    assert_eq!(numbers(&row, "distances"), Some(vec![1.5, 0.0, 3.25]));
    assert_eq!(numbers(&row, "logits"), Some(vec![0.5]));
    assert_eq!(numbers(&row, "embedding"), None);
    assert_eq!(column("crop").as_binary::<i32>().value(0), [0xFF, 0xD8, 0, 1]);
}

#[test]
fn what_a_unit_sent_has_its_crop_and_its_clock() {
    let lake = scratch::folder();
    let mut new = event("gate", 1, 5000);
    new.facts.moment.clock_set = false;
    new.crop = Some(Crop { bytes: vec![1, 2, 3], picture: Picture::Png, size: [3, 2] });
    let mut writer = open(lake.path());
    writer.add(Entry::received(new).unwrap()).unwrap();
    writer.close().unwrap();
    let row = only_row(lake.path());
    assert_eq!(text(&row, "clock").as_deref(), Some("unset"));
    assert_eq!(text(&row, "crop_format").as_deref(), Some("png"));
    assert_eq!((whole(&row, "crop_bytes"), whole(&row, "crop_width")), (Some(3), Some(3)));
    assert_eq!((whole(&row, "seq"), text(&row, "crop_path")), (None, None));
    assert!(files(lake.path())[0].starts_with(lake.path().join("day=1970-01-01/unit=gate")));
}

#[test]
fn files_lie_by_day_and_unit_whatever_units_call_themselves() {
    let lake = scratch::folder();
    let mut writer = open(lake.path());
    for (number, (unit, time)) in
        [("../../x", NOON), ("a=b", NOON), ("a=b", NOON + 86_400_000), ("", NOON), ("a", i64::MAX)]
            .into_iter()
            .enumerate()
    {
        writer.add(Entry::received(event(unit, number as u32, time)).unwrap()).unwrap();
    }
    writer.close().unwrap();
    let folder = |file: &std::path::PathBuf| {
        file.parent().unwrap().strip_prefix(lake.path()).unwrap().to_str().unwrap().to_string()
    };
    let folders: Vec<String> = files(lake.path()).iter().map(folder).collect();
    let expected = [
        "day=2026-11-26/unit=..%2F..%2Fx",
        "day=2026-11-26/unit=__HIVE_DEFAULT_PARTITION__",
        "day=2026-11-26/unit=a%3Db",
        "day=2026-11-27/unit=a%3Db",
        "day=__HIVE_DEFAULT_PARTITION__/unit=a",
    ];
    assert_eq!(folders, expected);
    assert_eq!(unfinished(lake.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn files_are_made_of_so_many_rows_or_when_they_are_old() {
    let lake = scratch::folder();
    let settings = LakeSettings { rows: 10, ..LakeSettings::default() };
    let mut writer = LakeWriter::open(lake.path(), settings).unwrap();
    for number in 0..25 {
        writer.add(received("gate", number)).unwrap();
        writer.flush().unwrap();
    }
    assert_eq!(ids(lake.path()).len(), 20);
    assert_eq!(files(lake.path()).len(), 2);
    writer.close().unwrap();
    assert_eq!(ids(lake.path()).len(), 25);

    let settings = LakeSettings { seconds: 0, ..LakeSettings::default() };
    let mut writer = LakeWriter::open(lake.path(), settings).unwrap();
    writer.add(received("gate", 25)).unwrap();
    writer.flush().unwrap();
    assert_eq!(ids(lake.path()).len(), 26);

    let settings = LakeSettings { megabytes: 1, ..LakeSettings::default() };
    let mut writer = LakeWriter::open(lake.path(), settings).unwrap();
    for number in 26..29 {
        let mut new = event("gate", number, NOON);
        new.crop = Some(Crop { bytes: vec![7; 400_000], picture: Picture::Jpeg, size: [900, 900] });
        writer.add(Entry::received(new).unwrap()).unwrap();
        writer.flush().unwrap();
        assert_eq!(ids(lake.path()).len(), if number < 28 { 26 } else { 29 });
    }
}

#[test]
fn what_was_flushed_is_there_when_the_lake_is_opened_again() {
    let lake = scratch::folder();
    let mut writer = open(lake.path());
    for number in 0..300 {
        writer.add(received("gate", number)).unwrap();
        writer.flush().unwrap();
    }
    // Another writer leaves the first one's journal alone.
    let mut other = open(lake.path());
    assert_eq!(ids(lake.path()), Vec::<String>::new());
    other.add(received("lock", 1)).unwrap();
    other.flush().unwrap();
    writer.add(received("gate", 300)).unwrap(); // and this was never flushed
    drop((writer, other));
    open(lake.path()).close().unwrap();
    assert_eq!(ids(lake.path()).len(), 301);
    assert_eq!(files(lake.path()).len(), 2);
    assert!(unfinished(lake.path()).is_empty());
}

#[test]
fn many_writers_do_not_collide() {
    let lake = scratch::folder();
    std::thread::scope(|scope| {
        for writer in 0..6u32 {
            let lake = lake.path();
            scope.spawn(move || {
                let settings = LakeSettings { rows: 20, ..LakeSettings::default() };
                let mut lake = LakeWriter::open(lake, settings).unwrap();
                for number in 0..100 {
                    lake.add(received("gate", writer * 100 + number)).unwrap();
                    if number % 5 == 4 {
                        lake.flush().unwrap();
                    }
                }
                lake.close().unwrap();
            });
        }
    });
    let mut expected: Vec<String> = (0..600).map(|number| format!("gate-{number}")).collect();
    expected.sort();
    assert_eq!(ids(lake.path()), expected);
    assert_eq!(files(lake.path()).len(), 30);
    assert!(files(lake.path()).iter().all(|file| name(file).starts_with("part-")));
}

#[test]
fn more_than_memory_should_hold_is_flushed_without_being_told() {
    let lake = scratch::folder();
    let mut writer = open(lake.path());
    Fleet::new(5000).for_each(|entry| writer.add(entry).unwrap());
    drop(writer);
    open(lake.path()).close().unwrap();
    assert_eq!(ids(lake.path()).len(), 4096);
}

#[test]
fn what_cannot_be_meant_is_said() {
    let lake = scratch::folder();
    let nobody = NewEvent { identity: None, ..event("gate", 1, NOON) };
    assert!(matches!(Entry::received(nobody), Err(LakeError::NoIdentity)));
    for settings in [
        LakeSettings { rows: 0, ..LakeSettings::default() },
        LakeSettings { megabytes: 0, ..LakeSettings::default() },
        LakeSettings { megabytes: 5000, ..LakeSettings::default() },
    ] {
        assert!(matches!(LakeWriter::open(lake.path(), settings), Err(LakeError::Setting(_))));
    }
}
