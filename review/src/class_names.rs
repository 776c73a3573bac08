//! Names of classes: what a person may call one, and which there are.

use crate::things::Thing;
use anchorwatch_store::folder_name;
use std::collections::BTreeSet;

/// Characters that a name has at most.
const LONGEST: usize = 64;
/// What exports call those that have no class.
const RESERVED: &str = "unlabelled";

/// Why a name is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NameError {
    #[error("a class needs a name")]
    Empty,
    #[error("a class's name has at most {LONGEST} characters")]
    Long,
    #[error(
        "a class's name becomes that of a folder: no '/', '\\' or control characters, no '.' at its start"
    )]
    NoFolder,
    #[error("'{RESERVED}' is what exports call pictures without a class: take another name")]
    Reserved,
}

/// The classes that there are: the model's, those the model named in this store, and a person's.
#[derive(Debug)]
pub(crate) struct ClassNames {
    known: Vec<String>,
    /// In the order of their first use; some may not be in use any more.
    new: Vec<String>,
}

impl ClassNames {
    /// Those of the model first, in its order.
    pub(crate) fn new(of_the_model: &[String], things: &[Thing]) -> Self {
        let mut names = Self { known: of_the_model.to_vec(), new: Vec::new() };
        let named: BTreeSet<&String> = things.iter().filter_map(|thing| thing.class.as_ref()).collect();
        for name in named {
            if !names.known.contains(name) {
                names.known.push(name.clone());
            }
        }
        names.add_labels(things);
        names
    }

    /// Takes in the classes that persons gave.
    pub(crate) fn add_labels(&mut self, things: &[Thing]) {
        let given: BTreeSet<&String> = things.iter().filter_map(|thing| thing.marks.label.as_ref()).collect();
        for name in given {
            if !self.known.contains(name) && !self.new.contains(name) {
                self.new.push(name.clone());
            }
        }
    }

    /// The class that a person means, which may be a new one: spaces around it and capitals do not make
    /// another class.
    pub(crate) fn meant(&mut self, name: &str) -> Result<String, NameError> {
        let name = name.trim();
        let same = |there: &&String| there.to_lowercase() == name.to_lowercase();
        if let Some(there) = self.known.iter().chain(&self.new).find(same) {
            return Ok(there.clone());
        }
        check(name)?;
        self.new.push(name.to_string());
        Ok(name.to_string())
    }

    /// The known ones, and the new ones that are in use.
    pub(crate) fn in_use(&self, things: &[Thing]) -> (&[String], Vec<&String>) {
        let used: BTreeSet<&String> = things.iter().filter_map(|thing| thing.marks.label.as_ref()).collect();
        (&self.known, self.new.iter().filter(|name| used.contains(name)).collect())
    }
}

fn check(name: &str) -> Result<(), NameError> {
    match () {
        () if name.is_empty() => Err(NameError::Empty),
        () if name.chars().count() > LONGEST => Err(NameError::Long),
        () if folder_name(name) != name => Err(NameError::NoFolder),
        () if name.to_lowercase() == RESERVED => Err(NameError::Reserved),
        () => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_again_or_checked() {
        let mut names = ClassNames::new(&["Cat".into(), "dog".into()], &[]);
        assert_eq!(names.meant(" cat "), Ok("Cat".into()));
        assert_eq!(names.meant("Garden hose"), Ok("Garden hose".into()));
        assert_eq!(names.meant("garden HOSE"), Ok("Garden hose".into()));
        assert_eq!(names.meant("  "), Err(NameError::Empty));
        for bad in ["../up", "a/b", "a\\b", ".hidden", "two\nlines"] {
            assert_eq!(names.meant(bad), Err(NameError::NoFolder), "{bad}");
        }
        assert_eq!(names.meant("Unlabelled"), Err(NameError::Reserved));
        assert_eq!(names.meant(&"ü".repeat(65)), Err(NameError::Long));
        assert_eq!(names.meant(&"ü".repeat(64)), Ok("ü".repeat(64)));
    }
}
