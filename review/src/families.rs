//! Families: things whose looks can be compared, because one model saw them. Each has a tree of its own.
//! Things without a look are grouped by the class that they are most like.

use crate::directions::Directions;
use crate::grouping::{Detail, Place, Tree};
use crate::things::{Look, LookKind, Thing};
use std::collections::BTreeMap;

/// All families of a store.
#[derive(Debug, Default)]
pub(crate) struct Families {
    /// Places in the list of things, and the tree of these.
    alike: Vec<(Vec<usize>, Tree)>,
    /// Places of those without a look.
    by_class: Vec<Vec<usize>>,
    count: usize,
}

impl Families {
    /// Compares things; `looks` has one place for each.
    pub(crate) fn compare(things: &[Thing], looks: Vec<Option<Look>>) -> Self {
        let mut families: BTreeMap<LookKind, (Vec<usize>, Directions)> = BTreeMap::new();
        let mut by_class: BTreeMap<Option<&String>, Vec<usize>> = BTreeMap::new();
        for (place, (thing, look)) in things.iter().zip(looks).enumerate() {
            let Some(look) = look else {
                by_class.entry(thing.class.as_ref()).or_default().push(place);
                continue;
            };
            let dimensions = look.kind.dimensions;
            let (members, directions) =
                families.entry(look.kind).or_insert_with(|| (Vec::new(), Directions::new(dimensions)));
            members.push(place);
            directions.push(&look.vector);
        }
        Self {
            alike: families
                .into_values()
                .map(|(members, directions)| (members, Tree::grow(directions)))
                .collect(),
            by_class: by_class.into_values().collect(),
            count: things.len(),
        }
    }

    /// The place of each thing; groups of different families have different numbers.
    pub(crate) fn places(&self, detail: Detail) -> Vec<Place> {
        let mut places = vec![Place { group: 0, distance: 0.0 }; self.count];
        let mut first = 0;
        for (members, tree) in &self.alike {
            let groups = tree.groups(detail);
            for (member, place) in members.iter().zip(&groups) {
                places[*member] = Place { group: first + place.group, ..*place };
            }
            first += groups.iter().map(|place| place.group + 1).max().unwrap_or(0);
        }
        for (group, members) in self.by_class.iter().enumerate() {
            for member in members {
                places[*member].group = first + group;
            }
        }
        places
    }
}
