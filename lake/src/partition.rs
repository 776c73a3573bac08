//! Where a row belongs: `day=2026-11-26/unit=NAME`, as Hive names folders, whatever a unit calls itself.

use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// How a folder says that there is no value.
const NONE: &str = "__HIVE_DEFAULT_PARTITION__";
/// The longest value of a folder's name in bytes; file systems take 255 with the rest of the name.
const LONGEST: usize = 200;

/// A day and a unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Partition {
    /// As the folder has it.
    day: String,
    /// As the unit calls itself.
    unit: String,
}

impl Partition {
    /// Of a row with this time in milliseconds since 1970, UTC.
    pub(crate) fn new(utc_ms: Option<i64>, unit: &str) -> Self {
        let day = utc_ms.and_then(date_time).map(|time| time.date());
        let day = day.map(|day| format!("{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day()));
        Self { day: day.unwrap_or_else(|| NONE.to_string()), unit: unit.to_string() }
    }

    /// Its folder.
    pub(crate) fn folder(&self, lake: &Path) -> PathBuf {
        lake.join(day_folder(&self.day)).join(format!("unit={}", value(&self.unit)))
    }
}

/// The folder of a day.
pub(crate) fn day_folder(day: &str) -> String {
    format!("day={day}")
}

/// A time that engines can have: of the years 1 to 9999. A broken clock may say anything.
pub(crate) fn real_time(utc_ms: i64) -> Option<i64> {
    date_time(utc_ms).map(|_| utc_ms)
}

fn date_time(utc_ms: i64) -> Option<OffsetDateTime> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(utc_ms) * 1_000_000).ok()?;
    (1..=9999).contains(&time.year()).then_some(time)
}

/// A name as the value in a folder's name, so that engines read the name back: all but letters, digits
/// and `-_.` as `%XX`. Of a name that is too long the beginning, and what tells it from others.
fn value(name: &str) -> String {
    if name.is_empty() {
        return NONE.to_string();
    }
    let whole: String = pieces(name).collect();
    if whole.len() <= LONGEST {
        return whole;
    }
    let digest = Sha256::digest(name.as_bytes());
    let mark = digest.iter().take(8).fold("~".to_string(), |mark, byte| format!("{mark}{byte:02x}"));
    let mut value = String::new();
    for piece in pieces(name) {
        if value.len() + piece.len() + mark.len() > LONGEST {
            break;
        }
        value.push_str(&piece);
    }
    value + &mark
}

/// Each character of a name as it may stand in a folder's name.
fn pieces(name: &str) -> impl Iterator<Item = String> {
    // A name that looks like the value for 'none' is not that value.
    let reserved = name.starts_with("__HIVE");
    name.chars().enumerate().map(move |(index, character)| {
        let plain = character.is_alphanumeric() || matches!(character, '-' | '.' | '_');
        if plain && !(reserved && index == 0) {
            return character.to_string();
        }
        let mut escaped = String::new();
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            let _ = write!(escaped, "%{byte:02X}"); // a String takes anything
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    fn folder(utc_ms: i64, unit: &str) -> String {
        let folder = Partition::new(Some(utc_ms), unit).folder(Path::new("lake"));
        folder.to_string_lossy().into_owned()
    }

    #[test]
    fn a_day_is_that_of_utc() {
        assert_eq!(folder(1_795_737_599_999, "gate-3"), "lake/day=2026-11-26/unit=gate-3");
        assert_eq!(folder(1_795_737_600_000, "gate-3"), "lake/day=2026-11-27/unit=gate-3");
        assert_eq!(folder(0, "gate-3"), "lake/day=1970-01-01/unit=gate-3");
        assert_eq!(folder(-1, "gate-3"), "lake/day=1969-12-31/unit=gate-3");
        for broken in [i64::MAX, i64::MIN, 253_402_300_800_000, -62_167_219_200_001] {
            assert_eq!(folder(broken, "a"), "lake/day=__HIVE_DEFAULT_PARTITION__/unit=a");
            assert_eq!(real_time(broken), None);
        }
    }

    #[test]
    fn a_hostile_name_stays_in_its_folder() {
        assert_eq!(value("../../etc/passwd"), "..%2F..%2Fetc%2Fpasswd");
        assert_eq!(value("a=b c"), "a%3Db%20c");
        assert_eq!(value("100%"), "100%25");
        assert_eq!(value("nul\0line\n"), "nul%00line%0A");
        assert_eq!(value("Tür"), "Tür");
        assert_eq!(value(""), NONE);
        assert_eq!(value(NONE), "%5F_HIVE_DEFAULT_PARTITION__");
    }

    #[test]
    fn long_names_that_begin_alike_differ() {
        let (a, b) = (value(&"/".repeat(1000)), value(&"/".repeat(1001)));
        assert_ne!(a, b);
        assert!(a.len() <= LONGEST && a.starts_with("%2F%2F") && a.contains('~'), "{a}");
    }

    proptest! {
        #[test]
        fn any_name_is_one_folder_of_its_own(name in any::<String>(), other in ".{0,80}", time in any::<i64>()) {
            let folder = Partition::new(Some(time), &name).folder(Path::new("lake"));
            prop_assert_eq!(folder.components().count(), 3);
            prop_assert!(folder.components().all(|part| matches!(part, Component::Normal(_))));
            let last = folder.file_name().unwrap_or_default();
            prop_assert!(last.len() <= 255);
            prop_assert!(!last.to_string_lossy().chars().any(char::is_control));
            prop_assert_eq!(value(&name) == value(&other), name == other);
        }
    }
}
