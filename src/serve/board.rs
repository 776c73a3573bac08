//! What the page shows: the newest frame with its regions, scores over time, the last events, figures.
//! The run tells it what happens; the server's thread reads it. Pictures are kept only while somebody
//! looks, and become JPEG only when they are asked for.

use crate::capture::{Frame, Moment};
use crate::pipeline::{Happening, Tally};
use crate::vision::Region;
use crate::watch::Sighting;
use anchorwatch_core::Verdict;
#[cfg(feature = "mqtt")]
use anchorwatch_mqtt::Sent;
use image::RgbImage;
use image::imageops::crop_imm;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
#[cfg(feature = "mqtt")]
use std::sync::OnceLock;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Frames whose scores are shown.
const HISTORY: usize = 600;
/// Events that are shown.
const EVENTS: usize = 20;
/// A frame is kept for whoever looked so lately.
const LOOKED: Duration = Duration::from_secs(3);
/// Without a frame for so long, it is not well.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells how sending home goes.
#[cfg(feature = "mqtt")]
type Reporter = Box<dyn Fn() -> Sent + Send + Sync>;

/// What is shown of a run.
pub struct Board {
    classes: Vec<String>,
    tries: Sender<Option<f32>>,
    #[cfg(feature = "mqtt")]
    sent: OnceLock<Reporter>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When somebody last asked.
    looked: Option<Instant>,
    frame: Option<Value>,
    picture: Option<Arc<RgbImage>>,
    index: Option<u64>,
    regions: Vec<Value>,
    history: VecDeque<(f64, Option<f32>)>,
    events: VecDeque<Event>,
    told: u64,
    tally: Tally,
}

#[derive(Debug)]
struct Event {
    number: u64,
    region: u32,
    began: Moment,
    class: Option<usize>,
    relative_score: f32,
    seconds: Option<f64>,
    crop: Arc<RgbImage>,
}

impl Board {
    /// A board that shows nothing yet but a run's first `tally`. Thresholds to try are sent to `tries`;
    /// `None` puts the configured one back.
    pub fn new(classes: &[String], tally: Tally, tries: Sender<Option<f32>>) -> Self {
        let state = State {
            looked: None,
            frame: None,
            picture: None,
            index: None,
            regions: Vec::new(),
            history: VecDeque::new(),
            events: VecDeque::new(),
            told: 0,
            tally,
        };
        Self {
            classes: classes.to_vec(),
            tries,
            #[cfg(feature = "mqtt")]
            sent: OnceLock::new(),
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what happened.
    pub fn tell(&self, happening: &Happening<'_>, tally: &Tally) {
        let mut state = self.lock();
        match happening {
            Happening::Judged { frame, region, verdict, background, single } => {
                state.judged(frame, *region, verdict, *background, &self.classes);
                if *single && verdict.is_unknown() && !background {
                    let Region { x, y, width, height, .. } = *region;
                    let crop = crop_imm(&frame.picture, x, y, width, height).to_image();
                    state.add(Event {
                        number: 0,
                        region: region.id,
                        began: frame.captured,
                        class: verdict.class,
                        relative_score: verdict.relative_score(),
                        seconds: Some(0.0),
                        crop: Arc::new(crop),
                    });
                }
            }
            Happening::Started(sighting) => state.add(event(sighting, None)),
            Happening::Finished(sighting) => {
                let finished = event(sighting, Some(sighting.seconds()));
                let is_same = |shown: &&mut Event| {
                    shown.region == finished.region && shown.began.uptime == finished.began.uptime
                };
                if let Some(shown) = state.events.iter_mut().find(is_same) {
                    *shown = Event { number: shown.number, ..finished };
                }
            }
            Happening::Round => state.tally = tally.clone(),
            Happening::Skipped(_) | Happening::Notice(_) => {}
        }
    }

    /// From now on, `reporter` is asked how sending home goes, when somebody looks.
    #[cfg(feature = "mqtt")]
    pub fn ask(&self, reporter: Reporter) {
        let _ = self.sent.set(reporter); // the first one stays
    }

    /// How sending home goes, if anything is sent.
    #[cfg(feature = "mqtt")]
    pub fn sent(&self) -> Option<Sent> {
        self.sent.get().map(|sent| sent())
    }

    /// Whether frames come: with the seconds since the last one.
    pub fn health(&self) -> (bool, Option<f64>) {
        let state = self.lock();
        let age = state.tally.last_frame.map(|last| last.age());
        (age.is_some_and(|age| age < PATIENCE), age.map(|age| age.as_secs_f64()))
    }

    /// Everything but the pictures, as the page's script takes it.
    pub fn status(&self) -> Value {
        let (healthy, _) = self.health();
        let figures = self.figures();
        let mut state = self.lock();
        state.looked = Some(Instant::now());
        let events: Vec<Value> = state.events.iter().map(|event| event.shown(&self.classes)).collect();
        json!({
            "healthy": healthy,
            "frame": state.frame,
            "regions": state.regions,
            "history": state.history,
            "events": events,
            "threshold": state.tally.threshold,
            "configured_threshold": state.tally.configured_threshold,
            "figures": figures,
        })
    }

    /// The newest frame, if somebody looks.
    pub fn picture(&self) -> Option<Arc<RgbImage>> {
        let mut state = self.lock();
        state.looked = Some(Instant::now());
        state.picture.clone()
    }

    /// An event's picture.
    pub fn crop(&self, number: u64) -> Option<Arc<RgbImage>> {
        self.lock().events.iter().find(|event| event.number == number).map(|event| event.crop.clone())
    }

    /// Tries a threshold; without one, the configured one is put back. Says whether that is one.
    pub fn try_threshold(&self, threshold: Option<f32>) -> bool {
        let is_one = threshold.is_none_or(|threshold| threshold.is_finite() && threshold > 0.0);
        is_one && self.tries.send(threshold).is_ok()
    }

    /// The counts of the run, and the threshold in effect.
    pub fn counts(&self) -> Tally {
        self.lock().tally.clone()
    }

    fn figures(&self) -> BTreeMap<&'static str, String> {
        let (_, age) = self.health();
        let tally = self.counts();
        let mut figures = BTreeMap::from([
            ("Frames judged", format!("{}, {:.1} a second", tally.frames, tally.frames_per_second())),
            ("Frames dropped", tally.dropped.to_string()),
            ("Known regions", tally.known_regions().to_string()),
            ("Unknown regions", tally.unknown_regions().to_string()),
            ("Events", tally.events.to_string()),
            ("Camera lost", format!("{} times", tally.losses)),
            ("Last frame", age.map_or("none yet".to_string(), |age| format!("{age:.1} s ago"))),
        ]);
        #[cfg(feature = "mqtt")]
        if let Some(sent) = self.sent() {
            let waiting = format!("{} events, {} wait", sent.events, sent.unsent);
            figures.insert(
                "Sent home",
                sent.problem.map_or(waiting.clone(), |problem| format!("{waiting}: {problem}")),
            );
        }
        if let Some(drift) = tally.drift {
            figures.insert("Scores of known things", drift.to_string());
        }
        if let Some(celsius) = tally.heat.celsius {
            figures.insert("Processor", format!("{celsius:.0} °C"));
        }
        figures
    }
}

impl State {
    fn judged(
        &mut self,
        frame: &Frame,
        region: Region,
        verdict: &Verdict,
        background: bool,
        classes: &[String],
    ) {
        let score = verdict.relative_score();
        let score = score.is_finite().then_some(score);
        if self.index != Some(frame.index) {
            self.index = Some(frame.index);
            self.regions.clear();
            let (width, height) = frame.picture.dimensions();
            self.frame = Some(json!({
                "index": frame.index, "name": frame.name, "width": width, "height": height,
            }));
            let is_watched = self.looked.is_some_and(|looked| looked.elapsed() < LOOKED);
            self.picture = is_watched.then(|| Arc::new(frame.picture.clone()));
            self.history.push_back((frame.captured.uptime.as_secs_f64(), score));
            if self.history.len() > HISTORY {
                self.history.pop_front();
            }
        } else if let (Some((_, worst)), Some(score)) = (self.history.back_mut(), score) {
            *worst = Some(worst.map_or(score, |worst| worst.max(score)));
        }
        self.regions.push(json!({
            "box": [region.x, region.y, region.width, region.height],
            "class": verdict.class.and_then(|class| classes.get(class)),
            "unknown": verdict.is_unknown() && !background,
            "relative_score": score,
        }));
    }

    /// The newest comes first.
    fn add(&mut self, event: Event) {
        self.told += 1;
        self.events.push_front(Event { number: self.told, ..event });
        self.events.truncate(EVENTS);
    }
}

fn event(sighting: &Sighting, seconds: Option<f64>) -> Event {
    Event {
        number: 0,
        region: sighting.region.id,
        began: sighting.started,
        class: sighting.worst.verdict.class,
        relative_score: sighting.worst.verdict.relative_score(),
        seconds,
        crop: Arc::new(sighting.best.crop.clone()),
    }
}

impl Event {
    fn shown(&self, classes: &[String]) -> Value {
        json!({
            "number": self.number,
            "time": crate::record::timestamp(self.began.time),
            "class": self.class.and_then(|class| classes.get(class)),
            "relative_score": self.relative_score.is_finite().then_some(self.relative_score),
            "seconds": self.seconds,
        })
    }
}
