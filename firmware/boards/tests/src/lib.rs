//! The firmware in an emulated microcontroller, joined with the host's side of the link. Run by
//! `firmware/test-qemu.sh`, which builds the firmware first.

/// The very files of the `anchorwatch` crate, without the networks that it brings along.
#[path = "../../../../src/link/mod.rs"]
pub mod link;
pub mod machine;
