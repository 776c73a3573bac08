//! A thread that sends every verdict over a bus, as messages of the companion's link. Nothing is asked and
//! nothing answered: what is not taken is lost, and counted.

use anchorwatch_core::link::{RegionVerdict, Request, ToCompanion, encode_frame};
use anchorwatch_pins::{Bus, BusAddress, PinError};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// Verdicts that may wait for the bus.
const MOST_WAITING: usize = 64;

/// Passes verdicts on.
#[derive(Debug)]
pub struct BusReporter {
    verdicts: Option<SyncSender<RegionVerdict>>,
    thread: Option<JoinHandle<()>>,
}

impl BusReporter {
    /// Opens the bus and starts the thread.
    ///
    /// # Errors
    /// If the bus cannot be opened. Whether anybody is at the address is known only when something is
    /// sent, and is logged then.
    pub fn start(address: BusAddress) -> Result<Self, PinError> {
        let bus = Bus::open(address)?;
        let (verdicts, waiting) = sync_channel(MOST_WAITING);
        let thread =
            std::thread::Builder::new().name("bus".to_string()).spawn(move || send(bus, &waiting))?;
        Ok(Self { verdicts: Some(verdicts), thread: Some(thread) })
    }

    /// Has a verdict sent. Never waits: when the bus is too slow, it is given up.
    pub fn verdict(&self, verdict: RegionVerdict) {
        match self.verdicts.as_ref().map(|verdicts| verdicts.try_send(verdict)) {
            Some(Err(TrySendError::Full(_))) => log::debug!("bus: too slow for all verdicts"),
            Some(Ok(()) | Err(TrySendError::Disconnected(_))) | None => {}
        }
    }
}

impl Drop for BusReporter {
    fn drop(&mut self) {
        self.verdicts = None;
        if let Some(thread) = self.thread.take() {
            // Of a panic in there, the message was printed.
            let _ = thread.join();
        }
    }
}

/// Until there will be no more verdicts. The same trouble is told of once.
fn send(mut bus: Bus, verdicts: &Receiver<RegionVerdict>) {
    // Another number at each start, so that the other end can tell that the count begins anew.
    let session = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as u32);
    let (mut sequence, mut failed, mut lost) = (0u16, false, 0u64);
    while let Ok(verdict) = verdicts.recv() {
        sequence = sequence.wrapping_add(1);
        let message = ToCompanion::Request { session, sequence, request: Request::Verdict(verdict) };
        let result = match encode_frame(&message) {
            Ok(frame) => bus.send(&frame),
            Err(error) => {
                log::error!("bus: {error}");
                continue;
            }
        };
        match &result {
            Err(error) if !failed => log::warn!("{error}; watching goes on"),
            Ok(()) if failed => log::warn!("bus: verdicts are taken again"),
            _ => {}
        }
        failed = result.is_err();
        lost += u64::from(failed);
    }
    if lost > 0 {
        log::warn!("bus: {lost} of {sequence} verdicts were not taken");
    }
}
