//! The desk where a store is looked through: its things in their groups, the marks that are given, and what
//! can be undone. What the page asks for is answered from here; the store is written at once.

use crate::class_names::{ClassNames, NameError};
use crate::export::{ExportError, Exported, export_folder};
use crate::families::Families;
use crate::grouping::{Detail, Place};
use crate::sheets::{Sheet, SheetOrder, Shown, Which, sheets};
use crate::things::{Thing, Things};
use crate::undo::{Change, Changes};
use anchorwatch_store::{Filter, Marks, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    #[error(
        "there is no picture with the number {0}: read the store again, it may have made room for others"
    )]
    NoThing(i64),
    #[error("no picture was named")]
    NoThings,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("there is nothing to undo")]
    NothingToUndo,
    #[error("no folder to export to was given when this program was started (--export DIR)")]
    NoExportFolder,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// What a person says of things.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Mark {
    /// They are of this class, which may be a new one.
    Label { class: String },
    /// They are not worth a label.
    Ignore {},
    /// They are to be kept longest, or not.
    Star { on: bool },
    /// Nothing yet: label and ignoring are taken back.
    Open {},
}

/// What the page shows besides the groups.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    /// The classes of the digits first.
    classes: Vec<String>,
    /// How many of them the model knows.
    known: usize,
    looked: usize,
    of: usize,
    /// The store has older things that were not read.
    are_more: bool,
    /// The change that would be undone.
    undo: Option<String>,
    units: Vec<String>,
    export: Option<PathBuf>,
}

/// What a change did.
#[derive(Debug, Serialize)]
pub(crate) struct Changed {
    /// What it was, for people.
    text: String,
    things: Vec<Shown>,
    overview: Overview,
}

pub(crate) struct Desk {
    store: Store,
    /// What is looked through.
    what: Filter,
    export: Option<PathBuf>,
    most: usize,
    of_the_model: Vec<String>,
    classes: ClassNames,
    things: Vec<Thing>,
    /// Where the thing of a number is.
    by_number: HashMap<i64, usize>,
    are_more: bool,
    families: Families,
    /// The last detail that was asked for, and its groups.
    grouped: Option<(Detail, Vec<Place>)>,
    changes: Changes,
}

impl Desk {
    /// Reads a store, and compares what is in it.
    pub(crate) fn open(
        store: Store,
        what: Filter,
        of_the_model: Vec<String>,
        export: Option<PathBuf>,
        most: usize,
    ) -> Result<Self, StoreError> {
        let mut desk = Self {
            store,
            what,
            export,
            most,
            classes: ClassNames::new(&of_the_model, &[]),
            of_the_model,
            things: Vec::new(),
            by_number: HashMap::new(),
            are_more: false,
            families: Families::default(),
            grouped: None,
            changes: Changes::default(),
        };
        desk.read()?;
        Ok(desk)
    }

    /// Reads the store again. What can be undone stays.
    pub(crate) fn read(&mut self) -> Result<(), StoreError> {
        let read = Things::read(&self.store, &self.what, self.most)?;
        self.families = Families::compare(&read.things, read.looks);
        self.grouped = None;
        self.by_number = read.things.iter().enumerate().map(|(place, thing)| (thing.number, place)).collect();
        self.classes = ClassNames::new(&self.of_the_model, &read.things);
        (self.things, self.are_more) = (read.things, read.are_more);
        Ok(())
    }

    pub(crate) fn overview(&self) -> Overview {
        let (known, new) = self.classes.in_use(&self.things);
        let units: BTreeSet<&String> = self.things.iter().map(|thing| &thing.unit).collect();
        Overview {
            classes: known.iter().chain(new).cloned().collect(),
            known: known.len(),
            looked: self.things.iter().filter(|thing| thing.is_done()).count(),
            of: self.things.len(),
            are_more: self.are_more,
            undo: self.changes.last().map(|change| change.text.clone()),
            units: units.into_iter().cloned().collect(),
            export: self.export.clone(),
        }
    }

    pub(crate) fn sheets(&mut self, detail: Detail, which: &Which, order: SheetOrder) -> Vec<Sheet> {
        let places = match self.grouped.take() {
            Some((grouped, places)) if grouped == detail => places,
            _ => self.families.places(detail),
        };
        let sheets = sheets(&self.things, &places, which, order);
        self.grouped = Some((detail, places));
        sheets
    }

    /// How many things there are.
    pub(crate) fn things(&self) -> usize {
        self.things.len()
    }

    pub(crate) fn thing(&self, number: i64) -> Option<&Thing> {
        self.by_number.get(&number).map(|place| &self.things[*place])
    }

    /// The file of a thing's picture.
    pub(crate) fn picture(&self, thing: &Thing) -> PathBuf {
        self.store.folder().join(&thing.picture)
    }

    /// All that the store knows of a thing.
    pub(crate) fn details(&self, number: i64) -> Result<serde_json::Value, DeskError> {
        let thing = self.thing(number).ok_or(DeskError::NoThing(number))?;
        let event = self.store.event(&thing.shown)?.ok_or(DeskError::NoThing(number))?;
        Ok(event.json())
    }

    /// Marks all of these things, or none.
    pub(crate) fn mark(&mut self, numbers: &[i64], mark: &Mark) -> Result<Changed, DeskError> {
        let numbers: BTreeSet<i64> = numbers.iter().copied().collect();
        if numbers.is_empty() {
            return Err(DeskError::NoThings);
        }
        if let Some(missing) = numbers.iter().find(|number| !self.by_number.contains_key(number)) {
            return Err(DeskError::NoThing(*missing));
        }
        let mark = match mark {
            Mark::Label { class } => Mark::Label { class: self.classes.meant(class)? },
            other => other.clone(),
        };
        let before: Vec<(i64, Marks)> =
            numbers.iter().filter_map(|number| Some((*number, self.thing(*number)?.marks.clone()))).collect();
        let after: Vec<(i64, Marks)> =
            before.iter().map(|(number, marks)| (*number, mark.applied_to(marks))).collect();
        self.write(&after)?;
        let text = mark.text(numbers.len());
        self.changes.push(Change { text: text.clone(), before });
        Ok(self.changed(text, &after))
    }

    /// Takes the last change back.
    pub(crate) fn undo(&mut self) -> Result<Changed, DeskError> {
        let change = self.changes.last().cloned().ok_or(DeskError::NothingToUndo)?;
        self.write(&change.before)?;
        self.changes.forget_last();
        Ok(self.changed(format!("undone: {}", change.text), &change.before))
    }

    pub(crate) fn export(&self) -> Result<Exported, DeskError> {
        let to = self.export.as_ref().ok_or(DeskError::NoExportFolder)?;
        Ok(export_folder(&self.store, to)?)
    }

    /// To the store first, then here. Things that have made room for others are passed over.
    fn write(&mut self, marks: &[(i64, Marks)]) -> Result<(), StoreError> {
        let there: Vec<(usize, &Marks)> =
            marks.iter().filter_map(|(number, marks)| Some((*self.by_number.get(number)?, marks))).collect();
        let events = there.iter().flat_map(|(place, marks)| {
            self.things[*place].events.iter().map(|event| (event.as_str(), *marks))
        });
        self.store.set_marks(events)?;
        for (place, marks) in there {
            self.things[place].marks = marks.clone();
        }
        Ok(())
    }

    fn changed(&self, text: String, marks: &[(i64, Marks)]) -> Changed {
        let things = marks.iter().filter_map(|(number, _)| self.thing(*number)).map(Shown::of).collect();
        Changed { text, things, overview: self.overview() }
    }
}

impl Mark {
    fn applied_to(&self, marks: &Marks) -> Marks {
        let marks = marks.clone();
        match self {
            Self::Label { class } => Marks { label: Some(class.clone()), ignored: false, ..marks },
            Self::Ignore {} => Marks { label: None, ignored: true, ..marks },
            Self::Star { on } => Marks { starred: *on, ..marks },
            Self::Open {} => Marks { label: None, ignored: false, ..marks },
        }
    }

    fn text(&self, count: usize) -> String {
        let pictures = if count == 1 { "1 picture".to_string() } else { format!("{count} pictures") };
        match self {
            Self::Label { class } => format!("{pictures}: {class}"),
            Self::Ignore {} => format!("{pictures} ignored"),
            Self::Star { on: true } => format!("{pictures} starred"),
            Self::Star { on: false } => format!("{pictures} not starred any more"),
            Self::Open {} => format!("{pictures} to be looked at again"),
        }
    }
}
