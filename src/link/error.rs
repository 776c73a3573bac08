//! What can go wrong on the link.

use super::Address;
use anchorwatch_core::link::{PROTOCOL_VERSION, Refusal};
use std::io;
use std::path::PathBuf;

/// Why the companion could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no such port, or it is somebody else's.
    #[error("cannot open {address}: {source}{}", hint(source))]
    Open {
        /// The port.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// The port broke off.
    #[error("{address}: {source}")]
    Port {
        /// The port.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// The companion does not answer.
    #[error("no answer from {address}: is the companion switched on, and are its wires crossed (TX to RX)?")]
    NoAnswer {
        /// The port.
        address: Address,
    },
    /// It answers in another version of the protocol.
    #[error(
        "the companion speaks version {companion} of the protocol, this program version \
         {PROTOCOL_VERSION}: update the older of the two"
    )]
    Protocol {
        /// The companion's version.
        companion: u8,
    },
    /// It does not do what was asked.
    #[error("the companion refuses: {0}")]
    Refused(Refusal),
    /// It answers something else than what was asked: a mistake in its program.
    #[error("the companion gave an answer that does not fit the question")]
    Unexpected,
    /// What is to be uploaded is more than the protocol can say.
    #[error("{classes} classes of {logits} logits are more than a companion can have")]
    TooLarge {
        /// M.
        classes: usize,
        /// N.
        logits: usize,
    },
    /// The record of events cannot be written or read.
    #[error("the companion's events cannot be recorded in {}: {source}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => " (serial ports belong to the group 'dialout')",
        io::ErrorKind::ResourceBusy => " (another program uses it)",
        _ => "",
    }
}
