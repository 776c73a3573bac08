//! Events to record, for the tests.

use anchorwatch_store::{Crop, Facts, Kind, Moment, NewEvent, Picture};

/// 2026-01-01.
pub const DAY: i64 = 1_767_225_600_000;

pub fn moment(number: i64) -> Moment {
    Moment {
        utc_ms: DAY + number * 1000,
        uptime_ms: 60_000 + number * 1000,
        boot: "boot-a".into(),
        clock_set: true,
    }
}

/// An event whose crop has this many bytes, each of them told by its number.
pub fn event(number: i64, bytes: usize) -> NewEvent {
    let mut facts = Facts::new(Kind::Single, moment(number), "a test");
    facts.frame = number.unsigned_abs();
    facts.class = Some(["cat", "dog", "ship"][number.unsigned_abs() as usize % 3].into());
    facts.score = Some(12.5);
    facts.threshold = Some(10.0);
    facts.distances = vec![12.5, 14.0, 15.5];
    facts.logits = vec![0.5, -0.25, 1.0];
    facts.model = "ab12".into();
    let crop =
        (bytes > 0).then(|| Crop { bytes: content(number, bytes), picture: Picture::Jpeg, size: [8, 6] });
    NewEvent { facts, crop, identity: None }
}

pub fn content(number: i64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (number as usize * 31 + at * 7) as u8).collect()
}
