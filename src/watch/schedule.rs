//! When it is watched: hours of days of the week, in local time.

use jiff::civil::{DateTime, Weekday};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Spans of time in a week. Written `mon-fri 8:00-18:00; sat,sun 22:00-6:00`: days (all of them, when
/// there are none), then from and to, which may be past midnight; several spans apart by semicolons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule(Vec<Span>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// Bit 0 is Monday.
    days: u8,
    /// Minutes from midnight.
    from: u16,
    /// Exclusive; before `from` it is on the next day.
    to: u16,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u16 = 24 * 60;

impl Schedule {
    /// Whether it is watched at this local time.
    pub fn has(&self, time: DateTime) -> bool {
        let day = match time.weekday() {
            Weekday::Monday => 0,
            Weekday::Tuesday => 1,
            Weekday::Wednesday => 2,
            Weekday::Thursday => 3,
            Weekday::Friday => 4,
            Weekday::Saturday => 5,
            Weekday::Sunday => 6,
        };
        let minute = time.hour() as u16 * 60 + time.minute() as u16;
        self.0.iter().any(|span| {
            let on = |day: u8| span.days >> day & 1 == 1;
            if span.from < span.to {
                on(day) && (span.from..span.to).contains(&minute)
            } else {
                on(day) && minute >= span.from || on((day + 6) % 7) && minute < span.to
            }
        })
    }

    /// Whether it is watched now. A clock that was not set knows no hours: then it is.
    pub fn has_now(&self) -> bool {
        !crate::capture::clock_is_set() || self.has(jiff::ZonedDateTime::now().datetime())
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spans: Option<Vec<Span>> =
            text.split(';').map(str::trim).filter(|span| !span.is_empty()).map(span).collect();
        match spans {
            Some(spans) if !spans.is_empty() => Ok(Self(spans)),
            _ => Err(format!("'{text}' is no schedule, such as 'mon-fri 8:00-18:00; sat,sun 22:00-6:00'")),
        }
    }
}

fn span(text: &str) -> Option<Span> {
    let (days, hours) = match text.rsplit_once(char::is_whitespace) {
        Some((days, hours)) => (days_of(days.trim())?, hours),
        None => (0x7F, text),
    };
    let (from, to) = hours.split_once('-')?;
    let (from, to) = (minute_of(from)?, minute_of(to)?);
    (from != to && from < DAY).then_some(Span { days, from, to })
}

fn days_of(text: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|day| name.trim().eq_ignore_ascii_case(day));
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        // From Saturday to Tuesday is over the end of the week.
        let count = (last + 7 - first) % 7;
        for step in 0..=count {
            days |= 1 << ((first + step) % 7);
        }
    }
    Some(days)
}

fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let at = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && at <= DAY).then_some(at)
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, span) in self.0.iter().enumerate() {
            let separator = if at > 0 { "; " } else { "" };
            let days: Vec<_> = (0..7).filter(|day| span.days >> day & 1 == 1).map(|day| DAYS[day]).collect();
            let days = if days.len() == 7 { String::new() } else { days.join(",") + " " };
            let hours = |minutes: u16| format!("{}:{:02}", minutes / 60, minutes % 60);
            write!(formatter, "{separator}{days}{}-{}", hours(span.from), hours(span.to))?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Schedule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    /// 2026-11-23 is a Monday.
    fn at(day: i8, hour: i8, minute: i8) -> DateTime {
        date(2026, 11, 23 + day).at(hour, minute, 0, 0)
    }

    #[test]
    fn hours_of_days() {
        let schedule: Schedule = "mon-fri 8:00-18:00; sat 9:30-12:00".parse().unwrap();
        assert!(schedule.has(at(0, 8, 0)) && schedule.has(at(4, 17, 59)) && schedule.has(at(5, 9, 30)));
        assert!(!schedule.has(at(0, 7, 59)) && !schedule.has(at(4, 18, 0)) && !schedule.has(at(6, 10, 0)));
    }

    #[test]
    fn nights_go_on_into_the_next_day() {
        let schedule: Schedule = "fri 22:00-6:00".parse().unwrap();
        assert!(schedule.has(at(4, 22, 0)) && schedule.has(at(5, 5, 59)));
        assert!(!schedule.has(at(4, 5, 0)) && !schedule.has(at(5, 6, 0)) && !schedule.has(at(5, 23, 0)));
        let whole: Schedule = "0:00-24:00".parse().unwrap();
        assert!((0..7).all(|day| whole.has(at(day, 0, 0)) && whole.has(at(day, 23, 59))));
        let sunday: Schedule = "sun 23:00-1:00".parse().unwrap();
        assert!(sunday.has(at(7, 0, 30)), "Monday is after Sunday");
    }

    #[test]
    fn schedules_are_written_as_they_are_read() {
        for text in ["mon,tue 8:00-18:00; 22:00-6:05", "sat-tue 0:00-24:00", "SUN 1:00-2:00"] {
            let schedule: Schedule = text.parse().unwrap();
            assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }
        for text in
            ["", "mon", "mon 8-18", "mon 8:00", "day 8:00-9:00", "8:00-8:00", "8:60-9:00", "24:00-1:00"]
        {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
