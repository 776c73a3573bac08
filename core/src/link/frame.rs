//! Frames: `0, COBS(version, message, CRC-32C), 0`. What the messages mean is not known here.
//!
//! The zero in front costs one byte and ends whatever noise came before; two zeros in a row are
//! just a pause. The checksum is CRC-32C (Castagnoli), little endian, over version and message: for
//! frames of this length it finds any five wrong bits, and others but for one in 2³². (A wrong bit in
//! a COBS code byte moves zeros, so it may count for more than one.)

use core::fmt;

use cobs::{DecodeResult, DecoderState};
use crc::{CRC_32_ISCSI, Crc};
use heapless::Vec;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::PROTOCOL_VERSION;

/// The most bytes of an encoded message, its version byte included.
pub const MAX_MESSAGE: usize = 296;

const CHECKSUM: usize = 4;
const MAX_PAYLOAD: usize = MAX_MESSAGE + CHECKSUM;

/// The most bytes of a frame on the wire.
pub const MAX_FRAME: usize = cobs::max_encoding_length(MAX_PAYLOAD) + 2;

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// CRC-32C of these bytes.
pub fn checksum(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// A message as it goes over the wire.
///
/// # Errors
///
/// When it is too long, which no message of this protocol is.
pub fn encode_frame<T: Serialize>(message: &T) -> Result<Vec<u8, MAX_FRAME>, EncodeError> {
    let mut payload = [0; MAX_PAYLOAD];
    let (version, rest) = payload.split_first_mut().ok_or(EncodeError)?;
    *version = PROTOCOL_VERSION;
    let room = rest.get_mut(..MAX_MESSAGE - 1).ok_or(EncodeError)?;
    let length = 1 + postcard::to_slice(message, room).map_err(|_| EncodeError)?.len();
    let checksum = checksum(payload.get(..length).ok_or(EncodeError)?).to_le_bytes();
    for (to, from) in payload.iter_mut().skip(length).zip(checksum) {
        *to = from;
    }
    let payload = payload.get(..length + CHECKSUM).ok_or(EncodeError)?;

    let mut coded = [0; cobs::max_encoding_length(MAX_PAYLOAD)];
    let length = cobs::try_encode(payload, &mut coded).map_err(|_| EncodeError)?;
    let mut frame = Vec::new();
    frame.push(0).map_err(|_| EncodeError)?;
    frame.extend_from_slice(coded.get(..length).ok_or(EncodeError)?).map_err(|_| EncodeError)?;
    frame.push(0).map_err(|_| EncodeError)?;
    Ok(frame)
}

/// The message does not fit into a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError;

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the message does not fit into a frame of {MAX_FRAME} bytes")
    }
}

impl core::error::Error for EncodeError {}

/// Takes bytes in as they come and gives messages. Whatever comes, it is right again after the
/// next zero.
#[derive(Debug)]
pub struct FrameDecoder {
    payload: Vec<u8, MAX_PAYLOAD>,
    state: DecoderState,
    too_long: bool,
    counters: FrameCounters,
}

/// How many frames came, and what was wrong with the others. All stop at their largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameCounters {
    /// Sound messages.
    pub messages: u32,
    /// Frames longer than any can be.
    pub too_long: u32,
    /// Frames that ended too early, or that were no COBS.
    pub cut_off: u32,
    /// Frames with a wrong checksum.
    pub checksum: u32,
    /// Sound frames of another version of the protocol.
    pub version: u32,
    /// Sound frames of this version that hold no message that it knows.
    pub unknown: u32,
}

/// Why a frame gave no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Longer than any frame can be.
    TooLong,
    /// It ended too early, or is no COBS.
    CutOff,
    /// The checksum is wrong.
    Checksum,
    /// The other end speaks another version of the protocol.
    Version(u8),
    /// The frame is sound, but holds no message that this end knows.
    Unknown,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameDecoder {
    /// A decoder that has seen nothing.
    pub const fn new() -> Self {
        Self {
            payload: Vec::new(),
            state: DecoderState::Idle,
            too_long: false,
            counters: FrameCounters {
                messages: 0,
                too_long: 0,
                cut_off: 0,
                checksum: 0,
                version: 0,
                unknown: 0,
            },
        }
    }

    /// What it has counted.
    pub fn counters(&self) -> FrameCounters {
        self.counters
    }

    /// Takes one byte in; gives something at the end of a frame only. Errors are counted, and may
    /// otherwise be ignored.
    pub fn push<T: DeserializeOwned>(&mut self, byte: u8) -> Option<Result<T, FrameError>> {
        let result = match self.state.feed(byte) {
            Ok(DecodeResult::NoData) => return None,
            Ok(DecodeResult::DataStart) => {
                self.payload.clear();
                self.too_long = false;
                return None;
            }
            Ok(DecodeResult::DataContinue(byte)) => {
                self.too_long |= self.payload.push(byte).is_err();
                return None;
            }
            _ if self.too_long => Err(FrameError::TooLong),
            Ok(DecodeResult::DataComplete) => message(&self.payload),
            Err(_) => Err(FrameError::CutOff),
        };
        let counter = match &result {
            Ok(_) => &mut self.counters.messages,
            Err(FrameError::TooLong) => &mut self.counters.too_long,
            Err(FrameError::CutOff) => &mut self.counters.cut_off,
            Err(FrameError::Checksum) => &mut self.counters.checksum,
            Err(FrameError::Version(_)) => &mut self.counters.version,
            Err(FrameError::Unknown) => &mut self.counters.unknown,
        };
        *counter = counter.saturating_add(1);
        Some(result)
    }
}

/// The message in a whole payload.
fn message<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    let (rest, sent) = payload.split_last_chunk::<CHECKSUM>().ok_or(FrameError::CutOff)?;
    if checksum(rest) != u32::from_le_bytes(*sent) {
        return Err(FrameError::Checksum);
    }
    match rest.split_first() {
        None => Err(FrameError::CutOff),
        Some((&PROTOCOL_VERSION, encoded)) => match postcard::take_from_bytes(encoded) {
            Ok((message, [])) => Ok(message),
            _ => Err(FrameError::Unknown),
        },
        Some((&version, _)) => Err(FrameError::Version(version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = f32> {
        // Not NaN: it would not be equal to itself.
        any::<u32>().prop_map(f32::from_bits).prop_filter("not a number", |number| !number.is_nan())
    }

    fn verdict() -> impl Strategy<Value = RegionVerdict> {
        (any::<u16>(), any::<Option<u16>>(), number(), number())
            .prop_map(|(region, class, score, threshold)| RegionVerdict { region, class, score, threshold })
    }

    fn logits() -> impl Strategy<Value = Logits> {
        (any::<u16>(), vec(number(), 0..=MAX_LOGITS))
            .prop_map(|(region, values)| Logits { region, values: values.into_iter().collect() })
    }

    fn header() -> impl Strategy<Value = UploadHeader> {
        (any::<[u16; 2]>(), number(), any::<u32>(), any::<[u8; 8]>()).prop_map(
            |([classes, logits], threshold, checksum, model)| UploadHeader {
                classes,
                logits,
                threshold,
                checksum,
                model,
            },
        )
    }

    fn request() -> impl Strategy<Value = Request> {
        let simple = prop_oneof![
            Just(Request::Heartbeat),
            Just(Request::State),
            Just(Request::Counters),
            Just(Request::UploadCommit),
            Just(Request::AcknowledgeAlarm),
        ];
        prop_oneof![
            simple,
            any::<[u16; 3]>()
                .prop_map(|[major, minor, patch]| Request::Hello { host: Version { major, minor, patch } }),
            verdict().prop_map(Request::Verdict),
            logits().prop_map(Request::Logits),
            any::<u32>().prop_map(|from| Request::Events { from }),
            any::<u64>().prop_map(|unix_ms| Request::TimeSync { unix_ms }),
            header().prop_map(Request::UploadBegin),
            (any::<u32>(), vec(any::<u8>(), 0..=CHUNK)).prop_map(|(offset, bytes)| {
                Request::UploadChunk { offset, bytes: bytes.into_iter().collect() }
            }),
            number().prop_map(Request::Threshold),
        ]
    }

    fn message() -> impl Strategy<Value = ToCompanion> {
        prop_oneof![
            4 => (any::<u32>(), any::<u16>(), request())
                .prop_map(|(session, sequence, request)| ToCompanion::Request { session, sequence, request }),
            1 => any::<[u32; 2]>().prop_map(|[boot, number]| ToCompanion::Recorded { boot, number }),
            1 => logits().prop_map(ToCompanion::Logits),
        ]
    }

    fn event() -> impl Strategy<Value = Event> {
        let kind = prop_oneof![
            any::<bool>().prop_map(|by_watchdog| EventKind::Started { by_watchdog }),
            verdict().prop_map(|verdict| EventKind::Raised { verdict, judge: Judge::Companion }),
            Just(EventKind::HostLost),
            header().prop_map(|header| EventKind::CentresChanged { header }),
        ];
        (any::<u32>(), any::<u64>(), any::<Option<u64>>(), kind).prop_map(
            |(number, uptime_ms, unix_ms, kind)| Event { number, clock: Clock { uptime_ms, unix_ms }, kind },
        )
    }

    /// All that a decoder makes of these bytes.
    fn decode(bytes: &[u8]) -> (std::vec::Vec<Result<ToCompanion, FrameError>>, FrameCounters) {
        let mut decoder = FrameDecoder::new();
        let results = bytes.iter().filter_map(|&byte| decoder.push(byte)).collect();
        (results, decoder.counters())
    }

    fn frame(message: &ToCompanion) -> std::vec::Vec<u8> {
        encode_frame(message).unwrap().to_vec()
    }

    fn total(counters: FrameCounters) -> u32 {
        let FrameCounters { messages, too_long, cut_off, checksum, version, unknown } = counters;
        messages + too_long + cut_off + checksum + version + unknown
    }

    proptest! {
        #[test]
        fn what_is_sent_arrives(messages in vec(message(), 1..8)) {
            let bytes: std::vec::Vec<u8> = messages.iter().flat_map(frame).collect();
            let (results, counters) = decode(&bytes);
            prop_assert_eq!(counters.messages as usize, messages.len());
            prop_assert_eq!(results, messages.into_iter().map(Ok).collect::<std::vec::Vec<_>>());
        }

        #[test]
        fn replies_and_events_arrive_too(
            events in vec(event(), 0..=EVENTS_A_REPLY), session in any::<u32>(), sequence in any::<u16>()
        ) {
            let mut messages: std::vec::Vec<ToHost> =
                events.iter().map(|&event| ToHost::Event { boot: session, event }).collect();
            let reply = Reply::Events(events.into_iter().collect());
            messages.push(ToHost::Reply { session, sequence, reply });
            for message in messages {
                let mut decoder = FrameDecoder::new();
                let frame = encode_frame(&message).unwrap();
                let results: std::vec::Vec<_> =
                    frame.iter().filter_map(|&byte| decoder.push::<ToHost>(byte)).collect();
                prop_assert_eq!(results, std::vec![Ok(message)]);
            }
        }

        #[test]
        fn any_bytes_at_all_do_no_harm_and_the_next_frame_is_understood(
            noise in vec(prop_oneof![any::<u8>(), Just(0), Just(255)], 0..2000), message in message()
        ) {
            let mut bytes = noise.clone();
            bytes.extend(frame(&message));
            let (results, counters) = decode(&bytes);
            prop_assert_eq!(results.last(), Some(&Ok(message)));
            // Each result is counted once, and noise gives no messages.
            prop_assert_eq!(total(counters) as usize, results.len());
            prop_assert_eq!(counters.messages, 1);
        }

        #[test]
        fn wrong_bits_never_give_another_message(
            message in message(), flips in vec((any::<prop::sample::Index>(), 0..8u8), 1..6)
        ) {
            let mut bytes = frame(&message);
            let right = bytes.clone();
            for (at, bit) in flips {
                *at.get_mut(&mut bytes) ^= 1 << bit;
            }
            let (results, _) = decode(&bytes);
            let arrived: std::vec::Vec<_> = results.into_iter().filter_map(Result::ok).collect();
            // The outer zeros may be hit without harm to what is between them.
            if bytes[1..] == right[1..] && bytes[0] == 0 {
                prop_assert_eq!(arrived, std::vec![message]);
            } else {
                prop_assert!(arrived.is_empty() || arrived == [message]);
            }
        }

        #[test]
        fn a_frame_that_lost_bytes_spoils_no_other(
            first in message(), second in message(), from in any::<prop::sample::Index>(), lost in 1..40usize
        ) {
            let mut bytes = frame(&first);
            let from = 1 + from.index(bytes.len() - 2);
            let end = (from + lost).min(bytes.len());
            bytes.drain(from..end);
            bytes.extend(frame(&second));
            let (results, _) = decode(&bytes);
            let arrived: std::vec::Vec<_> = results.into_iter().filter_map(Result::ok).collect();
            prop_assert_eq!(arrived, std::vec![second]);
        }
    }

    #[test]
    fn the_longest_messages_fit() {
        let values = [f32::MIN; MAX_LOGITS].into_iter().collect();
        let bytes = [0xA5; CHUNK].into_iter().collect();
        let verdict =
            RegionVerdict { region: u16::MAX, class: Some(u16::MAX), score: f32::MAX, threshold: f32::MAX };
        for request in [
            Request::Logits(Logits { region: u16::MAX, values }),
            Request::UploadChunk { offset: u32::MAX, bytes },
        ] {
            let message = ToCompanion::Request { session: u32::MAX, sequence: u16::MAX, request };
            encode_frame(&message).unwrap();
        }
        let event = Event {
            number: u32::MAX,
            clock: Clock { uptime_ms: u64::MAX, unix_ms: Some(u64::MAX) },
            kind: EventKind::Raised { verdict, judge: Judge::Companion },
        };
        let host = FrameCounters {
            messages: u32::MAX,
            too_long: u32::MAX,
            cut_off: u32::MAX,
            checksum: u32::MAX,
            version: u32::MAX,
            unknown: u32::MAX,
        };
        let most = u32::MAX;
        let counters = Counters {
            host,
            feed: host,
            requests: most,
            repeated: most,
            busy: most,
            strangers: most,
            verdicts: most,
            unknown: most,
            refused_verdicts: most,
            lost_events: most,
            host_losses: most,
            flash_errors: most,
            serial_errors: most,
        };
        for reply in [Reply::Events([event; EVENTS_A_REPLY].into_iter().collect()), Reply::Counters(counters)]
        {
            encode_frame(&ToHost::Reply { session: u32::MAX, sequence: u16::MAX, reply }).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_told_apart_and_counted() {
        let sealed = |payload: &[u8]| {
            let mut payload = payload.to_vec();
            payload.extend(checksum(&payload).to_le_bytes());
            let mut coded = std::vec![0; cobs::max_encoding_length(payload.len())];
            let length = cobs::encode(&payload, &mut coded);
            coded.truncate(length);
            coded.push(0);
            coded
        };
        let sound = frame(&ToCompanion::Recorded { boot: 1, number: 2 });
        let mut flipped = sound.clone();
        flipped[3] ^= 0x40;
        let mut trailing = std::vec![PROTOCOL_VERSION];
        trailing.extend(
            postcard::to_slice(&ToCompanion::Recorded { boot: 1, number: 2 }, &mut [0; 9]).unwrap().iter(),
        );
        trailing.push(7);
        let cases: [(std::vec::Vec<u8>, FrameError); 8] = [
            (sealed(&[PROTOCOL_VERSION + 1, 1, 2, 3]), FrameError::Version(PROTOCOL_VERSION + 1)),
            (sealed(&[PROTOCOL_VERSION, 99]), FrameError::Unknown),
            (sealed(&trailing), FrameError::Unknown),
            (sealed(&[]), FrameError::CutOff),
            (std::vec![1, 0], FrameError::CutOff),
            (std::vec![9, 1, 1, 0], FrameError::CutOff),
            (flipped, FrameError::Checksum),
            ([std::vec![1; 2 * MAX_FRAME], std::vec![0]].concat(), FrameError::TooLong),
        ];
        let mut bytes = std::vec::Vec::new();
        for (case, error) in &cases {
            assert_eq!(decode(case).0, [Err(*error)], "{case:?}");
            bytes.extend(case);
        }
        bytes.extend(sound);
        let (_, counters) = decode(&bytes);
        let wanted =
            FrameCounters { messages: 1, too_long: 1, cut_off: 3, checksum: 1, version: 1, unknown: 2 };
        assert_eq!(counters, wanted);
    }
}
