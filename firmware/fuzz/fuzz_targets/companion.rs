//! The whole companion, with any messages in any order, at any times, some of them broken on the way, with a
//! flash memory that sometimes fails.
#![no_main]

use anchorwatch_core::link::{ToCompanion, encode_frame};
use anchorwatch_firmware::{Arithmetic, Companion, Config};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, mut bytes)) = bytes.split_first() else { return };
    let arithmetic = if first & 1 == 0 { Arithmetic::Float } else { Arithmetic::Fixed };
    let mut companion = Box::new(Companion::new(Config::new("fuzz", arithmetic)));
    let mut flash = Memory { bytes: vec![first; 40 * 1024], failing: false };
    let mut now_ms = 0;
    companion.start(&mut flash, first & 2 != 0, now_ms).expect("the configuration makes sense");
    // What is to come is read from the bytes: how, how long, and then the message or the noise.
    while let Some((&[how, length], rest)) = bytes.split_first_chunk() {
        let (chunk, rest) = rest.split_at(usize::from(length).min(rest.len()));
        bytes = rest;
        flash.failing = how & 0x80 != 0;
        now_ms += u64::from(how & 0x30) * u64::from(how & 0x30);
        let feed = how & 8 != 0;
        let mut line = if how & 1 == 0 { chunk.to_vec() } else { as_message(chunk) };
        if how & 6 == 6
            && let Some(at) = (!line.is_empty()).then(|| usize::from(length) % line.len())
        {
            line[at] ^= 1 << (how >> 4 & 7);
        }
        for byte in line {
            if feed {
                companion.receive_feed(byte, now_ms);
            } else {
                companion.receive(byte, &mut flash, now_ms);
            }
        }
        companion.tick(how & 0x40 != 0, now_ms);
        // As much as the line takes in the meantime; it always comes to an end.
        for _ in 0..how {
            if companion.transmit(now_ms).is_none() {
                break;
            }
        }
        let outputs = companion.outputs(now_ms);
        assert!(!(outputs.host_lost && now_ms < 3000), "the host is lost before its time");
        assert!(!(outputs.permit && (outputs.alarm || outputs.host_lost)), "a permit though all is not well");
    }
    // Left alone it falls silent: nothing is sent for ever, and the host is lost.
    flash.failing = false;
    now_ms += 100_000;
    companion.tick(false, now_ms);
    assert!(companion.outputs(now_ms).host_lost);
    let mut sent = 0;
    while companion.transmit(now_ms).is_some() {
        sent += 1;
        assert!(sent < 10_000, "it never stops");
    }
});

/// A sound frame, if the bytes are a message's.
fn as_message(bytes: &[u8]) -> Vec<u8> {
    match postcard::take_from_bytes::<ToCompanion>(bytes) {
        Ok((message, _)) => encode_frame(&message).map_or_else(|_| Vec::new(), |frame| frame.to_vec()),
        Err(_) => bytes.to_vec(),
    }
}

struct Memory {
    bytes: Vec<u8>,
    failing: bool,
}

#[derive(Debug)]
struct Failed;

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Memory {
    type Error = Failed;
}

impl ReadNorFlash for Memory {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failed> {
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Memory {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = 1024;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Failed> {
        if self.failing {
            return Err(Failed);
        }
        self.bytes[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failed> {
        if self.failing {
            return Err(Failed);
        }
        for (stored, byte) in self.bytes[offset as usize..][..bytes.len()].iter_mut().zip(bytes) {
            *stored &= byte;
        }
        Ok(())
    }
}
