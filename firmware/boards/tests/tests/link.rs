//! The companion in QEMU with a host program: the alarm, the host's death and return, and the record.

use anchorwatch_board_tests::link::{Address, Link, LinkError, Speed};
use anchorwatch_board_tests::machine::{Host, Machine, program, wait_for};
use anchorwatch_core::link::{Alarm, Logits, Refusal, Reply, Request, ToCompanion, Version, encode_frame};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What the firmware's configuration says: see `Config::new`.
const HOST_LOST_MS: u32 = 3000;
const HEARTBEAT_MS: u32 = 1000;

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

    fn host(&self) -> Host {
        Host::start(env!("CARGO_BIN_EXE_link-host"), &self.machine.host(), &self.journal()).unwrap()
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

    // The host is killed. What it said last was at most a heartbeat ago.
    let killed_ms = bench.machine.clock_ms();
    host.kill();
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
    assert!(lost_ms >= killed_ms + HOST_LOST_MS - 2 * HEARTBEAT_MS, "{killed_ms} {lost_ms}");
    assert!(lost_ms <= killed_ms + 2 * HOST_LOST_MS, "{killed_ms} {lost_ms}");
    host.kill();
    assert_complete(&bench.journal());
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

/// A flooded line: the firmware takes it all in, counts, and is there again at the next frame.
#[test]
fn floods_of_noise_and_of_requests_are_survived_and_counted() {
    let bench = Bench::new();
    let mut link = bench.link();
    link.greet().unwrap();
    drop(link);
    let Address::Unix(path) = bench.machine.host() else { unreachable!("it is a socket") };
    let mut raw = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let reader = raw.try_clone().unwrap();
    // What it answers is thrown away, so that it need not wait.
    let drain = std::thread::spawn(move || std::io::copy(&mut { reader }, &mut std::io::sink()));
    let mut random = 1u32;
    let mut bytes = Vec::new();
    let stranger = ToCompanion::Request { session: 99, sequence: 1, request: Request::State };
    for _ in 0..2000 {
        bytes.extend(encode_frame(&stranger).unwrap());
        for _ in 0..50 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.push((random >> 24) as u8);
        }
    }
    raw.write_all(&bytes).unwrap();
    raw.shutdown(std::net::Shutdown::Write).unwrap();
    drop(raw);
    drain.join().unwrap().unwrap();

    let mut link = bench.link();
    let counters = link.counters().unwrap();
    // Every frame ends in a zero of its own, so noise between two of them spoils neither.
    assert!(counters.strangers + counters.busy >= 1990, "{counters:?}");
    assert!(
        counters.strangers >= 10 && counters.host.checksum + counters.host.cut_off > 1000,
        "{counters:?}"
    );
    assert_eq!(counters.verdicts, 0);
}
