//! What differs between boards and installations. Chosen when a board's firmware is built.

use anchorwatch_core::WatchConfig;

/// How a companion behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// The board's name, up to 24 bytes, as the host shows it.
    pub board: &'static str,
    /// When a region is raised and cleared. It is the companion's own, and comes on top of whatever the
    /// host does: the host sends every verdict.
    pub watch: WatchConfig,
    /// How long the alarm stays on after the last region has been cleared, in milliseconds.
    pub hold_ms: u32,
    /// The host is lost when it says nothing for this long, in milliseconds. It has a heartbeat every
    /// second.
    pub host_lost_ms: u32,
    /// The button must be held, or let go, for this long to count, in milliseconds.
    pub debounce_ms: u32,
    /// How the companion's own scorer computes.
    pub arithmetic: Arithmetic,
}

/// How the scorer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// In f32, for processors that have it in hardware.
    Float,
    /// In whole numbers, for the others.
    Fixed,
}

impl Config {
    /// 3 of 5 raise, 4 of 5 calm clear; 5 s of hold; lost after 3 s; 30 ms of debouncing.
    pub const fn new(board: &'static str, arithmetic: Arithmetic) -> Self {
        let watch = WatchConfig { raise_k: 3, raise_n: 5, clear_k: 4, clear_n: 5, clear_ratio: 0.9 };
        Self { board, watch, hold_ms: 5000, host_lost_ms: 3000, debounce_ms: 30, arithmetic }
    }
}
