//! The messages. Plain data: what is done about them is the two ends' affair.
//!
//! Scores keep their direction: larger means more unknown, and known is `score ≤ threshold`.

use core::fmt;

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

use crate::verdict::{Outcome, Reason, Verdict};

/// The most logits that one message carries.
pub const MAX_LOGITS: usize = 64;

/// The most bytes of centres that one message carries.
pub const CHUNK: usize = 256;

/// The most events in one reply.
pub const EVENTS_A_REPLY: usize = 4;

/// From the host to the companion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToCompanion {
    /// Something that is carried out once and answered.
    Request {
        /// The number that the host chose for this run of its program.
        session: u32,
        /// Counted up by the host, from the hello on.
        sequence: u16,
        /// What is wanted.
        request: Request,
    },
    /// All events of this start of the companion up to this number are safely recorded.
    Recorded {
        /// Which start of the companion: see [`Hello::boot`].
        boot: u32,
        /// The number of the newest recorded event.
        number: u32,
    },
    /// Logits from a network that runs beside the companion. Not answered, since such a sender may
    /// not listen, and no sign of life of the host.
    Logits(Logits),
}

/// From the companion to the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToHost {
    /// The answer to a request.
    Reply {
        /// The session of the request.
        session: u32,
        /// The request's sequence number.
        sequence: u16,
        /// The answer.
        reply: Reply,
    },
    /// Something happened. Sent again until a [`ToCompanion::Recorded`] covers it.
    Event {
        /// Which start of the companion: see [`Hello::boot`].
        boot: u32,
        /// What happened.
        event: Event,
    },
}

/// What the host may want.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The first request of a session; answered by [`Reply::Hello`]. It makes this session the one
    /// that the companion listens to.
    Hello {
        /// The host's version.
        host: Version,
    },
    /// A sign of life, for when there is nothing else to say.
    Heartbeat,
    /// The host's verdict on one region of one frame.
    Verdict(RegionVerdict),
    /// Logits for the companion to judge with its own centres; answered by [`Reply::Verdict`].
    Logits(Logits),
    /// Answered by [`Reply::State`].
    State,
    /// Answered by [`Reply::Counters`].
    Counters,
    /// The events in the ring, recorded or not, from this number on; answered by
    /// [`Reply::Events`], which holds none when there are no more.
    Events {
        /// The first number of interest.
        from: u32,
    },
    /// Sets the companion's clock; answered by [`Reply::Time`] with what it was before.
    TimeSync {
        /// Milliseconds since 1970, UTC.
        unix_ms: u64,
    },
    /// Begins an upload of centres. The old ones stay in use until it is committed.
    UploadBegin(UploadHeader),
    /// The next bytes of the centres: M×N f32, little endian, row after row.
    UploadChunk {
        /// How many bytes came before these.
        offset: u32,
        /// Up to [`CHUNK`] bytes; all but the last chunk are of that size.
        bytes: Vec<u8, CHUNK>,
    },
    /// Checks what was uploaded and makes it the centres in use.
    UploadCommit,
    /// Sets the threshold of the companion's own scorer, and keeps it.
    Threshold(f32),
    /// Silences the alarm until something new raises it, as the button does.
    AcknowledgeAlarm,
}

/// The companion's answers.
#[expect(clippy::large_enum_variant, reason = "there is no heap, and one reply at a time")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Done, and there is nothing more to say.
    Done,
    /// Not done.
    Refused(Refusal),
    /// To a hello.
    Hello(Hello),
    /// The companion's own verdict on logits.
    Verdict(RegionVerdict),
    /// How it is.
    State(CompanionState),
    /// What it has counted.
    Counters(Counters),
    /// Events, oldest first.
    Events(Vec<Event, EVENTS_A_REPLY>),
    /// Its clock, as it was before it was set.
    Time(Clock),
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The session is not the one that the companion listens to, perhaps because it has restarted:
    /// say hello.
    SayHello,
    /// There are no centres: upload some.
    NoCentres,
    /// The centres are for another number of logits.
    WrongLogits {
        /// The right number.
        expected: u16,
    },
    /// There is no room to watch another region.
    RegionsFull,
    /// More classes, logits or numbers than there is room for.
    TooLarge {
        /// The most logits (and the most classes).
        most_logits: u16,
        /// The most numbers, classes times logits.
        most_values: u16,
    },
    /// No classes or no logits.
    Empty,
    /// No upload has begun, or it was cut off: begin again.
    NotBegun,
    /// The chunk does not follow the last one.
    OutOfOrder {
        /// The offset that does.
        expected: u32,
    },
    /// The chunk is longer than what is missing, or empty.
    WrongLength,
    /// What was uploaded is not whole yet.
    Incomplete {
        /// How many bytes have come.
        have: u32,
    },
    /// The checksum does not fit what was uploaded: begin again.
    Checksum,
    /// A centre is NaN, infinite, or too large for this board's arithmetic.
    BadCentres,
    /// The threshold is not a finite number of at least 0.
    BadThreshold,
    /// The flash memory could not be written.
    Flash,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SayHello => f.write_str("it does not know this session (it may have restarted)"),
            Self::NoCentres => f.write_str("it has no class centres: upload a model's centres"),
            Self::WrongLogits { expected } => write!(f, "its centres are for {expected} logits"),
            Self::RegionsFull => f.write_str("it has no room to watch another region"),
            Self::TooLarge { most_logits, most_values } => write!(
                f,
                "too large: it has room for {most_logits} classes, {most_logits} logits and \
                 {most_values} numbers in all"
            ),
            Self::Empty => f.write_str("there are no centres to upload"),
            Self::NotBegun => f.write_str("no upload has begun, or it was cut off: begin again"),
            Self::OutOfOrder { expected } => write!(f, "it waits for the bytes from {expected} on"),
            Self::WrongLength => f.write_str("the piece of centres has a wrong length"),
            Self::Incomplete { have } => write!(f, "the upload is not whole: {have} bytes have come"),
            Self::Checksum => f.write_str("the checksum of the uploaded centres is wrong: upload again"),
            Self::BadCentres => {
                f.write_str("a centre is not finite, or too large for this board's arithmetic")
            }
            Self::BadThreshold => f.write_str("the threshold must be a finite number of at least 0"),
            Self::Flash => f.write_str("its flash memory could not be written"),
        }
    }
}

/// A program's version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Incompatible changes.
    pub major: u16,
    /// Additions.
    pub minor: u16,
    /// Corrections.
    pub patch: u16,
}

impl Version {
    /// The version of this crate, which all crates of the project share.
    pub const THIS: Self = Self {
        major: decimal(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: decimal(env!("CARGO_PKG_VERSION_MINOR")),
        patch: decimal(env!("CARGO_PKG_VERSION_PATCH")),
    };
}

/// A number that Cargo wrote.
const fn decimal(text: &str) -> u16 {
    let bytes = text.as_bytes();
    let (mut value, mut at) = (0, 0);
    while at < bytes.len() {
        value = value * 10 + (bytes[at] - b'0') as u16;
        at += 1;
    }
    value
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Who the companion is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Its firmware's version.
    pub firmware: Version,
    /// The board.
    pub board: String<24>,
    /// Names this start of the companion: the first session that it has heard since. Event numbers
    /// count from 1 within it.
    pub boot: u32,
    /// The first event that it has not been told to be recorded.
    pub next_event: u32,
    /// Its clock.
    pub clock: Clock,
}

/// The companion's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Milliseconds since 1970, UTC, if a host has ever told it.
    pub unix_ms: Option<u64>,
}

/// A verdict on one region of one frame. Known or unknown follows from the two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionVerdict {
    /// Which region of the frame.
    pub region: u16,
    /// The class that it is most like; `None` when the logits were not finite.
    pub class: Option<u16>,
    /// The smallest rejection score, min γ; larger means more unknown.
    pub score: f32,
    /// The threshold that it was compared with.
    pub threshold: f32,
}

impl RegionVerdict {
    /// Of a verdict on this region, without the runner-up.
    pub fn new(region: u16, verdict: &Verdict) -> Self {
        Self {
            region,
            class: verdict.class.and_then(|class| u16::try_from(class).ok()),
            score: verdict.score,
            threshold: verdict.threshold,
        }
    }

    /// The verdict that it stands for. Whatever the wire brought, it is a sound one: a score or
    /// threshold that is not a number is unknown.
    pub fn verdict(&self) -> Verdict {
        if !self.score.is_finite() || self.threshold.is_nan() {
            return Verdict::not_finite(if self.threshold.is_nan() { 0.0 } else { self.threshold });
        }
        Verdict {
            outcome: if self.score <= self.threshold {
                Outcome::Known
            } else {
                Outcome::Unknown(Reason::ScoreAboveThreshold)
            },
            class: self.class.map(usize::from),
            score: self.score,
            ..Verdict::not_finite(self.threshold)
        }
    }
}

/// One vector of logits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logits {
    /// Which region of the frame.
    pub region: u16,
    /// N logits.
    pub values: Vec<f32, MAX_LOGITS>,
}

/// What centres are about to be uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadHeader {
    /// M, the number of classes.
    pub classes: u16,
    /// N, the number of logits.
    pub logits: u16,
    /// The rejection threshold θ; unknown is above it.
    pub threshold: f32,
    /// [`checksum`](super::checksum) of all M×N×4 bytes.
    pub checksum: u32,
    /// The first bytes of the model's digest, to tell which model they are from.
    pub model: [u8; 8],
}

/// How the companion is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompanionState {
    /// Its clock.
    pub clock: Clock,
    /// The alarm.
    pub alarm: Alarm,
    /// How many regions are raised at the moment.
    pub raised_regions: u8,
    /// Whether it waits for a host.
    pub host_lost: bool,
    /// Whether the acknowledge button is held.
    pub button: bool,
    /// The number of the newest event; 0 when there is none.
    pub newest_event: u32,
    /// How many events wait to be recorded by the host.
    pub waiting_events: u16,
    /// The centres that it judges with.
    pub centres: Option<UploadHeader>,
}

/// The state of the alarm output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alarm {
    /// Off: nothing unknown.
    Quiet,
    /// On: something unknown is there, or was within the hold time.
    On,
    /// Off, though something unknown is there: somebody has acknowledged it.
    Acknowledged,
}

/// Something that happened, as the ring keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counted from 1 since the companion started.
    pub number: u32,
    /// When, by its clock.
    pub clock: Clock,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum EventKind {
    /// The companion has started.
    Started {
        /// Whether its own hardware watchdog had to restart it.
        by_watchdog: bool,
    },
    /// A region has had k of n unknown verdicts; this is the last of them.
    Raised {
        /// The verdict.
        verdict: RegionVerdict,
        /// Who judged.
        judge: Judge,
    },
    /// A raised region is calm again.
    Cleared {
        /// Which.
        region: u16,
    },
    /// The alarm was acknowledged.
    Acknowledged {
        /// By the button; otherwise by the host.
        button: bool,
    },
    /// The alarm has gone off by itself, its hold time being over.
    AlarmEnded,
    /// No message from the host for too long.
    HostLost,
    /// A host is there (again).
    HostFound {
        /// Its session.
        session: u32,
    },
    /// Centres or threshold have changed.
    CentresChanged {
        /// What is in use now.
        header: UploadHeader,
    },
}

/// Who judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judge {
    /// The host.
    Host,
    /// The companion, from logits.
    Companion,
}

/// What the companion has counted since it started. All of them stop at their largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Frames from the host.
    pub host: super::FrameCounters,
    /// Frames from the network beside it.
    pub feed: super::FrameCounters,
    /// Requests carried out.
    pub requests: u32,
    /// Requests that came again, and were answered again.
    pub repeated: u32,
    /// Requests left for the host to repeat, since the last answer was still being sent.
    pub busy: u32,
    /// Requests of another session.
    pub strangers: u32,
    /// Verdicts taken in, the host's and its own.
    pub verdicts: u32,
    /// How many of them were unknown.
    pub unknown: u32,
    /// Verdicts that could not be taken in: no centres, wrong number of logits, no room.
    pub refused_verdicts: u32,
    /// Events that were overwritten before the host had recorded them.
    pub lost_events: u32,
    /// How often the host was lost.
    pub host_losses: u32,
    /// Failures of the flash memory.
    pub flash_errors: u32,
    /// Bytes that the serial hardware or its buffer lost, as far as the board can tell.
    pub serial_errors: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_version_is_that_of_the_package() {
        assert_eq!(Version::THIS.to_string(), env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn whatever_numbers_come_the_verdict_is_sound() {
        let numbers = [0.0, -1.0, 1.0, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        for score in numbers {
            for threshold in numbers {
                let verdict = RegionVerdict { region: 1, class: Some(2), score, threshold }.verdict();
                let known = score.is_finite() && score <= threshold;
                assert_eq!(verdict.is_unknown(), !known, "{score} {threshold}");
                assert!(!verdict.threshold.is_nan());
                assert_eq!(verdict.class.is_some(), score.is_finite() && !threshold.is_nan());
            }
        }
    }

    #[test]
    fn a_verdict_survives_the_way_there_and_back() {
        let known = crate::judge(&[1.0, 9.0], 5.0).unwrap();
        for verdict in [known, Verdict::not_finite(5.0)] {
            let back = RegionVerdict::new(7, &verdict).verdict();
            assert_eq!((back.outcome, back.class), (verdict.outcome, verdict.class));
            assert_eq!((back.score, back.threshold), (verdict.score, verdict.threshold));
        }
    }
}
