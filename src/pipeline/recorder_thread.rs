//! The thread that records, and the bounded queue in front of it, so that a slow disk does not slow
//! judging. Annotated frames of a live source are dropped, and counted, when the queue is full of
//! them. Events never are: before one is lost, judging waits.

use crate::capture::Frame;
use crate::network::Model;
use crate::record::events::timestamp;
use crate::record::{AnnotatedFolder, Event, EventLog, Label, Phase, RecordError, Summary};
use crate::vision::Region;
use crate::watch::Sighting;
use anchorwatch_core::Verdict;
use image::RgbImage;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

/// Events that may wait for the disk.
const MOST_EVENTS: usize = 32;
/// Frames to be annotated that may wait for the disk.
const MOST_FRAMES: usize = 4;

/// Something to write down, with the pixels of its region.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What happened.
    pub phase: Phase,
    /// When.
    pub time: SystemTime,
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
    /// The region's pixels.
    pub crop: RgbImage,
    /// What there was from the start to the end, of a finished event.
    pub summary: Option<Summary>,
}

impl NewEvent {
    /// Something unknown has come into view.
    pub fn started(sighting: &Sighting, source: &str) -> Self {
        Self::new(Phase::Started, sighting.started, sighting, source)
    }

    /// It is gone: its worst frame.
    pub fn finished(sighting: &Sighting, source: &str) -> Self {
        let summary = Summary {
            started: timestamp(sighting.started),
            seconds: sighting.seconds(),
            frames: sighting.frames,
            unknown_frames: sighting.unknown_frames,
            worst_frame: sighting.worst.frame,
        };
        Self { summary: Some(summary), ..Self::new(Phase::Finished, sighting.last, sighting, source) }
    }

    fn new(phase: Phase, time: SystemTime, sighting: &Sighting, source: &str) -> Self {
        let worst = &sighting.worst;
        Self {
            phase,
            time,
            source: source.to_string(),
            frame: worst.frame,
            region: sighting.region,
            verdict: worst.verdict,
            distances: worst.distances.clone(),
            crop: worst.crop.clone(),
            summary: None,
        }
    }
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Lines written to the event log.
    pub events: u64,
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
            classes: model.metadata().classes.clone(),
            model: model.id().to_string(),
            open: BTreeMap::new(),
            recorded: Recorded::default(),
        };
        let thread = std::thread::Builder::new().name("record".to_string()).spawn(move || {
            let gone = Gone(theirs);
            while let Some(job) = gone.0.take() {
                writer.write(job);
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
        let mut state = self.queue.lock();
        while state.events >= MOST_EVENTS && !state.gone {
            state = self.queue.wait(state);
        }
        state.events += 1;
        state.jobs.push_back(Job::Event(Box::new(event)));
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

    /// The next job; `None` when there is none and there will be none.
    fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                match job {
                    Job::Event(_) => state.events -= 1,
                    Job::Frame { .. } => state.frames -= 1,
                }
                self.changed.notify_all();
                return Some(job);
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

/// The thread's side.
struct Writer {
    log: Option<EventLog>,
    annotated: Option<AnnotatedFolder>,
    classes: Vec<String>,
    model: String,
    /// Identifier and frame of what has come into view and is not gone, by region.
    open: BTreeMap<u32, (String, u64)>,
    recorded: Recorded,
}

impl Writer {
    fn write(&mut self, job: Job) {
        match job {
            Job::Event(event) => self.write_event(*event),
            Job::Frame { frame, labels, named } => self.write_frame(&frame, &labels, named),
        }
    }

    fn write_event(&mut self, new: NewEvent) {
        let Some(log) = &mut self.log else { return };
        let (id, drawn) = match (new.phase, self.open.remove(&new.region.id)) {
            (Phase::Finished, Some((id, frame))) => (id, Some(frame)),
            _ => (log.next_id(new.time), None),
        };
        if new.phase == Phase::Started {
            self.open.insert(new.region.id, (id.clone(), new.frame));
        }
        let mut event = Event::new(
            id,
            new.phase,
            new.time,
            &new.source,
            new.frame,
            new.region,
            &new.verdict,
            &new.distances,
            &self.classes,
            &self.model,
        );
        event.summary = new.summary;
        // The frame that raised it may be the worst: then it has been saved already.
        let crop = (drawn != Some(new.frame)).then_some(&new.crop);
        let Err(error) = log.record(&mut event, crop) else {
            self.recorded.events += 1;
            return;
        };
        // The line matters more than the picture, and needs less room.
        event.crop = None;
        if log.record(&mut event, None).is_ok() {
            self.recorded.events += 1;
            self.recorded.lost_crops += 1;
        } else {
            self.recorded.lost_events += 1;
        }
        self.complain("an event", &error);
    }

    fn write_frame(&mut self, frame: &Frame, labels: &[Label], named: bool) {
        let Some(annotated) = &self.annotated else { return };
        let stem = Path::new(&frame.name).file_stem().map(|stem| stem.to_string_lossy());
        match annotated.write(&frame.picture, labels, frame.index, stem.as_deref().filter(|_| named)) {
            Ok(_) => self.recorded.frames += 1,
            Err(error) => {
                self.recorded.lost_frames += 1;
                self.complain("an annotated frame", &error);
            }
        }
    }

    /// A full disk stays full: it is told of once, and then counted.
    fn complain(&mut self, what: &str, error: &RecordError) {
        if self.recorded.first_error.is_none() {
            log::error!("{what} could not be recorded: {error}; watching goes on");
            self.recorded.first_error = Some(error.to_string());
        }
    }
}
