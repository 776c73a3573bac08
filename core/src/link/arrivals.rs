//! Which arrivals are new, and which have come before. The receiving ends of "sent again until
//! answered".

/// The companion's end: requests of one session at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    last: Option<(u32, u16)>,
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It has not come before: carry it out and answer.
    New,
    /// It is the one answered last: give the same answer again.
    Repeated,
    /// It is older than that: its sender no longer waits for an answer.
    Old,
    /// It is of a session that has not said hello.
    Stranger,
}

impl Arrivals {
    /// Sorts a request in; a new one becomes the last.
    pub fn sort(&mut self, session: u32, sequence: u16, hello: bool) -> Arrival {
        let arrival = match self.last {
            Some((known, last)) if known == session => match sequence.wrapping_sub(last) {
                0 => Arrival::Repeated,
                1..0x8000 => Arrival::New,
                _ => Arrival::Old,
            },
            _ if hello => Arrival::New,
            _ => Arrival::Stranger,
        };
        if arrival == Arrival::New {
            self.last = Some((session, sequence));
        }
        arrival
    }
}

/// The host's end: events of one start of the companion at a time, in the order of their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventArrivals {
    last: Option<(u32, u32)>,
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventArrival {
    /// It has not come before: record it.
    New {
        /// How many before it are lost for good.
        missed: u32,
    },
    /// It is recorded already: only say so again.
    Repeated,
}

impl EventArrivals {
    /// Goes on after the last recorded event: the companion's start and the event's number.
    pub const fn after(last: Option<(u32, u32)>) -> Self {
        Self { last }
    }

    /// Sorts an event in. It stays new until it is [`recorded`](Self::recorded).
    pub fn sort(&self, boot: u32, number: u32) -> EventArrival {
        let last = match self.last {
            Some((known, last)) if known == boot => last,
            _ => 0,
        };
        if number <= last { EventArrival::Repeated } else { EventArrival::New { missed: number - last - 1 } }
    }

    /// Says that an event is safely recorded.
    pub fn recorded(&mut self, boot: u32, number: u32) {
        self.last = Some((boot, number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_new_once() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.sort(7, 0, false), Arrival::Stranger);
        assert_eq!(arrivals.sort(7, 0, true), Arrival::New);
        assert_eq!(arrivals.sort(7, 0, true), Arrival::Repeated);
        assert_eq!(arrivals.sort(7, 1, false), Arrival::New);
        assert_eq!(arrivals.sort(7, 0, true), Arrival::Old);
        // The host gave up on 2.
        assert_eq!(arrivals.sort(7, 3, false), Arrival::New);
        assert_eq!(arrivals.sort(7, 2, false), Arrival::Old);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.sort(1, 0xFFFE, true), Arrival::New);
        for sequence in [0xFFFF, 0, 1] {
            assert_eq!(arrivals.sort(1, sequence, false), Arrival::New);
        }
        assert_eq!(arrivals.sort(1, 0xFFFF, false), Arrival::Old);
    }

    #[test]
    fn a_new_session_takes_over_and_the_old_one_is_a_stranger() {
        let mut arrivals = Arrivals::default();
        arrivals.sort(1, 9, true);
        assert_eq!(arrivals.sort(2, 0, true), Arrival::New);
        assert_eq!(arrivals.sort(1, 10, false), Arrival::Stranger);
        assert_eq!(arrivals.sort(2, 1, false), Arrival::New);
    }

    #[test]
    fn an_event_is_new_until_it_is_recorded_and_gaps_are_seen() {
        let mut arrivals = EventArrivals::after(Some((5, 10)));
        assert_eq!(arrivals.sort(5, 10), EventArrival::Repeated);
        assert_eq!(arrivals.sort(5, 11), EventArrival::New { missed: 0 });
        assert_eq!(arrivals.sort(5, 11), EventArrival::New { missed: 0 });
        arrivals.recorded(5, 11);
        assert_eq!(arrivals.sort(5, 11), EventArrival::Repeated);
        assert_eq!(arrivals.sort(5, 14), EventArrival::New { missed: 2 });
        // The companion has restarted: it counts from 1 again.
        assert_eq!(arrivals.sort(6, 1), EventArrival::New { missed: 0 });
        assert_eq!(EventArrivals::default().sort(6, 3), EventArrival::New { missed: 2 });
    }
}
