//! A thread that sends every verdict over a bus, as messages of the companion's link. Nothing is asked and
//! nothing answered: what is not taken is lost, and counted.

use anchorwatch_core::link::{RegionVerdict, Request, ToCompanion, encode_frame};
use anchorwatch_pins::{Bus, BusAddress, PinError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    shared: Arc<Shared>,
}

/// What both threads know.
#[derive(Debug, Default)]
struct Shared {
    /// There will be no more verdicts.
    ending: AtomicBool,
    /// Verdicts for which there was no room.
    crowded_out: AtomicU64,
}

impl BusReporter {
    /// Opens the bus and starts the thread.
    ///
    /// # Errors
    /// If the bus cannot be opened. Whether anybody is at the address is known only when something is
    /// sent, and is logged then.
    pub fn start(address: BusAddress) -> Result<Self, PinError> {
        let mut bus = Bus::open(address)?;
        let (verdicts, waiting) = sync_channel(MOST_WAITING);
        let shared = Arc::<Shared>::default();
        let known = shared.clone();
        let thread = std::thread::Builder::new().name("bus".to_string()).spawn(move || {
            let sent = send(&mut |frame| bus.send(frame), &waiting, &known.ending);
            let lost = sent.lost + known.crowded_out.load(Ordering::Relaxed);
            if lost > 0 {
                log::warn!("bus: {lost} of {} verdicts were not taken", sent.taken + lost);
            }
        })?;
        Ok(Self { verdicts: Some(verdicts), thread: Some(thread), shared })
    }

    /// Has a verdict sent. Never waits: when the bus is too slow, it is given up.
    pub fn verdict(&self, verdict: RegionVerdict) {
        match self.verdicts.as_ref().map(|verdicts| verdicts.try_send(verdict)) {
            Some(Err(TrySendError::Full(_))) => {
                log::debug!("bus: too slow for all verdicts");
                self.shared.crowded_out.fetch_add(1, Ordering::Relaxed);
            }
            Some(Ok(()) | Err(TrySendError::Disconnected(_))) | None => {}
        }
    }
}

impl Drop for BusReporter {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        self.verdicts = None;
        if let Some(thread) = self.thread.take() {
            // Of a panic in there, the message was printed.
            let _ = thread.join();
        }
    }
}

/// What became of the verdicts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    taken: u64,
    lost: u64,
}

/// Until there will be no more verdicts. The same trouble is told of once. Those that still wait at the end
/// are sent too, but not to somebody who does not take them: on a bus that hangs, each would last a second.
fn send(
    bus: &mut dyn FnMut(&[u8]) -> Result<(), PinError>,
    verdicts: &Receiver<RegionVerdict>,
    ending: &AtomicBool,
) -> Sent {
    // Another number at each start, so that the other end can tell that the count begins anew.
    let session = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as u32);
    let (mut sequence, mut failed, mut sent) = (0u16, false, Sent::default());
    while let Ok(verdict) = verdicts.recv() {
        if failed && ending.load(Ordering::Relaxed) {
            sent.lost += 1;
            continue;
        }
        sequence = sequence.wrapping_add(1);
        let message = ToCompanion::Request { session, sequence, request: Request::Verdict(verdict) };
        let result = match encode_frame(&message) {
            Ok(frame) => bus(&frame),
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
        if failed {
            sent.lost += 1;
        } else {
            sent.taken += 1;
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERDICT: RegionVerdict = RegionVerdict { region: 0, class: Some(1), score: 0.5, threshold: 1.0 };

    fn waiting(count: usize) -> Receiver<RegionVerdict> {
        let (verdicts, waiting) = sync_channel(count);
        (0..count).for_each(|_| verdicts.send(VERDICT).unwrap());
        waiting
    }

    fn hangs() -> Result<(), PinError> {
        Err(PinError::Bus { bus: "i2c:1:0x42".to_string(), why: "it hangs".to_string() })
    }

    #[test]
    fn a_bus_that_hangs_does_not_hold_up_the_end_and_all_are_counted() {
        for (ending, tried) in [(true, 1), (false, 10)] {
            let mut tries = 0;
            let mut bus = |_: &[u8]| {
                tries += 1;
                hangs()
            };
            let sent = send(&mut bus, &waiting(10), &AtomicBool::new(ending));
            assert_eq!((tries, sent), (tried, Sent { taken: 0, lost: 10 }));
        }
    }

    #[test]
    fn what_waits_at_the_end_is_sent_and_counted_beyond_the_sequence_numbers() {
        let count = usize::from(u16::MAX) + 10;
        let mut tries = 0;
        let mut bus = |_: &[u8]| {
            tries += 1;
            if tries == 1 { hangs() } else { Ok(()) }
        };
        let sent = send(&mut bus, &waiting(count), &AtomicBool::new(false));
        assert_eq!(sent, Sent { taken: count as u64 - 1, lost: 1 });
        let sent = send(&mut |_| Ok(()), &waiting(10), &AtomicBool::new(true));
        assert_eq!(sent, Sent { taken: 10, lost: 0 });
    }
}
