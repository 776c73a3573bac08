//! anchorwatch: tells, on the device, an object it was trained on from one it has never seen.
//!
//! The way of a frame: [`capture`] reads it, [`vision`] cuts and resizes its regions,
//! [`network`] computes the logits and scores them, [`watch`] waits until *unknown* holds for k
//! of n frames, [`record`] writes the event down; [`pipeline`] is that way with its threads. [`link`]
//! tells a companion microcontroller of it, [`notify`] other programs. [`board`] knows how hot the
//! board is. [`evaluate`] measures a model on labelled pictures;
//! [`cli`] is the program's face. ARCHITECTURE.md has the map.

pub mod board;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod evaluate;
pub mod link;
pub mod network;
pub mod notify;
pub mod pipeline;
pub mod record;
#[cfg(feature = "web")]
pub mod serve;
pub mod vision;
pub mod watch;
