//! Any bytes on the line, decoded by both ends; and the same bytes as the payload of a sound frame, so that
//! what is behind the checksum is reached, too.
#![no_main]

use anchorwatch_core::link::{
    FrameCounters, FrameDecoder, MAX_MESSAGE, PROTOCOL_VERSION, ToCompanion, ToHost, checksum, encode_frame,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    decode(bytes);
    decode(&framed(bytes));
});

fn decode(bytes: &[u8]) {
    let (mut companion, mut host) = (FrameDecoder::new(), FrameDecoder::new());
    let (mut of_companion, mut of_host) = (0, 0);
    for &byte in bytes {
        if let Some(result) = companion.push::<ToCompanion>(byte) {
            of_companion += 1;
            if let Ok(message) = result {
                let _ = encode_frame(&message).expect("what fits into a frame does so again");
            }
        }
        if let Some(result) = host.push::<ToHost>(byte) {
            of_host += 1;
            if let Ok(message) = result {
                let _ = encode_frame(&message).expect("what fits into a frame does so again");
            }
        }
    }
    // Each frame is counted once.
    assert_eq!((total(companion.counters()), total(host.counters())), (of_companion, of_host));
}

fn total(counters: FrameCounters) -> u32 {
    let FrameCounters { messages, too_long, cut_off, checksum, version, unknown } = counters;
    messages + too_long + cut_off + checksum + version + unknown
}

/// A frame with these bytes as its message: `0, COBS(version, message, CRC-32C), 0`.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut payload = vec![PROTOCOL_VERSION];
    payload.extend(message.iter().take(MAX_MESSAGE - 1));
    payload.extend(checksum(&payload).to_le_bytes());
    let mut frame = vec![0];
    let mut rest = &payload[..];
    loop {
        let run = rest.iter().take(254).position(|&byte| byte == 0).unwrap_or(rest.len().min(254));
        frame.push(run as u8 + 1);
        frame.extend(&rest[..run]);
        if run == rest.len() {
            break;
        }
        // A zero is what a short block ends in; a full one has none.
        rest = &rest[if run < 254 { run + 1 } else { run }..];
        if rest.is_empty() {
            frame.push(1);
            break;
        }
    }
    frame.push(0);
    frame
}
