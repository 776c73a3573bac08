//! The thread that records, and the bounded queue in front of it, so that a slow disk does not slow
//! judging. Annotated frames of a live source are dropped, and counted, when the queue is full of
//! them. Events never are: before one is lost, judging waits.

use super::Notice;
use crate::capture::{Frame, Moment};
use crate::network::Model;
use crate::record::event_log::{happened, judged, represents, summed_up};
use crate::record::timestamp;
use crate::record::{AnnotatedFolder, EventLog, Judging, Label, Summary};
use crate::vision::Region;
use crate::watch::Sighting;
use anchorwatch_core::Verdict;
use anchorwatch_store::Kind;
use image::RgbImage;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Events that may wait for the disk.
const MOST_EVENTS: usize = 32;
/// Frames to be annotated that may wait for the disk.
const MOST_FRAMES: usize = 4;

/// Something to write down, with the pixels of its region.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What happened.
    pub kind: Kind,
    /// When.
    pub time: Moment,
    /// The file or device.
    pub source: String,
    /// Number of the frame that is described.
    pub frame: u64,
    /// The region that was judged.
    pub region: Region,
    /// The verdict on it.
    pub verdict: Verdict,
    /// Distances to the centres.
    pub distances: Vec<f32>,
    /// The N logits.
    pub logits: Vec<f32>,
    /// The features that they are made of, if the network gives them.
    pub embedding: Vec<f32>,
    /// The region's pixels, of the frame that shows it best.
    pub crop: RgbImage,
    /// What there was from the start to the end, of a finished event.
    pub summary: Option<Summary>,
}

impl NewEvent {
    /// Something unknown has come into view.
    pub fn started(sighting: &Sighting, source: &str) -> Self {
        Self::new(Kind::Started, sighting.started, sighting, source)
    }

    /// It is gone: its worst frame.
    pub fn finished(sighting: &Sighting, source: &str) -> Self {
        let summary = Summary {
            started: timestamp(sighting.started.time),
            seconds: sighting.seconds(),
            frames: sighting.frames,
            unknown_frames: sighting.unknown_frames,
            worst_frame: sighting.worst.frame,
            best_frame: sighting.best.frame,
        };
        Self { summary: Some(summary), ..Self::new(Kind::Finished, sighting.last, sighting, source) }
    }

    fn new(kind: Kind, time: Moment, sighting: &Sighting, source: &str) -> Self {
        let worst = &sighting.worst;
        Self {
            kind,
            time,
            source: source.to_string(),
            frame: worst.frame,
            // Its number stays, its place is that of the worst frame.
            region: Region { id: sighting.region.id, ..worst.region },
            verdict: worst.verdict,
            distances: worst.distances.clone(),
            logits: worst.logits.clone(),
            embedding: worst.embedding.clone(),
            crop: sighting.best.crop.clone(),
            summary: None,
        }
    }
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Events written to the log.
    pub events: u64,
    /// Samples of known things written to the log.
    pub samples: u64,
    /// Annotated frames written.
    pub frames: u64,
    /// Events that could not be written.
    pub lost_events: u64,
    /// Events written without their crop.
    pub lost_crops: u64,
    /// Annotated frames that could not be written.
    pub lost_frames: u64,
    /// Annotated frames that were dropped because the disk was too slow.
    pub dropped_frames: u64,
    /// Why something could not be written, the first time.
    pub first_error: Option<String>,
}

impl Recorded {
    /// Whether everything that was to be kept was.
    pub fn is_complete(&self) -> bool {
        self.lost_events == 0 && self.lost_crops == 0 && self.lost_frames == 0
    }
}

/// Writes events and annotated frames in a thread of its own.
pub struct Recorder {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<Recorded>>,
    drop_frames: bool,
    wants: (bool, bool),
}

enum Job {
    Event(Box<NewEvent>),
    Notice(Notice),
    Sample { class: usize, sample: Box<NewEvent> },
    KeepSamples(Vec<u64>),
    Frame { frame: Frame, labels: Vec<Label>, named: bool },
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    events: usize,
    frames: usize,
    dropped_frames: u64,
    closed: bool,
    /// The thread is no more.
    gone: bool,
}

impl Recorder {
    /// Starts the thread. `live`: frames of this source do not wait for the disk.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn start(
        log: Option<EventLog>,
        annotated: Option<AnnotatedFolder>,
        model: &Model,
        live: bool,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let theirs = queue.clone();
        let wants = (log.is_some(), annotated.is_some());
        let mut writer = Writer {
            log,
            annotated,
            model: Judging {
                classes: model.metadata().classes.clone(),
                id: model.id().to_string(),
                name: model.metadata().name.clone(),
            },
            open: BTreeMap::new(),
            samples: BTreeMap::new(),
            recorded: Recorded::default(),
        };
        let thread = std::thread::Builder::new().name("record".to_string()).spawn(move || {
            let gone = Gone(theirs);
            while let Some(jobs) = gone.0.take_all() {
                writer.write(jobs);
            }
            writer.recorded
        })?;
        Ok(Self { queue, thread: Some(thread), drop_frames: live, wants })
    }

    /// Whether events are recorded.
    pub fn wants_events(&self) -> bool {
        self.wants.0
    }

    /// Whether frames are annotated.
    pub fn wants_frames(&self) -> bool {
        self.wants.1
    }

    /// Has an event written down. Waits when the queue is full.
    pub fn event(&self, event: NewEvent) {
        self.hand_over(Job::Event(Box::new(event)));
    }

    /// Has what happened to the camera written down. Waits when the queue is full.
    pub fn notice(&self, notice: Notice) {
        self.hand_over(Job::Notice(notice));
    }

    /// Holds a sample of a known class, instead of the one before. Waits when the queue is full.
    pub fn sample(&self, class: usize, sample: NewEvent) {
        self.hand_over(Job::Sample { class, sample: Box::new(sample) });
    }

    /// Has the samples that are held written down, with how many judgements of its class each stands for.
    /// Waits when the queue is full.
    pub fn keep_samples(&self, stand_for: Vec<u64>) {
        self.hand_over(Job::KeepSamples(stand_for));
    }

    fn hand_over(&self, job: Job) {
        let mut state = self.queue.lock();
        while state.events >= MOST_EVENTS && !state.gone {
            state = self.queue.wait(state);
        }
        state.events += 1;
        state.jobs.push_back(job);
        self.queue.changed.notify_all();
    }

    /// Has a frame annotated. When the queue is full it is dropped if the source is live, and waits
    /// if not. `named`: the frame is a picture with a file name of its own.
    pub fn frame(&self, frame: Frame, labels: Vec<Label>, named: bool) {
        let mut state = self.queue.lock();
        while state.frames >= MOST_FRAMES && !state.gone {
            if self.drop_frames {
                state.dropped_frames += 1;
                return;
            }
            state = self.queue.wait(state);
        }
        state.frames += 1;
        state.jobs.push_back(Job::Frame { frame, labels, named });
        self.queue.changed.notify_all();
    }

    /// Waits until everything is written, and says what became of it.
    pub fn finish(mut self) -> Recorded {
        self.queue.close();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(recorded)) => Recorded { dropped_frames: self.queue.lock().dropped_frames, ..recorded },
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Recorded::default(), // cannot be: only this takes it
        }
    }
}

/// Dropped, the thread still writes what is in the queue, but is not waited for.
impl Drop for Recorder {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No thread leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// All that waits; `None` when there is nothing and there will be nothing.
    fn take_all(&self) -> Option<Vec<Job>> {
        let mut state = self.lock();
        loop {
            if !state.jobs.is_empty() {
                (state.events, state.frames) = (0, 0);
                self.changed.notify_all();
                return Some(state.jobs.drain(..).collect());
            }
            if state.closed {
                return None;
            }
            state = self.wait(state);
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// Says that the thread is no more, however it ended.
struct Gone(Arc<Queue>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.lock().gone = true;
        self.0.changed.notify_all();
    }
}

/// What an event begins, and another one ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Span {
    /// Something is in view, in this region.
    InView(u32),
    /// The camera is lost.
    CameraLost,
}

/// Events that become durable together: what each begins, and what it is.
type Group = Vec<(Option<Span>, anchorwatch_store::NewEvent)>;

/// The thread's side.
struct Writer {
    log: Option<EventLog>,
    annotated: Option<AnnotatedFolder>,
    model: Judging,
    /// The identifier of what has begun and is not ended.
    open: BTreeMap<Span, String>,
    /// Of each class the sample that was drawn last, until it is kept.
    samples: BTreeMap<usize, anchorwatch_store::NewEvent>,
    recorded: Recorded,
}

impl Writer {
    fn write(&mut self, jobs: Vec<Job>) {
        let mut group = Group::new();
        for job in jobs {
            match job {
                Job::Event(event) => self.gather_event(*event, &mut group),
                Job::Notice(notice) => self.gather_notice(notice, &mut group),
                Job::Sample { class, sample } => {
                    let sample = self.described(&sample);
                    self.samples.extend(sample.map(|sample| (class, sample)));
                }
                Job::KeepSamples(stand_for) => self.gather_samples(&stand_for, &mut group),
                Job::Frame { frame, labels, named } => self.write_frame(&frame, &labels, named),
            }
        }
        self.record(&mut group);
    }

    fn gather_event(&mut self, new: NewEvent, group: &mut Group) {
        let in_view = Some(Span::InView(new.region.id));
        let begins = in_view.filter(|_| new.kind == Kind::Started);
        let ends = in_view.filter(|_| new.kind == Kind::Finished);
        let ends = ends.and_then(|span| self.end(span, group));
        if let Some(mut event) = self.described(&new) {
            event.facts.ends = ends;
            group.push((begins, event));
        }
    }

    /// The samples that are held, of the classes that were judged.
    fn gather_samples(&mut self, stand_for: &[u64], group: &mut Group) {
        for (class, mut sample) in std::mem::take(&mut self.samples) {
            let count = stand_for.get(class).copied().unwrap_or(0).max(1);
            represents(&mut sample.facts, count);
            group.push((None, sample));
        }
    }

    /// As the log has it; nothing if there is no log.
    fn described(&mut self, new: &NewEvent) -> Option<anchorwatch_store::NewEvent> {
        let mut facts = happened(new.kind, new.time, &new.source);
        facts.frame = new.frame;
        let NewEvent { verdict, distances, logits, embedding, .. } = new;
        judged(&mut facts, new.region, verdict, distances, logits, embedding, &self.model);
        if let Some(summary) = &new.summary {
            summed_up(&mut facts, summary);
        }
        let log = self.log.as_ref()?;
        facts.position = log.position();
        let crop = match log.encode(&new.crop) {
            Ok(crop) => Some(crop),
            Err(error) => {
                self.recorded.lost_crops += 1;
                self.complain("the picture of an event", &error.to_string());
                None
            }
        };
        Some(anchorwatch_store::NewEvent { facts, crop, identity: None })
    }

    fn gather_notice(&mut self, notice: Notice, group: &mut Group) {
        let (begins, mut facts) = match notice {
            Notice::Lost { source, why, at } => {
                let mut facts = happened(Kind::CameraLost, at, &source);
                facts.details.insert("why".to_string(), json!(why));
                (Some(Span::CameraLost), facts)
            }
            Notice::Back { source, format, at, after, .. } => {
                let mut facts = happened(Kind::CameraBack, at, &source);
                facts.details.insert("seconds".to_string(), json!(after.as_secs_f64()));
                facts.details.insert("format".to_string(), json!(format));
                facts.ends = self.end(Span::CameraLost, group);
                (None, facts)
            }
        };
        facts.position = self.log.as_ref().and_then(EventLog::position);
        group.push((begins, anchorwatch_store::NewEvent { facts, crop: None, identity: None }));
    }

    /// The identifier of what began this; if that is still in the group, the group is recorded first.
    fn end(&mut self, span: Span, group: &mut Group) -> Option<String> {
        if group.iter().any(|(begins, _)| *begins == Some(span)) {
            self.record(group);
        }
        self.open.remove(&span)
    }

    /// Has a group written, and empties it.
    fn record(&mut self, group: &mut Group) {
        let Some(log) = self.log.as_mut().filter(|_| !group.is_empty()) else { return group.clear() };
        let (begins, events): (Vec<_>, Vec<_>) = group.drain(..).unzip();
        let written = log.record(&events);
        for (begins, id) in begins.into_iter().zip(&written.ids) {
            if let (Some(span), Some(id)) = (begins, id) {
                self.open.insert(span, id.clone());
            }
        }
        for (event, _) in events.iter().zip(&written.ids).filter(|(_, id)| id.is_some()) {
            let is_sample = event.facts.kind == Kind::Known;
            *(if is_sample { &mut self.recorded.samples } else { &mut self.recorded.events }) += 1;
        }
        self.recorded.lost_events += written.lost_events;
        self.recorded.lost_crops += written.lost_crops;
        if let Some(error) = written.error {
            self.complain(
                if written.lost_events > 0 { "an event" } else { "the picture of an event" },
                &error,
            );
        }
    }

    fn write_frame(&mut self, frame: &Frame, labels: &[Label], named: bool) {
        let Some(annotated) = &self.annotated else { return };
        let stem = Path::new(&frame.name).file_stem().map(|stem| stem.to_string_lossy());
        match annotated.write(&frame.picture, labels, frame.index, stem.as_deref().filter(|_| named)) {
            Ok(_) => self.recorded.frames += 1,
            Err(error) => {
                self.recorded.lost_frames += 1;
                self.complain("an annotated frame", &error.to_string());
            }
        }
    }

    /// A full disk stays full: it is told of once, and then counted.
    fn complain(&mut self, what: &str, error: &str) {
        if self.recorded.first_error.is_none() {
            log::error!("{what} could not be recorded: {error}; watching goes on");
            self.recorded.first_error = Some(error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> NewEvent {
        NewEvent {
            kind: Kind::Single,
            time: Moment::now(),
            source: "a test".to_string(),
            frame: 0,
            region: Region::whole(1, 1),
            verdict: Verdict::not_finite(1.0),
            distances: Vec::new(),
            logits: Vec::new(),
            embedding: Vec::new(),
            crop: RgbImage::new(1, 1),
            summary: None,
        }
    }

    fn frame(index: u64) -> Frame {
        let picture = RgbImage::new(1, 1);
        Frame { picture, index, name: "a test".to_string(), captured: Moment::now() }
    }

    /// A recorder whose disk hangs: nobody takes from the queue.
    fn hanging(live: bool) -> Recorder {
        Recorder { queue: Arc::default(), thread: None, drop_frames: live, wants: (true, true) }
    }

    #[test]
    fn before_a_hanging_disk_live_frames_are_dropped_and_events_are_not() {
        let recorder = hanging(true);
        for index in 0..20 {
            recorder.frame(frame(index), Vec::new(), false);
            recorder.event(event());
        }
        let state = recorder.queue.lock();
        assert_eq!(
            (state.events, state.frames, state.dropped_frames),
            (20, MOST_FRAMES, 20 - MOST_FRAMES as u64)
        );
    }

    #[test]
    fn a_full_queue_waits_rather_than_losing_an_event_or_a_file_s_frame() {
        let recorder = Arc::new(hanging(false));
        let theirs = recorder.clone();
        let judging = std::thread::spawn(move || {
            for index in 0..MOST_EVENTS as u64 + 1 {
                theirs.event(event());
                if index < MOST_FRAMES as u64 + 1 {
                    theirs.frame(frame(index), Vec::new(), false);
                }
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!judging.is_finished(), "it waits");
        let (mut events, mut frames) = (0, Vec::new());
        while events + frames.len() < MOST_EVENTS + 1 + MOST_FRAMES + 1 {
            for job in recorder.queue.take_all().unwrap() {
                match job {
                    Job::Event(_) | Job::Notice(_) | Job::Sample { .. } | Job::KeepSamples(_) => events += 1,
                    Job::Frame { frame, .. } => frames.push(frame.index),
                }
            }
        }
        judging.join().unwrap();
        assert_eq!((events, frames), (MOST_EVENTS + 1, (0..=MOST_FRAMES as u64).collect()));
        assert_eq!(recorder.queue.lock().dropped_frames, 0);
    }
}
