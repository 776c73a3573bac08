//! The host's side of the link to the companion microcontroller, blocking, over any serial port (or a
//! socket, for tests). What is said is [`anchorwatch_core::link`]; who says it and when is
//! [`HostSession`](anchorwatch_core::link::HostSession); here are the port, the clock and the record.
//!
//! - [`Address`], [`Port`]: where the companion is, and the bytes.
//! - [`Link`]: one companion, asked one thing at a time.
//! - [`Journal`]: the companion's events on disk, each once.
//! - [`Reporter`]: a thread that passes verdicts on while the program runs, whatever the line does.
//!
//! Nothing in here knows networks or pictures: the firmware's tests are built from these very files.

mod address;
mod connection;
mod error;
mod journal;
mod port;
mod reporter;
mod verdict_queue;
pub mod wording;

pub use address::Address;
pub use connection::{Link, Received, Speed};
pub use error::LinkError;
pub use journal::Journal;
pub use port::Port;
pub use reporter::{Reported, Reporter};
