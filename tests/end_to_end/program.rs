//! Runs the built program, and looks at how it ended.

use crate::kept::{CameraEvent, Event, Line};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How a run of the program ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The program, without any setting of whoever runs the tests.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anchorwatch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ANCHORWATCH_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").env("XDG_CONFIG_HOME", "/nowhere").stdin(Stdio::null());
    command
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let ended = Self {
            code: output.status.code().expect("it was not ended by a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        ended
    }
}

/// Runs it to its end.
pub fn run<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ended {
    command().args(arguments).output().unwrap().into()
}

/// The same; it must go well.
pub fn succeed<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ended {
    let ended = run(arguments);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    ended
}

/// The same; it must end with this code and one error, which is returned.
pub fn fail<S: AsRef<std::ffi::OsStr>>(code: i32, arguments: impl IntoIterator<Item = S>) -> String {
    let ended = run(arguments);
    assert_eq!(ended.code, code, "{}{}", ended.stdout, ended.stderr);
    let errors = ended.stderr.lines().filter(|line| line.starts_with("error:")).count();
    assert_eq!(errors, 1, "{}", ended.stderr);
    ended.stderr
}

/// Paths are text here.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The lines of `--json`.
pub fn verdicts(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An event log's lines, in the order in which they were recorded.
pub fn lines(folder: &Path) -> Vec<Line> {
    let ended = succeed(["log", text(folder), "--export", "jsonl"]);
    let mut lines: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The export is by the events' times, and several come from one frame.
    lines.sort_by_key(|line| line["id"].as_str().unwrap().to_string());
    lines.into_iter().map(|line| serde_json::from_value(line).unwrap()).collect()
}

/// The files of all pictures that are kept.
pub fn crops(folder: &Path) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(folder.join("crops")).unwrap().map(|folder| folder.unwrap().path());
    folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|crop| crop.unwrap().path())).collect()
}

/// Those about what was seen.
pub fn events(folder: &Path) -> Vec<Event> {
    let of_things = |line| if let Line::Event(event) = line { Some(*event) } else { None };
    lines(folder).into_iter().filter_map(of_things).collect()
}

/// Those about the camera.
pub fn camera_events(folder: &Path) -> Vec<CameraEvent> {
    let of_camera = |line| if let Line::Camera(event) = line { Some(event) } else { None };
    lines(folder).into_iter().filter_map(of_camera).collect()
}

/// The names of the files in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Waits until something is so; `what` is said if it never is.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(300), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
