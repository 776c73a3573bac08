//! The thread that captures, and the one place between it and the thread that judges.
//!
//! That place holds one frame. A live source replaces it, since only the newest frame matters, and
//! what is replaced is counted; a file waits until it is taken, since none of its frames may be
//! lost.

use crate::capture::{CaptureError, Frame, Live, Moment, Skipped, Source, back_off};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A source that is read in a thread of its own.
pub struct Capture {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Ends the run from another thread, say that of a signal.
#[derive(Clone)]
pub struct Stopper(Arc<Shared>);

/// What a live source has to say besides frames.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// It has broken off, and is tried again and again.
    Lost {
        /// The device or address.
        source: String,
        /// The reason.
        why: String,
        /// When this was noticed.
        at: Moment,
    },
    /// It gives frames again, perhaps in another format.
    Back {
        /// The device or address.
        source: String,
        /// Format and size.
        format: String,
        /// When its first frame came.
        at: Moment,
        /// How long it was away.
        after: Duration,
        /// How often it was tried.
        attempts: u32,
    },
}

/// What comes next from a source.
#[derive(Debug)]
pub enum Next {
    /// A frame.
    Frame(Frame),
    /// A live source was lost, or is back.
    Notice(Notice),
    /// Nothing came in the time that one wanted to wait.
    Nothing,
    /// The source has ended, or was stopped.
    End,
}

/// How a source is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaptureHealth {
    /// When the newest frame was taken.
    pub last_frame: Option<Moment>,
    /// It is lost at present.
    pub lost: bool,
    /// How often it was lost.
    pub losses: u64,
    /// Frames of a live source that nobody looked at, since there was a newer one.
    pub dropped: u64,
    /// Format and size of a live source.
    pub format: Option<String>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    frame: Option<Frame>,
    notices: VecDeque<Notice>,
    health: CaptureHealth,
    /// Of the dropped frames, those that were replaced here.
    replaced: u64,
    /// What the source left out since it was last asked for.
    skipped: Vec<Skipped>,
    /// The source's last word.
    ended: Option<Result<(), CaptureError>>,
    /// The thread is no more.
    gone: bool,
    stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No thread leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a frame over; whether more are wanted.
    fn put(&self, frame: Frame, skipped: &[Skipped], keep_newest: bool) -> bool {
        let mut state = self.lock();
        state.skipped.extend_from_slice(skipped);
        while !keep_newest && state.frame.is_some() && !state.stopped {
            state = self.wait(state);
        }
        state.health.last_frame = Some(frame.captured);
        if state.frame.replace(frame).is_some() && keep_newest {
            state.replaced += 1;
        }
        self.changed.notify_all();
        !state.stopped
    }

    /// Tells that the source is lost or back. A frame of before is of no interest any more.
    fn notice(&self, notice: Notice) {
        let mut state = self.lock();
        match &notice {
            Notice::Lost { .. } => {
                state.health.lost = true;
                state.health.losses += 1;
                state.replaced += u64::from(state.frame.take().is_some());
            }
            Notice::Back { .. } => state.health.lost = false,
        }
        state.notices.push_back(notice);
        self.changed.notify_all();
    }

    /// Whether it was stopped before the time was over.
    fn sleep(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.stopped || left.is_zero() {
                return state.stopped;
            }
            state = self.wait_for(state, left);
        }
    }

    fn wait_for<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    fn end(&self, result: Result<(), CaptureError>, skipped: &[Skipped]) {
        let mut state = self.lock();
        state.skipped.extend_from_slice(skipped);
        state.ended = Some(result);
        self.changed.notify_all();
    }
}

impl Stopper {
    /// No more frames are given; the one being judged is the last.
    pub fn stop(&self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

impl Capture {
    /// Starts reading.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn start(source: Source) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new().name("capture".to_string()).spawn(move || {
            let gone = Gone(theirs);
            read_all(source, &gone.0);
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What ends this from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.shared.clone())
    }

    /// Waits for what comes next, but no longer than so long.
    ///
    /// # Errors
    /// If the source breaks off for good, as [`Source::next_frame`] says.
    pub fn next(&mut self, wait: Duration) -> Result<Next, CaptureError> {
        let until = Instant::now() + wait;
        let mut state = self.shared.lock();
        loop {
            if state.stopped {
                return Ok(Next::End);
            }
            if let Some(notice) = state.notices.pop_front() {
                return Ok(Next::Notice(notice));
            }
            if let Some(frame) = state.frame.take() {
                self.shared.changed.notify_all();
                return Ok(Next::Frame(frame));
            }
            if state.ended.is_some() {
                let ended = state.ended.replace(Ok(()));
                return ended.unwrap_or(Ok(())).map(|()| Next::End);
            }
            if state.gone {
                drop(state);
                // It ended without a last word: it panicked, and so does this thread.
                if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                    std::panic::resume_unwind(panic);
                }
                return Ok(Next::End);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Next::Nothing);
            }
            state = self.shared.wait_for(state, left);
        }
    }

    /// Takes nothing for so long, or until it is stopped; whether it was. Of a live source the newest
    /// frame is kept.
    pub fn rest(&self, time: Duration) -> bool {
        self.shared.sleep(time)
    }

    /// How the source is.
    pub fn health(&self) -> CaptureHealth {
        let state = self.shared.lock();
        let mut health = state.health.clone();
        health.dropped += state.replaced;
        health
    }

    /// What the source left out since this was last called.
    pub fn take_skipped(&self) -> Vec<Skipped> {
        std::mem::take(&mut self.shared.lock().skipped)
    }
}

/// Dropped, the thread is not waited for: it may stand in a read of a camera that gives nothing.
impl Drop for Capture {
    fn drop(&mut self) {
        self.stopper().stop();
    }
}

/// Says that the thread is no more, however it ended.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.lock().gone = true;
        self.0.changed.notify_all();
    }
}

fn read_all(mut source: Source, shared: &Shared) {
    let keep_newest = source.is_live();
    let (mut next, mut told) = (0, 0);
    loop {
        let mut read = source.next_frame();
        if let Some(live) = source.live() {
            if let Err(error) = read {
                read = reconnect(live, &error, shared);
            }
            let mut state = shared.lock();
            state.health.dropped = live.passed_over();
            state.health.format = live.description();
        }
        match read {
            Ok(Some(frame)) => {
                // Frames that were left out have numbers too. A camera keeps the newest of them only.
                let left_out = usize::try_from(frame.index - next).unwrap_or(usize::MAX);
                next = frame.index + 1;
                told += left_out;
                let skipped = source.skipped();
                if !shared.put(frame, &skipped[skipped.len().saturating_sub(left_out)..], keep_newest) {
                    return;
                }
            }
            ended => {
                let rest = source.skipped().get(told..).unwrap_or_default();
                return shared.end(ended.map(|_| ()), rest);
            }
        }
    }
}

/// Tries until there is a frame again, which it returns, or until it is stopped.
fn reconnect(live: &mut Live, error: &CaptureError, shared: &Shared) -> Result<Option<Frame>, CaptureError> {
    let (lost, source) = (Instant::now(), live.name().to_string());
    let why = error.to_string();
    log::warn!("{why}; it is tried again");
    shared.notice(Notice::Lost { source: source.clone(), why: why.clone(), at: Moment::now() });
    let (mut attempt, mut last) = (0, why);
    while !shared.sleep(back_off(attempt)) {
        attempt += 1;
        match live.reopen().and_then(|()| live.next_frame()) {
            Ok(Some(frame)) => {
                let format = live.description().unwrap_or_default();
                log::warn!("'{source}' is back, {format}");
                let (at, after) = (frame.captured, lost.elapsed());
                shared.notice(Notice::Back { source, format, at, after, attempts: attempt });
                return Ok(Some(frame));
            }
            Ok(None) => return Ok(None),
            Err(error) => {
                // The same trouble is told of once.
                let why = error.to_string();
                if why != last {
                    log::warn!("{why}; it is tried again");
                    last = why;
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::SourceOptions;
    use image::RgbImage;
    use std::path::Path;

    fn capture(source: &Path) -> Capture {
        let options = SourceOptions::default();
        Capture::start(Source::open(source.to_str().unwrap(), &options).unwrap()).unwrap()
    }

    impl Capture {
        /// The next frame; none at the end.
        fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
            match self.next(Duration::from_secs(60))? {
                Next::Frame(frame) => Ok(Some(frame)),
                Next::End => Ok(None),
                other => panic!("{other:?}"),
            }
        }
    }

    fn frame(index: u64) -> Frame {
        let picture = RgbImage::new(1, 1);
        Frame { picture, index, name: "a test".to_string(), captured: Moment::now() }
    }

    #[test]
    fn a_file_loses_no_frame_and_names_what_it_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "d", "e"] {
            RgbImage::new(2, 2).save(folder.path().join(format!("{name}.png"))).unwrap();
        }
        for name in ["a", "c", "f"] {
            std::fs::write(folder.path().join(format!("{name}.png")), "no picture").unwrap();
        }
        let mut capture = capture(folder.path());
        let mut seen = Vec::new();
        while let Some(frame) = capture.next_frame().unwrap() {
            seen.push(frame.index);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(seen, [1, 3, 4]);
        assert_eq!(capture.health().dropped, 0);
        let skipped: Vec<_> = capture.take_skipped().into_iter().map(|skipped| skipped.path).collect();
        let names = ["a.png", "c.png", "f.png"].map(|name| folder.path().join(name).display().to_string());
        assert_eq!(skipped, names);
        assert!(capture.next_frame().unwrap().is_none(), "the end stays the end");
    }

    #[test]
    fn the_source_s_error_comes_after_its_frames() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("video.y4m");
        std::fs::write(&path, b"YUV4MPEG2 W2 H2 F1:1 Cmono\nFRAME\nabcdFRAME\nab").unwrap();
        let mut capture = capture(&path);
        assert!(capture.next_frame().unwrap().is_some());
        assert!(matches!(capture.next_frame(), Err(CaptureError::BrokenFrame { frame: 1, .. })));
        assert!(capture.next_frame().unwrap().is_none());
    }

    #[test]
    fn of_a_live_source_the_newest_frame_is_kept_and_the_others_are_counted() {
        let shared = Arc::new(Shared::default());
        for index in 0..5 {
            assert!(shared.put(frame(index), &[], true));
        }
        let mut capture = Capture { shared: shared.clone(), thread: None };
        assert_eq!(capture.next_frame().unwrap().unwrap().index, 4);
        assert_eq!(capture.health().dropped, 4);
        shared.put(frame(5), &[], true);
        shared.end(Ok(()), &[]);
        assert_eq!(capture.next_frame().unwrap().unwrap().index, 5, "the last frame comes before the end");
        assert!(capture.next_frame().unwrap().is_none());
    }

    /// An hour at 30 frames a second, at once.
    #[test]
    fn the_frame_that_is_judged_is_never_older_than_the_newest_when_it_was_asked_for() {
        const FRAMES: u64 = 108_000;
        let shared = Arc::new(Shared::default());
        let captured = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let (theirs, counter) = (shared.clone(), captured.clone());
        let camera = std::thread::spawn(move || {
            for index in 0..FRAMES {
                theirs.put(frame(index), &[], true);
                counter.store(index + 1, std::sync::atomic::Ordering::SeqCst);
            }
            theirs.end(Ok(()), &[]);
        });
        let mut capture = Capture { shared, thread: None };
        let mut judged = 0;
        loop {
            let there = captured.load(std::sync::atomic::Ordering::SeqCst);
            let Some(frame) = capture.next_frame().unwrap() else { break };
            assert!(frame.index + 1 >= there, "frame {} though {there} had come", frame.index);
            judged += 1;
            std::thread::sleep(Duration::from_micros(50));
        }
        camera.join().unwrap();
        assert_eq!(judged + capture.health().dropped, FRAMES);
    }

    #[test]
    fn stopping_wakes_both_threads() {
        let shared = Arc::new(Shared::default());
        let mut capture = Capture { shared: shared.clone(), thread: None };
        let stopper = capture.stopper();
        let judging = std::thread::spawn(move || capture.next_frame().unwrap().is_none());
        stopper.stop();
        assert!(judging.join().unwrap());
        let shared = Arc::new(Shared::default());
        let stopper = Stopper(shared.clone());
        // The second frame waits for the first to be taken, which nobody does.
        let capturing =
            std::thread::spawn(move || shared.put(frame(0), &[], false) && shared.put(frame(1), &[], false));
        std::thread::sleep(std::time::Duration::from_millis(20));
        stopper.stop();
        assert!(!capturing.join().unwrap());
    }

    #[test]
    fn a_loss_is_told_before_what_comes_after_it_and_hides_what_was_before() {
        let shared = Arc::new(Shared::default());
        let mut capture = Capture { shared: shared.clone(), thread: None };
        shared.put(frame(0), &[], true);
        let (source, why, at) = ("cam".to_string(), "unplugged".to_string(), Moment::now());
        shared.notice(Notice::Lost { source: source.clone(), why, at });
        assert!(capture.health().lost);
        shared.notice(Notice::Back {
            source,
            format: "4×4".to_string(),
            at,
            after: Duration::from_secs(1),
            attempts: 2,
        });
        shared.put(frame(1), &[], true);
        let next = |capture: &mut Capture| capture.next(Duration::ZERO).unwrap();
        assert!(matches!(next(&mut capture), Next::Notice(Notice::Lost { .. })));
        assert!(matches!(next(&mut capture), Next::Notice(Notice::Back { attempts: 2, .. })));
        assert!(matches!(next(&mut capture), Next::Frame(Frame { index: 1, .. })));
        assert!(matches!(next(&mut capture), Next::Nothing));
        let health = capture.health();
        assert_eq!((health.lost, health.losses, health.dropped), (false, 1, 1));
        assert!(health.last_frame.is_some());
    }
}
