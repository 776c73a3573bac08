//! A whole network on the emulated microcontroller: the runtime's logits, bit for bit, and what it costs.

use anchorwatch_board_tests::machine::{Machine, program};
use anchorwatch_core::link::{FrameDecoder, ToCompanion};
use std::io::{BufRead, BufReader, Read, Write};

/// With `-icount shift=0` an instruction takes a nanosecond; the board counts at 25 MHz.
const INSTRUCTIONS_A_CYCLE: u64 = 40;

/// What the issue allows of RAM, of which the stack has what is left.
const RAM: u64 = 128 * 1024;

#[test]
fn the_logits_are_those_of_the_runtime_bit_for_bit() {
    let vectors = std::env::var_os("ANCHORWATCH_VECTORS").expect("run firmware/test-qemu.sh");
    let vectors = std::fs::read(vectors).unwrap();
    let number = |at: usize| u32::from_le_bytes(*vectors[at * 4..].first_chunk().unwrap()) as usize;
    let (count, picture, logits) = (number(0), number(1), number(2));
    assert!(count >= 100);

    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::start_counting(&program("network"), folder.path());
    let mut report = BufReader::new(machine.feed());
    let mut port = machine.host_socket();
    let mut decoder = FrameDecoder::new();
    let (mut most, mut total, mut stack, mut different) = (0, 0, 0, 0);
    let mut first = None;
    for vector in vectors[12..].chunks_exact(picture + logits * 4) {
        let (pixels, expected) = vector.split_at(picture);
        port.write_all(b"PIC1").unwrap();
        port.write_all(pixels).unwrap();
        let found = loop {
            let mut byte = [0];
            port.read_exact(&mut byte).unwrap();
            if let Some(Ok(ToCompanion::Logits(logits))) = decoder.push(byte[0]) {
                break logits.values;
            }
        };
        let found: Vec<u8> = found.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        assert_eq!(found, expected);
        different += usize::from(first.get_or_insert(found.clone()) != &found);
        let mut line = String::new();
        report.read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["cycles", cycles, "stack", deepest] = words[..] else { panic!("{line}") };
        let instructions = cycles.parse::<u64>().unwrap() * INSTRUCTIONS_A_CYCLE;
        (most, total) = (most.max(instructions), total + instructions);
        stack = deepest.parse::<u64>().unwrap();
    }
    // A network that says the same of everything would prove nothing.
    assert!(different > count / 2, "{different}");
    assert!(stack < RAM);
    println!(
        "{count} pictures: {} instructions a picture, at most {most}; {stack} bytes of stack",
        total / count as u64
    );
}
