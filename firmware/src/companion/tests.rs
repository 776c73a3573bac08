//! The companion against the host's session, over wires good and bad.

use super::*;
use crate::config::Arithmetic;
use crate::event_ring::RING;
use crate::test_flash::TestFlash;
use anchorwatch_core::link::{CHUNK, FrameCounters, HostSession, Incoming, Outgoing, checksum};
use proptest::collection::vec;
use proptest::prelude::*;

const TIMING: Timing = Timing { first_ms: 50, longest_ms: 200, attempts: 0 };

/// A companion, a host, and the wire between them.
struct Bench {
    companion: std::boxed::Box<Companion>,
    flash: TestFlash,
    host: Option<HostSession>,
    now: u64,
    button: bool,
    /// What becomes of each byte, if the wire is a bad one.
    noise: Option<Noise>,
    /// What the host has on record: the start, the number, and what happened.
    record: std::vec::Vec<(u32, u32, EventKind)>,
    missed: u32,
    replies: std::vec::Vec<Reply>,
}

/// Bytes get lost, flipped or invented, about one in `every`.
struct Noise {
    state: u32,
    every: u32,
}

impl Noise {
    fn random(&mut self) -> u32 {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.state >> 8
    }

    fn pass(&mut self, byte: u8) -> std::vec::Vec<u8> {
        if !self.random().is_multiple_of(self.every) {
            return std::vec![byte];
        }
        match self.random() % 3 {
            0 => std::vec![],
            1 => std::vec![byte ^ 1 << (self.random() % 8)],
            _ => std::vec![byte, self.random() as u8],
        }
    }
}

impl Bench {
    fn new(arithmetic: Arithmetic) -> Self {
        let mut companion = std::boxed::Box::new(Companion::new(Config::new("bench", arithmetic)));
        let mut flash = TestFlash::new();
        companion.start(&mut flash, false, 0).unwrap();
        Self {
            companion,
            flash,
            host: None,
            now: 0,
            button: false,
            noise: None,
            record: std::vec![],
            missed: 0,
            replies: std::vec![],
        }
    }

    fn start_host(&mut self, session: u32) {
        let last = self.record.last().map(|&(boot, number, _)| (boot, number));
        self.host = Some(HostSession::new(session, last, TIMING, self.now));
    }

    /// The board is switched off and on.
    fn restart_companion(&mut self) {
        let config = self.companion.config;
        *self.companion = Companion::new(config);
        self.companion.start(&mut self.flash, false, self.now).unwrap();
    }

    /// One millisecond; 11 bytes go each way, as at 115200 baud.
    fn step(&mut self) {
        self.now += 1;
        let now = self.now;
        if let Some(host) = &mut self.host {
            while let Outgoing::Frame(frame) = host.poll(now) {
                for &byte in frame {
                    let passed = self.noise.as_mut().map_or(std::vec![byte], |noise| noise.pass(byte));
                    for byte in passed {
                        self.companion.receive(byte, &mut self.flash, now);
                    }
                }
            }
        }
        self.companion.tick(self.button, now);
        for _ in 0..11 {
            let Some(byte) = self.companion.transmit(now) else { break };
            let passed = self.noise.as_mut().map_or(std::vec![byte], |noise| noise.pass(byte));
            let Some(host) = &mut self.host else { continue };
            for byte in passed {
                match host.receive(byte, now) {
                    Some(Incoming::Event { boot, event, missed }) => {
                        self.record.push((boot, event.number, event.kind));
                        self.missed += missed;
                        host.recorded(boot, event.number);
                    }
                    Some(Incoming::Reply(reply)) => self.replies.push(reply),
                    Some(Incoming::Greeted(_) | Incoming::Broken(_)) | None => {}
                }
            }
        }
    }

    fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.step();
        }
    }

    /// Sends a request and waits for its answer.
    fn ask(&mut self, request: Request) -> Reply {
        self.host.as_mut().unwrap().request(request, self.now).unwrap();
        let before = self.replies.len();
        for _ in 0..60_000 {
            if self.replies.len() > before {
                return self.replies[before].clone();
            }
            self.step();
        }
        panic!("no answer");
    }

    fn verdicts(&mut self, region: u16, scores: &[f32]) {
        for &score in scores {
            let verdict = RegionVerdict { region, class: Some(1), score, threshold: 1.0 };
            assert_eq!(self.ask(Request::Verdict(verdict)), Reply::Done);
        }
    }

    fn feed(&mut self, region: u16, logits: &[f32]) {
        let logits = Logits { region, values: logits.iter().copied().collect() };
        for byte in encode_frame(&ToCompanion::Logits(logits)).unwrap() {
            self.companion.receive_feed(byte, self.now);
        }
        self.run(10);
    }

    fn state(&mut self) -> CompanionState {
        match self.ask(Request::State) {
            Reply::State(state) => state,
            other => panic!("{other:?}"),
        }
    }

    fn upload(&mut self, values: &[f32], logits: u16, threshold: f32) -> Reply {
        let bytes: std::vec::Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let header = UploadHeader {
            classes: (values.len() / usize::from(logits)) as u16,
            logits,
            threshold,
            checksum: checksum(&bytes),
            model: *b"a model ",
        };
        let begun = self.ask(Request::UploadBegin(header));
        if begun != Reply::Done {
            return begun;
        }
        for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
            let chunk = Request::UploadChunk {
                offset: (index * CHUNK) as u32,
                bytes: chunk.iter().copied().collect(),
            };
            let reply = self.ask(chunk);
            if reply != Reply::Done {
                return reply;
            }
        }
        self.ask(Request::UploadCommit)
    }

    fn recorded(&self) -> std::vec::Vec<EventKind> {
        self.record.iter().map(|&(_, _, kind)| kind).collect()
    }

    /// Whether each start's events are on record once, in order, without a gap.
    fn assert_complete(&self) {
        let mut expected = (None, 1);
        for &(boot, number, _) in &self.record {
            if expected.0 != Some(boot) {
                expected = (Some(boot), 1);
            }
            assert_eq!(number, expected.1, "{:?}", self.record);
            expected.1 += 1;
        }
        assert_eq!(self.missed, 0);
    }
}

const CENTRES: [f32; 6] = [5.0, 0.0, 0.0, 5.0, -4.0, -4.0];

#[test]
fn verdicts_raise_the_alarm_and_the_host_hears_of_it() {
    let mut bench = Bench::new(Arithmetic::Float);
    bench.start_host(7);
    bench.verdicts(3, &[2.0, 0.5, 2.0]);
    assert!(!bench.companion.outputs(bench.now).alarm);
    bench.verdicts(3, &[2.0]);
    assert!(bench.companion.outputs(bench.now).alarm);
    bench.run(300);
    let state = bench.state();
    assert_eq!((state.alarm, state.raised_regions, state.waiting_events), (Alarm::On, 1, 0));
    let verdict = RegionVerdict { region: 3, class: Some(1), score: 2.0, threshold: 1.0 };
    let wanted = [
        EventKind::Started { by_watchdog: false },
        EventKind::HostFound { session: 7 },
        EventKind::Raised { verdict, judge: Judge::Host },
    ];
    assert_eq!(bench.recorded(), wanted);
}

#[test]
fn a_host_that_dies_is_lost_in_time_and_gets_what_it_missed_when_it_is_back() {
    let mut bench = Bench::new(Arithmetic::Float);
    bench.start_host(7);
    assert_eq!(bench.upload(&CENTRES, 2, 1.0), Reply::Done);
    bench.run(500);
    let before = bench.record.len();
    assert_eq!(bench.ask(Request::Heartbeat), Reply::Done);
    let answered = bench.now; // and so it was heard before
    bench.host = None;
    while !bench.companion.outputs(bench.now).host_lost {
        bench.step();
        assert!(bench.now <= answered + 3000, "later than promised");
    }
    assert!(bench.now > answered + 2900, "sooner than promised");
    for _ in 0..3 {
        bench.feed(0, &[0.5, 0.5]); // a network beside it goes on, and sees something
    }
    assert!(bench.companion.outputs(bench.now).alarm);
    bench.button = true;
    bench.run(100);
    assert!(!bench.companion.outputs(bench.now).alarm);

    bench.start_host(8);
    bench.run(500);
    assert!(!bench.companion.outputs(bench.now).host_lost);
    let missed = &bench.recorded()[before..];
    assert!(
        matches!(
            missed,
            [
                EventKind::HostLost,
                EventKind::Raised { judge: Judge::Companion, .. },
                EventKind::Acknowledged { button: true },
                EventKind::HostFound { session: 8 }
            ]
        ),
        "{missed:?}"
    );
    bench.assert_complete();
}

#[test]
fn the_permit_is_given_only_while_all_is_well() {
    let mut bench = Bench::new(Arithmetic::Float);
    let permit = |bench: &Bench| {
        let Outputs { alarm, host_lost, permit, .. } = bench.companion.outputs(bench.now);
        assert!(!(permit && (alarm || host_lost)));
        permit
    };
    bench.run(1000);
    assert!(!permit(&bench), "no host has ever been there");
    bench.start_host(7);
    bench.run(100);
    assert!(permit(&bench));
    bench.verdicts(0, &[2.0; 3]);
    assert!(!permit(&bench), "the alarm is on");
    assert_eq!(bench.ask(Request::AcknowledgeAlarm), Reply::Done);
    assert!(permit(&bench));
    bench.host = None;
    bench.run(3000);
    assert!(!permit(&bench), "the host is lost");
    bench.start_host(8);
    bench.run(100);
    assert!(permit(&bench));
    bench.restart_companion();
    assert!(!permit(&bench), "the new start has no host yet");
}

#[test]
fn a_configuration_that_makes_no_sense_is_an_alarm() {
    let mut config = Config::new("bench", Arithmetic::Float);
    config.watch.raise_k = 0;
    let mut companion = std::boxed::Box::new(Companion::new(config));
    assert!(companion.start(&mut TestFlash::new(), false, 0).is_err());
    let outputs = companion.outputs(0);
    assert!(outputs.alarm && !outputs.permit);
}

#[test]
fn damaged_centres_are_none_and_the_host_is_told() {
    let mut bench = Bench::new(Arithmetic::Float);
    bench.start_host(7);
    assert_eq!(bench.upload(&CENTRES, 2, 1.0), Reply::Done);
    bench.flash.bytes[crate::HEADER + 5] ^= 1;
    bench.restart_companion();
    assert_eq!(bench.state().centres, None);
    let Reply::Counters(counters) = bench.ask(Request::Counters) else { panic!() };
    assert_eq!(counters.flash_errors, 1);
    let logits = Logits { region: 0, values: [5.0, 0.5].into_iter().collect() };
    assert_eq!(bench.ask(Request::Logits(logits)), Reply::Refused(Refusal::NoCentres));
    assert_eq!(bench.upload(&CENTRES, 2, 1.0), Reply::Done);
}

#[test]
fn a_threshold_that_is_set_already_is_not_written_again() {
    let mut bench = Bench::new(Arithmetic::Float);
    bench.start_host(7);
    assert_eq!(bench.upload(&CENTRES, 2, 1.0), Reply::Done);
    bench.flash.cut_power_after(0);
    assert_eq!(bench.ask(Request::Threshold(1.0)), Reply::Done);
    assert_eq!(bench.ask(Request::Threshold(2.0)), Reply::Refused(Refusal::Flash));
}

#[test]
fn a_companion_that_restarts_is_greeted_again_and_keeps_its_centres() {
    for arithmetic in [Arithmetic::Float, Arithmetic::Fixed] {
        let mut bench = Bench::new(arithmetic);
        bench.start_host(7);
        assert_eq!(bench.upload(&CENTRES, 2, 1.0), Reply::Done);
        assert_eq!(bench.ask(Request::Threshold(2.5)), Reply::Done);
        bench.run(500);
        bench.restart_companion();
        let centres = bench.state().centres.unwrap();
        assert_eq!((centres.classes, centres.logits, centres.threshold), (3, 2, 2.5));
        assert_eq!(&centres.model, b"a model ");
        let logits = Logits { region: 0, values: [5.0, 0.5].into_iter().collect() };
        let Reply::Verdict(verdict) = bench.ask(Request::Logits(logits)) else { panic!() };
        assert_eq!(verdict.class, Some(0));
        bench.run(500);
        bench.assert_complete();
        let boots: std::collections::BTreeSet<u32> = bench.record.iter().map(|event| event.0).collect();
        assert_eq!(boots.len(), 2);
    }
}

#[test]
fn an_upload_that_does_not_fit_is_refused_and_the_old_centres_stay() {
    let mut bench = Bench::new(Arithmetic::Fixed);
    bench.start_host(7);
    assert_eq!(bench.upload(&CENTRES, 2, 1.0), Reply::Done);
    let before = bench.state().centres;
    let refused = [
        (bench.upload(&[0.0; 65], 65, 1.0), Refusal::TooLarge { most_logits: 64, most_values: 4080 }),
        (bench.upload(&[0.0; 64 * 64], 64, 1.0), Refusal::TooLarge { most_logits: 64, most_values: 4080 }),
        (bench.upload(&[], 2, 1.0), Refusal::Empty),
        (bench.upload(&[1.0, f32::NAN], 2, 1.0), Refusal::BadCentres),
        (bench.upload(&[1.0, 5000.0], 2, 1.0), Refusal::BadCentres),
        (bench.upload(&CENTRES, 2, f32::NAN), Refusal::BadThreshold),
        (bench.upload(&CENTRES, 2, -1.0), Refusal::BadThreshold),
        (bench.ask(Request::Threshold(f32::INFINITY)), Refusal::BadThreshold),
        (bench.ask(Request::UploadCommit), Refusal::NotBegun),
        (bench.ask(Request::UploadChunk { offset: 0, bytes: Vec::new() }), Refusal::NotBegun),
    ];
    for (reply, refusal) in refused {
        assert_eq!(reply, Reply::Refused(refusal));
    }
    let header = UploadHeader { classes: 64, logits: 2, threshold: 1.0, checksum: 1, model: [0; 8] };
    assert_eq!(bench.ask(Request::UploadBegin(header)), Reply::Done);
    let chunk =
        |offset, length| Request::UploadChunk { offset, bytes: [0; CHUNK][..length].try_into().unwrap() };
    for (request, refusal) in [
        (chunk(4, CHUNK), Refusal::OutOfOrder { expected: 0 }),
        (chunk(0, 8), Refusal::WrongLength),
        (chunk(0, 0), Refusal::WrongLength),
    ] {
        assert_eq!(bench.ask(request), Reply::Refused(refusal));
    }
    assert_eq!(bench.ask(chunk(0, CHUNK)), Reply::Done);
    assert_eq!(bench.ask(Request::UploadCommit), Reply::Refused(Refusal::Incomplete { have: 256 }));
    assert_eq!(bench.ask(chunk(256, CHUNK)), Reply::Done);
    assert_eq!(bench.ask(chunk(512, 0)), Reply::Refused(Refusal::WrongLength));
    assert_eq!(bench.ask(Request::UploadCommit), Reply::Refused(Refusal::Checksum));
    assert_eq!(bench.state().centres, before);
    // The board that starts now finds them as well, and a whole upload still works.
    bench.restart_companion();
    assert_eq!(bench.state().centres, before);
    assert_eq!(bench.upload(&[1.0; 64 * 63], 63, 1.0), Reply::Done);
}

#[test]
fn logits_without_centres_or_of_a_wrong_number_are_refused_and_counted() {
    let mut bench = Bench::new(Arithmetic::Float);
    bench.start_host(7);
    let logits = |count: usize| Logits { region: 0, values: [1.0; 64][..count].try_into().unwrap() };
    assert_eq!(bench.ask(Request::Logits(logits(2))), Reply::Refused(Refusal::NoCentres));
    assert_eq!(bench.upload(&CENTRES, 2, 1.0), Reply::Done);
    let wrong = Reply::Refused(Refusal::WrongLogits { expected: 2 });
    assert_eq!(bench.ask(Request::Logits(logits(3))), wrong);
    assert_eq!(bench.ask(Request::Logits(logits(0))), wrong);
    bench.feed(0, &[1.0; 5]);
    let Reply::Counters(counters) = bench.ask(Request::Counters) else { panic!() };
    assert_eq!((counters.refused_verdicts, counters.verdicts, counters.feed.messages), (4, 0, 1));
}

#[test]
fn the_clock_survives_the_host_and_dates_events_from_before_it_was_set() {
    let mut bench = Bench::new(Arithmetic::Float);
    bench.run(1000);
    bench.start_host(7);
    let Reply::Time(before) = bench.ask(Request::TimeSync { unix_ms: 1_800_000_000_000 }) else { panic!() };
    assert_eq!(before.unix_ms, None);
    bench.host = None;
    bench.run(10_000);
    bench.start_host(8);
    let clock = bench.state().clock;
    let elapsed = clock.uptime_ms - before.uptime_ms;
    assert_eq!(clock.unix_ms, Some(1_800_000_000_000 + elapsed));
    let Reply::Events(events) = bench.ask(Request::Events { from: 1 }) else { panic!() };
    assert_eq!(events[0].kind, EventKind::Started { by_watchdog: false });
    assert_eq!(events[0].clock.unix_ms, Some(1_800_000_000_000 - before.uptime_ms));
}

#[test]
fn the_ring_can_be_read_from_any_number_on() {
    let mut bench = Bench::new(Arithmetic::Float);
    bench.start_host(7);
    bench.run(100);
    for _ in 0..3 {
        bench.verdicts(0, &[2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5]);
    }
    let mut numbers = std::vec![];
    let mut from = 0;
    loop {
        let Reply::Events(events) = bench.ask(Request::Events { from }) else { panic!() };
        let Some(last) = events.last() else { break };
        from = last.number + 1;
        numbers.extend(events.iter().map(|event| event.number));
    }
    assert_eq!(numbers, (1..=8).collect::<std::vec::Vec<_>>());
    assert_eq!(bench.ask(Request::Events { from: u32::MAX }), Reply::Events(Vec::new()));
}

#[test]
fn when_the_host_stays_away_too_long_the_gap_is_told() {
    let mut bench = Bench::new(Arithmetic::Float);
    bench.start_host(7);
    bench.upload(&CENTRES, 2, 1.0);
    bench.run(500);
    bench.host = None;
    bench.run(4000);
    for _ in 0..RING {
        for logits in [[0.5, 0.5], [5.0, 0.0]] {
            for _ in 0..5 {
                bench.feed(0, &logits);
            }
        }
    }
    bench.start_host(8);
    bench.run(2500);
    let Reply::Counters(counters) = bench.ask(Request::Counters) else { panic!() };
    assert!(bench.missed > 60 && bench.missed == counters.lost_events, "{} {counters:?}", bench.missed);
    let newest = bench.state().newest_event;
    assert_eq!(bench.record.len() as u32 + bench.missed, newest);
    assert_eq!(bench.record.last().unwrap().1, newest);
}

#[test]
fn the_same_request_is_carried_out_once_however_often_it_comes() {
    let mut bench = Bench::new(Arithmetic::Float);
    let verdict = RegionVerdict { region: 0, class: None, score: 9.0, threshold: 1.0 };
    let requests = [(0, Request::Hello { host: Version::THIS }), (1, Request::Verdict(verdict))];
    for (sequence, request) in requests {
        let frame = encode_frame(&ToCompanion::Request { session: 3, sequence, request }).unwrap();
        for _ in 0..10 {
            for &byte in &frame {
                bench.companion.receive(byte, &mut bench.flash, bench.now);
            }
            bench.run(50);
        }
    }
    let counters = bench.companion.counters();
    assert_eq!((counters.requests, counters.repeated, counters.verdicts), (2, 18, 1));
    assert!(!bench.companion.outputs(bench.now).alarm);
}

#[test]
fn a_stranger_is_told_to_say_hello_and_changes_nothing() {
    let mut bench = Bench::new(Arithmetic::Float);
    let request = Request::AcknowledgeAlarm;
    let frame = encode_frame(&ToCompanion::Request { session: 3, sequence: 9, request }).unwrap();
    for &byte in &frame {
        bench.companion.receive(byte, &mut bench.flash, 0);
    }
    let mut decoder = FrameDecoder::new();
    let mut message = None;
    while let Some(byte) = bench.companion.transmit(0) {
        message = decoder.push::<ToHost>(byte);
    }
    let reply = Reply::Refused(Refusal::SayHello);
    assert_eq!(message, Some(Ok(ToHost::Reply { session: 3, sequence: 9, reply })));
    bench.run(5000);
    assert!(bench.companion.outputs(bench.now).host_lost);
}

/// A sound frame of another version of the protocol.
fn frame_of_version(version: u8) -> std::vec::Vec<u8> {
    let mut payload = std::vec![version, 1, 2, 3];
    payload.extend(checksum(&payload).to_le_bytes());
    assert!(payload.iter().all(|&byte| byte != 0), "it is a single block of COBS");
    let mut frame = std::vec![0, payload.len() as u8 + 1];
    frame.extend(payload);
    frame.push(0);
    frame
}

#[test]
fn a_host_of_another_version_is_told_of_this_one_and_is_no_sign_of_life() {
    let mut bench = Bench::new(Arithmetic::Float);
    let mut decoder = FrameDecoder::new();
    let mut answers = 0;
    for _ in 0..3000 {
        bench.now += 1;
        if bench.now.is_multiple_of(250) {
            for byte in frame_of_version(9) {
                bench.companion.receive(byte, &mut bench.flash, bench.now);
            }
        }
        bench.companion.tick(false, bench.now);
        while let Some(byte) = bench.companion.transmit(bench.now) {
            // Sound, so that an older or newer host finds the version in it.
            answers += u32::from(matches!(decoder.push::<ToHost>(byte), Some(Ok(_))));
        }
    }
    let counters = bench.companion.counters();
    assert_eq!((answers, counters.host.version, counters.requests), (12, 12, 0));
    assert!(bench.companion.outputs(bench.now).host_lost);
}

#[test]
fn noise_at_line_rate_is_no_sign_of_life_and_stops_no_clock() {
    let mut bench = Bench::new(Arithmetic::Float);
    bench.start_host(7);
    bench.run(100);
    bench.verdicts(0, &[2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5]);
    let heard = bench.now;
    assert_eq!(bench.state().raised_regions, 0);
    let calm = bench.now;
    bench.host = None;
    let mut noise = Noise { state: 1, every: 1 };
    let (mut lost, mut quiet) = (None, None);
    for now in calm + 1..calm + 10_000 {
        for _ in 0..LINE {
            bench.companion.receive(noise.random() as u8, &mut bench.flash, now);
            bench.companion.receive_feed(noise.random() as u8, now);
        }
        bench.companion.tick(false, now);
        let outputs = bench.companion.outputs(now);
        if outputs.host_lost {
            lost.get_or_insert(now);
        }
        if !outputs.alarm {
            quiet.get_or_insert(now);
        }
    }
    // The last word was a request for the state, just before.
    let lost = lost.unwrap();
    assert!(lost > heard + 3000 && lost <= calm + 3000, "{lost} {heard} {calm}");
    // The hold time.
    let quiet = quiet.unwrap();
    assert!(quiet > heard + 4900 && quiet <= heard + 5000, "{quiet} {heard}");
}

/// Bytes that a line of 115200 baud brings in a millisecond, rounded up.
const LINE: usize = 12;

/// What floods a line: sound messages of a host, of a stranger and of a network, and the same ones with
/// flipped bits, cut short, run together, and noise.
fn flood(noise: &mut Noise, sequence: &mut u16) -> std::vec::Vec<u8> {
    let verdict = RegionVerdict { region: 1, class: Some(0), score: 0.5, threshold: 1.0 };
    let message = match noise.random() % 3 {
        0 => {
            *sequence = sequence.wrapping_add(1);
            ToCompanion::Request { session: 7, sequence: *sequence, request: Request::Verdict(verdict) }
        }
        1 => ToCompanion::Request { session: 8, sequence: 5, request: Request::AcknowledgeAlarm },
        _ => ToCompanion::Logits(Logits { region: 9, values: [0.5, 0.5].into_iter().collect() }),
    };
    let mut frame = encode_frame(&message).unwrap().to_vec();
    let at = noise.random() as usize % frame.len();
    match noise.random() % 8 {
        0 => frame[at] ^= 1 << (noise.random() % 8),
        1 => frame.truncate(at),
        2 => drop(frame.drain(..at)),
        3 => frame.extend((0..noise.random() % 400).map(|_| noise.random() as u8)),
        4 => frame.extend((0..noise.random() % 400).map(|_| noise.random() as u8 | 1)),
        5 => frame.extend(std::iter::repeat_n(0, at)),
        _ => {}
    }
    frame
}

#[test]
fn a_minute_of_floods_at_line_rate_on_both_ports_leaves_the_counters_right() {
    let mut bench = Bench::new(Arithmetic::Float);
    bench.start_host(7);
    assert_eq!(bench.upload(&CENTRES, 2, 1.0), Reply::Done);
    bench.run(500);
    assert!(bench.state().waiting_events == 0);
    let before = bench.companion.counters();
    let mut noise = Noise { state: 5, every: 1 };
    let mut sequence = 1000;
    // The same bytes, decoded by themselves.
    let (mut of_host, mut of_feed) = (FrameDecoder::new(), FrameDecoder::new());
    let (mut requests, mut logits, mut fed) = (0, 0, 0);
    let (mut host_line, mut feed_line) =
        (std::collections::VecDeque::new(), std::collections::VecDeque::new());
    let mut replies = 0;
    let mut decoder = FrameDecoder::new();
    for _ in 0..60_000 {
        bench.now += 1;
        let now = bench.now;
        for _ in 0..LINE {
            while host_line.is_empty() {
                host_line.extend(flood(&mut noise, &mut sequence));
            }
            while feed_line.is_empty() {
                feed_line.extend(flood(&mut noise, &mut 0));
            }
            let (byte, feed) = (host_line.pop_front().unwrap(), feed_line.pop_front().unwrap());
            match of_host.push::<ToCompanion>(byte) {
                Some(Ok(ToCompanion::Request { .. })) => requests += 1,
                Some(Ok(ToCompanion::Logits(_))) => logits += 1,
                _ => {}
            }
            fed += u32::from(matches!(of_feed.push(feed), Some(Ok(ToCompanion::Logits(_)))));
            bench.companion.receive(byte, &mut bench.flash, now);
            bench.companion.receive_feed(feed, now);
        }
        bench.companion.tick(false, now);
        for _ in 0..LINE {
            let Some(byte) = bench.companion.transmit(now) else { break };
            replies += u32::from(matches!(decoder.push(byte), Some(Ok(ToHost::Reply { .. }))));
        }
    }
    let after = bench.companion.counters();
    assert_eq!(minus(after.host, before.host), of_host.counters());
    assert_eq!(minus(after.feed, before.feed), of_feed.counters());
    for counters in [of_host.counters(), of_feed.counters()] {
        let FrameCounters { messages, too_long, cut_off, checksum, .. } = counters;
        assert!(messages > 1000 && too_long > 100 && cut_off > 100 && checksum > 100, "{counters:?}");
    }
    let new = after.requests - before.requests;
    let others =
        (after.strangers + after.busy + after.repeated) - (before.strangers + before.busy + before.repeated);
    assert_eq!(new + others, requests);
    assert!(new > 1000 && after.strangers > 1000, "{after:?}");
    // All of the host's own requests were verdicts, and all logits could be judged.
    assert_eq!(after.verdicts - before.verdicts, new + logits + fed);
    assert_eq!((after.unknown - before.unknown, after.refused_verdicts), (logits + fed, 0));
    // Each request but a busy one is answered, the last ones perhaps not yet.
    let answered = requests - (after.busy - before.busy);
    assert!(replies <= answered && replies + 2 >= answered, "{replies} {answered}");
    assert_eq!(decoder.counters().checksum + decoder.counters().cut_off, 0);
    // And now somebody who waits for answers.
    bench.start_host(20);
    assert_eq!(bench.ask(Request::Heartbeat), Reply::Done);
    bench.run(3000);
    assert!(bench.companion.outputs(bench.now).alarm, "nobody has acknowledged it");
    assert_eq!(bench.companion.events.waiting(), 0);
    bench.assert_complete();
}

fn minus(all: FrameCounters, before: FrameCounters) -> FrameCounters {
    FrameCounters {
        messages: all.messages - before.messages,
        too_long: all.too_long - before.too_long,
        cut_off: all.cut_off - before.cut_off,
        checksum: all.checksum - before.checksum,
        version: all.version - before.version,
        unknown: all.unknown - before.unknown,
    }
}

/// What may happen in a trial of the bad wire.
#[derive(Clone, Debug)]
enum Happening {
    KillHost { away: u64 },
    RestartCompanion,
    Unknown { region: u16 },
    Calm { region: u16 },
    Press,
    Wait { milliseconds: u64 },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => (0..6000u64).prop_map(|away| Happening::KillHost { away }),
        1 => Just(Happening::RestartCompanion),
        4 => (0..3u16).prop_map(|region| Happening::Unknown { region }),
        4 => (0..3u16).prop_map(|region| Happening::Calm { region }),
        1 => Just(Happening::Press),
        1 => (0..3000u64).prop_map(|milliseconds| Happening::Wait { milliseconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn over_a_bad_wire_no_event_is_lost_or_doubled(
        seed in any::<u32>(), every in 20..2000u32, happenings in vec(happening(), 1..20)
    ) {
        let mut bench = Bench::new(Arithmetic::Float);
        bench.noise = Some(Noise { state: seed, every });
        let mut session = 100;
        bench.start_host(session);
        let mut verdicts = 0u32; // of this start of the companion
        for happening in happenings {
            match happening {
                Happening::KillHost { away } => {
                    bench.host = None;
                    bench.run(away);
                    session += 100;
                    bench.start_host(session);
                }
                Happening::RestartCompanion => {
                    // What it had not handed over is lost with its memory: let it do so before.
                    for _ in 0..100 {
                        bench.run(500);
                        if bench.companion.events.waiting() == 0 {
                            break;
                        }
                        bench.ask(Request::Heartbeat);
                    }
                    bench.restart_companion();
                    bench.ask(Request::Heartbeat);
                    verdicts = 0;
                }
                Happening::Unknown { region } => {
                    bench.verdicts(region, &[2.0; 5]);
                    verdicts += 5;
                }
                Happening::Calm { region } => {
                    bench.verdicts(region, &[0.5; 5]);
                    verdicts += 5;
                }
                Happening::Press => {
                    bench.button = true;
                    bench.run(100);
                    bench.button = false;
                    bench.run(100);
                }
                Happening::Wait { milliseconds } => bench.run(milliseconds),
            }
        }
        // At last the wire is good, and everything has come over.
        bench.noise = None;
        bench.ask(Request::Heartbeat);
        for _ in 0..20 {
            bench.ask(Request::Heartbeat);
            bench.run(500);
        }
        prop_assert_eq!(bench.companion.events.waiting(), 0);
        bench.assert_complete();
        prop_assert_eq!(bench.companion.counters().verdicts, verdicts);
    }

    #[test]
    fn a_flood_of_anything_stops_neither_the_clock_nor_the_answers(
        noise in vec(prop_oneof![3 => any::<u8>(), 1 => Just(0u8)], 100..20_000)
    ) {
        let mut bench = Bench::new(Arithmetic::Float);
        bench.start_host(7);
        bench.verdicts(0, &[2.0; 3]);
        for portion in noise.chunks(11) {
            for &byte in portion {
                bench.companion.receive(byte, &mut bench.flash, bench.now);
                bench.companion.receive_feed(byte, bench.now);
            }
            bench.now += 1;
            bench.companion.tick(false, bench.now);
            prop_assert!(bench.companion.outputs(bench.now).alarm);
        }
        bench.verdicts(0, &[0.5; 5]);
        prop_assert_eq!(bench.companion.counters().verdicts, 8);
        prop_assert_eq!(bench.companion.counters().feed.messages, 0);
    }

    #[test]
    fn a_flood_of_requests_is_answered_as_far_as_the_line_allows(copies in 2..60usize) {
        let mut bench = Bench::new(Arithmetic::Float);
        let hello = Request::Hello { host: Version::THIS };
        let mut bytes = encode_frame(&ToCompanion::Request { session: 1, sequence: 0, request: hello })
            .unwrap()
            .to_vec();
        for sequence in 1..copies as u16 {
            let request = Request::Counters;
            bytes.extend(encode_frame(&ToCompanion::Request { session: 1, sequence, request }).unwrap());
        }
        let mut replies = 0;
        let mut decoder = FrameDecoder::new();
        for portion in bytes.chunks(11) {
            bench.now += 1;
            for &byte in portion {
                bench.companion.receive(byte, &mut bench.flash, bench.now);
            }
            for _ in 0..11 {
                let Some(byte) = bench.companion.transmit(bench.now) else { break };
                if let Some(message) = decoder.push::<ToHost>(byte) {
                    prop_assert!(message.is_ok());
                    replies += u32::from(matches!(message, Ok(ToHost::Reply { .. })));
                }
            }
        }
        while let Some(byte) = bench.companion.transmit(bench.now) {
            if let Some(Ok(ToHost::Reply { .. })) = decoder.push::<ToHost>(byte) {
                replies += 1;
            }
        }
        let counters = bench.companion.counters();
        prop_assert_eq!(counters.requests + counters.busy, copies as u32);
        prop_assert_eq!(replies, counters.requests);
        prop_assert_eq!(decoder.counters().checksum + decoder.counters().cut_off, 0);
    }
}
