//! The way of a frame, with its three threads: one captures ([`Capture`]), the caller's judges
//! ([`Run`]), one records ([`Recorder`]). How the results are shown is the caller's affair.

mod capture_thread;
mod pacer;
mod recorder_thread;
mod tally;
pub mod wording;

pub use capture_thread::{Capture, CaptureHealth, Next, Notice, Stopper};
use pacer::Pacer;
pub use recorder_thread::{NewEvent, Recorded, Recorder};
pub use tally::Tally;

use crate::board::PaceRule;
use crate::capture::{CaptureError, Frame, Moment, Skipped};
use crate::network::{Crew, JudgeError, Judgement, Metadata};
use crate::record::Label;
use crate::vision::{Region, RegionError, RegionFinder, RegionRule};
use crate::watch::background::{self, Background, BackgroundRule};
use crate::watch::drift::DriftWatch;
use crate::watch::known_samples::KnownSamples;
use crate::watch::schedule::Schedule;
use crate::watch::{Change, Sight, Sighting, SightingWatch};
use anchorwatch_core::{RegionsFull, Verdict, WatchConfig, WatchConfigError};
use anchorwatch_store::Kind;
use image::imageops::crop_imm;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// What is done from time to time is done at least so often, also when no frame comes.
const TICK: Duration = Duration::from_millis(250);

/// What is done with frames.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which parts of a frame are judged.
    pub regions: RegionRule,
    /// Regions with a side shorter than this, in pixels, are not judged.
    pub least_side: u32,
    /// When unknown regions become events; without it each frame is a picture that has nothing to
    /// do with the one before, and every unknown region is an event by itself.
    pub watch: Option<WatchConfig>,
    /// After an event, none starts in the same place for so long.
    pub cool_down: Duration,
    /// What is always there is learnt at the start, and is no event.
    pub background: Option<BackgroundRule>,
    /// When it is watched; without it, always.
    pub schedule: Option<Schedule>,
    /// A sample of each known class is recorded in each such stretch of time, if any is.
    pub keep_known: Option<Duration>,
    /// Stop after so many judged frames.
    pub max_frames: Option<u64>,
    /// How fast frames may be judged.
    pub pace: PaceRule,
}

/// What can be changed while it runs.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Which parts of a frame are judged.
    pub regions: RegionRule,
    /// Regions with a side shorter than this, in pixels, are not judged.
    pub least_side: u32,
    /// When unknown regions become events; of no effect on pictures.
    pub watch: WatchConfig,
    /// After an event, none starts in the same place for so long.
    pub cool_down: Duration,
    /// When it is watched; without it, always.
    pub schedule: Option<Schedule>,
    /// Scores above it are unknown.
    pub threshold: f32,
}

/// Why a run ended before its source did.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The source broke off.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The model failed.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// The region rule does not fit the source's frames.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The watch's configuration makes no sense.
    #[error(transparent)]
    Watch(#[from] WatchConfigError),
    /// More regions than can be watched.
    #[error(transparent)]
    RegionsFull(#[from] RegionsFull),
    /// Pictures, but not one that could be judged.
    #[error("none of the {count} pictures can be judged; the first: {first}")]
    NoneJudged {
        /// How many there are.
        count: u64,
        /// Why the first of them could not be.
        first: String,
    },
    /// The results cannot be shown.
    #[error("cannot write the results: {0}")]
    Show(#[from] std::io::Error),
}

/// What happens in a run, in the order it does.
pub enum Happening<'a> {
    /// A region of a frame was judged.
    Judged {
        /// The frame.
        frame: &'a Frame,
        /// Its region.
        region: Region,
        /// What was said of it.
        verdict: &'a Verdict,
        /// It is unknown, but was always there.
        background: bool,
        /// It is judged by itself: no sighting comes of it.
        single: bool,
    },
    /// Something unknown has come into view.
    Started(&'a Sighting),
    /// It is gone, or the source ended.
    Finished(&'a Sighting),
    /// A picture or frame was left out.
    Skipped(&'a Skipped),
    /// A live source was lost, or is back.
    Notice(&'a Notice),
    /// The loop has gone round once more, with or without a frame.
    Round,
}

/// Shows what happens to people or programs. An error of it ends the run.
pub type Show<'a> = dyn FnMut(Happening<'_>, &Tally) -> std::io::Result<()> + 'a;

/// Says whether the frame that has come is to be judged.
pub type Wants = Box<dyn Fn() -> bool>;

/// The judging side of a run.
pub struct Run<'a> {
    crew: Crew,
    classes: &'a [String],
    finder: RegionFinder,
    background: Option<Background>,
    schedule: Option<Schedule>,
    max_frames: Option<u64>,
    changes: Option<Receiver<Changes>>,
    wants: Option<Wants>,
    thresholds: Option<Receiver<Option<f32>>>,
    drift: Option<DriftWatch>,
    samples: Option<KnownSamples>,
    pacer: Pacer,
    recorder: &'a Recorder,
    watch: Option<SightingWatch>,
    /// The newest frame's file or device.
    source: String,
    /// What was seen so far.
    pub tally: Tally,
}

impl<'a> Run<'a> {
    /// A run that has seen nothing.
    ///
    /// # Errors
    /// If the watch's configuration makes no sense, or the socket for regions cannot be made.
    pub fn new(
        crew: Crew,
        metadata: &'a Metadata,
        rules: Rules,
        recorder: &'a Recorder,
    ) -> Result<Self, RunError> {
        let finder = RegionFinder::new(rules.regions, rules.least_side)?;
        let watch = rules
            .watch
            .map(|config| SightingWatch::new(config, rules.cool_down, finder.follows()))
            .transpose()?;
        let (background, schedule) = (rules.background.map(Background::new), rules.schedule);
        let classes = &metadata.classes;
        let tally = Tally::new(classes.len(), crew.threshold());
        let samples = rules.keep_known.filter(|_| recorder.wants_events());
        let samples = samples.map(|every| KnownSamples::new(every, classes.len()));
        Ok(Self {
            crew,
            classes,
            finder,
            background,
            schedule,
            max_frames: rules.max_frames,
            changes: None,
            wants: None,
            thresholds: None,
            drift: DriftWatch::new(metadata),
            samples,
            pacer: Pacer::new(rules.pace),
            recorder,
            watch,
            source: String::new(),
            tally,
        })
    }

    /// Heeds what comes from there, from the next frame on.
    pub fn heed(&mut self, changes: Receiver<Changes>) {
        self.changes = Some(changes);
    }

    /// Tries thresholds that come from there, each from the next frame on, until another comes; `None`
    /// puts the configured one back, and so does reading the configuration again. What is in view stays
    /// in view.
    pub fn try_thresholds(&mut self, thresholds: Receiver<Option<f32>>) {
        self.thresholds = Some(thresholds);
    }

    /// Judges only the frames that are wanted, besides what the schedule says.
    pub fn only_when(&mut self, wants: Wants) {
        self.wants = Some(wants);
    }

    /// Judges frame after frame until the source ends, is stopped, or breaks off. Whatever happens,
    /// what was seen until then is in the tally and with the recorder.
    ///
    /// # Errors
    /// If the source, the model or `show` fails.
    pub fn to_the_end(&mut self, capture: &mut Capture, show: &mut Show<'_>) -> Result<(), RunError> {
        let result = self.frames(capture, show);
        let finished = self.finish(&result, show);
        if let Some(counts) = self.samples.as_mut().and_then(KnownSamples::end) {
            self.recorder.keep_samples(counts);
        }
        result.and(finished)
    }

    fn frames(&mut self, capture: &mut Capture, show: &mut Show<'_>) -> Result<(), RunError> {
        while self.max_frames.is_none_or(|most| self.tally.frames < most) {
            self.pacer.look(&mut self.tally);
            let rest = self.pacer.rest();
            let next = if rest.is_zero() {
                capture.next(TICK)
            } else if capture.rest(rest.min(TICK)) {
                Ok(Next::End)
            } else {
                Ok(Next::Nothing)
            };
            let health = capture.health();
            (self.tally.dropped, self.tally.losses) = (health.dropped, health.losses);
            self.tally.last_frame = health.last_frame;
            for skipped in capture.take_skipped() {
                self.skip(&skipped, show)?;
            }
            match next? {
                Next::Frame(frame) => {
                    self.pacer.begins();
                    self.frame(frame, show)?;
                    self.pacer.ends();
                }
                Next::Notice(notice) => self.notice(notice, show)?,
                Next::Nothing => {}
                Next::End => break,
            }
            while let Some(changes) = self.changes.as_ref().and_then(|changes| changes.try_recv().ok()) {
                self.change(changes, show)?;
            }
            while let Some(threshold) = self.thresholds.as_ref().and_then(|tries| tries.try_recv().ok()) {
                self.tally.threshold = threshold.unwrap_or(self.tally.configured_threshold);
                self.crew.set_threshold(self.tally.threshold);
            }
            show(Happening::Round, &self.tally)?;
        }
        match &self.tally.first_skipped {
            Some(first) if self.tally.frames == 0 => {
                Err(RunError::NoneJudged { count: self.tally.skipped, first: first.why.clone() })
            }
            _ => Ok(()),
        }
    }

    fn frame(&mut self, frame: Frame, show: &mut Show<'_>) -> Result<(), RunError> {
        self.source.clone_from(&frame.name);
        if let Some(counts) = self.samples.as_mut().and_then(|samples| samples.over(frame.captured)) {
            self.recorder.keep_samples(counts);
        }
        let is_time = self.schedule.as_ref().is_none_or(Schedule::has_now);
        if !is_time || self.wants.as_ref().is_some_and(|wants| !wants()) {
            self.tally.unwatched += 1;
            return self.finish(&Ok(()), show);
        }
        let regions = match self.finder.find(&frame.picture) {
            Ok(regions) => regions,
            // Pictures may have any size, and a camera that comes back another one.
            Err(error) if self.watch.is_none() || self.tally.frames > 0 => {
                let (path, why) = (frame.name, error.to_string());
                return self.skip(&Skipped { path, why }, show);
            }
            Err(error) => return Err(error.into()),
        };
        let judged = self.crew.judge_all(&frame.picture, &regions)?;
        let mut labels = Vec::new();
        for (region, judged) in regions.into_iter().zip(&judged) {
            self.region(&frame, region, judged, show)?;
            if self.recorder.wants_frames() {
                let verdict = &judged.verdict;
                let (text, unknown) = (wording::label(verdict, self.classes), verdict.is_unknown());
                labels.push(Label { region, text, unknown });
            }
        }
        let gone = self.watch.as_mut().map(SightingWatch::end_frame).unwrap_or_default();
        for sighting in gone {
            self.finished(&sighting, show)?;
        }
        self.tally.frames += 1;
        if self.recorder.wants_frames() {
            self.recorder.frame(frame, labels, self.watch.is_none());
        }
        Ok(())
    }

    fn region(
        &mut self,
        frame: &Frame,
        region: Region,
        judged: &Judgement,
        show: &mut Show<'_>,
    ) -> Result<(), RunError> {
        let Judgement { verdict, distances, logits, embedding } = judged;
        let is_background = match &mut self.background {
            Some(background) if verdict.is_unknown() => {
                // Of tracks, the number says nothing about the place.
                let place = if self.finder.follows() { 0 } else { region.id };
                background.has(place, logits, verdict.threshold, frame.captured)
            }
            _ => false,
        };
        self.tally.judged(verdict, is_background);
        self.compare_with_calibration(verdict, frame.captured);
        let by_itself = self.watch.is_none();
        show(
            Happening::Judged { frame, region, verdict, background: is_background, single: by_itself },
            &self.tally,
        )?;
        let Some(watch) = &mut self.watch else {
            if verdict.is_unknown() && !is_background {
                self.tally.events += 1;
                if self.recorder.wants_events() {
                    self.recorder.event(alone(Kind::Single, frame, region, judged));
                }
            }
            self.sample(frame, region, judged);
            return Ok(());
        };
        let calm = background::calm(verdict);
        let sight = Sight {
            picture: &frame.picture,
            frame: frame.index,
            captured: frame.captured,
            region,
            verdict: if is_background { &calm } else { verdict },
            distances,
            logits,
            embedding,
        };
        let change = match watch.update(sight) {
            Ok(change) => change,
            // Tracks come as they will; those that find no place are judged, and that is all.
            Err(error) if self.finder.follows() => {
                log::debug!("{error}");
                None
            }
            Err(error) => return Err(error.into()),
        };
        match change {
            None => {
                // What is in view is an event, in all its frames.
                if !watch.is_in_view(region.id) {
                    self.sample(frame, region, judged);
                }
                Ok(())
            }
            Some(Change::Started(sighting)) => {
                self.tally.events += 1;
                if self.recorder.wants_events() {
                    self.recorder.event(NewEvent::started(sighting, &frame.name));
                }
                Ok(show(Happening::Started(sighting), &self.tally)?)
            }
            Some(Change::Finished(sighting)) => self.finished(&sighting, show),
        }
    }

    /// What is judged known is a sample of its class, if it is drawn.
    fn sample(&mut self, frame: &Frame, region: Region, judged: &Judgement) {
        if let Some(class) = self.samples.as_mut().and_then(|samples| samples.draw(&judged.verdict)) {
            self.recorder.sample(class, alone(Kind::Known, frame, region, judged));
        }
    }

    fn finished(&mut self, sighting: &Sighting, show: &mut Show<'_>) -> Result<(), RunError> {
        if self.recorder.wants_events() {
            self.recorder.event(NewEvent::finished(sighting, &self.source));
        }
        Ok(show(Happening::Finished(sighting), &self.tally)?)
    }

    /// Tells when the scores of known things move away from those of calibration, and when they are back.
    fn compare_with_calibration(&mut self, verdict: &Verdict, at: Moment) {
        let Some(drift) = self.drift.as_mut().and_then(|drift| drift.add(verdict, at)) else { return };
        let had_moved = self.tally.drift.is_some_and(|before| before.moved);
        match (had_moved, drift.moved) {
            (false, true) => log::warn!(
                "the scores of known things are {drift}: has the camera or the light changed? 'anchorwatch calibrate' fits the threshold to new pictures"
            ),
            (true, false) => log::info!("the scores of known things are {drift} again"),
            _ => {}
        }
        self.tally.drift = Some(drift);
    }

    fn skip(&mut self, skipped: &Skipped, show: &mut Show<'_>) -> Result<(), RunError> {
        self.tally.skip(skipped);
        Ok(show(Happening::Skipped(skipped), &self.tally)?)
    }

    /// What is in view ends; something that is still there comes into view anew.
    fn change(&mut self, changes: Changes, show: &mut Show<'_>) -> Result<(), RunError> {
        self.finish(&Ok(()), show)?;
        (self.tally.threshold, self.tally.configured_threshold) = (changes.threshold, changes.threshold);
        self.crew.set_threshold(changes.threshold);
        self.schedule = changes.schedule;
        if let Err(error) = self.finder.change(changes.regions, changes.least_side) {
            log::error!("the regions stay as they were: {error}");
        }
        if self.watch.is_some() {
            let follows = self.finder.follows();
            self.watch = Some(SightingWatch::new(changes.watch, changes.cool_down, follows)?);
        }
        Ok(())
    }

    /// When the source is lost, nothing is in view any more: no verdict outlives its frame.
    fn notice(&mut self, notice: Notice, show: &mut Show<'_>) -> Result<(), RunError> {
        if matches!(notice, Notice::Lost { .. }) {
            self.finish(&Ok(()), show)?;
        }
        show(Happening::Notice(&notice), &self.tally)?;
        if self.recorder.wants_events() {
            self.recorder.notice(notice);
        }
        Ok(())
    }

    /// Ends what is still in view.
    fn finish(&mut self, result: &Result<(), RunError>, show: &mut Show<'_>) -> Result<(), RunError> {
        let mut shown = Ok(());
        for sighting in self.watch.iter_mut().flat_map(SightingWatch::finish) {
            if self.recorder.wants_events() {
                self.recorder.event(NewEvent::finished(&sighting, &self.source));
            }
            if shown.is_ok() && !matches!(result, Err(RunError::Show(_))) {
                shown = show(Happening::Finished(&sighting), &self.tally);
            }
        }
        Ok(shown?)
    }
}

/// A region of a frame by itself.
fn alone(kind: Kind, frame: &Frame, region: Region, judged: &Judgement) -> NewEvent {
    let Region { x, y, width, height, .. } = region;
    NewEvent {
        kind,
        time: frame.captured,
        source: frame.name.clone(),
        frame: frame.index,
        region,
        verdict: judged.verdict,
        distances: judged.distances.clone(),
        logits: judged.logits.clone(),
        embedding: judged.embedding.clone(),
        crop: crop_imm(&frame.picture, x, y, width, height).to_image(),
        summary: None,
    }
}
