//! The thread that drives the outputs and reads the inputs, and what it is told.

use crate::line::{Input, OpenChip, Output};
use crate::signals::Signals;
use crate::{Chip, Pin, PinError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often inputs are read and the heartbeat is looked at. Polled: a human's contact is slow, and edges
/// do not arrive on every board.
const EVERY: Duration = Duration::from_millis(5);
/// A level counts when it was the same so many times: contacts bounce.
const STEADY: u32 = 3;
/// Without a frame for so long, the heartbeat stops.
const PATIENCE: Duration = Duration::from_secs(3);

/// Which pins are used for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinSettings {
    /// Where they are.
    pub chip: Chip,
    /// On while something unknown is in view.
    pub unknown: Option<Pin>,
    /// On at least so long each time.
    pub pulse: Duration,
    /// Goes on and off each second while frames come; off when they stop.
    pub heartbeat: Option<Pin>,
    /// An input: it is watched only while this is on.
    pub arm: Option<Pin>,
    /// An input: each time it goes on, one frame is judged, and no others are.
    pub trigger: Option<Pin>,
}

impl PinSettings {
    fn all(&self) -> Vec<Pin> {
        [self.unknown, self.heartbeat, self.arm, self.trigger].into_iter().flatten().collect()
    }

    /// The way to the pins, if no pin is to be used for two things.
    fn open(&self) -> Result<OpenChip, PinError> {
        let mut numbers: Vec<u32> = self.all().iter().map(|pin| pin.number).collect();
        numbers.sort_unstable();
        if let Some(twice) = numbers.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(PinError::Twice(twice[0]));
        }
        OpenChip::open(&self.chip)
    }

    /// Whether any pin is used.
    pub fn is_used(&self) -> bool {
        !self.all().is_empty()
    }
}

/// What the inputs say; shared with whoever judges frames.
#[derive(Debug)]
pub struct Inputs {
    armed: AtomicBool,
    triggered: AtomicBool,
    has_trigger: bool,
}

impl Inputs {
    /// Whether a frame that comes now is to be judged. A trigger is used up by it.
    pub fn wants_frame(&self) -> bool {
        self.armed.load(Ordering::Relaxed)
            && (!self.has_trigger || self.triggered.swap(false, Ordering::Relaxed))
    }
}

/// The pins in use. Dropped, all outputs go off, also when the program ends by a panic.
#[derive(Debug)]
pub struct Pins {
    signals: Arc<Mutex<Signals>>,
    inputs: Arc<Inputs>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pins {
    /// Looks whether the pins are there and may be used. Takes none, and changes no level: another
    /// program may be using them.
    ///
    /// # Errors
    /// If there are no pins here, one does not exist, or they may not be used.
    pub fn check(settings: &PinSettings) -> Result<(), PinError> {
        let chip = settings.open()?;
        settings.all().into_iter().try_for_each(|pin| chip.check(pin))
    }

    /// Takes the pins, outputs off, and starts the thread.
    ///
    /// # Errors
    /// If there are no pins here, one is in use or does not exist, or they may not be used.
    pub fn start(settings: &PinSettings) -> Result<Self, PinError> {
        let chip = settings.open()?;
        let output = |pin: Option<Pin>| pin.map(|pin| chip.output(pin)).transpose();
        let input = |pin: Option<Pin>| pin.map(|pin| chip.input(pin)).transpose();
        let signals = Signals::new(settings.pulse, PATIENCE, Instant::now());
        let signals = Arc::new(Mutex::new(signals));
        let inputs = Arc::new(Inputs {
            armed: AtomicBool::new(settings.arm.is_none()),
            triggered: AtomicBool::new(false),
            has_trigger: settings.trigger.is_some(),
        });
        let ends = Arc::new(AtomicBool::new(false));
        let work = Work {
            unknown: output(settings.unknown)?,
            heartbeat: output(settings.heartbeat)?,
            arm: input(settings.arm)?.map(Steady::new),
            trigger: input(settings.trigger)?.map(Steady::new),
            signals: signals.clone(),
            inputs: inputs.clone(),
            ends: ends.clone(),
        };
        let thread = std::thread::Builder::new().name("pins".to_string()).spawn(|| work.run())?;
        Ok(Self { signals, inputs, ends, thread: Some(thread) })
    }

    /// Something unknown is in view, or no more. Never waits for a pin.
    pub fn unknown(&self, there: bool) {
        lock(&self.signals).unknown(there, Instant::now());
    }

    /// A frame has come.
    pub fn alive(&self) {
        lock(&self.signals).alive(Instant::now());
    }

    /// What the inputs say.
    pub fn inputs(&self) -> Arc<Inputs> {
        self.inputs.clone()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Of a panic in there, the message was printed, and its pins are off.
            let _ = thread.join();
        }
    }
}

fn lock(signals: &Mutex<Signals>) -> MutexGuard<'_, Signals> {
    // Nobody leaves it half changed.
    signals.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's side.
struct Work {
    unknown: Option<Output>,
    heartbeat: Option<Output>,
    arm: Option<Steady>,
    trigger: Option<Steady>,
    signals: Arc<Mutex<Signals>>,
    inputs: Arc<Inputs>,
    ends: Arc<AtomicBool>,
}

impl Work {
    fn run(mut self) {
        let mut levels = [None; 2];
        while !self.ends.load(Ordering::Relaxed) {
            let now = Instant::now();
            let signals = *lock(&self.signals);
            let wanted = [signals.unknown_level(now), signals.heartbeat_level(now)];
            for ((output, wanted), level) in
                [&mut self.unknown, &mut self.heartbeat].into_iter().zip(wanted).zip(&mut levels)
            {
                if let Some(output) = output
                    && *level != Some(wanted)
                {
                    output.set(wanted);
                    *level = Some(wanted);
                }
            }
            if let Some(change) = self.arm.as_mut().and_then(Steady::change) {
                log::info!("{}", if change { "armed" } else { "disarmed" });
                self.inputs.armed.store(change, Ordering::Relaxed);
            }
            if self.trigger.as_mut().and_then(Steady::change) == Some(true) {
                self.inputs.triggered.store(true, Ordering::Relaxed);
            }
            std::thread::sleep(EVERY);
        }
    }
}

/// An input without its bounces.
struct Steady {
    input: Input,
    filter: Filter,
}

impl Steady {
    fn new(input: Input) -> Self {
        Self { input, filter: Filter::default() }
    }

    /// Reads it; the new level if that has changed.
    fn change(&mut self) -> Option<bool> {
        self.filter.change(self.input.is_on()?)
    }
}

/// Believes a level that stays. At first, an input counts as off.
#[derive(Debug, Default)]
struct Filter {
    level: bool,
    differs: u32,
}

impl Filter {
    fn change(&mut self, read: bool) -> Option<bool> {
        self.differs = if read == self.level { 0 } else { self.differs + 1 };
        if self.differs < STEADY {
            return None;
        }
        (self.level, self.differs) = (read, 0);
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bouncing_contact_is_one_change() {
        let mut filter = Filter::default();
        let read = [false, true, false, true, true, false, true, true, true, true, false, true, true];
        let changes: Vec<bool> = read.into_iter().filter_map(|level| filter.change(level)).collect();
        assert_eq!(changes, [true]);
        assert_eq!([false, false, false].into_iter().filter_map(|level| filter.change(level)).count(), 1);
    }

    #[test]
    fn a_trigger_is_for_one_frame() {
        let inputs =
            Inputs { armed: AtomicBool::new(true), triggered: AtomicBool::new(true), has_trigger: true };
        assert_eq!([inputs.wants_frame(), inputs.wants_frame()], [true, false]);
        let inputs =
            Inputs { armed: AtomicBool::new(false), triggered: AtomicBool::new(false), has_trigger: false };
        assert!(!inputs.wants_frame());
        inputs.armed.store(true, Ordering::Relaxed);
        assert_eq!([inputs.wants_frame(), inputs.wants_frame()], [true, true]);
    }

    #[test]
    fn a_pin_for_two_things_is_refused() {
        let pin = |number| Some(Pin { number, active_low: false });
        let settings = PinSettings { unknown: pin(4), arm: pin(4), ..PinSettings::default() };
        assert!(matches!(Pins::start(&settings), Err(PinError::Twice(4))));
        assert!(matches!(Pins::check(&settings), Err(PinError::Twice(4))));
    }
}
