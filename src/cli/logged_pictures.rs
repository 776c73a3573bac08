//! Pictures of a field log, as a model judges them: by the logits that it gave then, where it is the same
//! model, and otherwise by their crops.

use super::judge_pictures::{Unusable, judge_pictures};
use crate::network::Model;
use anchorwatch_store::{DATABASE, Event, Filter, Kind, Order, Store};
use std::collections::BTreeSet;
use std::path::Path;

/// Whether this folder is a field log.
pub fn is_log(folder: &Path) -> bool {
    folder.join(DATABASE).is_file()
}

/// The events that a filter lets through, the oldest first. What came into view and is gone counts once, as
/// what is gone.
///
/// # Errors
/// If the log cannot be read.
pub fn events(store: &Store, filter: &Filter) -> anyhow::Result<Vec<Event>> {
    let mut events: Vec<Event> = Vec::new();
    store.each(filter, Order::Oldest, |event| {
        events.push(event);
        Ok(())
    })?;
    let ended: BTreeSet<String> = events.iter().filter_map(|event| event.facts.ends.clone()).collect();
    events.retain(|event| event.facts.kind != Kind::Started || !ended.contains(&event.id));
    Ok(events)
}

/// What a model says of events.
pub struct Logged {
    /// The logits of each, in their order; nothing of those that have no picture, or none that can be used.
    pub logits: Vec<Option<Vec<f32>>>,
    /// Pictures that cannot be used.
    pub unusable: Vec<Unusable>,
    /// How many were judged anew, by their pictures.
    pub anew: usize,
}

/// The logits of events.
///
/// # Errors
/// If the model fails.
pub fn logits(store: &Store, events: &[Event], model: &Model, threads: usize) -> anyhow::Result<Logged> {
    let kept = |event: &Event| {
        let facts = &event.facts;
        let is_its = facts.model == model.id() && facts.logits.len() == model.metadata().logits();
        is_its.then(|| facts.logits.clone())
    };
    let mut logits: Vec<Option<Vec<f32>>> = events.iter().map(kept).collect();
    let without = (0..events.len()).filter(|at| logits[*at].is_none());
    let crop = |at: usize| Some((at, store.folder().join(events[at].crop.as_ref()?)));
    let (places, files): (Vec<_>, Vec<_>) = without.filter_map(crop).unzip();
    let files: Vec<&Path> = files.iter().map(|file| file.as_path()).collect();
    let (judgements, unusable) = judge_pictures(model, &files, threads)?;
    let mut anew = 0;
    for (at, judgement) in places.into_iter().zip(judgements) {
        anew += usize::from(judgement.is_some());
        logits[at] = judgement.map(|judgement| judgement.logits);
    }
    Ok(Logged { logits, unusable, anew })
}
