//! Known pictures of a field log, to calibrate with: samples of what was judged known (`run --keep-known`),
//! and what was flagged and then labelled as a known class: false alarms.
//!
//! The two were kept at different rates. Of the known judgements one in many is in the log, and it says how
//! many it stands for; of what was flagged everything is, and an event stands for its frames, with its worst
//! score. Taken with these weights they are as all judgements would be.

use super::logged_pictures::{self, Logged};
use crate::network::{Model, Scoring};
use crate::record::event_log::STANDS_FOR;
use anchorwatch_core::Verdict;
use anchorwatch_store::{Event, Filter, Kind, Store};
use std::fmt::Write;
use std::path::Path;

/// A known picture, judged.
#[derive(Clone, Copy, Debug)]
pub struct KnownPicture {
    /// What it shows.
    pub class: usize,
    /// What the model says of it.
    pub verdict: Verdict,
    /// How many judgements it stands for.
    pub stands_for: f64,
}

/// What a field log has of known things.
#[derive(Debug)]
pub struct KnownOfLog {
    /// Its pictures, as the model judges them.
    pub pictures: Vec<KnownPicture>,
    samples: Part,
    /// Samples that somebody has labelled as a known class.
    confirmed: usize,
    alarms: Part,
    /// Labelled as something that the model does not know.
    otherwise: usize,
    ignored: usize,
    /// Samples of classes that the model does not have.
    of_other_classes: usize,
    unusable: usize,
    anew: usize,
    /// Things that were flagged, and nobody has said what they are.
    not_looked_at: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    pictures: usize,
    stand_for: f64,
}

impl Part {
    fn add(&mut self, stands_for: f64) {
        self.pictures += 1;
        self.stand_for += stands_for;
    }
}

/// What becomes of an event.
enum Use {
    As(usize),
    Otherwise,
    Ignored,
    OfAnotherClass,
}

impl KnownOfLog {
    /// Reads a log, and judges what it has.
    ///
    /// # Errors
    /// If the log cannot be read, or the model fails.
    pub fn read(folder: &Path, model: &Model, threads: usize) -> anyhow::Result<Self> {
        let store = Store::attach(folder)?;
        let mut events =
            logged_pictures::events(&store, &Filter { sample: Some(true), ..Filter::default() })?;
        let labelled = Filter { sample: Some(false), labelled: Some(true), ..Filter::default() };
        events.extend(logged_pictures::events(&store, &labelled)?);
        let not_looked_at = |kind| {
            let (labelled, ignored) = (Some(false), Some(false));
            store.count(&Filter { kind: Some(kind), labelled, ignored, ..Filter::default() })
        };
        let mut read = Self {
            pictures: Vec::new(),
            samples: Part::default(),
            confirmed: 0,
            alarms: Part::default(),
            otherwise: 0,
            ignored: 0,
            of_other_classes: 0,
            unusable: 0,
            anew: 0,
            // What is gone has come before.
            not_looked_at: not_looked_at(Kind::Single)? + not_looked_at(Kind::Started)?,
        };
        let classes = &model.metadata().classes;
        let mut known = Vec::new();
        let mut taken = Vec::new();
        for event in events {
            match use_of(&event, classes) {
                Use::As(class) => {
                    known.push(class);
                    taken.push(event);
                }
                Use::Otherwise => read.otherwise += 1,
                Use::Ignored => read.ignored += 1,
                Use::OfAnotherClass => read.of_other_classes += 1,
            }
        }
        let Logged { logits, unusable, anew } = logged_pictures::logits(&store, &taken, model, threads)?;
        super::judge_pictures::tell_unusable(&unusable)?;
        read.anew = anew;
        let scoring = Scoring::new(model.metadata());
        let mut distances = vec![0.0; classes.len()];
        for ((class, event), logits) in known.into_iter().zip(&taken).zip(logits) {
            let Some(logits) = logits else {
                read.unusable += 1;
                continue;
            };
            let (verdict, stands_for) = (scoring.verdict(&logits, &mut distances)?, stands_for(event));
            read.pictures.push(KnownPicture { class, verdict, stands_for });
            if event.facts.kind == Kind::Known {
                read.samples.add(stands_for);
                read.confirmed += usize::from(event.marks.label.is_some());
            } else {
                read.alarms.add(stands_for);
            }
        }
        Ok(read)
    }

    /// What was taken and what was not, and what that means, for people.
    pub fn text(&self, folder: &Path) -> String {
        // Writing to a String cannot fail.
        let Self { samples, alarms, .. } = self;
        let mut text = format!("known pictures of the field log '{}':\n", folder.display());
        let _ = write!(
            text,
            "\n  samples      {:>6} of what was judged known, of {} judgements; {} of them somebody has labelled",
            samples.pictures, samples.stand_for, self.confirmed
        );
        let _ = write!(
            text,
            "\n  false alarms {:>6} flagged and then labelled as a known class, of {} judgements",
            alarms.pictures, alarms.stand_for
        );
        for (count, what) in [
            (self.otherwise, "labelled as something else"),
            (self.ignored, "set aside in the review"),
            (self.of_other_classes, "samples of classes that the model does not have"),
            (self.unusable, "without a picture that can be used"),
        ] {
            if count > 0 {
                let _ = write!(text, "\n  left out     {count:>6} {what}");
            }
        }
        if self.anew > 0 {
            let _ = write!(
                text,
                "\n  judged anew  {:>6} by their pictures: another model file had judged them",
                self.anew
            );
        }
        text.push_str(
            "\n\nSamples are what the threshold of then let through. What it flagged counts where somebody has labelled it",
        );
        if alarms.pictures == 0 {
            text.push_str(
                ", and nobody has: every share below is one of what passed already, and the threshold can only become smaller",
            );
        }
        text.push('.');
        if self.not_looked_at > 0 {
            let _ = write!(
                text,
                " {} flagged things have no label: if known ones are among them, the threshold comes out too small ('anchorwatch review').",
                self.not_looked_at
            );
        }
        if self.confirmed < samples.pictures {
            let _ = write!(
                text,
                " {} samples nobody has looked at: if unknown things are among them, it comes out too large ('anchorwatch review --known').",
                samples.pictures - self.confirmed
            );
        }
        text + "\n"
    }
}

fn use_of(event: &Event, classes: &[String]) -> Use {
    let place = |name: &String| classes.iter().position(|class| class == name);
    match (&event.marks.label, &event.facts.class) {
        (Some(label), _) => place(label).map_or(Use::Otherwise, Use::As),
        (None, _) if event.marks.ignored => Use::Ignored,
        (None, class) => class.as_ref().and_then(place).map_or(Use::OfAnotherClass, Use::As),
    }
}

/// A sample says it; something that was in view was judged in so many frames.
fn stands_for(event: &Event) -> f64 {
    let details = &event.facts.details;
    let told = match event.facts.kind {
        Kind::Known => details.get(STANDS_FOR),
        _ => details.get("summary").and_then(|summary| summary.get("frames")),
    };
    told.and_then(serde_json::Value::as_u64).unwrap_or(1).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_store::{Clock, Facts, Marks, Moment};
    use serde_json::json;

    fn event(kind: Kind, class: &str, marks: Marks) -> Event {
        let moment = Moment { utc_ms: 0, uptime_ms: 0, boot: String::new(), clock_set: true };
        let mut facts = Facts::new(kind, moment, "cam");
        facts.class = Some(class.to_string());
        Event {
            seq: 1,
            id: "u-0-1".into(),
            unit: "u".into(),
            facts,
            clock: Clock::Set,
            crop: None,
            crop_bytes: 0,
            crop_size: [0; 2],
            marks,
        }
    }

    #[test]
    fn a_label_goes_before_what_was_judged() {
        let classes = ["cat".to_string(), "dog".to_string()];
        let label = |label: &str| Marks { label: Some(label.into()), ..Marks::default() };
        let said = |class: &str, marks: Marks| match use_of(&event(Kind::Known, class, marks), &classes) {
            Use::As(class) => classes[class].as_str(),
            Use::Otherwise => "otherwise",
            Use::Ignored => "ignored",
            Use::OfAnotherClass => "of another class",
        };
        assert_eq!(said("dog", Marks::default()), "dog");
        assert_eq!(said("dog", label("cat")), "cat");
        assert_eq!(said("dog", label("kite")), "otherwise");
        assert_eq!(said("dog", Marks { ignored: true, ..Marks::default() }), "ignored");
        assert_eq!(said("owl", Marks::default()), "of another class");
        assert_eq!(said("owl", label("cat")), "cat");
    }

    #[test]
    fn each_stands_for_what_it_was_drawn_from() {
        let with = |kind, name: &str, value| {
            let mut event = event(kind, "dog", Marks::default());
            event.facts.details.insert(name.into(), value);
            stands_for(&event)
        };
        assert_eq!(with(Kind::Known, STANDS_FOR, json!(700)), 700.0);
        assert_eq!(with(Kind::Finished, "summary", json!({ "frames": 12, "unknown_frames": 9 })), 12.0);
        // Without a word, or with a wrong one, for itself.
        assert_eq!(with(Kind::Known, STANDS_FOR, json!("many")), 1.0);
        assert_eq!(with(Kind::Known, STANDS_FOR, json!(0)), 1.0);
        assert_eq!(with(Kind::Single, "x", json!(5)), 1.0);
    }
}
