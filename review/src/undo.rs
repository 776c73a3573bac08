//! What can be undone: for each change, the marks that the things had before.
//!
//! It is in memory: reloading the page, or opening it on another device, loses nothing; ending the program
//! ends it. A file of it would have to agree with the database after every power cut, and with what other
//! programs have marked since. No label is lost with it: all are in the store.

use anchorwatch_store::Marks;
use std::collections::VecDeque;

/// Changes that are kept.
const MOST: usize = 1000;

/// A change, and how to take it back.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// What it was, for people.
    pub(crate) text: String,
    /// The things' numbers and the marks that they had.
    pub(crate) before: Vec<(i64, Marks)>,
}

/// The last changes.
#[derive(Debug, Default)]
pub(crate) struct Changes(VecDeque<Change>);

impl Changes {
    /// Keeps one more; the oldest goes when there are many.
    pub(crate) fn push(&mut self, change: Change) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(change);
    }

    /// The last one, which stays until it is [`Changes::forget_last`].
    pub(crate) fn last(&self) -> Option<&Change> {
        self.0.back()
    }

    /// It has been taken back.
    pub(crate) fn forget_last(&mut self) {
        self.0.pop_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_goes_first_and_the_oldest_are_forgotten() {
        let mut changes = Changes::default();
        assert!(changes.last().is_none());
        for number in 0..MOST as i64 + 5 {
            changes.push(Change { text: number.to_string(), before: vec![(number, Marks::default())] });
        }
        for number in (5..MOST as i64 + 5).rev() {
            assert_eq!(changes.last().map(|change| change.text.clone()), Some(number.to_string()));
            changes.forget_last();
        }
        assert!(changes.last().is_none());
    }
}
