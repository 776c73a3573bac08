//! The link protocol: what the runtime (the *host*) and the microcontroller beside it (the
//! *companion*) say to each other over a serial line.
//!
//! - [`message`](self): what can be said ([`ToCompanion`], [`ToHost`]), in postcard's encoding.
//! - [`encode_frame`] and [`FrameDecoder`]: how it travels. A frame is
//!   `0, COBS(version, message, CRC-32C), 0`, so that a receiver which joins in the middle, or
//!   loses bytes, is right again at the next zero.
//! - [`Retransmission`] and [`Arrivals`]: the two ends of "sent again until answered, and done
//!   once". The host has one request under way at a time, and so has the companion one event.
//! - [`HostSession`]: the whole host side, as a state machine without a clock or a port. The
//!   companion's side is the firmware's library.
//!
//! No clock is read here: times are passed in, in milliseconds of any steady clock. Nothing is
//! allocated, and no bytes from the wire make anything here panic.
//!
//! # Versions
//!
//! The first byte of every frame is [`PROTOCOL_VERSION`]. It and the CRC stay where they are in
//! all versions to come, so that an old program can tell "speaks another version"
//! ([`FrameError::Version`]) from noise. Any change of a message is a new version.
//!
//! # What gets lost, and what does not
//!
//! A request is sent again until it is answered; its session and sequence number make sure that
//! it is carried out once. An event is sent again until the host says that it is recorded; its
//! number (counted from 1 since the companion started) makes sure that it is recorded once. An
//! event is lost only when the companion's ring is full of unrecorded ones, or when it loses power;
//! the first is counted, and the host sees the gap in the numbers.

mod arrivals;
mod frame;
mod host_session;
mod message;
mod retransmission;

pub use arrivals::{Arrival, Arrivals, EventArrival, EventArrivals};
pub use frame::{
    EncodeError, FrameCounters, FrameDecoder, FrameError, MAX_FRAME, MAX_MESSAGE, checksum, encode_frame,
};
pub use host_session::{Busy, HostSession, Incoming, Outgoing};
pub use message::*;
pub use retransmission::{Due, Retransmission, Timing};

/// The version of the protocol that this library speaks. Both ends must speak the same.
pub const PROTOCOL_VERSION: u8 = 1;
