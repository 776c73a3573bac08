//! Contact sheets: the groups as the page shows them, filtered and in order.

use crate::grouping::Place;
use crate::things::Thing;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which things are shown; all conditions must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Which {
    unit: Option<String>,
    /// Milliseconds since 1970, UTC.
    since_ms: Option<i64>,
    /// Before this.
    until_ms: Option<i64>,
    /// Of score ÷ threshold.
    least_score: Option<f32>,
    most_score: Option<f32>,
    /// Those that somebody has looked at, too.
    done: bool,
}

/// Which group comes first.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SheetOrder {
    /// The biggest.
    #[default]
    Biggest,
    /// The one with the largest scores.
    MostUnknown,
}

/// A group.
#[derive(Debug, Serialize)]
pub(crate) struct Sheet {
    group: usize,
    /// The known class that most of it is most like.
    class: Option<String>,
    /// The median of score ÷ threshold.
    score: Option<f32>,
    /// The most typical first.
    things: Vec<Shown>,
}

/// What the page needs of a thing.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    number: i64,
    score: Option<f32>,
    class: Option<String>,
    unit: String,
    time_ms: i64,
    label: Option<String>,
    ignored: bool,
    starred: bool,
}

impl Which {
    fn admits(&self, thing: &Thing) -> bool {
        let score = |compare: fn(&f32, &f32) -> bool, limit: Option<f32>| {
            limit.is_none_or(|limit| thing.score.is_some_and(|score| compare(&score, &limit)))
        };
        (self.done || !thing.is_done())
            && self.unit.as_ref().is_none_or(|unit| *unit == thing.unit)
            && self.since_ms.is_none_or(|since| thing.time_ms >= since)
            && self.until_ms.is_none_or(|until| thing.time_ms < until)
            && score(f32::ge, self.least_score)
            && score(f32::le, self.most_score)
    }
}

impl Shown {
    pub(crate) fn of(thing: &Thing) -> Self {
        Self {
            number: thing.number,
            score: thing.score,
            class: thing.class.clone(),
            unit: thing.unit.clone(),
            time_ms: thing.time_ms,
            label: thing.marks.label.clone(),
            ignored: thing.marks.ignored,
            starred: thing.marks.starred,
        }
    }
}

/// The sheets of all groups that have something to show.
pub(crate) fn sheets(things: &[Thing], places: &[Place], which: &Which, order: SheetOrder) -> Vec<Sheet> {
    let mut groups: BTreeMap<usize, Vec<(f32, &Thing)>> = BTreeMap::new();
    for (thing, place) in things.iter().zip(places).filter(|(thing, _)| which.admits(thing)) {
        groups.entry(place.group).or_default().push((place.distance, thing));
    }
    let mut sheets: Vec<Sheet> = groups.into_iter().map(|(group, members)| sheet(group, members)).collect();
    // Stable: of equal ones, the group with the smaller number.
    match order {
        SheetOrder::Biggest => sheets.sort_by_key(|sheet| std::cmp::Reverse(sheet.things.len())),
        SheetOrder::MostUnknown => sheets
            .sort_by(|one, other| other.score.unwrap_or_default().total_cmp(&one.score.unwrap_or_default())),
    }
    sheets
}

fn sheet(group: usize, mut members: Vec<(f32, &Thing)>) -> Sheet {
    members.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.number.cmp(&other.1.number)));
    let mut classes: BTreeMap<&String, usize> = BTreeMap::new();
    for class in members.iter().filter_map(|(_, thing)| thing.class.as_ref()) {
        *classes.entry(class).or_default() += 1;
    }
    let mut scores: Vec<f32> = members.iter().filter_map(|(_, thing)| thing.score).collect();
    scores.sort_by(f32::total_cmp);
    Sheet {
        group,
        class: classes.iter().max_by_key(|(_, count)| **count).map(|(class, _)| (*class).clone()),
        score: scores.get(scores.len() / 2).copied(),
        things: members.into_iter().map(|(_, thing)| Shown::of(thing)).collect(),
    }
}
