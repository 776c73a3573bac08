//! DuckDB reads the lake as it is, counts right, and shows each event once.

use crate::duckdb::query;
use crate::fleet::{Fleet, Truth};
use crate::python::python_with;
use crate::scratch;
use anchorwatch_lake::{COUNT_UNKNOWNS, Entry, LakeSettings, LakeWriter, compact, days, duckdb_views};
use anchorwatch_store::{Crop, Facts, Identity, Kind, Moment, NewEvent, Picture};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const EVENTS: u32 = 20_000;

fn counted(python: &Path, lake: &Path) -> Truth {
    let rows = query(python, &[&duckdb_views(lake)], COUNT_UNKNOWNS);
    let text = |value: &Value| value.as_str().unwrap().to_string();
    rows.iter().map(|row| ((text(&row[0]), text(&row[1])), row[2].as_u64().unwrap())).collect()
}

#[test]
fn unknowns_are_counted_by_unit_and_day_though_events_come_twice() {
    let Some(python) = python_with("duckdb") else { return };
    let lake = scratch::folder();
    let lake = lake.path();
    let settings = LakeSettings { rows: 8000, ..LakeSettings::default() };
    let mut writer = LakeWriter::open(lake, settings).unwrap();
    let mut fleet = Fleet::new(EVENTS);
    let mut copies = 0;
    for entry in fleet.by_ref() {
        // At least once: every eleventh comes again.
        if entry.event.facts.frame % 11 == 0 {
            writer.add(entry.clone()).unwrap();
            copies += 1;
        }
        writer.add(entry).unwrap();
    }
    writer.close().unwrap();

    assert_eq!(fleet.truth.len(), 600, "each unit met something unknown on each day");
    assert_eq!(counted(&python, lake), fleet.truth);
    let views = duckdb_views(lake);
    let both = "SELECT (SELECT count(*) FROM copies), (SELECT count(*) FROM events)";
    assert_eq!(query(&python, &[&views], both), [[json!(EVENTS + copies), json!(EVENTS)]]);
    for day in days(lake).unwrap() {
        compact(lake, &day, Duration::ZERO).unwrap();
    }
    // What was merged is there twice now.
    assert_eq!(counted(&python, lake), fleet.truth);
    for day in days(lake).unwrap() {
        compact(lake, &day, Duration::ZERO).unwrap();
    }
    assert_eq!(counted(&python, lake), fleet.truth);
    assert_eq!(query(&python, &[&views], both), [[json!(EVENTS), json!(EVENTS)]]);
}

#[test]
fn duckdb_has_the_types_and_the_names_that_units_gave_themselves() {
    let Some(python) = python_with("duckdb") else { return };
    let folder = scratch::folder();
    let lake = folder.path().join("it's a lake");
    let mut writer = LakeWriter::open(&lake, LakeSettings::default()).unwrap();
    // The last are a name that looks like a number, and a clock that is beyond all engines.
    for (id, unit, utc_ms) in [
        ("1", "../Tür = 'x' %41", 1_795_694_400_250),
        ("2", "", 1_795_694_400_250),
        ("3", "007", 1_795_694_400_250),
        ("4", "gate", i64::MAX),
    ] {
        let moment = Moment { utc_ms, uptime_ms: 0, boot: "b".into(), clock_set: true };
        let mut facts = Facts::new(Kind::Single, moment, "a test");
        facts.logits = vec![0.5, 1.5];
        facts.details.insert("worst".into(), 2.5.into());
        let crop = Crop { bytes: vec![0xFF, 0xD8, 7], picture: Picture::Jpeg, size: [8, 8] };
        let identity = Identity { id: id.into(), unit: unit.into() };
        let new = NewEvent { facts, crop: Some(crop), identity: Some(identity) };
        writer.add(Entry::received(new).unwrap()).unwrap();
    }
    writer.close().unwrap();
    let views = duckdb_views(&lake);
    let names =
        query(&python, &[&views], "SELECT unit, unit_name, day, epoch_ms(time) FROM events ORDER BY id");
    let noon = 1_795_694_400_250i64;
    let expected = json!([
        ["../Tür = 'x' %41", "../Tür = 'x' %41", "2026-11-26", noon],
        [null, "", "2026-11-26", noon],
        ["007", "007", "2026-11-26", noon],
        ["gate", "gate", null, null],
    ]);
    assert_eq!(json!(names), expected);
    let types = "SELECT typeof(time), typeof(logits), typeof(crop), typeof(score), typeof(day), logits[2],
        octet_length(crop), CAST(details->>'worst' AS DOUBLE) FROM events WHERE id = '1'";
    let expected = json!([["TIMESTAMP WITH TIME ZONE", "FLOAT[]", "BLOB", "FLOAT", "DATE", 1.5, 3, 2.5]]);
    assert_eq!(json!(query(&python, &[&views], types)), expected);
}
