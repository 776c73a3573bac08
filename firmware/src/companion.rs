//! The companion itself: bytes and times in, pin states and bytes out. Pins and ports are in
//! `exchange`.

use anchorwatch_core::link::{
    Alarm, Arrival, Arrivals, Clock, CompanionState, Counters, Due, EVENTS_A_REPLY, Event, EventKind,
    FrameDecoder, FrameError, Hello, Judge, Logits, MAX_FRAME, MAX_LOGITS, Refusal, RegionVerdict, Reply,
    Request, Retransmission, Timing, ToCompanion, ToHost, UploadHeader, Version, encode_frame,
};
use anchorwatch_core::{Transition, Verdict, WatchConfigError};
use embedded_storage::nor_flash::NorFlash;
use heapless::{String, Vec};

use crate::alarm_control::AlarmControl;
use crate::button::Button;
use crate::centres::{Centres, MAX_CLASSES, MAX_VALUES};
use crate::config::Config;
use crate::event_ring::EventRing;
use crate::host_watch::HostWatch;
use crate::store::{CentresStore, Checked, Found, Upload};

/// How soon an event that is not recorded is sent again. It is never given up.
const EVENT_TIMING: Timing = Timing { first_ms: 200, longest_ms: 2000, attempts: 0 };

/// What the pins should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// The alarm: a lamp, a siren, a stop line.
    pub alarm: bool,
    /// Whether the host is lost.
    pub host_lost: bool,
    /// The permit: on only while all is well, which is when a host is there and the alarm is off. What must
    /// stop when the companion has no power, restarts, or is cut off, hangs on this one.
    pub permit: bool,
    /// The heartbeat lamp: it shows that this program runs, slowly with a host and fast without.
    pub lamp: bool,
}

/// Everything that a companion remembers, 25 KB of it: meant to be a `static`.
#[derive(Debug)]
pub struct Companion {
    config: Config,
    alarm: Option<AlarmControl>,
    host: HostWatch,
    button: Button,
    events: EventRing,
    /// The event on its way to the host.
    sending_event: Option<(u32, Retransmission)>,
    /// The first session since the start: it names this start.
    boot: Option<u32>,
    arrivals: Arrivals,
    host_frames: FrameDecoder,
    feed_frames: FrameDecoder,
    /// What to add to the uptime to get the time since 1970.
    unix_offset_ms: Option<u64>,
    counted: Counted,
    store: CentresStore,
    upload: Option<Upload>,
    /// The answer to the last request, in case that it is repeated …
    reply: Vec<u8, MAX_FRAME>,
    /// … and whether it is still to be sent.
    reply_due: bool,
    /// Whether a host of another version of the protocol is to be told of this one.
    stranger_due: bool,
    /// The frame being sent, and how much of it has been.
    outgoing: Vec<u8, MAX_FRAME>,
    sent: usize,
    centres: Centres,
}

/// The counters that are kept here; the others are where their things are.
#[derive(Clone, Copy, Debug)]
struct Counted {
    requests: u32,
    repeated: u32,
    busy: u32,
    strangers: u32,
    verdicts: u32,
    unknown: u32,
    refused_verdicts: u32,
    host_losses: u32,
    flash_errors: u32,
    serial_errors: u32,
}

impl Companion {
    /// A companion that has not started. `const`, so that it need not lie on the stack.
    pub const fn new(config: Config) -> Self {
        Self {
            alarm: None,
            host: HostWatch::new(),
            button: Button::new(),
            events: EventRing::new(),
            sending_event: None,
            boot: None,
            arrivals: Arrivals::new(),
            host_frames: FrameDecoder::new(),
            feed_frames: FrameDecoder::new(),
            unix_offset_ms: None,
            counted: Counted {
                requests: 0,
                repeated: 0,
                busy: 0,
                strangers: 0,
                verdicts: 0,
                unknown: 0,
                refused_verdicts: 0,
                host_losses: 0,
                flash_errors: 0,
                serial_errors: 0,
            },
            store: CentresStore::new(),
            upload: None,
            reply: Vec::new(),
            reply_due: false,
            stranger_due: false,
            outgoing: Vec::new(),
            sent: 0,
            centres: Centres::none(config.arithmetic),
            config,
        }
    }

    /// Looks for centres in the flash memory, and begins. `by_watchdog`: whether the hardware watchdog
    /// had to restart the board.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense.
    pub fn start<F: NorFlash>(
        &mut self,
        flash: &mut F,
        by_watchdog: bool,
        now_ms: u64,
    ) -> Result<(), WatchConfigError> {
        self.alarm = Some(AlarmControl::new(self.config.watch, self.config.hold_ms)?);
        self.events.push(EventKind::Started { by_watchdog }, now_ms);
        let Found { newest, damaged } = self.store.find(flash);
        let loaded = newest.map_or(Ok(()), |header| self.load(flash, header));
        if damaged || loaded.is_err() {
            count(&mut self.counted.flash_errors);
        }
        Ok(())
    }

    /// Takes in one byte from the host.
    pub fn receive<F: NorFlash>(&mut self, byte: u8, flash: &mut F, now_ms: u64) {
        match self.host_frames.push(byte) {
            Some(Ok(ToCompanion::Request { session, sequence, request })) => {
                self.request(session, sequence, request, flash, now_ms);
            }
            Some(Ok(ToCompanion::Recorded { boot, number })) => {
                if self.boot == Some(boot) {
                    self.heard(None, now_ms);
                    self.events.recorded(number);
                    if self.sending_event.is_some_and(|(sending, _)| sending <= number) {
                        self.sending_event = None;
                    }
                }
            }
            Some(Ok(ToCompanion::Logits(logits))) => self.feed(&logits, now_ms),
            // It cannot be understood, but it can be told by what version.
            Some(Err(FrameError::Version(_))) => self.stranger_due = true,
            Some(Err(_)) | None => {} // counted where it was noticed
        }
    }

    /// Takes in one byte from a network that runs beside the companion, on a port of its own. Only
    /// logits are listened to there.
    pub fn receive_feed(&mut self, byte: u8, now_ms: u64) {
        if let Some(Ok(ToCompanion::Logits(logits))) = self.feed_frames.push(byte) {
            self.feed(&logits, now_ms);
        }
    }

    /// Says that the serial hardware, or its buffer, has lost something.
    pub fn serial_error(&mut self) {
        count(&mut self.counted.serial_errors);
    }

    /// Looks at the time and at the button. To be called often: every few milliseconds.
    pub fn tick(&mut self, button: bool, now_ms: u64) {
        if self.host.tick(self.config.host_lost_ms, now_ms) {
            count(&mut self.counted.host_losses);
            self.events.push(EventKind::HostLost, now_ms);
        }
        if self.button.update(button, self.config.debounce_ms, now_ms) {
            self.acknowledge(true, now_ms);
        }
        if self.alarm.as_mut().is_some_and(|alarm| alarm.tick(now_ms)) {
            self.events.push(EventKind::AlarmEnded, now_ms);
        }
    }

    /// What the pins should be now. A companion that could not start, its configuration making no sense, is
    /// an alarm that nobody can overlook.
    pub fn outputs(&self, now_ms: u64) -> Outputs {
        let alarm = self.alarm.as_ref().is_none_or(|alarm| alarm.alarm() == Alarm::On);
        let host_lost = self.host.is_lost();
        let permit = !alarm && !host_lost && self.boot.is_some();
        let period_ms = if host_lost { 250 } else { 2000 };
        Outputs { alarm, host_lost, permit, lamp: now_ms % period_ms < period_ms / 2 }
    }

    /// The next byte for the host, if there is one.
    pub fn transmit(&mut self, now_ms: u64) -> Option<u8> {
        if self.sent >= self.outgoing.len() {
            self.sent = 0;
            self.outgoing.clear();
            self.choose_outgoing(now_ms);
        }
        let byte = self.outgoing.get(self.sent).copied()?;
        self.sent += 1;
        Some(byte)
    }

    /// Puts the next frame into `outgoing`, if there is one: the answer first, then the oldest event
    /// that is not recorded, as long as there is a host.
    fn choose_outgoing(&mut self, now_ms: u64) {
        if core::mem::take(&mut self.reply_due) {
            // Both have the same capacity.
            let _ = self.outgoing.extend_from_slice(&self.reply);
            return;
        }
        if core::mem::take(&mut self.stranger_due) {
            // Any message will do: its frame begins with the version.
            let reply = Reply::Refused(Refusal::SayHello);
            if let Ok(frame) = encode_frame(&ToHost::Reply { session: 0, sequence: 0, reply }) {
                self.outgoing = frame;
            }
            return;
        }
        let Some(boot) = self.boot else { return };
        if self.host.is_lost() {
            self.sending_event = None; // when it is back, at once
            return;
        }
        let next = self.events.next_to_record();
        let Some(event) = self.events.from(next, self.unix_offset_ms) else { return };
        let (_, retransmission) = match &mut self.sending_event {
            Some(sending) if sending.0 == event.number => sending,
            other => other.insert((event.number, Retransmission::new(EVENT_TIMING, now_ms))),
        };
        if retransmission.poll(now_ms) == Due::Send
            && let Ok(frame) = encode_frame(&ToHost::Event { boot, event })
        {
            self.outgoing = frame;
        }
    }

    fn request<F: NorFlash>(
        &mut self,
        session: u32,
        sequence: u16,
        request: Request,
        flash: &mut F,
        now_ms: u64,
    ) {
        if self.reply_due {
            // The last answer is not even being sent: whoever floods the line must wait.
            count(&mut self.counted.busy);
            return;
        }
        let hello = matches!(request, Request::Hello { .. });
        let reply = match self.arrivals.sort(session, sequence, hello) {
            Arrival::New => {
                count(&mut self.counted.requests);
                self.heard(hello.then_some(session), now_ms);
                self.carry_out(session, request, flash, now_ms)
            }
            Arrival::Repeated => {
                count(&mut self.counted.repeated);
                self.heard(None, now_ms);
                self.reply_due = true;
                return;
            }
            Arrival::Old => {
                count(&mut self.counted.repeated);
                return;
            }
            Arrival::Stranger => {
                count(&mut self.counted.strangers);
                Reply::Refused(Refusal::SayHello)
            }
        };
        // Every reply fits into a frame.
        if let Ok(frame) = encode_frame(&ToHost::Reply { session, sequence, reply }) {
            self.reply = frame;
            self.reply_due = true;
        }
    }

    /// A sign of life of the host; `session` when it has just begun.
    fn heard(&mut self, session: Option<u32>, now_ms: u64) {
        let was_lost = self.host.heard(now_ms);
        if let Some(session) = session {
            self.boot.get_or_insert(session);
            self.upload = None;
            if let Some(alarm) = &mut self.alarm {
                alarm.new_host();
            }
            // At once, and not when the last host would have been tried again.
            self.sending_event = None;
        }
        if let Some(session) = session.or_else(|| self.arrivals.session().filter(|_| was_lost)) {
            self.events.push(EventKind::HostFound { session }, now_ms);
        }
    }

    fn carry_out<F: NorFlash>(
        &mut self,
        session: u32,
        request: Request,
        flash: &mut F,
        now_ms: u64,
    ) -> Reply {
        let result = match request {
            Request::Hello { host: _ } => return self.hello(session, now_ms),
            Request::Heartbeat => Ok(()),
            Request::Verdict(verdict) => {
                self.verdict(verdict.region, Judge::Host, &verdict.verdict(), now_ms)
            }
            Request::Logits(logits) => {
                return match self.judge(&logits, now_ms) {
                    Ok(verdict) => Reply::Verdict(verdict),
                    Err(refusal) => Reply::Refused(refusal),
                };
            }
            Request::State => return Reply::State(self.state(now_ms)),
            Request::Counters => return Reply::Counters(self.counters()),
            Request::Events { from } => return Reply::Events(self.events_from(from)),
            Request::TimeSync { unix_ms } => {
                let before = self.clock(now_ms);
                self.unix_offset_ms = Some(unix_ms.saturating_sub(now_ms));
                return Reply::Time(before);
            }
            Request::UploadBegin(header) => self.begin_upload(header),
            Request::UploadChunk { offset, bytes } => self.upload_chunk(offset, &bytes, flash),
            Request::UploadCommit => self.commit_upload(flash, now_ms),
            Request::Threshold(threshold) => self.set_threshold(threshold, flash, now_ms),
            Request::AcknowledgeAlarm => {
                self.acknowledge(false, now_ms);
                Ok(())
            }
        };
        match result {
            Ok(()) => Reply::Done,
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn hello(&self, session: u32, now_ms: u64) -> Reply {
        let mut board = String::new();
        for letter in self.config.board.chars() {
            let _ = board.push(letter); // what is too long is cut off
        }
        Reply::Hello(Hello {
            firmware: Version::THIS,
            board,
            boot: self.boot.unwrap_or(session),
            next_event: self.events.next_to_record(),
            clock: self.clock(now_ms),
        })
    }

    /// Takes in a verdict of the host's or the companion's own.
    fn verdict(&mut self, region: u16, judge: Judge, verdict: &Verdict, now_ms: u64) -> Result<(), Refusal> {
        let Some(alarm) = &mut self.alarm else { return Err(Refusal::RegionsFull) };
        let was = alarm.alarm();
        let transition = alarm.verdict(region, judge, verdict, now_ms);
        let raised = match transition {
            Ok(transition) => transition == Transition::Raised,
            Err(_) => was != Alarm::On && alarm.alarm() == Alarm::On,
        };
        if raised {
            let verdict = RegionVerdict::new(region, verdict);
            self.events.push(EventKind::Raised { verdict, judge }, now_ms);
        }
        match transition {
            Ok(transition) => {
                count(&mut self.counted.verdicts);
                if verdict.is_unknown() {
                    count(&mut self.counted.unknown);
                }
                if transition == Transition::Cleared {
                    self.events.push(EventKind::Cleared { region, judge }, now_ms);
                }
                Ok(())
            }
            Err(_) => {
                count(&mut self.counted.refused_verdicts);
                Err(Refusal::RegionsFull)
            }
        }
    }

    /// Judges logits and takes the verdict in.
    fn judge(&mut self, logits: &Logits, now_ms: u64) -> Result<RegionVerdict, Refusal> {
        match self.centres.score(&logits.values) {
            Ok(verdict) => {
                self.verdict(logits.region, Judge::Companion, &verdict, now_ms)?;
                Ok(RegionVerdict::new(logits.region, &verdict))
            }
            Err(refusal) => {
                count(&mut self.counted.refused_verdicts);
                Err(refusal)
            }
        }
    }

    /// Judges logits of a sender that expects no answer; what is wrong with them is counted.
    fn feed(&mut self, logits: &Logits, now_ms: u64) {
        let _ = self.judge(logits, now_ms);
    }

    fn acknowledge(&mut self, button: bool, now_ms: u64) {
        if self.alarm.as_mut().is_some_and(AlarmControl::acknowledge) {
            self.events.push(EventKind::Acknowledged { button }, now_ms);
        }
    }

    fn begin_upload(&mut self, header: UploadHeader) -> Result<(), Refusal> {
        self.upload = None;
        let (classes, logits) = (usize::from(header.classes), usize::from(header.logits));
        if classes == 0 || logits == 0 {
            return Err(Refusal::Empty);
        }
        if classes > MAX_CLASSES || logits > MAX_LOGITS || classes * logits > MAX_VALUES {
            return Err(Refusal::TooLarge { most_logits: MAX_LOGITS as u16, most_values: MAX_VALUES as u16 });
        }
        if !self.centres.can_judge_with(header.threshold) {
            return Err(Refusal::BadThreshold);
        }
        self.upload = Some(self.store.begin(header));
        Ok(())
    }

    fn upload_chunk<F: NorFlash>(&mut self, offset: u32, bytes: &[u8], flash: &mut F) -> Result<(), Refusal> {
        let Some(upload) = &mut self.upload else { return Err(Refusal::NotBegun) };
        if offset != upload.received() {
            return Err(Refusal::OutOfOrder { expected: upload.received() });
        }
        let missing = upload.length().saturating_sub(upload.received()) as usize;
        let wanted = missing.min(anchorwatch_core::link::CHUNK);
        if bytes.len() != wanted || wanted == 0 {
            return Err(Refusal::WrongLength);
        }
        let result = self.store.append(flash, upload, bytes);
        if result.is_err() {
            count(&mut self.counted.flash_errors);
            self.upload = None;
        }
        result.map_err(|_| Refusal::Flash)
    }

    fn commit_upload<F: NorFlash>(&mut self, flash: &mut F, now_ms: u64) -> Result<(), Refusal> {
        let Some(upload) = self.upload else { return Err(Refusal::NotBegun) };
        if upload.received() < upload.length() {
            return Err(Refusal::Incomplete { have: upload.received() });
        }
        self.upload = None;
        let centres = &self.centres;
        let committed = match self.store.check(flash, &upload, |number| centres.can_hold(number)) {
            Ok(Checked::Sound) => self.store.commit(flash, &upload).map_err(|_| Refusal::Flash),
            Ok(Checked::WrongChecksum) => Err(Refusal::Checksum),
            Ok(Checked::BadNumber) => Err(Refusal::BadCentres),
            Err(_) => Err(Refusal::Flash),
        };
        self.changed(committed, upload.header(), flash, now_ms)
    }

    fn set_threshold<F: NorFlash>(
        &mut self,
        threshold: f32,
        flash: &mut F,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let header = self.centres.header().ok_or(Refusal::NoCentres)?;
        if !self.centres.can_judge_with(threshold) {
            return Err(Refusal::BadThreshold);
        }
        if threshold == header.threshold {
            return Ok(()); // flash memory wears out
        }
        self.upload = None; // its slot is needed
        let header = UploadHeader { threshold, ..header };
        let rewritten = self.store.rewrite(flash, header).map_err(|_| Refusal::Flash);
        self.changed(rewritten, header, flash, now_ms)
    }

    /// After a change in flash memory: if it worked, what is there is what is used.
    fn changed<F: NorFlash>(
        &mut self,
        result: Result<(), Refusal>,
        header: UploadHeader,
        flash: &mut F,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let result = result.and_then(|()| self.load(flash, header));
        match result {
            Ok(()) => self.events.push(EventKind::CentresChanged { header }, now_ms),
            Err(Refusal::Flash) => count(&mut self.counted.flash_errors),
            Err(_) => {}
        }
        result
    }

    /// Reads the stored centres into memory.
    fn load<F: NorFlash>(&mut self, flash: &mut F, header: UploadHeader) -> Result<(), Refusal> {
        self.centres.clear();
        let centres = &mut self.centres;
        let mut good = true;
        self.store.load(flash, &header, |number| good &= centres.push(number)).map_err(|_| Refusal::Flash)?;
        if !good {
            self.centres.clear();
            return Err(Refusal::BadCentres);
        }
        self.centres.finish(header)
    }

    fn alarm(&self) -> Alarm {
        self.alarm.as_ref().map_or(Alarm::Quiet, AlarmControl::alarm)
    }

    fn clock(&self, now_ms: u64) -> Clock {
        let unix_ms = self.unix_offset_ms.map(|offset| offset.saturating_add(now_ms));
        Clock { uptime_ms: now_ms, unix_ms }
    }

    fn events_from(&self, from: u32) -> Vec<Event, EVENTS_A_REPLY> {
        let mut events = Vec::new();
        let mut next = from;
        while let Some(event) = self.events.from(next, self.unix_offset_ms) {
            if events.push(event).is_err() {
                break;
            }
            next = event.number.saturating_add(1);
        }
        events
    }

    fn state(&self, now_ms: u64) -> CompanionState {
        CompanionState {
            clock: self.clock(now_ms),
            alarm: self.alarm(),
            raised_regions: self.alarm.as_ref().map_or(0, AlarmControl::raised),
            host_lost: self.host.is_lost(),
            button: self.button.is_held(),
            newest_event: self.events.newest(),
            waiting_events: self.events.waiting(),
            centres: self.centres.header(),
        }
    }

    fn counters(&self) -> Counters {
        let counted = self.counted;
        Counters {
            host: self.host_frames.counters(),
            feed: self.feed_frames.counters(),
            requests: counted.requests,
            repeated: counted.repeated,
            busy: counted.busy,
            strangers: counted.strangers,
            verdicts: counted.verdicts,
            unknown: counted.unknown,
            refused_verdicts: counted.refused_verdicts,
            lost_events: self.events.lost(),
            host_losses: counted.host_losses,
            flash_errors: counted.flash_errors,
            serial_errors: counted.serial_errors,
        }
    }
}

/// Counters stop at their largest value.
fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
mod tests;
