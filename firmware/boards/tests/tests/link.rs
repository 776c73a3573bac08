//! The companion in QEMU with a host program: the alarm, the host's death and return, and the record.

use anchorwatch_board_tests::link::{Link, LinkError, Speed};
use anchorwatch_board_tests::machine::{Host, Machine, program, wait_for};
use anchorwatch_core::link::{
    Alarm, Counters, EventKind, FrameCounters, FrameDecoder, Logits, Refusal, Reply, Request, ToCompanion,
    ToHost, Version, encode_frame,
};
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// What the firmware's configuration says: see `Config::new`.
const HOST_LOST_MS: u32 = 3000;
const HEARTBEAT_MS: u32 = 1000;

/// How often a flood repeats its message.
const ROUNDS: u32 = 500;

const CENTRES: [f32; 6] = [5.0, 0.0, 0.0, 5.0, -4.0, -4.0];
const UNKNOWN: [f32; 2] = [0.5, 0.5];
const KNOWN: [f32; 2] = [5.0, 0.1];

struct Bench {
    machine: Machine,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { machine: Machine::start(&program("companion"), folder.path()), folder }
    }

    fn link(&self) -> Link {
        // The firmware listens before it is ready: a socket takes bytes at once.
        Link::open(&self.machine.host(), Speed::default(), None).unwrap()
    }

    /// A host that gives signs of life as long as it runs.
    fn host(&self) -> Host {
        self.host_with_patience(1_000_000)
    }

    fn host_with_patience(&self, seconds: u64) -> Host {
        let program = env!("CARGO_BIN_EXE_link-host");
        Host::start(program, &self.machine.host(), &self.journal(), seconds).unwrap()
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("companion.jsonl")
    }

    fn wait_for_pins(&mut self, alarm: bool, host_lost: bool) {
        let machine = &mut self.machine;
        let what = format!("alarm {alarm}, host lost {host_lost}");
        wait_for(&what, || (machine.pins() == (alarm, host_lost)).then_some(()));
    }

    fn wait_for_event(&self, what: &str, found: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || events(&self.journal()).into_iter().find(&found))
    }
}

/// The journal's whole lines.
fn events(journal: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn feed(port: &mut impl Write, region: u16, logits: [f32; 2]) {
    let logits = Logits { region, values: logits.into_iter().collect() };
    port.write_all(&encode_frame(&ToCompanion::Logits(logits)).unwrap()).unwrap();
}

#[test]
fn the_host_dies_and_comes_back_and_no_event_is_lost_or_doubled() {
    let mut bench = Bench::new();
    let header = bench.link().upload(&CENTRES, 2, 1.0, *b"a model ", |_, _| {}).unwrap();
    assert_eq!((header.classes, header.logits), (3, 2));
    let mut port = bench.machine.feed();

    // Verdicts raise the alarm.
    let mut host = bench.host();
    for score in [0.5, 2.0, 0.5, 2.0] {
        host.verdict(3, score, 1.0);
    }
    bench.wait_for_event("a host", |event| event["kind"] == "host-found");
    assert_eq!(bench.machine.pins(), (false, false));
    host.verdict(3, 2.0, 1.0);
    bench.wait_for_pins(true, false);
    let raised = bench.wait_for_event("the alarm", |event| event["kind"] == "raised");
    assert_eq!((&raised["region"], &raised["judge"]), (&3.into(), &"host".into()));
    for _ in 0..5 {
        host.verdict(3, 0.1, 1.0);
    }
    bench.wait_for_event("calm", |event| event["kind"] == "cleared");
    bench.wait_for_pins(false, false); // after the hold time
    bench.wait_for_event("the end", |event| event["kind"] == "alarm-ended");

    assert!(bench.machine.permit());

    // The host is killed. What it said last was at most a heartbeat ago.
    let before_ms = bench.machine.clock_ms();
    host.kill();
    let killed_ms = bench.machine.clock_ms();
    let before = events(&bench.journal()).len();
    bench.wait_for_pins(false, true);

    // Without it the alarm works on, and so does the button.
    for _ in 0..3 {
        feed(&mut port, 0, UNKNOWN);
    }
    bench.wait_for_pins(true, true);
    bench.machine.button(true);
    bench.wait_for_pins(false, true);
    bench.machine.button(false);
    for _ in 0..5 {
        feed(&mut port, 0, KNOWN);
    }
    for _ in 0..3 {
        feed(&mut port, 1, UNKNOWN);
    }
    bench.wait_for_pins(true, true);

    // It is back, and hears of all that it has missed.
    let host = bench.host();
    bench.wait_for_pins(true, false);
    let journal = bench.journal();
    wait_for("the missed events", || (events(&journal).len() >= before + 6).then_some(()));
    let all = events(&journal);
    let missed: Vec<&str> = all[before..].iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(missed, ["host-lost", "raised", "acknowledged", "cleared", "raised", "host-found"]);
    assert_eq!(all[before + 1]["judge"], "companion");
    assert_eq!(all[before + 2]["by"], "button");
    // By the firmware's own clock; the emulator may stand still for a while on a busy machine.
    let lost_ms = all[before]["uptime_ms"].as_u64().unwrap() as u32;
    assert!(lost_ms >= before_ms + HOST_LOST_MS - 2 * HEARTBEAT_MS, "{before_ms} {lost_ms}");
    // Within T, and a turn of the main loop each for hearing the last word and for looking at the time.
    let turn_ms = bench.machine.longest_turn_ms();
    assert!(lost_ms <= killed_ms + HOST_LOST_MS + 2 * turn_ms, "{killed_ms} {lost_ms}, turns of {turn_ms}");
    println!("lost {} ms after it was killed; turns of at most {turn_ms} ms", lost_ms - killed_ms);
    host.kill();
    assert_complete(&bench.journal());
}

/// With the emulator's clock counting instructions, so that nothing else on this machine has a say in it.
#[test]
fn the_host_is_lost_at_its_time_and_not_a_millisecond_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Machine::start_counting(&program("companion"), folder.path());
    let request = Request::Hello { host: Version::THIS };
    let hello = encode_frame(&ToCompanion::Request { session: 77, sequence: 0, request }).unwrap();
    let mut port = machine.host_socket();
    port.write_all(&hello).unwrap(); // and never a word more, until
    wait_for("the host's loss", || machine.pins().1.then_some(()));
    let request = Request::Events { from: 1 };
    let ask = encode_frame(&ToCompanion::Request { session: 77, sequence: 1, request }).unwrap();
    port.write_all(&ask).unwrap();
    let mut decoder = FrameDecoder::new();
    let events = loop {
        let mut byte = [0];
        port.read_exact(&mut byte).unwrap();
        if let Some(Ok(ToHost::Reply { reply: Reply::Events(events), .. })) = decoder.push(byte[0]) {
            break events;
        }
    };
    let kinds: Vec<&EventKind> = events.iter().map(|event| &event.kind).collect();
    let wanted = [
        &EventKind::Started { by_watchdog: false },
        &EventKind::HostFound { session: 77 },
        &EventKind::HostLost,
        &EventKind::HostFound { session: 77 },
    ];
    assert_eq!(kinds, wanted);
    assert_eq!(events[2].clock.uptime_ms - events[1].clock.uptime_ms, u64::from(HOST_LOST_MS));
}

/// The program runs, its threads too, but nothing is judged: to a robot that is as good as dead.
#[test]
fn a_host_that_judges_no_more_is_lost_though_it_runs() {
    let mut bench = Bench::new();
    let mut host = bench.host_with_patience(1);
    host.verdict(0, 0.5, 1.0);
    bench.wait_for_event("a host", |event| event["kind"] == "host-found");
    bench.wait_for_pins(false, true);
    assert!(!bench.machine.permit());
    host.verdict(0, 0.5, 1.0);
    bench.wait_for_event("its loss", |event| event["kind"] == "host-lost");
    host.kill();
}

/// Killed again and again, wherever it happens to be, with events all the time.
#[test]
fn a_host_that_dies_often_still_has_every_event_once() {
    let mut bench = Bench::new();
    bench.link().upload(&CENTRES, 2, 1.0, [7; 8], |_, _| {}).unwrap();
    let mut port = bench.machine.feed();
    for round in 0..12u64 {
        let host = bench.host();
        for _ in 0..3 {
            feed(&mut port, round as u16, UNKNOWN);
        }
        let lines = events(&bench.journal()).len();
        wait_for("an event", || (events(&bench.journal()).len() > lines).then_some(()));
        for _ in 0..5 {
            feed(&mut port, round as u16, KNOWN);
        }
        // Another moment each time.
        std::thread::sleep(std::time::Duration::from_millis(round * 13 % 90));
        host.kill();
    }
    let host = bench.host();
    let machine = &mut bench.machine;
    wait_for("a host", || (!machine.pins().1).then_some(()));
    let journal = bench.journal();
    // Each round raises and clears its region.
    wait_for("all events", || {
        let of = |kind| events(&journal).iter().filter(|event| event["kind"] == kind).count();
        (of("raised") == 12 && of("cleared") == 12 && of("host-found") == 14).then_some(())
    });
    host.kill();
    assert_complete(&journal);
}

fn assert_complete(journal: &Path) {
    let events = events(journal);
    let numbers: Vec<u64> = events.iter().map(|event| event["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event["boot"] == events[0]["boot"] && event.get("missed").is_none()));
}

#[test]
fn it_is_asked_and_set_up_over_the_line() {
    let bench = Bench::new();
    let mut link = bench.link();
    let hello = link.greet().unwrap();
    assert_eq!((hello.firmware, hello.board.as_str()), (Version::THIS, "qemu-mps2-an386"));
    assert_eq!(hello.clock.unix_ms, None);
    link.sync().unwrap();
    let state = link.state().unwrap();
    assert!(state.clock.unix_ms.is_some_and(|time| time > 1_700_000_000_000));
    assert_eq!((state.alarm, state.host_lost, state.centres), (Alarm::Quiet, false, None));
    let kinds: Vec<u32> = link.ring().unwrap().iter().map(|event| event.number).collect();
    assert_eq!(kinds, [1, 2]);

    // Sixteen KB of centres, in many pieces; and what does not fit.
    let large: Vec<f32> = (0..63 * 64).map(|index| index as f32 / 100.0).collect();
    let header = link.upload(&large, 64, 2.5, [1; 8], |_, _| {}).unwrap();
    assert_eq!(link.state().unwrap().centres, Some(header));
    let refused = link.upload(&vec![0.0; 65 * 4], 4, 1.0, [2; 8], |_, _| {});
    assert!(matches!(refused, Err(LinkError::Refused(Refusal::TooLarge { .. }))), "{refused:?}");
    let refused = link.upload(&[0.0, f32::NAN], 2, 1.0, [3; 8], |_, _| {});
    assert!(matches!(refused, Err(LinkError::Refused(Refusal::BadCentres))), "{refused:?}");
    assert_eq!(link.state().unwrap().centres, Some(header), "the old ones stay in use");
    let values = (0..64).map(|index| index as f32 / 100.0).collect();
    match link.ask(Request::Logits(Logits { region: 1, values })) {
        Ok(Reply::Verdict(verdict)) => assert_eq!((verdict.class, verdict.score), (Some(0), 0.0)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tty_is_a_port_for_one_program_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::start_on_tty(&program("companion"), folder.path());
    let mut link = Link::open(&machine.host(), Speed::default(), None).unwrap();
    assert_eq!(link.greet().unwrap().firmware, Version::THIS);
    let header = link.upload(&CENTRES, 2, 1.0, *b"a model ", |_, _| {}).unwrap();
    let second = Link::open(&machine.host(), Speed::default(), None);
    assert!(second.is_err_and(|error| error.to_string().contains("another program uses it")));
    drop(link);
    let mut link = Link::open(&machine.host(), Speed::default(), None).unwrap();
    assert_eq!(link.state().unwrap().centres, Some(header));
    // What is there already is not written again.
    let events = link.state().unwrap().newest_event;
    assert_eq!(link.upload(&CENTRES, 2, 1.0, *b"a model ", |_, _| {}).unwrap(), header);
    assert_eq!(link.state().unwrap().newest_event, events, "no change of the centres");
}

/// Both lines flooded as fast as the emulator takes bytes: all are taken in, counted exactly, and the firmware
/// is there again at the next frame.
#[test]
fn floods_of_noise_and_of_requests_are_survived_and_counted() {
    let mut bench = Bench::new();
    let mut link = bench.link();
    link.upload(&CENTRES, 2, 1.0, *b"a model ", |_, _| {}).unwrap();
    drop(link);
    let mut random = 1u32;
    let mut flood = |message: &ToCompanion| {
        let frame = encode_frame(message).unwrap();
        let mut bytes = Vec::new();
        for round in 0..ROUNDS {
            bytes.extend_from_slice(&frame);
            // Noise, and once in a while too much of it for a frame.
            let much = round % 20 == 0;
            for _ in 0..if much { 500 } else { 50 } {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push((random >> 24) as u8 | u8::from(much));
            }
        }
        bytes.push(0);
        bytes
    };
    let stranger = ToCompanion::Request { session: 99, sequence: 1, request: Request::State };
    let logits = ToCompanion::Logits(Logits { region: 1, values: UNKNOWN.into_iter().collect() });
    let (to_host_port, to_feed) = (flood(&stranger), flood(&logits));
    let (of_host, of_feed) = (decoded(&to_host_port), decoded(&to_feed));

    let host = pour(bench.machine.host_socket(), to_host_port);
    let feed = pour(bench.machine.feed(), to_feed);
    host.join().unwrap();
    feed.join().unwrap();

    let mut link = bench.link();
    let after: Counters = wait_for("the end of the flood", || {
        let counters = link.counters().unwrap();
        (counters.feed.messages == ROUNDS).then_some(counters)
    });
    assert_eq!(of_feed.messages, ROUNDS, "a frame begins with a zero: noise before it spoils nothing");
    assert_eq!(after.feed, of_feed);
    let broken = |counters: FrameCounters| FrameCounters { messages: 0, ..counters };
    assert_eq!(broken(after.host), broken(of_host));
    assert!(of_host.too_long >= 10 && of_host.checksum + of_host.cut_off > 250, "{of_host:?}");
    // Each of the stranger's requests was answered, or left for it to repeat; all logits were judged.
    assert_eq!(after.strangers + after.busy, ROUNDS, "{after:?}");
    assert!(after.strangers >= 10, "{after:?}");
    assert_eq!((after.verdicts, after.unknown, after.refused_verdicts), (ROUNDS, ROUNDS, 0));
    assert_eq!(after.serial_errors, 0);
    bench.wait_for_pins(true, false);
}

/// Sends all of it, and ends when the emulator has taken it all. What it answers is thrown away meanwhile.
fn pour(mut socket: UnixStream, bytes: Vec<u8>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = socket.try_clone().unwrap();
        let drain = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        socket.write_all(&bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        drain.join().unwrap().unwrap();
    })
}

/// What a decoder that sees nothing else counts.
fn decoded(bytes: &[u8]) -> FrameCounters {
    let mut decoder = FrameDecoder::new();
    for &byte in bytes {
        let _ = decoder.push::<ToCompanion>(byte);
    }
    decoder.counters()
}
