//! Between the companion and a board's pins and ports, in terms of embedded-hal and embedded-io: what a
//! board's main loop does. What differs, setting the hardware up and telling the time, is the board's.

use embedded_hal::digital::{Error, ErrorKind, InputPin, OutputPin};
use embedded_io::{Read, ReadReady, Write, WriteReady};
use embedded_storage::nor_flash::NorFlash;

use crate::companion::{Companion, Outputs};

/// The most bytes taken in at a time, so that a flooded line keeps nothing else waiting: some ten
/// milliseconds' worth at 115200 baud.
const PORTION: usize = 128;

/// A board's pins. All are active high but the button, which pulls its pin to ground.
#[derive(Debug)]
pub struct Pins<A, H, P, L, B> {
    /// The alarm.
    pub alarm: A,
    /// The host is lost.
    pub host_lost: H,
    /// The permit: all is well.
    pub permit: P,
    /// The heartbeat lamp.
    pub lamp: L,
    /// The acknowledge button, with a pull-up.
    pub button: B,
}

impl<A: OutputPin, H: OutputPin, P: OutputPin, L: OutputPin, B: InputPin> Pins<A, H, P, L, B> {
    /// Sets the output pins. All are set, whatever becomes of one.
    ///
    /// # Errors
    ///
    /// When a pin would not be set.
    pub fn set(&mut self, outputs: Outputs) -> Result<(), ErrorKind> {
        let alarm = self.alarm.set_state(outputs.alarm.into()).map_err(|error| error.kind());
        let host_lost = self.host_lost.set_state(outputs.host_lost.into()).map_err(|error| error.kind());
        let permit = self.permit.set_state(outputs.permit.into()).map_err(|error| error.kind());
        let lamp = self.lamp.set_state(outputs.lamp.into()).map_err(|error| error.kind());
        alarm.and(host_lost).and(permit).and(lamp)
    }

    /// Whether the button's contact is closed; a pin that cannot be read says no.
    pub fn button(&mut self) -> bool {
        self.button.is_low().unwrap_or(false)
    }
}

/// One turn of a board's main loop: takes in what has come, decides, sets the pins, and sends what it can.
/// It waits for nothing, and is done after a bounded time however fast bytes come; only writing flash
/// memory makes it longer. An error of a port is counted, and bytes go on being exchanged at the next turn.
///
/// Not inlined: `stack.py` shows of each board's program that nothing from here on can panic.
#[inline(never)]
pub fn turn(
    companion: &mut Companion,
    host: &mut (impl Read + ReadReady + Write + WriteReady),
    feed: &mut (impl Read + ReadReady),
    flash: &mut impl NorFlash,
    pins: &mut Pins<impl OutputPin, impl OutputPin, impl OutputPin, impl OutputPin, impl InputPin>,
    now_ms: u64,
) {
    exchange(companion, host, flash, now_ms);
    take_in(companion, feed, |companion, byte| companion.receive_feed(byte, now_ms));
    companion.tick(pins.button(), now_ms);
    // A pin that will not be set is tried again at the next turn; there is nobody else to tell.
    let _ = pins.set(companion.outputs(now_ms));
}

/// Takes in what has come from the host, and sends what it can without waiting.
pub fn exchange(
    companion: &mut Companion,
    port: &mut (impl Read + ReadReady + Write + WriteReady),
    flash: &mut impl NorFlash,
    now_ms: u64,
) {
    take_in(companion, port, |companion, byte| companion.receive(byte, flash, now_ms));
    while let Ok(true) = port.write_ready() {
        let Some(byte) = companion.transmit(now_ms) else { break };
        if !matches!(port.write(&[byte]), Ok(1)) {
            companion.serial_error();
            break;
        }
    }
}

/// Takes in what has come on a port, a portion of it at most.
fn take_in(
    companion: &mut Companion,
    port: &mut (impl Read + ReadReady),
    mut receive: impl FnMut(&mut Companion, u8),
) {
    let mut byte = [0];
    for _ in 0..PORTION {
        match port.read_ready() {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => {
                companion.serial_error();
                break;
            }
        }
        match port.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => receive(companion, byte[0]),
            Err(_) => {
                companion.serial_error();
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Arithmetic, Config};
    use crate::test_flash::TestFlash;
    use anchorwatch_core::link::{Reply, Request, ToCompanion, ToHost, Version, encode_frame};
    use core::convert::Infallible;
    use std::collections::VecDeque;

    #[derive(Default)]
    struct Pin(bool);

    impl embedded_hal::digital::ErrorType for Pin {
        type Error = Infallible;
    }

    impl OutputPin for Pin {
        fn set_low(&mut self) -> Result<(), Infallible> {
            self.0 = false;
            Ok(())
        }

        fn set_high(&mut self) -> Result<(), Infallible> {
            self.0 = true;
            Ok(())
        }
    }

    impl InputPin for Pin {
        fn is_high(&mut self) -> Result<bool, Infallible> {
            Ok(self.0)
        }

        fn is_low(&mut self) -> Result<bool, Infallible> {
            Ok(!self.0)
        }
    }

    /// A port with a buffer either way.
    #[derive(Default)]
    struct Port {
        incoming: VecDeque<u8>,
        outgoing: VecDeque<u8>,
        room: usize,
    }

    impl embedded_io::ErrorType for Port {
        type Error = Infallible;
    }

    impl Read for Port {
        fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
            bytes[0] = self.incoming.pop_front().expect("a read that would block");
            Ok(1)
        }
    }

    impl ReadReady for Port {
        fn read_ready(&mut self) -> Result<bool, Infallible> {
            Ok(!self.incoming.is_empty())
        }
    }

    impl Write for Port {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            assert!(self.outgoing.len() < self.room, "a write that would block");
            self.outgoing.push_back(bytes[0]);
            Ok(1)
        }

        fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    impl WriteReady for Port {
        fn write_ready(&mut self) -> Result<bool, Infallible> {
            Ok(self.outgoing.len() < self.room)
        }
    }

    #[test]
    fn pins_follow_the_outputs_and_the_button_is_active_low() {
        let mut pins = pins();
        assert!(!pins.button());
        pins.button.0 = false;
        assert!(pins.button());
        pins.set(Outputs { alarm: true, host_lost: false, permit: false, lamp: true }).unwrap();
        assert_eq!(levels(&pins), [true, false, false, true]);
        pins.set(Outputs { alarm: false, host_lost: true, permit: true, lamp: false }).unwrap();
        assert_eq!(levels(&pins), [false, true, true, false]);
    }

    fn pins() -> Pins<Pin, Pin, Pin, Pin, Pin> {
        let off = || Pin(false);
        Pins { alarm: off(), host_lost: off(), permit: off(), lamp: off(), button: Pin(true) }
    }

    /// Alarm, host lost, permit, lamp.
    fn levels(pins: &Pins<Pin, Pin, Pin, Pin, Pin>) -> [bool; 4] {
        [pins.alarm.0, pins.host_lost.0, pins.permit.0, pins.lamp.0]
    }

    #[test]
    fn a_turn_is_over_however_much_comes_and_the_button_counts_all_the_same() {
        let mut flash = TestFlash::new();
        let mut companion = Companion::new(Config::new("test", Arithmetic::Float));
        companion.start(&mut flash, false, 0).unwrap();
        let (mut host, mut feed, mut pins) = (Port::default(), Port::default(), pins());
        pins.button.0 = false; // held
        for now in 0..100 {
            // More than a turn takes.
            for port in [&mut host, &mut feed] {
                port.incoming.extend(std::iter::repeat_n(now as u8, 10 * PORTION));
            }
            turn(&mut companion, &mut host, &mut feed, &mut flash, &mut pins, now);
        }
        assert_eq!(host.incoming.len(), 100 * 9 * PORTION);
        assert_eq!(feed.incoming.len(), 100 * 9 * PORTION);
        host.incoming.clear();
        host.incoming.extend([0]);
        host.incoming.extend(hello());
        let state = ToCompanion::Request { session: 1, sequence: 1, request: Request::State };
        host.room = 1000;
        let mut messages = std::vec::Vec::new();
        let mut decoder = anchorwatch_core::link::FrameDecoder::new();
        for now in 100..200 {
            turn(&mut companion, &mut host, &mut feed, &mut flash, &mut pins, now);
            if now == 150 {
                host.incoming.extend(encode_frame(&state).unwrap());
            }
            messages.extend(host.outgoing.drain(..).filter_map(|byte| decoder.push::<ToHost>(byte)));
        }
        let state = messages.iter().find_map(|message| match message {
            Ok(ToHost::Reply { reply: Reply::State(state), .. }) => Some(state),
            _ => None,
        });
        assert!(state.unwrap().button, "{messages:?}");
    }

    fn hello() -> heapless::Vec<u8, { anchorwatch_core::link::MAX_FRAME }> {
        let request = Request::Hello { host: Version::THIS };
        encode_frame(&ToCompanion::Request { session: 1, sequence: 0, request }).unwrap()
    }

    #[test]
    fn a_full_port_delays_and_loses_nothing() {
        let mut flash = TestFlash::new();
        let mut companion = Companion::new(Config::new("test", Arithmetic::Float));
        companion.start(&mut flash, false, 0).unwrap();
        let mut port = Port::default();
        port.incoming.extend(hello());
        let mut decoder = anchorwatch_core::link::FrameDecoder::new();
        let mut messages = std::vec::Vec::new();
        for now in 0..200 {
            exchange(&mut companion, &mut port, &mut flash, now);
            port.room = 1;
            if let Some(byte) = port.outgoing.pop_front() {
                messages.extend(decoder.push::<ToHost>(byte));
            }
        }
        assert!(matches!(messages[..], [Ok(ToHost::Reply { .. }), Ok(ToHost::Event { .. })]), "{messages:?}");
        assert_eq!(port.incoming.len(), 0);
    }
}
