//! The way of a frame, with its three threads: one captures ([`Capture`]), the caller's judges
//! ([`Run`]), one records ([`Recorder`]). How the results are shown is the caller's affair.

mod capture_thread;
mod recorder_thread;
mod tally;
pub mod wording;

pub use capture_thread::{Capture, Stopper};
pub use recorder_thread::{NewEvent, Recorded, Recorder};
pub use tally::Tally;

use crate::capture::{CaptureError, Frame, Skipped};
use crate::network::{Judge, JudgeError, Judged, Metadata};
use crate::record::{Label, Phase};
use crate::vision::{Region, RegionError, RegionRule};
use crate::watch::{Change, Sight, Sighting, SightingWatch};
use anchorwatch_core::{RegionsFull, Verdict, WatchConfig, WatchConfigError};
use image::imageops::crop_imm;

/// What is done with frames.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which parts of a frame are judged.
    pub regions: RegionRule,
    /// When unknown regions become events; without it each frame is a picture that has nothing to
    /// do with the one before, and every unknown region is an event by itself.
    pub watch: Option<WatchConfig>,
    /// Stop after so many judged frames.
    pub max_frames: Option<u64>,
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
    },
    /// Something unknown has come into view.
    Started(&'a Sighting),
    /// It is gone, or the source ended.
    Finished(&'a Sighting),
    /// A picture or frame was left out.
    Skipped(&'a Skipped),
}

/// Shows what happens to people or programs. An error of it ends the run.
pub type Show<'a> = dyn FnMut(Happening<'_>, &Tally) -> std::io::Result<()> + 'a;

/// The judging side of a run.
pub struct Run<'a> {
    judge: Judge,
    classes: &'a [String],
    rules: Rules,
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
    /// If the watch's configuration makes no sense.
    pub fn new(
        judge: Judge,
        metadata: &'a Metadata,
        rules: Rules,
        recorder: &'a Recorder,
    ) -> Result<Self, RunError> {
        let watch = rules.watch.map(SightingWatch::new).transpose()?;
        let classes = &metadata.classes;
        let tally = Tally::new(classes.len());
        Ok(Self { judge, classes, rules, recorder, watch, source: String::new(), tally })
    }

    /// Judges frame after frame until the source ends, is stopped, or breaks off. Whatever happens,
    /// what was seen until then is in the tally and with the recorder.
    ///
    /// # Errors
    /// If the source, the model or `show` fails.
    pub fn to_the_end(&mut self, capture: &mut Capture, show: &mut Show<'_>) -> Result<(), RunError> {
        let result = self.frames(capture, show);
        let finished = self.finish(&result, show);
        result.and(finished)
    }

    fn frames(&mut self, capture: &mut Capture, show: &mut Show<'_>) -> Result<(), RunError> {
        while self.rules.max_frames.is_none_or(|most| self.tally.frames < most) {
            let next = capture.next_frame();
            self.tally.dropped = capture.dropped();
            for skipped in capture.take_skipped() {
                self.skip(&skipped, show)?;
            }
            match next? {
                Some(frame) => self.frame(frame, show)?,
                None => break,
            }
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
        let (width, height) = frame.picture.dimensions();
        let regions = match self.rules.regions.regions(width, height) {
            Ok(regions) => regions,
            // Pictures may have any size; the frames of a video or camera all have the same.
            Err(error) if self.watch.is_none() => {
                let (path, why) = (frame.name, error.to_string());
                return self.skip(&Skipped { path, why }, show);
            }
            Err(error) => return Err(error.into()),
        };
        let mut labels = Vec::new();
        for region in regions {
            let verdict = self.region(&frame, region, show)?;
            if self.recorder.wants_frames() {
                let (text, unknown) = (wording::label(&verdict, self.classes), verdict.is_unknown());
                labels.push(Label { region, text, unknown });
            }
        }
        self.tally.frames += 1;
        if self.recorder.wants_frames() {
            self.recorder.frame(frame, labels, self.watch.is_none());
        }
        Ok(())
    }

    fn region(&mut self, frame: &Frame, region: Region, show: &mut Show<'_>) -> Result<Verdict, RunError> {
        let judged = self.judge.judge(&frame.picture, region)?;
        let verdict = judged.verdict;
        self.tally.judged(&verdict);
        show(Happening::Judged { frame, region, verdict: &verdict }, &self.tally)?;
        let Some(watch) = &mut self.watch else {
            if verdict.is_unknown() {
                self.tally.events += 1;
                if self.recorder.wants_events() {
                    self.recorder.event(single(frame, region, &judged));
                }
            }
            return Ok(verdict);
        };
        let sight = Sight {
            picture: &frame.picture,
            frame: frame.index,
            captured: frame.captured,
            region,
            verdict: &verdict,
            distances: judged.distances,
        };
        match watch.update(sight)? {
            None => {}
            Some(Change::Started(sighting)) => {
                self.tally.events += 1;
                if self.recorder.wants_events() {
                    self.recorder.event(NewEvent::started(sighting, &frame.name));
                }
                show(Happening::Started(sighting), &self.tally)?;
            }
            Some(Change::Finished(sighting)) => {
                if self.recorder.wants_events() {
                    self.recorder.event(NewEvent::finished(&sighting, &frame.name));
                }
                show(Happening::Finished(&sighting), &self.tally)?;
            }
        }
        Ok(verdict)
    }

    fn skip(&mut self, skipped: &Skipped, show: &mut Show<'_>) -> Result<(), RunError> {
        self.tally.skip(skipped);
        Ok(show(Happening::Skipped(skipped), &self.tally)?)
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

/// A picture by itself.
fn single(frame: &Frame, region: Region, judged: &Judged<'_>) -> NewEvent {
    let Region { x, y, width, height, .. } = region;
    NewEvent {
        phase: Phase::Single,
        time: frame.captured,
        source: frame.name.clone(),
        frame: frame.index,
        region,
        verdict: judged.verdict,
        distances: judged.distances.to_vec(),
        crop: crop_imm(&frame.picture, x, y, width, height).to_image(),
        summary: None,
    }
}
