//! The last events, until the host has recorded them and for a while after.

use anchorwatch_core::link::{Clock, Event, EventKind};
use heapless::Deque;

/// How many events are kept.
pub const RING: usize = 64;

/// The last [`RING`] events, numbered from 1.
#[derive(Debug, Default)]
pub struct EventRing {
    events: Deque<Kept, RING>,
    newest: u32,
    recorded: u32,
    lost: u32,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    number: u32,
    uptime_ms: u64,
    kind: EventKind,
}

impl EventRing {
    /// A ring without events.
    pub const fn new() -> Self {
        Self { events: Deque::new(), newest: 0, recorded: 0, lost: 0 }
    }

    /// Adds an event; when the ring is full, the oldest makes room.
    pub fn push(&mut self, kind: EventKind, uptime_ms: u64) {
        if self.events.is_full()
            && let Some(oldest) = self.events.pop_front()
            && oldest.number > self.recorded
        {
            self.lost = self.lost.saturating_add(1);
        }
        self.newest = self.newest.saturating_add(1);
        // There is room.
        let _ = self.events.push_back(Kept { number: self.newest, uptime_ms, kind });
    }

    /// Takes note that all events up to this one are recorded.
    pub fn recorded(&mut self, number: u32) {
        self.recorded = self.recorded.max(number.min(self.newest));
    }

    /// The oldest event in the ring with this number or a later one. `unix_offset_ms` is what to add
    /// to the uptime to get the time since 1970, if that is known.
    pub fn from(&self, number: u32, unix_offset_ms: Option<u64>) -> Option<Event> {
        let kept = self.events.iter().find(|event| event.number >= number)?;
        let unix_ms = unix_offset_ms.map(|offset| offset.saturating_add(kept.uptime_ms));
        let clock = Clock { uptime_ms: kept.uptime_ms, unix_ms };
        Some(Event { number: kept.number, clock, kind: kept.kind })
    }

    /// The number of the oldest event that is not recorded, there or to come.
    pub fn next_to_record(&self) -> u32 {
        self.recorded.saturating_add(1)
    }

    /// The newest event's number; 0 when there was none.
    pub fn newest(&self) -> u32 {
        self.newest
    }

    /// How many events in the ring wait to be recorded.
    pub fn waiting(&self) -> u16 {
        self.events.iter().filter(|event| event.number > self.recorded).count() as u16
    }

    /// How many were given up before they were recorded.
    pub fn lost(&self) -> u32 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(ring: &EventRing) -> std::vec::Vec<u32> {
        let mut from = 0;
        let mut numbers = std::vec::Vec::new();
        while let Some(event) = ring.from(from, None) {
            numbers.push(event.number);
            from = event.number + 1;
        }
        numbers
    }

    #[test]
    fn a_full_ring_gives_up_the_oldest_and_counts_only_unrecorded_ones() {
        let mut ring = EventRing::new();
        for uptime in 0..RING as u64 {
            ring.push(EventKind::HostLost, uptime);
        }
        assert_eq!((ring.waiting(), ring.lost()), (64, 0));
        ring.recorded(3);
        for uptime in 0..5 {
            ring.push(EventKind::AlarmEnded, uptime);
        }
        assert_eq!((ring.waiting(), ring.lost(), ring.newest()), (64, 2, 69));
        assert_eq!(numbers(&ring), (6..=69).collect::<std::vec::Vec<_>>());
        ring.recorded(u32::MAX); // from a host that got it wrong
        assert_eq!((ring.waiting(), ring.next_to_record()), (0, 70));
        ring.recorded(5);
        assert_eq!(ring.next_to_record(), 70);
    }

    #[test]
    fn events_from_before_the_clock_was_set_have_a_time_once_it_is() {
        let mut ring = EventRing::new();
        ring.push(EventKind::HostLost, 500);
        assert_eq!(ring.from(1, None).unwrap().clock, Clock { uptime_ms: 500, unix_ms: None });
        assert_eq!(ring.from(1, Some(10_000)).unwrap().clock.unix_ms, Some(10_500));
    }
}
