//! The figures of what is sent and collected, for who shows them.

use crate::MqttError;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};

/// What a sender did since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Whether there is a connection to the broker.
    pub connected: bool,
    /// Events that the broker has acknowledged, with their thumbnails.
    pub events: u64,
    /// Whole crops that it has acknowledged.
    pub crops: u64,
    /// Bytes of all messages.
    pub bytes: u64,
    /// Events that wait in the store.
    pub unsent: u64,
    /// Pictures that were passed over: damaged, larger than the broker takes, or refused.
    pub passed_over: u64,
    /// Connections that were made.
    pub connections: u64,
    /// What is wrong now; nothing when all is well.
    pub problem: Option<String>,
    /// What was wrong last.
    pub last_error: Option<String>,
}

/// What a collector did since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Whether there is a connection to the broker.
    pub connected: bool,
    /// Events that were kept; those that came twice are counted twice.
    pub events: u64,
    /// Thumbnails and crops that were kept.
    pub pictures: u64,
    /// Messages that were refused: no event, no picture, another unit's.
    pub refused: u64,
    /// Why the last one was refused.
    pub last_refusal: Option<String>,
    /// Connections that were made.
    pub connections: u64,
    /// What is wrong now; nothing when all is well.
    pub problem: Option<String>,
    /// What was wrong last.
    pub last_error: Option<String>,
}

/// Figures that one thread writes and others read.
#[derive(Debug, Default)]
pub(crate) struct Board<F>(Arc<Mutex<F>>);

impl<F> Clone for Board<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F: Clone> Board<F> {
    pub(crate) fn read(&self) -> F {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut F)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Board<Sent> {
    pub(crate) fn trouble(&self, error: &MqttError) {
        let text = error.to_string();
        self.change(|sent| {
            sent.problem = Some(text.clone());
            sent.last_error = Some(text);
        });
    }
}

impl Board<Collected> {
    pub(crate) fn trouble(&self, error: &MqttError) {
        let text = error.to_string();
        self.change(|collected| {
            collected.problem = Some(text.clone());
            collected.last_error = Some(text);
        });
    }

    pub(crate) fn refusal(&self, topic: &str, reason: &str) {
        // The topic is from outside: short, and nothing that a terminal would obey.
        let topic: String = topic.chars().filter(|c| !c.is_control()).take(200).collect();
        let text = format!("a message to '{topic}' is refused: {reason}");
        log::warn!("{text}");
        self.change(|collected| {
            collected.refused += 1;
            collected.last_refusal = Some(text);
        });
    }
}
