//! A row of the lake: an event, with its picture if that is kept there too.

use crate::LakeError;
use anchorwatch_store::{Clock, Crop, Event, Marks, NewEvent};
use std::time::{SystemTime, UNIX_EPOCH};

/// A row of the lake.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The event.
    pub event: Event,
    /// Its picture, if its bytes are to be in the lake.
    pub picture: Option<Crop>,
    /// When it came here, in milliseconds since 1970, UTC: of several copies the latest counts.
    pub received_ms: i64,
}

impl Entry {
    /// An event that has come from a unit, now.
    ///
    /// # Errors
    /// If it does not say who recorded it.
    pub fn received(new: NewEvent) -> Result<Self, LakeError> {
        let identity = new.identity.ok_or(LakeError::NoIdentity)?;
        let clock = if new.facts.moment.clock_set { Clock::Set } else { Clock::Unset };
        let event = Event {
            seq: 0,
            id: identity.id,
            unit: identity.unit,
            facts: new.facts,
            clock,
            crop: None,
            crop_bytes: new.crop.as_ref().map_or(0, |crop| crop.bytes.len() as u64),
            crop_size: new.crop.as_ref().map_or([0; 2], |crop| crop.size),
            marks: Marks::default(),
        };
        Ok(Self { event, picture: new.crop, received_ms: now_ms() })
    }

    /// An event of a field log, now, with its picture if that is to be in the lake.
    pub fn recorded(event: Event, picture: Option<Crop>) -> Self {
        Self { event, picture, received_ms: now_ms() }
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        let facts = &self.event.facts;
        let numbers = facts.distances.len() + facts.logits.len() + facts.embedding.len();
        512 + 4 * numbers + self.picture.as_ref().map_or(0, |picture| picture.bytes.len())
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
