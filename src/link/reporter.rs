//! A thread that tells the companion every verdict, keeps it from thinking the host lost, and brings
//! its events home. The line may be slow, broken, or gone for a while: nobody waits for it.

use super::verdict_queue::VerdictQueue;
use super::{Address, Journal, Link, LinkError, Speed, wording};
use anchorwatch_core::Verdict;
use anchorwatch_core::link::{RegionVerdict, Reply, Request};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A sign of life is given when nothing else was said for so long.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often a port that is gone is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the companion's clock is set.
const SYNC: Duration = Duration::from_secs(3600);
/// How long the last verdicts may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Verdicts that the companion has taken in.
    pub verdicts: u64,
    /// Verdicts given up because the line was too slow, or gone.
    pub dropped: u64,
    /// Verdicts that the companion did not want.
    pub refused: u64,
    /// Events that came from the companion.
    pub events: u64,
    /// Why the companion could not be reached, the last time.
    pub last_error: Option<String>,
}

/// Passes verdicts on.
#[derive(Debug)]
pub struct Reporter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Reported>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: VerdictQueue,
    /// When the last verdict came, or the thread was started.
    judged: Instant,
    closed: bool,
}

impl Default for State {
    fn default() -> Self {
        Self { queue: VerdictQueue::default(), judged: Instant::now(), closed: false }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter {
    /// Starts the thread. A companion that is not there yet is waited for. Its events go into the
    /// journal; without one they are only logged. When there is no verdict for longer than `patience`, no
    /// signs of life are given: what does not judge any more is not alive, whatever its threads do, and
    /// the companion shall say so.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn start(
        address: Address,
        speed: Speed,
        journal: Option<Journal>,
        patience: Duration,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let reported = Reported::default();
        let work = Work { address, speed, journal, patience, shared: theirs, reported, unanswered: 0 };
        let thread = std::thread::Builder::new().name("companion".to_string()).spawn(|| work.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has the companion told of a verdict. Never waits.
    pub fn verdict(&self, region: u16, verdict: &Verdict) {
        let mut state = self.shared.lock();
        state.judged = Instant::now();
        state.queue.push(RegionVerdict::new(region, verdict));
    }

    /// Ends the thread, after at most some seconds for the last verdicts, and says what became of all.
    pub fn finish(mut self) -> Reported {
        self.shared.lock().closed = true;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(reported)) => reported,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Reported::default(), // cannot be: only this takes it
        }
    }
}

/// Dropped, the thread ends by itself.
impl Drop for Reporter {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
    }
}

/// The thread's side.
struct Work {
    address: Address,
    speed: Speed,
    journal: Option<Journal>,
    patience: Duration,
    shared: Arc<Shared>,
    reported: Reported,
    /// Verdicts that were sent, but never answered.
    unanswered: u64,
}

impl Work {
    fn run(mut self) -> Reported {
        while let Err(error) = self.one_connection() {
            self.complain(&error);
            if self.wait_before_trying_again() {
                break;
            }
        }
        let mut state = self.shared.lock();
        state.queue.clear();
        self.reported.dropped = state.queue.dropped() + self.unanswered;
        drop(state);
        self.reported
    }

    /// True when it is not worth trying again: the program ends.
    fn wait_before_trying_again(&self) -> bool {
        let began = Instant::now();
        while began.elapsed() < AGAIN {
            if self.shared.lock().closed {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Talks to the companion until the program ends or the port breaks off.
    fn one_connection(&mut self) -> Result<(), LinkError> {
        let last = self.journal.as_ref().and_then(Journal::last);
        let mut link = Link::open(&self.address, self.speed, last)?;
        let mut synced: Option<Instant> = None;
        let mut boot = None;
        let mut closed: Option<Instant> = None;
        let mut sending = false;
        let mut stalled = false;
        loop {
            link.exchange(Duration::from_millis(5))?;
            while let Some(reply) = link.take_reply() {
                match reply {
                    Ok(Reply::Done) if sending => self.reported.verdicts += 1,
                    Ok(_) => {}
                    Err(LinkError::Refused(_)) if sending => self.reported.refused += 1,
                    Err(error) => {
                        self.complain(&error);
                        boot = None;
                        self.unanswered += u64::from(sending);
                        // Those in the queue are of the past when it is back.
                        self.shared.lock().queue.clear();
                    }
                }
                sending = false;
            }
            while let Some(received) = link.take_event() {
                let recorded = self.journal.as_mut().map_or(Ok(()), |journal| journal.record(&received));
                if let Err(error) = recorded {
                    self.complain(&error); // the companion keeps it, and sends it again
                    break;
                }
                self.reported.events += 1;
                log::info!("companion: {}", wording::event_text(&received.event));
                link.recorded(received.boot, received.event.number);
            }
            if let Some(hello) = link.greeting()
                && boot != Some(hello.boot)
            {
                if self.reported.last_error.take().is_some() {
                    log::warn!("the companion on {} is there again", self.address);
                }
                log::info!("companion: {} with firmware {}", hello.board, hello.firmware);
                boot = Some(hello.boot);
                synced = None;
            }
            let mut state = self.shared.lock();
            let end = state.closed.then(|| *closed.get_or_insert_with(Instant::now));
            if end.is_some_and(|end| end.elapsed() > LAST_WORDS || state.queue.is_empty() && link.is_idle()) {
                return Ok(());
            }
            if !link.is_idle() {
                continue;
            }
            let stalls = state.judged.elapsed() > self.patience;
            if stalls && !stalled {
                log::error!("no verdict for {:?}: the companion gets no signs of life", self.patience);
            } else if stalled && !stalls {
                log::warn!("there are verdicts again: the companion gets signs of life");
            }
            stalled = stalls;
            if stalled {
                continue;
            }
            if boot.is_some() && synced.is_none_or(|time| time.elapsed() > SYNC) {
                link.begin(Request::TimeSync { unix_ms: super::connection::unix_ms() });
                synced = Some(Instant::now());
            } else if let Some(verdict) = state.queue.pop() {
                sending = link.begin(Request::Verdict(verdict));
            } else if link.silence() > HEARTBEAT {
                link.begin(Request::Heartbeat);
            }
        }
    }

    /// The same trouble is told of once.
    fn complain(&mut self, error: &LinkError) {
        let error = error.to_string();
        if self.reported.last_error.as_ref() != Some(&error) {
            log::warn!("{error}; it is tried again, and watching goes on");
            self.reported.last_error = Some(error);
        }
    }
}
