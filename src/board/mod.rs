//! The board that the program runs on: how hot its processor is, whether it has been slowed down, and how
//! fast frames may be judged because of that. Pins and buses are [`crate::notify`]'s.

mod heat;
mod pace;

pub use heat::{Heat, Slowed};
pub use pace::{Pace, PaceRule};
