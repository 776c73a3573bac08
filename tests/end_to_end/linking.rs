//! `anchorwatch link` and `run --uart`, with a companion.

use crate::companion::Board;
use crate::models;
use crate::pictures::{self, GREY, RED, YELLOW};
use crate::program::{fail, run, succeed, text};
use anchorwatch_kernels::FlatProgram;
use serde_json::Value;
use std::io::{Read, Write};
use std::path::Path;

fn link(board: &Board, arguments: &[&str]) -> String {
    succeed(["link", "--port", &board.address].iter().chain(arguments)).stdout
}

fn json(board: &Board, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["--json"], arguments].concat();
    let printed = link(board, &arguments);
    serde_json::Deserializer::from_str(&printed).into_iter().map(Result::unwrap).collect()
}

fn journal(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_companion_is_asked_and_set_up() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let board = Board::start();

    let version = json(&board, &["version"]);
    assert_eq!((&version[0]["same"], &version[0]["board"]), (&true.into(), &"a thread".into()));
    let said = link(&board, &["status"]);
    assert!(said.contains("alarm      quiet") && said.contains("after its start"), "{said}");
    assert!(said.contains("none: 'anchorwatch link upload'"), "{said}");
    link(&board, &["sync"]);
    link(&board, &["upload", text(&model)]);
    let status = &json(&board, &["status"])[0];
    assert!(status["time"].as_str().is_some_and(|time| time.starts_with("20")), "{status}");
    let centres = &status["centres"];
    assert_eq!((&centres["classes"], &centres["logits"]), (&3.into(), &3.into()));
    assert_eq!(centres["threshold"], models::THRESHOLD);
    let id = serde_json::from_str::<Value>(&succeed(["inspect", "--json", text(&model)]).stdout).unwrap();
    assert_eq!(centres["model"], id["id"]);

    let events = json(&board, &["events"]);
    let numbers: Vec<u64> = events.iter().map(|event| event["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(events[0]["kind"], "started");
    assert!(events.iter().any(|event| event["kind"] == "centres-changed"), "{events:?}");
    // Nothing of that has been recorded.
    assert_eq!(json(&board, &["status"])[0]["waiting_events"].as_u64().unwrap(), numbers.len() as u64 + 1);
}

#[test]
fn a_run_tells_the_companion_and_keeps_its_events() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let (source, events) = (folder.path().join("pictures"), folder.path().join("events"));
    for (name, colour) in [("1.png", RED), ("2.png", YELLOW), ("3.png", GREY), ("4.png", YELLOW)] {
        pictures::save(&source.join(name), colour);
    }
    let board = Board::start();
    let arguments = ["run", "--source", text(&source), "--model", text(&model), "--events", text(&events)];
    succeed(arguments.iter().chain(&["--uart", &board.address]));
    assert!(board.has_raised_the_alarm());
    let counters = &json(&board, &["status"])[0]["counters"];
    assert_eq!((&counters["verdicts"], &counters["unknown"]), (&4.into(), &3.into()));

    // A second run brings home what the first had no time for, and nothing twice.
    succeed(arguments.iter().chain(&["--uart", &board.address]));
    let kept = journal(&events.join("companion.jsonl"));
    let numbers: Vec<u64> = kept.iter().map(|event| event["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_run_goes_well_without_its_companion() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let picture = pictures::save(&folder.path().join("red.png"), RED);
    let nowhere = folder.path().join("no-tty");
    let ended = run(["run", "--source", text(&picture), "--model", text(&model), "--uart", text(&nowhere)]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot open"), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 verdicts did not get through"), "{}", ended.stderr);
}

#[test]
fn what_is_wrong_with_the_port_is_said() {
    let folder = tempfile::tempdir().unwrap();
    assert!(fail(2, ["link", "status"]).contains("--port"));
    assert!(fail(1, ["link", "--port", "/nowhere/tty", "status"]).contains("cannot open /nowhere/tty"));
    let file = pictures::save(&folder.path().join("red.png"), RED);
    assert!(fail(1, ["link", "--port", text(&file), "status"]).contains("no serial port"));
    // Somebody who never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", silent.local_addr().unwrap());
    assert!(fail(1, ["link", "--port", &address, "status"]).contains("no answer"));
}

#[test]
fn firmware_of_another_version_of_the_protocol_is_told_of() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 8];
        stream.read_exact(&mut request).unwrap();
        // A sound frame of version 2, with a message that only its version knows.
        let mut payload = vec![2, 200, 7];
        payload.extend(anchorwatch_core::link::checksum(&payload).to_le_bytes());
        assert!(payload.iter().all(|&byte| byte != 0), "it is a single block of COBS");
        let mut frame = vec![0, payload.len() as u8 + 1];
        frame.extend(payload);
        frame.push(0);
        stream.write_all(&frame).unwrap();
        // Until the other end has hung up.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let said = fail(3, ["link", "--port", &address, "version"]);
    assert!(said.contains("speaks version 2 of the protocol"), "{said}");
    answering.join().unwrap();
}

/// The model for microcontrollers, as its user takes it: file, command, bytes; and these, run by what the
/// microcontroller runs, give the runtime's logits.
#[test]
fn the_tiny_model_gives_the_same_logits_from_a_microcontrollers_bytes() {
    let (model, source) = (root("models/tiny.onnx"), root("models/samples"));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let arguments = ["firmware", "--json", text(&model), "--out", text(&out), "--vectors", "25"];
    let said = succeed(arguments.iter().chain(&["--source", text(&source)])).stdout;
    let sizes: Value = serde_json::from_str(&said).unwrap();
    let size = |key: &str| sizes[key].as_u64().unwrap();
    assert!(size("arena_bytes") + size("picture_bytes") <= 64 * 1024, "{sizes}");
    assert!(size("flash_bytes") <= 128 * 1024, "{sizes}");
    assert!(succeed(["inspect", "--verify", text(&model)]).stdout.contains("Verified"));

    let bytes = std::fs::read(out.join("network.bin")).unwrap();
    let program = FlatProgram::new(&bytes).unwrap();
    let vectors = std::fs::read(out.join("vectors.bin")).unwrap();
    let (picture, count) = (program.picture_bytes(), program.logits());
    let numbers: Vec<u8> = [25, picture, count].iter().flat_map(|&n| (n as u32).to_le_bytes()).collect();
    assert_eq!(vectors[..12], numbers);
    let mut arena = vec![0; program.arena_bytes()];
    let mut logits = vec![0.0; count];
    let mut seen = std::collections::BTreeSet::new();
    for vector in vectors[12..].chunks(picture + 4 * count) {
        let (pixels, expected) = vector.split_at(picture);
        program.run(pixels, &mut arena, &mut logits).unwrap();
        let found: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        assert_eq!(found, expected);
        seen.insert(found);
    }
    assert_eq!(seen.len(), 25, "golden pictures, 19 samples and random ones, all different");
}

fn root(path: &str) -> std::path::PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join(path)
}

#[test]
fn a_network_that_is_not_quantized_is_none_for_a_microcontroller() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let out = folder.path().join("out");
    assert!(fail(2, ["firmware", text(&model), "--out", text(&out)]).contains("not quantized"));
    assert!(!out.exists());
}
