//! The host's side of the link: says hello, sends one request at a time until it is answered, and
//! sorts events. Bytes and times come from the caller, who owns the port, the clock and the record.

use heapless::Vec;

use super::{
    Due, EventArrival, EventArrivals, FrameCounters, FrameDecoder, FrameError, Hello, MAX_FRAME, Refusal,
    Reply, Request, Retransmission, Timing, ToCompanion, ToHost, Version, encode_frame,
};
use crate::link::message::Event;

/// The host's side.
///
/// It begins with a hello. When the companion does not know the session (it has restarted, or another
/// host has spoken to it), the session takes the next number, says hello again and repeats
/// the request under way.
#[derive(Debug)]
pub struct HostSession {
    session: u32,
    sequence: u16,
    timing: Timing,
    greeted: bool,
    under_way: Option<UnderWay>,
    /// What the caller wants answered; it may wait for the hello.
    wanted: Option<Request>,
    decoder: FrameDecoder,
    events: EventArrivals,
    recorded: Option<(u32, u32)>,
    recorded_frame: Vec<u8, MAX_FRAME>,
}

#[derive(Debug)]
struct UnderWay {
    sequence: u16,
    hello: bool,
    frame: Vec<u8, MAX_FRAME>,
    retransmission: Retransmission,
}

/// What the companion said.
#[expect(clippy::large_enum_variant, reason = "there is no heap, and one at a time")]
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The session has begun, or begun anew. [`Hello::boot`] tells whether the companion has restarted.
    Greeted(Hello),
    /// The answer to the request under way.
    Reply(Reply),
    /// A new event: record it, then say [`recorded`](HostSession::recorded). It comes again until
    /// then.
    Event {
        /// Which start of the companion.
        boot: u32,
        /// What happened.
        event: Event,
        /// How many events before it were lost, its ring being full.
        missed: u32,
    },
    /// A frame that was no message; noise, mostly.
    Broken(FrameError),
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing<'a> {
    /// These bytes, now.
    Frame(&'a [u8]),
    /// Nothing before this time, unless something comes in; never, if `None`.
    Nothing {
        /// When to ask again.
        until_ms: Option<u64>,
    },
    /// The request under way was never answered, and is dropped.
    GaveUp,
}

/// A request is under way already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl HostSession {
    /// A session that is about to say hello. `session` must be a number that was not used before
    /// (a random one); `last_recorded` is the last event on record: which start of the companion, and
    /// its number.
    pub fn new(session: u32, last_recorded: Option<(u32, u32)>, timing: Timing, now_ms: u64) -> Self {
        let mut new = Self {
            session,
            sequence: 0,
            timing,
            greeted: false,
            under_way: None,
            wanted: None,
            decoder: FrameDecoder::new(),
            events: EventArrivals::after(last_recorded),
            recorded: None,
            recorded_frame: Vec::new(),
        };
        new.begin(now_ms);
        new
    }

    /// Whether the companion has answered the hello.
    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.wanted.is_none() && self.under_way.is_none()
    }

    /// What was wrong with the frames that came.
    pub fn counters(&self) -> FrameCounters {
        self.decoder.counters()
    }

    /// Begins a request. Its answer comes from [`receive`](Self::receive).
    ///
    /// # Errors
    ///
    /// When another one is under way.
    pub fn request(&mut self, request: Request, now_ms: u64) -> Result<(), Busy> {
        if self.wanted.is_some() {
            return Err(Busy);
        }
        self.wanted = Some(request);
        if self.under_way.is_none() {
            self.begin(now_ms);
        }
        Ok(())
    }

    /// Says that an event is safely recorded.
    pub fn recorded(&mut self, boot: u32, number: u32) {
        self.events.recorded(boot, number);
        self.recorded = Some((boot, number));
    }

    /// What is to be sent now. To be asked again until it says [`Outgoing::Nothing`].
    pub fn poll(&mut self, now_ms: u64) -> Outgoing<'_> {
        if let Some((boot, number)) = self.recorded.take()
            && let Ok(frame) = encode_frame(&ToCompanion::Recorded { boot, number })
        {
            self.recorded_frame = frame;
            return Outgoing::Frame(&self.recorded_frame);
        }
        let Some(under_way) = &mut self.under_way else {
            return Outgoing::Nothing { until_ms: None };
        };
        match under_way.retransmission.poll(now_ms) {
            Due::At(time) => Outgoing::Nothing { until_ms: Some(time) },
            Due::Send => Outgoing::Frame(self.under_way.as_ref().map_or(&[], |under_way| &under_way.frame)),
            Due::GiveUp => {
                // What comes next says hello first: nobody may be there.
                self.greeted = false;
                self.under_way = None;
                self.wanted = None;
                Outgoing::GaveUp
            }
        }
    }

    /// Takes one byte in.
    pub fn receive(&mut self, byte: u8, now_ms: u64) -> Option<Incoming> {
        match self.decoder.push(byte)? {
            Err(error) => Some(Incoming::Broken(error)),
            Ok(ToHost::Event { boot, event }) => match self.events.sort(boot, event.number) {
                EventArrival::New { missed } => Some(Incoming::Event { boot, event, missed }),
                EventArrival::Repeated => {
                    self.recorded = Some((boot, event.number));
                    None
                }
            },
            Ok(ToHost::Reply { session, sequence, reply }) => {
                let under_way = self.under_way.as_ref()?;
                if session != self.session || sequence != under_way.sequence {
                    return None; // the second answer to a request that was sent twice
                }
                let hello = under_way.hello;
                self.under_way = None;
                match reply {
                    Reply::Refused(Refusal::SayHello) => {
                        self.greeted = false;
                        self.session = self.session.wrapping_add(1);
                        self.begin(now_ms);
                        None
                    }
                    Reply::Hello(hello) => {
                        self.greeted = true;
                        self.begin(now_ms);
                        Some(Incoming::Greeted(hello))
                    }
                    _ if hello => {
                        self.begin(now_ms); // no answer to a hello: say it again
                        None
                    }
                    reply => {
                        self.wanted = None;
                        Some(Incoming::Reply(reply))
                    }
                }
            }
        }
    }

    /// Puts the next request on its way: the hello, if there was none, else what is wanted.
    fn begin(&mut self, now_ms: u64) {
        let hello = !self.greeted;
        let request = match &self.wanted {
            _ if hello => Request::Hello { host: Version::THIS },
            Some(request) => request.clone(),
            None => return,
        };
        self.sequence = self.sequence.wrapping_add(1);
        let (session, sequence) = (self.session, self.sequence);
        // Every request fits into a frame.
        if let Ok(frame) = encode_frame(&ToCompanion::Request { session, sequence, request }) {
            let retransmission = Retransmission::new(self.timing, now_ms);
            self.under_way = Some(UnderWay { sequence, hello, frame, retransmission });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Clock, EventKind};

    const TIMING: Timing = Timing { first_ms: 100, longest_ms: 400, attempts: 3 };

    /// What the session sends now.
    fn sent(session: &mut HostSession, now_ms: u64) -> Option<ToCompanion> {
        match session.poll(now_ms) {
            Outgoing::Frame(frame) => {
                let mut decoder = FrameDecoder::new();
                Some(frame.iter().find_map(|&byte| decoder.push(byte)).unwrap().unwrap())
            }
            _ => None,
        }
    }

    fn request(session: &mut HostSession, now_ms: u64) -> (u32, u16, Request) {
        match sent(session, now_ms) {
            Some(ToCompanion::Request { session, sequence, request }) => (session, sequence, request),
            other => panic!("{other:?}"),
        }
    }

    fn receive(session: &mut HostSession, message: &ToHost, now_ms: u64) -> Option<Incoming> {
        let frame = encode_frame(message).unwrap();
        frame.iter().find_map(|&byte| session.receive(byte, now_ms))
    }

    fn hello() -> Hello {
        Hello {
            firmware: Version::THIS,
            board: "test".try_into().unwrap(),
            boot: 5,
            next_event: 1,
            clock: Clock { uptime_ms: 1, unix_ms: None },
        }
    }

    fn greeted() -> HostSession {
        let mut host = HostSession::new(5, None, TIMING, 0);
        let (session, sequence, _) = request(&mut host, 0);
        let reply = Reply::Hello(hello());
        let incoming = receive(&mut host, &ToHost::Reply { session, sequence, reply }, 1);
        assert_eq!(incoming, Some(Incoming::Greeted(hello())));
        host
    }

    #[test]
    fn a_request_waits_for_the_hello_and_is_sent_until_answered() {
        let mut host = HostSession::new(5, None, TIMING, 0);
        assert_eq!(host.request(Request::State, 0), Ok(()));
        assert_eq!(host.request(Request::Counters, 0), Err(Busy));
        let (session, sequence, first) = request(&mut host, 0);
        assert!(matches!(first, Request::Hello { .. }));
        assert_eq!(host.poll(0), Outgoing::Nothing { until_ms: Some(100) });
        receive(&mut host, &ToHost::Reply { session, sequence, reply: Reply::Hello(hello()) }, 1);

        let (session, sequence, second) = request(&mut host, 1);
        assert_eq!(second, Request::State);
        assert_eq!(sent(&mut host, 100), None);
        assert_eq!(request(&mut host, 101), (session, sequence, Request::State));
        // Answers to other requests are not taken for its answer.
        for (session, sequence) in [(session, sequence - 1), (session + 1, sequence)] {
            assert_eq!(
                receive(&mut host, &ToHost::Reply { session, sequence, reply: Reply::Done }, 102),
                None
            );
        }
        let answer = ToHost::Reply { session, sequence, reply: Reply::Done };
        assert_eq!(receive(&mut host, &answer, 102), Some(Incoming::Reply(Reply::Done)));
        assert_eq!(receive(&mut host, &answer, 103), None);
        assert!(host.is_idle());
    }

    #[test]
    fn a_companion_that_restarted_is_greeted_under_another_number_and_asked_again() {
        let mut host = greeted();
        host.request(Request::Heartbeat, 10).unwrap();
        let (session, sequence, _) = request(&mut host, 10);
        let reply = Reply::Refused(Refusal::SayHello);
        assert_eq!(receive(&mut host, &ToHost::Reply { session, sequence, reply }, 11), None);
        let (new, sequence, again) = request(&mut host, 11);
        assert!(matches!(again, Request::Hello { .. }) && new != session);
        receive(&mut host, &ToHost::Reply { session: new, sequence, reply: Reply::Hello(hello()) }, 12);
        assert_eq!(request(&mut host, 12).2, Request::Heartbeat);
    }

    #[test]
    fn it_gives_up_and_says_hello_before_the_next_request() {
        let mut host = greeted();
        host.request(Request::State, 0).unwrap();
        for now in [0, 100, 300] {
            request(&mut host, now);
        }
        assert_eq!(host.poll(699), Outgoing::Nothing { until_ms: Some(700) });
        assert_eq!(host.poll(700), Outgoing::GaveUp);
        assert_eq!(host.poll(701), Outgoing::Nothing { until_ms: None });
        host.request(Request::State, 800).unwrap();
        assert!(matches!(request(&mut host, 800).2, Request::Hello { .. }));
    }

    #[test]
    fn an_event_is_given_until_recorded_and_then_only_acknowledged() {
        let mut host = greeted();
        let clock = Clock { uptime_ms: 9, unix_ms: None };
        let event = Event { number: 3, clock, kind: EventKind::HostLost };
        let message = ToHost::Event { boot: 5, event };
        for _ in 0..2 {
            let wanted = Incoming::Event { boot: 5, event, missed: 2 };
            assert_eq!(receive(&mut host, &message, 0), Some(wanted));
            assert_eq!(sent(&mut host, 0), None);
        }
        host.recorded(5, 3);
        let recorded = Some(ToCompanion::Recorded { boot: 5, number: 3 });
        assert_eq!(sent(&mut host, 0), recorded);
        assert_eq!(receive(&mut host, &message, 0), None);
        assert_eq!(sent(&mut host, 0), recorded);
        assert_eq!(sent(&mut host, 0), None);
    }
}
