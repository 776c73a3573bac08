//! A fleet's events, made up but the same in every run, and the truth about them.

use anchorwatch_lake::Entry;
use anchorwatch_store::{Facts, Identity, Kind, Moment, NewEvent};
use std::collections::BTreeMap;

/// 2026-11-01, in milliseconds since 1970.
pub const START_MS: i64 = 1_793_491_200_000;
/// Over how many days the events are spread.
pub const DAYS: u32 = 30;
/// From how many units they come.
pub const UNITS: u32 = 20;
const DAY_MS: i64 = 86_400_000;

/// How many unknown things there were, by unit and day.
pub type Truth = BTreeMap<(String, String), u64>;

/// Makes the events one by one, in order of time.
pub struct Fleet {
    count: u32,
    number: u32,
    random: u64,
    /// What must be counted of the events that were made.
    pub truth: Truth,
}

impl Fleet {
    /// A fleet that will have made so many events.
    pub fn new(count: u32) -> Self {
        Self { count, number: 0, random: 0x9E37_79B9_7F4A_7C15, truth: Truth::new() }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }
}

impl Iterator for Fleet {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.number == self.count {
            return None;
        }
        let at_ms = i64::from(self.number) * DAY_MS * i64::from(DAYS) / i64::from(self.count);
        let unit = format!("unit-{:02}", self.below(UNITS.into()));
        let kind = [Kind::Single, Kind::Started, Kind::Finished][self.below(3) as usize];
        let score = self.below(2000) as f32 / 100.0;
        if kind != Kind::Finished && score > 10.0 {
            let day = format!("2026-11-{:02}", at_ms / DAY_MS + 1);
            *self.truth.entry((unit.clone(), day)).or_default() += 1;
        }
        let moment =
            Moment { utc_ms: START_MS + at_ms, uptime_ms: at_ms, boot: "boot".into(), clock_set: true };
        let mut facts = Facts::new(kind, moment, "/dev/video0");
        facts.frame = self.number.into();
        facts.region_box = [8, 16, 96, 64];
        facts.class = Some(["bolt", "nut", "washer"][self.below(3) as usize].into());
        facts.score = Some(score);
        facts.threshold = Some(10.0);
        facts.distances = (0..10).map(|_| self.below(1000) as f32 / 64.0).collect();
        facts.logits = (0..10).map(|_| self.below(1000) as f32 / 64.0 - 8.0).collect();
        facts.model = "0123456789abcdef".into();
        let id = format!("{unit}-01234567-{:010}", self.number);
        self.number += 1;
        let entry = Entry::received(NewEvent { facts, crop: None, identity: Some(Identity { id, unit }) });
        Some(entry.expect("it says who recorded it"))
    }
}
