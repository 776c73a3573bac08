//! Things to look through: each was seen once, and has one picture. A thing that came and went is two
//! events, of which the later has the better picture.

use anchorwatch_store::{Event, Filter, Kind, Marks, Order, Store, StoreError};
use std::collections::HashMap;

/// Events that are read at once.
const A_PAGE: usize = 500;

/// Something that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    /// The number of its first event: it stays the same when the second comes.
    pub(crate) number: i64,
    /// The identifiers of its events; a mark is given to all of them.
    pub(crate) events: Vec<String>,
    /// The event that the picture is of.
    pub(crate) shown: String,
    /// The picture's file, relative to the store's folder.
    pub(crate) picture: String,
    pub(crate) picture_size: [u32; 2],
    pub(crate) unit: String,
    pub(crate) time_ms: i64,
    /// Score ÷ threshold.
    pub(crate) score: Option<f32>,
    /// The known class that it is most like.
    pub(crate) class: Option<String>,
    pub(crate) marks: Marks,
}

impl Thing {
    /// Whether somebody has looked at it.
    pub(crate) fn is_done(&self) -> bool {
        self.marks.label.is_some() || self.marks.ignored
    }
}

/// What things are compared by. Only those with the same kind of it can be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Look {
    pub(crate) kind: LookKind,
    pub(crate) vector: Vec<f32>,
}

/// Vectors of two models, or an embedding and logits, say nothing of each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LookKind {
    model: String,
    is_embedding: bool,
    pub(crate) dimensions: usize,
}

/// What a store has to look through.
#[derive(Debug, Default)]
pub(crate) struct Things {
    /// The newest first.
    pub(crate) things: Vec<Thing>,
    /// What each looks like, if the model said it.
    pub(crate) looks: Vec<Option<Look>>,
    /// Whether there are older ones.
    pub(crate) are_more: bool,
}

impl Things {
    /// Reads the newest things with a picture, at most so many.
    pub(crate) fn read(store: &Store, filter: &Filter, most: usize) -> Result<Self, StoreError> {
        let filter = Filter { with_crop: Some(true), ..filter.clone() };
        let mut read = Self::default();
        let mut starts: HashMap<String, usize> = HashMap::new();
        let mut after = None;
        loop {
            let page = store.page(&filter, Order::Newest, after, A_PAGE)?;
            for event in page.events {
                let start = match event.facts.kind {
                    Kind::Started => Some(event.id.clone()),
                    Kind::Finished => event.facts.ends.clone(),
                    _ => None,
                };
                if let Some(place) = start.as_ref().and_then(|start| starts.get(start)) {
                    read.join(*place, event);
                    continue;
                }
                if read.things.len() == most {
                    read.are_more = true;
                    return Ok(read);
                }
                if let Some(start) = start {
                    starts.insert(start, read.things.len());
                }
                read.add(event);
            }
            after = page.next;
            if after.is_none() {
                return Ok(read);
            }
        }
    }

    fn add(&mut self, event: Event) {
        if let Some((thing, look)) = thing(event) {
            self.things.push(thing);
            self.looks.push(look);
        }
    }

    /// The other event of a thing has come up.
    fn join(&mut self, place: usize, event: Event) {
        let is_end = event.facts.kind == Kind::Finished;
        let Some((mut other, look)) = thing(event) else { return };
        let thing = &mut self.things[place];
        if is_end {
            std::mem::swap(thing, &mut other);
            self.looks[place] = look;
        }
        thing.number = thing.number.min(other.number);
        thing.events.append(&mut other.events);
        thing.marks.label = thing.marks.label.take().or(other.marks.label);
        thing.marks.starred |= other.marks.starred;
        thing.marks.ignored = (thing.marks.ignored || other.marks.ignored) && thing.marks.label.is_none();
    }
}

fn thing(event: Event) -> Option<(Thing, Option<Look>)> {
    let score = event.relative_score();
    let facts = event.facts;
    let is_embedding = !facts.embedding.is_empty();
    let vector = if is_embedding { facts.embedding } else { facts.logits };
    let kind = LookKind { model: facts.model, is_embedding, dimensions: vector.len() };
    let look = (!vector.is_empty()).then_some(Look { kind, vector });
    let thing = Thing {
        number: event.seq,
        events: vec![event.id.clone()],
        shown: event.id,
        picture: event.crop?,
        picture_size: event.crop_size,
        unit: event.unit,
        time_ms: facts.moment.utc_ms,
        score,
        class: facts.class,
        marks: event.marks,
    };
    Some((thing, look))
}
