//! The board: pins that are not there, how fast frames are judged, and what `doctor` says.

use crate::models;
use crate::pictures::{self, GREY, RED};
use crate::program::{fail, run, succeed, text, verdicts};
use serde_json::Value;
use std::path::Path;

#[test]
fn pins_on_a_machine_without_any_are_an_error_at_the_start() {
    if Path::new("/dev/gpiochip0").exists() {
        return; // such a machine has pins
    }
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let (picture, events) = (folder.path().join("red.png"), folder.path().join("events"));
    pictures::save(&picture, RED);
    for pin in ["--gpio-unknown", "--gpio-heartbeat", "--gpio-arm", "--gpio-trigger"] {
        let arguments = ["run", "--model", text(&model), "--source", text(&picture), pin, "17"];
        let error = fail(2, arguments);
        assert!(error.contains("this machine has no pins") && error.contains("--gpio-chip"), "{error}");
    }
    let error = fail(2, ["run", "--demo", "--events", text(&events), "--bus", "i2c:250:0x42"]);
    assert!(error.contains("i2c:250"), "{error}");
}

#[test]
fn a_limit_on_the_rate_loses_nothing_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let source = folder.path().join("pictures");
    for (name, colour) in [("a.png", RED), ("b.png", GREY), ("c.png", RED)] {
        pictures::save(&source.join(name), colour);
    }
    for limit in [["--max-fps", "50"], ["--max-load", "0.2"], ["--max-temperature", "20"]] {
        let arguments = ["run", "--json", "--model", text(&model), "--source", text(&source)];
        assert_eq!(verdicts(&succeed(arguments.into_iter().chain(limit))).len(), 3, "{limit:?}");
    }
    for limit in [["--max-fps", "0"], ["--max-load", "1.5"], ["--max-temperature", "nan"]] {
        let error = fail(2, ["run", "--demo"].into_iter().chain(limit));
        assert!(error.contains(limit[0].trim_start_matches('-')), "{error}");
    }
}

/// State and finding of one check.
fn finding<'a>(findings: &'a Value, check: &str) -> (&'a str, &'a str) {
    let found = findings.as_array().unwrap().iter().find(|finding| finding["check"] == check).unwrap();
    (found["state"].as_str().unwrap(), found["found"].as_str().unwrap())
}

#[test]
fn the_doctor_tries_what_a_run_needs() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("red.png");
    pictures::save(&picture, RED);
    let ended =
        run(["doctor", "--json", "--source", text(&picture), "--events", text(&folder.path().join("new"))]);
    let findings: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(finding(&findings, "source").0, "ok", "{findings}");
    assert_eq!(finding(&findings, "model").0, "ok", "{findings}");
    assert!(finding(&findings, "disk").1.contains("MiB free"), "{findings}");
    let fails = findings.as_array().unwrap().iter().any(|finding| finding["state"] == "fail");
    assert_eq!(ended.code, i32::from(fails));
    assert!(!folder.path().join("new").exists(), "it changes nothing");
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("no-model.onnx");
    std::fs::write(&model, "nothing").unwrap();
    let nothing = "/proc/anchorwatch"; // where nobody may write
    let ended = run(["doctor", "--source", "/dev/video250", "--model", text(&model), "--events", nothing]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    for what in ["model", "source", "disk"] {
        let mut lines = ended.stdout.lines().skip_while(|line| !line.contains(&format!("FAIL  {what} ")));
        assert!(lines.next().is_some(), "{what}: {}", ended.stdout);
        assert!(lines.next().is_some_and(|line| line.trim_start().starts_with('→')), "{}", ended.stdout);
    }
}
