//! The thread that listens to gpsd and keeps the newest fix, and who asks it.

use crate::connection::Connection;
use crate::error::Trouble;
use crate::report::Report;
use crate::{Fix, GpsdSettings, PositionError};
use anchorwatch_store::Position;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The first pause before it connects again; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Knows where the unit is, as long as gpsd does. When it is dropped, its thread hangs up and ends.
pub struct Locator {
    shared: Arc<Shared>,
    max_age: Duration,
}

/// How it stands with gpsd, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocatorStatus {
    /// Whether gpsd answers.
    pub connected: bool,
    /// How long ago the last fix came, however old.
    pub age: Option<Duration>,
    /// Why gpsd does not answer.
    pub trouble: Option<String>,
}

struct Shared {
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Default)]
struct State {
    stop: bool,
    /// The connection, to hang up.
    socket: Option<TcpStream>,
    fix: Option<(Fix, Instant)>,
    connected: bool,
    trouble: Option<String>,
}

impl Locator {
    /// Starts to listen. That gpsd is not there is no error: it may come.
    ///
    /// # Errors
    /// If the settings cannot be meant, or the system gives no thread.
    pub fn start(settings: &GpsdSettings) -> Result<Self, PositionError> {
        let address = settings.full_address()?;
        let (max_age, patience) = (settings.max_age()?, settings.patience()?);
        let shared = Arc::new(Shared { state: Mutex::default(), stopped: Condvar::new() });
        let listener = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("gpsd".into())
            .spawn(move || listener.listen(&address, patience))
            .map_err(PositionError::Thread)?;
        Ok(Self { shared, max_age })
    }

    /// The newest fix, if it is fresh. Waits for nobody.
    ///
    /// A receiver that has lost its satellites does not take it back: it goes when it is too old.
    pub fn fix(&self) -> Option<Fix> {
        let state = self.shared.state();
        state.fix.as_ref().filter(|(_, came)| came.elapsed() <= self.max_age).map(|(fix, _)| fix.clone())
    }

    /// The unit's position, if it is known. Waits for nobody.
    pub fn position(&self) -> Option<Position> {
        self.fix().as_ref().map(Position::from)
    }

    /// How it stands with gpsd.
    pub fn status(&self) -> LocatorStatus {
        let state = self.shared.state();
        LocatorStatus {
            connected: state.connected,
            age: state.fix.as_ref().map(|(_, came)| came.elapsed()),
            trouble: state.trouble.clone(),
        }
    }
}

impl Drop for Locator {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.stop = true;
        if let Some(socket) = state.socket.take() {
            let _ = socket.shutdown(Shutdown::Both); // it may be closed already
        }
        drop(state);
        self.shared.stopped.notify_all();
    }
}

impl Shared {
    /// The lock is only ever held to copy something.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: connects, follows, and connects again.
    fn listen(&self, address: &str, patience: Duration) {
        let mut pause = FIRST_PAUSE;
        loop {
            let trouble = match Connection::open(address, patience) {
                Ok(connection) => self.follow(connection, &mut pause),
                Err(trouble) => trouble,
            };
            self.lost(&trouble);
            let state = self.state();
            let waited = self.stopped.wait_timeout_while(state, pause, |state| !state.stop);
            if waited.unwrap_or_else(PoisonError::into_inner).0.stop {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Keeps what gpsd reports until the connection ends, and says why it did.
    fn follow(&self, mut connection: Connection, pause: &mut Duration) -> Trouble {
        let socket = match connection.socket() {
            Ok(socket) => socket,
            Err(error) => return Trouble::Broken(error),
        };
        let mut state = self.state();
        if state.stop {
            return Trouble::Closed;
        }
        state.socket = Some(socket);
        state.connected = true;
        state.trouble = None;
        drop(state);
        log::info!("connected to gpsd");
        loop {
            match connection.next() {
                Ok(Report::Fix(fix)) => {
                    self.state().fix = Some((fix, Instant::now()));
                    *pause = FIRST_PAUSE;
                }
                Ok(_) => {}
                Err(trouble) => return trouble,
            }
        }
    }

    fn lost(&self, trouble: &Trouble) {
        let mut state = self.state();
        state.socket = None;
        state.connected = false;
        let text = trouble.to_string();
        // The same reason is logged once, however often it is met.
        if !state.stop && state.trouble.as_ref() != Some(&text) {
            log::warn!("no position from gpsd: {text}; trying again");
        }
        state.trouble = Some(text);
    }
}
