//! (to be written)
pub mod metadata;
