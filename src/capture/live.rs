//! A source that goes on for as long as the program runs: a camera, or a stream through ffmpeg. It
//! breaks off now and then, and is opened again; its frames are counted on.

use super::camera_options::SourceOptions;
use super::ffmpeg::FfmpegPipe;
use super::frame::{Frame, Skipped};
use super::source::CaptureError;
#[cfg(feature = "v4l")]
use super::v4l2::Camera;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A camera or stream, open or not.
pub struct Live {
    spec: String,
    kind: Kind,
    options: SourceOptions,
    opened: Option<Opened>,
    /// It has been open before.
    known: bool,
    /// Number of the next frame.
    next: u64,
    skipped: Vec<Skipped>,
    /// Of cameras that are closed by now.
    passed_over: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Camera,
    Stream,
}

enum Opened {
    #[cfg(feature = "v4l")]
    Camera(Camera),
    Stream(FfmpegPipe),
}

/// How long to wait before the next attempt, in milliseconds: a camera that was pulled out may be
/// back at once, one that stays away is not asked for all the time.
const FIRST_WAIT: u64 = 250;
const LONGEST_WAIT: u64 = 10_000;

/// The wait before attempt `attempt`, from 0.
pub fn back_off(attempt: u32) -> std::time::Duration {
    std::time::Duration::from_millis((FIRST_WAIT << attempt.min(16)).min(LONGEST_WAIT))
}

impl Live {
    pub(super) fn camera(device: &str, options: &SourceOptions) -> Result<Self, CaptureError> {
        Self::new(device, Kind::Camera, options)
    }

    pub(super) fn stream(address: &str, options: &SourceOptions) -> Result<Self, CaptureError> {
        Self::new(address, Kind::Stream, options)
    }

    fn new(spec: &str, kind: Kind, options: &SourceOptions) -> Result<Self, CaptureError> {
        let mut live = Self {
            spec: spec.to_string(),
            kind,
            options: options.clone(),
            opened: None,
            known: false,
            next: 0,
            skipped: Vec::new(),
            passed_over: 0,
        };
        match live.reopen() {
            Err(error) if !options.wait || matches!(error, CaptureError::NoFfmpeg(_)) => Err(error),
            // It is tried again by whoever asks for the first frame.
            _ => Ok(live),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.spec
    }

    /// Format and size, for people, while it is open.
    pub fn description(&self) -> Option<String> {
        match self.opened.as_ref()? {
            #[cfg(feature = "v4l")]
            Opened::Camera(camera) => Some(camera.description()),
            Opened::Stream(_) => Some("through ffmpeg".to_string()),
        }
    }

    /// Opens it again, and negotiates the format anew, since it may have changed. That says little:
    /// only a frame shows that it is back.
    ///
    /// # Errors
    /// If it is not there, or does not do what is asked of it.
    pub fn reopen(&mut self) -> Result<(), CaptureError> {
        self.close();
        self.opened = Some(guarded(&self.spec, || match self.kind {
            Kind::Stream => {
                FfmpegPipe::stream(&self.spec, self.next, self.options.frame_timeout).map(Opened::Stream)
            }
            #[cfg(feature = "v4l")]
            Kind::Camera => {
                Camera::open(&self.spec, &self.options, self.next, !self.known).map(Opened::Camera)
            }
            #[cfg(not(feature = "v4l"))]
            Kind::Camera => Err(CaptureError::Camera {
                device: self.spec.clone(),
                why: "this program was built without cameras: build it with the feature 'v4l'".to_string(),
            }),
        })?);
        self.known = true;
        Ok(())
    }

    /// The next frame; `None` when a stream says that it has ended.
    ///
    /// # Errors
    /// If it has broken off, or cannot be opened. It is closed then, and opened by the next call.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, CaptureError> {
        if self.opened.is_none() {
            self.reopen()?;
        }
        let result = guarded(&self.spec, || match &mut self.opened {
            #[cfg(feature = "v4l")]
            Some(Opened::Camera(camera)) => camera.next_frame().map(Some),
            Some(Opened::Stream(pipe)) => pipe.next_frame(),
            None => {
                Err(CaptureError::Camera { device: self.spec.clone(), why: "it is not open".to_string() })
            }
        });
        self.take_skipped();
        match &result {
            Ok(Some(frame)) => self.next = frame.index + 1,
            Ok(None) if !self.may_end() => {
                self.close();
                let why = "the stream has ended".to_string();
                return Err(CaptureError::Camera { device: self.spec.clone(), why });
            }
            Ok(None) => {}
            Err(_) => self.close(),
        }
        result
    }

    /// Whether an end is one: behind these addresses may be a file.
    fn may_end(&self) -> bool {
        ["http://", "https://", "tcp://"].iter().any(|scheme| self.spec.starts_with(scheme))
    }

    /// How many frames were left because there was a newer one.
    pub fn passed_over(&self) -> u64 {
        let now = match &self.opened {
            #[cfg(feature = "v4l")]
            Some(Opened::Camera(camera)) => camera.passed_over(),
            _ => 0,
        };
        self.passed_over + now
    }

    /// What was left out since the last frame but one, at least.
    pub(super) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    fn take_skipped(&mut self) {
        match &self.opened {
            #[cfg(feature = "v4l")]
            Some(Opened::Camera(camera)) => self.skipped = camera.skipped().to_vec(),
            _ => self.skipped.clear(),
        }
    }

    /// Closing may fail where opening did not: v4l panics when a driver refuses to stop.
    fn close(&mut self) {
        self.passed_over = self.passed_over();
        let opened = self.opened.take();
        let closed = guarded(&self.spec, || {
            drop(opened);
            Ok(())
        });
        if let Err(error) = closed {
            log::warn!("{error}");
        }
    }
}

/// The camera library panics at some of the answers that drivers give. That is a camera that fails,
/// and no reason for the program to end.
fn guarded<T>(device: &str, work: impl FnOnce() -> Result<T, CaptureError>) -> Result<T, CaptureError> {
    // What was half changed is thrown away: the camera is closed after an error.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let why = "its driver gave an answer that makes no sense".to_string();
        Err(CaptureError::Camera { device: device.to_string(), why })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let waits: Vec<u64> = (0..9).map(|attempt| back_off(attempt).as_millis() as u64).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
        assert_eq!(back_off(u32::MAX), Duration::from_secs(10));
    }

    #[test]
    fn a_panic_of_the_library_is_a_camera_that_fails() {
        let result: Result<(), _> = guarded("/dev/video7", || panic!("EPIPE"));
        assert!(result.unwrap_err().to_string().contains("/dev/video7"));
    }

    #[cfg(feature = "v4l")]
    #[test]
    fn a_camera_that_is_not_there_is_an_error_unless_it_is_waited_for() {
        let mut options = SourceOptions::default();
        assert!(Live::camera("/dev/no-such-video", &options).is_err());
        options.wait = true;
        let mut live = Live::camera("/dev/no-such-video", &options).unwrap();
        assert!(live.description().is_none());
        assert!(live.next_frame().is_err() && live.reopen().is_err());
    }
}
