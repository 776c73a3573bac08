//! One companion, asked one thing at a time: the session of the core with a port and a clock.

use super::{Address, LinkError, Port};
use anchorwatch_core::link::{
    CHUNK, Event, FrameError, Hello, HostSession, Incoming, Outgoing, Reply, Request, Timing, UploadHeader,
    checksum,
};
use anchorwatch_core::link::{Clock, CompanionState, Counters, Refusal};
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant, SystemTime};

/// How long an answer may take: an upload may have to wait for flash memory to be erased. Gives up
/// after some four seconds.
const TIMING: Timing = Timing { first_ms: 250, longest_ms: 1000, attempts: 6 };

/// How often an upload is begun anew, when the companion restarts in between.
const UPLOADS: u32 = 3;

/// The speed of the serial line, in baud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(pub u32);

impl Default for Speed {
    /// What the firmware's boards are built with.
    fn default() -> Self {
        Self(115_200)
    }
}

/// An event that has come, until it is said to be recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Received {
    /// Which start of the companion.
    pub boot: u32,
    /// What happened.
    pub event: Event,
    /// How many events before it are lost for good.
    pub missed: u32,
}

/// A companion.
#[derive(Debug)]
pub struct Link {
    address: Address,
    port: Port,
    session: HostSession,
    began: Instant,
    /// When something was last asked.
    asked: Instant,
    hello: Option<Hello>,
    replies: VecDeque<Result<Reply, LinkError>>,
    events: VecDeque<Received>,
}

impl Link {
    /// Opens the port. `last_recorded` is the last event on record: which start of the companion, and
    /// the event's number.
    ///
    /// # Errors
    /// If the port cannot be opened.
    pub fn open(
        address: &Address,
        speed: Speed,
        last_recorded: Option<(u32, u32)>,
    ) -> Result<Self, LinkError> {
        let port = Port::open(address, speed.0)
            .map_err(|source| LinkError::Open { address: address.clone(), source })?;
        // The standard library's source of random numbers: that of its hash tables.
        let session = RandomState::new().build_hasher().finish() as u32;
        Ok(Self {
            address: address.clone(),
            port,
            session: HostSession::new(session, last_recorded, TIMING, 0),
            began: Instant::now(),
            asked: Instant::now(),
            hello: None,
            replies: VecDeque::new(),
            events: VecDeque::new(),
        })
    }

    /// Sends what is due, and takes in what comes, waiting at most so long for it.
    ///
    /// # Errors
    /// If the port breaks off.
    pub fn exchange(&mut self, wait: Duration) -> Result<(), LinkError> {
        let broken = |source| LinkError::Port { address: self.address.clone(), source };
        let mut wait = wait;
        loop {
            let now_ms = self.began.elapsed().as_millis() as u64;
            match self.session.poll(now_ms) {
                Outgoing::Frame(frame) => self.port.write(frame).map_err(broken)?,
                Outgoing::Nothing { until_ms: None } => break,
                Outgoing::Nothing { until_ms: Some(until_ms) } => {
                    wait = wait.min(Duration::from_millis(until_ms.saturating_sub(now_ms)));
                    break;
                }
                Outgoing::GaveUp => {
                    self.hello = None;
                    let address = self.address.clone();
                    self.replies.push_back(Err(LinkError::NoAnswer { address }));
                }
            }
        }
        let mut bytes = [0; 512];
        let count = self.port.read(&mut bytes, wait).map_err(broken)?;
        let now_ms = self.began.elapsed().as_millis() as u64;
        for &byte in &bytes[..count] {
            match self.session.receive(byte, now_ms) {
                Some(Incoming::Greeted(hello)) => self.hello = Some(hello),
                Some(Incoming::Reply(Reply::Refused(refusal))) => {
                    self.replies.push_back(Err(LinkError::Refused(refusal)));
                }
                Some(Incoming::Reply(reply)) => self.replies.push_back(Ok(reply)),
                Some(Incoming::Event { boot, event, missed }) => {
                    // It comes again until it is recorded.
                    let last = self.events.back().map(|last| (last.boot, last.event.number));
                    if last.is_none_or(|(of, number)| of != boot || number < event.number) {
                        self.events.push_back(Received { boot, event, missed });
                    }
                }
                Some(Incoming::Broken(FrameError::Version(companion))) => {
                    self.replies.push_back(Err(LinkError::Protocol { companion }));
                }
                Some(Incoming::Broken(error)) => log::debug!("{}: a broken frame: {error:?}", self.address),
                None => {}
            }
        }
        Ok(())
    }

    /// Who the companion is, if it has answered.
    pub fn greeting(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Whether nothing is being asked.
    pub fn is_idle(&self) -> bool {
        self.session.is_idle()
    }

    /// How long ago something was last asked.
    pub fn silence(&self) -> Duration {
        self.asked.elapsed()
    }

    /// Begins to ask something; the answer comes by [`take_reply`](Self::take_reply). False when
    /// something is being asked already.
    pub fn begin(&mut self, request: Request) -> bool {
        let now_ms = self.began.elapsed().as_millis() as u64;
        let begun = self.session.request(request, now_ms).is_ok();
        if begun {
            self.asked = Instant::now();
        }
        begun
    }

    /// The answer, if it is there.
    pub fn take_reply(&mut self) -> Option<Result<Reply, LinkError>> {
        self.replies.pop_front()
    }

    /// The next event, if one has come. It is the caller's now; the companion keeps it until it is
    /// said to be [`recorded`](Self::recorded).
    pub fn take_event(&mut self) -> Option<Received> {
        self.events.pop_front()
    }

    /// Says that an event is safely recorded, and all before it.
    pub fn recorded(&mut self, boot: u32, number: u32) {
        self.session.recorded(boot, number);
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// If there is none, or the companion refuses.
    pub fn ask(&mut self, request: Request) -> Result<Reply, LinkError> {
        while !self.begin(request.clone()) {
            self.exchange(Duration::from_millis(20))?;
        }
        self.replies.clear(); // of what was asked before
        loop {
            if let Some(reply) = self.take_reply() {
                return reply;
            }
            self.exchange(Duration::from_millis(100))?;
        }
    }

    /// Waits until the companion has said who it is.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn greet(&mut self) -> Result<Hello, LinkError> {
        loop {
            if let Some(hello) = &self.hello {
                return Ok(hello.clone());
            }
            if let Some(Err(error)) = self.take_reply() {
                return Err(error);
            }
            self.exchange(Duration::from_millis(100))?;
        }
    }

    /// How the companion is.
    ///
    /// # Errors
    /// If it does not say.
    pub fn state(&mut self) -> Result<CompanionState, LinkError> {
        match self.ask(Request::State)? {
            Reply::State(state) => Ok(state),
            _ => Err(LinkError::Unexpected),
        }
    }

    /// What it has counted.
    ///
    /// # Errors
    /// If it does not say.
    pub fn counters(&mut self) -> Result<Counters, LinkError> {
        match self.ask(Request::Counters)? {
            Reply::Counters(counters) => Ok(counters),
            _ => Err(LinkError::Unexpected),
        }
    }

    /// All events in its ring, recorded or not, oldest first. They stay there.
    ///
    /// # Errors
    /// If it does not say.
    pub fn ring(&mut self) -> Result<Vec<Event>, LinkError> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let from = events.last().map_or(0, |event| event.number.saturating_add(1));
            match self.ask(Request::Events { from })? {
                Reply::Events(more) if more.is_empty() => return Ok(events),
                // Numbers rise: a companion that restarts in between begins a new list.
                Reply::Events(more) if more.iter().all(|event| event.number >= from) => events.extend(more),
                _ => return Err(LinkError::Unexpected),
            }
        }
    }

    /// Sets its clock to this machine's; what it was before.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn sync(&mut self) -> Result<Clock, LinkError> {
        match self.ask(Request::TimeSync { unix_ms: unix_ms() })? {
            Reply::Time(before) => Ok(before),
            _ => Err(LinkError::Unexpected),
        }
    }

    /// Uploads M×N centres, row after row, with their threshold; `model` are the first bytes of the
    /// model's digest. `progress` is told how many bytes of how many are there. Those that the companion
    /// has already are not written again: its flash memory wears out.
    ///
    /// # Errors
    /// If the companion does not take them; the old ones stay in use.
    pub fn upload(
        &mut self,
        centres: &[f32],
        logits: usize,
        threshold: f32,
        model: [u8; 8],
        mut progress: impl FnMut(usize, usize),
    ) -> Result<UploadHeader, LinkError> {
        let classes = centres.len().checked_div(logits).unwrap_or(0);
        let too_large = |_| LinkError::TooLarge { classes, logits };
        let bytes: Vec<u8> = centres.iter().flat_map(|value| value.to_le_bytes()).collect();
        let header = UploadHeader {
            classes: classes.try_into().map_err(too_large)?,
            logits: logits.try_into().map_err(too_large)?,
            threshold,
            checksum: checksum(&bytes),
            model,
        };
        if self.state()?.centres == Some(header) {
            return Ok(header);
        }
        let mut attempt = 1;
        loop {
            match self.upload_once(header, &bytes, &mut progress) {
                Err(LinkError::Refused(Refusal::NotBegun | Refusal::OutOfOrder { .. }))
                    if attempt < UPLOADS =>
                {
                    attempt += 1;
                }
                result => return result.map(|()| header),
            }
        }
    }

    fn upload_once(
        &mut self,
        header: UploadHeader,
        bytes: &[u8],
        progress: &mut impl FnMut(usize, usize),
    ) -> Result<(), LinkError> {
        self.ask(Request::UploadBegin(header))?;
        for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
            let offset = index * CHUNK;
            progress(offset, bytes.len());
            let chunk = chunk.iter().copied().collect();
            self.ask(Request::UploadChunk { offset: offset as u32, bytes: chunk })?;
        }
        self.ask(Request::UploadCommit)?;
        progress(bytes.len(), bytes.len());
        Ok(())
    }
}

/// Milliseconds since 1970, UTC.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
