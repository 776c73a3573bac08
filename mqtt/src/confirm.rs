//! Which messages the broker has answered, and which events may be marked as sent for it.
//!
//! An event is confirmed when event and thumbnail were acknowledged **and** the broker then answered
//! something that was sent after that. A broker that keeps its state on the disk acknowledges first and
//! writes in the same round of its loop; killed in between, it has forgotten what it acknowledged. When
//! it answers a later message, that round is over.

use anchorwatch_store::Event;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// What is to be marked in the store.
#[derive(Debug)]
pub(crate) enum Item {
    Event(Box<Event>),
    Crop { unit: String, id: String },
}

impl Item {
    fn unit(&self) -> &str {
        match self {
            Self::Event(event) => &event.unit,
            Self::Crop { unit, .. } => unit,
        }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Event,
    Thumbnail,
    Crop,
    /// Nothing waits for it.
    Other,
}

/// A message that was handed over.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) role: Role,
    pub(crate) topic: String,
    pub(crate) unit: String,
    /// What it belongs to.
    pub(crate) item: Option<u64>,
    pub(crate) bytes: usize,
    /// Later handed over is larger.
    number: u64,
}

#[derive(Debug)]
struct Waiting {
    item: Item,
    /// Messages of it that the broker has not answered.
    unanswered: usize,
    /// The last message that was handed over when the last of them was answered.
    answered_at: Option<u64>,
}

/// All that is on its way.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    items: BTreeMap<u64, Waiting>,
    handed: VecDeque<Letter>,
    in_flight: HashMap<u16, Letter>,
    last_item: u64,
    last_letter: u64,
}

impl Ledger {
    /// Something to be marked when its messages are confirmed. Returns its number.
    pub(crate) fn begin(&mut self, item: Item, messages: usize) -> u64 {
        self.last_item += 1;
        self.items.insert(self.last_item, Waiting { item, unanswered: messages, answered_at: None });
        self.last_item
    }

    /// A message is handed over.
    pub(crate) fn hand(&mut self, role: Role, topic: &str, unit: &str, item: Option<u64>, bytes: usize) {
        self.last_letter += 1;
        let (topic, unit) = (topic.to_string(), unit.to_string());
        self.handed.push_back(Letter { role, topic, unit, item, bytes, number: self.last_letter });
    }

    /// The next message that was handed over has this packet identifier.
    pub(crate) fn published(&mut self, packet: u16) {
        if let Some(letter) = self.handed.pop_front() {
            self.in_flight.insert(packet, letter);
        }
    }

    /// The broker has answered; which message, and what it confirms.
    pub(crate) fn answered(&mut self, packet: u16) -> Option<(Letter, Vec<Item>)> {
        let letter = self.in_flight.remove(&packet)?;
        let confirmed = |waiting: &Waiting| waiting.answered_at.is_some_and(|at| at < letter.number);
        let keys: Vec<u64> =
            self.items.iter().filter(|(_, waiting)| confirmed(waiting)).map(|(key, _)| *key).collect();
        let items =
            keys.iter().filter_map(|key| self.items.remove(key)).map(|waiting| waiting.item).collect();
        Some((letter, items))
    }

    /// The broker has taken one message of an item.
    pub(crate) fn settle(&mut self, item: Option<u64>) {
        if let Some(waiting) = item.and_then(|item| self.items.get_mut(&item)) {
            waiting.unanswered = waiting.unanswered.saturating_sub(1);
            if waiting.unanswered == 0 {
                waiting.answered_at = Some(self.last_letter);
            }
        }
    }

    /// An item will not be confirmed.
    pub(crate) fn give_up(&mut self, item: Option<u64>) {
        item.and_then(|item| self.items.remove(&item));
    }

    /// Nothing of this unit will be confirmed.
    pub(crate) fn give_up_unit(&mut self, unit: &str) {
        self.items.retain(|_, waiting| waiting.item.unit() != unit);
    }

    /// Messages that the broker has not answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.handed.len() + self.in_flight.len()
    }

    /// Their bytes.
    pub(crate) fn unanswered_bytes(&self) -> usize {
        self.in_flight.values().chain(&self.handed).map(|letter| letter.bytes).sum()
    }

    /// Whether nothing waits to be confirmed.
    pub(crate) fn is_settled(&self) -> bool {
        self.items.is_empty()
    }

    /// Everything was answered, and needs one more answer to be confirmed.
    pub(crate) fn needs_an_answer(&self) -> bool {
        self.unanswered() == 0 && self.items.values().any(|waiting| waiting.answered_at.is_some())
    }

    /// Events that were answered and are not confirmed.
    pub(crate) fn answered_events(&self) -> u64 {
        let answered =
            |waiting: &&Waiting| waiting.answered_at.is_some() && matches!(waiting.item, Item::Event(_));
        self.items.values().filter(answered).count() as u64
    }

    /// The message that has waited longest: it may be why a connection broke.
    pub(crate) fn oldest(&self) -> Option<&Letter> {
        self.in_flight.values().chain(&self.handed).min_by_key(|letter| letter.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crop(unit: &str) -> Item {
        Item::Crop { unit: unit.to_string(), id: format!("{unit}-1") }
    }

    #[test]
    fn an_answer_confirms_what_was_answered_before_its_message_was_sent() {
        let mut ledger = Ledger::default();
        let first = ledger.begin(crop("a"), 2);
        ledger.hand(Role::Event, "t", "a", Some(first), 5);
        ledger.hand(Role::Thumbnail, "t", "a", Some(first), 5);
        let second = ledger.begin(crop("b"), 1);
        ledger.hand(Role::Event, "t", "b", Some(second), 5);
        (1..=3).for_each(|packet| ledger.published(packet));
        assert_eq!((ledger.unanswered(), ledger.unanswered_bytes()), (3, 15));
        for packet in 1..=3 {
            let (letter, confirmed) = ledger.answered(packet).unwrap();
            assert!(confirmed.is_empty(), "all were on their way before the first answer");
            ledger.settle(letter.item);
        }
        assert!(ledger.needs_an_answer() && !ledger.is_settled());
        ledger.hand(Role::Other, "status", "a", None, 5);
        assert!(!ledger.needs_an_answer());
        ledger.published(4);
        let (_, confirmed) = ledger.answered(4).unwrap();
        assert_eq!(confirmed.len(), 2);
        assert!(ledger.is_settled() && ledger.answered(4).is_none());
    }

    #[test]
    fn what_was_given_up_is_not_confirmed() {
        let mut ledger = Ledger::default();
        let item = ledger.begin(crop("a"), 1);
        let other = ledger.begin(crop("b"), 1);
        ledger.hand(Role::Event, "t", "a", Some(item), 1);
        ledger.hand(Role::Event, "t", "b", Some(other), 1);
        ledger.published(1);
        ledger.published(2);
        ledger.give_up_unit("a");
        let (letter, _) = ledger.answered(1).unwrap();
        ledger.settle(letter.item);
        ledger.give_up(Some(other));
        let (letter, confirmed) = ledger.answered(2).unwrap();
        ledger.settle(letter.item);
        assert!(confirmed.is_empty() && ledger.is_settled() && !ledger.needs_an_answer());
    }
}
