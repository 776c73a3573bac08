//! Between the companion and a board's pins and port, in terms of embedded-hal and embedded-io.

use embedded_hal::digital::{Error, ErrorKind, InputPin, OutputPin};
use embedded_io::{Read, ReadReady, Write, WriteReady};
use embedded_storage::nor_flash::NorFlash;

use crate::companion::{Companion, Outputs};

/// The most bytes taken in at a time, so that a flooded line keeps nothing else waiting: some ten
/// milliseconds' worth at 115200 baud.
const PORTION: usize = 128;

/// A board's pins. All are active high but the button, which pulls its pin to ground.
#[derive(Debug)]
pub struct Pins<A, H, L, B> {
    /// The alarm.
    pub alarm: A,
    /// The host is lost.
    pub host_lost: H,
    /// The heartbeat lamp.
    pub lamp: L,
    /// The acknowledge button, with a pull-up.
    pub button: B,
}

impl<A: OutputPin, H: OutputPin, L: OutputPin, B: InputPin> Pins<A, H, L, B> {
    /// Sets the output pins. All are set, whatever becomes of one.
    ///
    /// # Errors
    ///
    /// When a pin would not be set.
    pub fn set(&mut self, outputs: Outputs) -> Result<(), ErrorKind> {
        let alarm = self.alarm.set_state(outputs.alarm.into()).map_err(|error| error.kind());
        let host_lost = self.host_lost.set_state(outputs.host_lost.into()).map_err(|error| error.kind());
        let lamp = self.lamp.set_state(outputs.lamp.into()).map_err(|error| error.kind());
        alarm.and(host_lost).and(lamp)
    }

    /// Whether the button's contact is closed; a pin that cannot be read says no.
    pub fn button(&mut self) -> bool {
        self.button.is_low().unwrap_or(false)
    }
}

/// Takes in what has come from the host, and sends what it can without waiting. An error of the port
/// is counted; bytes go on being exchanged at the next call.
pub fn exchange<P: Read + ReadReady + Write + WriteReady, F: NorFlash>(
    companion: &mut Companion,
    port: &mut P,
    flash: &mut F,
    now_ms: u64,
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
            Ok(_) => companion.receive(byte[0], flash, now_ms),
            Err(_) => {
                companion.serial_error();
                break;
            }
        }
    }
    while let Ok(true) = port.write_ready() {
        let Some(byte) = companion.transmit(now_ms) else { break };
        if !matches!(port.write(&[byte]), Ok(1)) {
            companion.serial_error();
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Arithmetic, Config};
    use crate::test_flash::TestFlash;
    use anchorwatch_core::link::{Request, ToCompanion, ToHost, Version, encode_frame};
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
        let mut pins = Pins { alarm: Pin(false), host_lost: Pin(false), lamp: Pin(false), button: Pin(true) };
        assert!(!pins.button());
        pins.button.0 = false;
        assert!(pins.button());
        pins.set(Outputs { alarm: true, host_lost: false, lamp: true }).unwrap();
        assert!(pins.alarm.0 && !pins.host_lost.0 && pins.lamp.0);
        pins.set(Outputs { alarm: false, host_lost: true, lamp: false }).unwrap();
        assert!(!pins.alarm.0 && pins.host_lost.0 && !pins.lamp.0);
    }

    #[test]
    fn a_full_port_delays_and_loses_nothing() {
        let mut flash = TestFlash::new();
        let mut companion = Companion::new(Config::new("test", Arithmetic::Float));
        companion.start(&mut flash, false, 0).unwrap();
        let mut port = Port::default();
        let request = Request::Hello { host: Version::THIS };
        let hello = ToCompanion::Request { session: 1, sequence: 0, request };
        port.incoming.extend(encode_frame(&hello).unwrap());
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
