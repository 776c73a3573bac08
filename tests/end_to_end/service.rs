//! `anchorwatch run` as a service: what it tells the service manager and other programs, and how it
//! takes a new configuration. The source is a stream, as in [`crate::live`].

#![cfg(unix)]

use crate::live::{ppm, write_script};
use crate::models;
use crate::pictures::GREY;
use crate::program::{command, text};
use serde_json::Value;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Unknown frames without end.
fn watching(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    let model = models::write(folder);
    std::fs::write(folder.join("frame"), ppm(GREY)).unwrap();
    let path = write_script(folder, "while cat frame; do sleep 0.02; done\n");
    command()
        .args(["run", "--model", text(&model), "--source", "rtsp://camera/stream"])
        .args(arguments)
        .env("PATH", path)
        .envs(environment.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(program: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &program.id().to_string()]).status().unwrap().success());
}

fn end(program: Child) -> String {
    signal(&program, "TERM");
    let ended = program.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{stderr}");
    stderr
}

fn listen(socket: &Path) -> Lines<BufReader<UnixStream>> {
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return BufReader::new(stream).lines(),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The next line that is of this kind and that `wanted` says yes to.
fn next(lines: &mut Lines<BufReader<UnixStream>>, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if line.get(kind).is_some_and(&wanted) {
            return line[kind].clone();
        }
    }
}

#[test]
fn other_programs_hear_of_verdicts_and_events() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("stream");
    let program = watching(folder.path(), &["--stream", text(&socket), "--raise", "60/60"], &[]);
    let mut lines = listen(&socket);
    let verdict = next(&mut lines, "verdict", |_| true);
    assert_eq!(
        (&verdict["outcome"], &verdict["region_box"]),
        (&"unknown".into(), &serde_json::json!([0, 0, 64, 48]))
    );
    let started = next(&mut lines, "event", |_| true);
    assert_eq!((&started["phase"], &started["unknown_frames"]), (&"started".into(), &1.into()));
    signal(&program, "TERM");
    let finished = next(&mut lines, "event", |_| true);
    assert_eq!((&finished["phase"], &finished["region"]), (&"finished".into(), &0.into()));
    assert!(lines.next().is_none_or(|line| line.is_err()), "the socket is closed at the end");
    end_of(program);
    assert!(!socket.exists());
}

#[test]
fn the_service_manager_hears_that_it_is_ready_alive_and_ending() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    let environment = [("NOTIFY_SOCKET", text(&place)), ("WATCHDOG_USEC", "100000")];
    let program = watching(folder.path(), &[], &environment);
    let hear = || {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    assert_eq!(hear().trim(), "READY=1");
    let told: Vec<String> = (0..6).map(|_| hear()).collect();
    assert!(told.iter().filter(|told| told.trim() == "WATCHDOG=1").count() >= 4, "{told:?}");
    assert!(told.iter().any(|told| told.starts_with("STATUS=") && told.contains("frames/s")), "{told:?}");
    signal(&program, "HUP");
    while !hear().contains("RELOADING=1") {}
    while hear().trim() != "READY=1" {}
    signal(&program, "TERM");
    while hear().trim() != "STOPPING=1" {}
    end_of(program);
}

/// After SIGTERM.
fn end_of(program: Child) {
    let ended = program.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_new_configuration_is_heeded_without_a_new_start() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, file) = (folder.path().join("stream"), folder.path().join("config.toml"));
    std::fs::write(&file, "threshold = 0.5\n").unwrap();
    let arguments = ["--stream", text(&socket), "--config", text(&file)];
    let program = watching(folder.path(), &arguments, &[]);
    let mut lines = listen(&socket);
    let is_known = |verdict: &Value| verdict["outcome"] == "known";
    assert!(!is_known(&next(&mut lines, "verdict", |_| true)));
    std::fs::write(&file, "threshold = 1000.0\nregion = \"grid:2x1\"\ncamera-rate = 5.0\n").unwrap();
    signal(&program, "HUP");
    let verdict = next(&mut lines, "verdict", |verdict| verdict["region"] == 1);
    assert!(is_known(&verdict) && verdict["threshold"] == 1000.0, "{verdict}");
    let stderr = end(program);
    assert!(stderr.contains("heeded only after a new start: camera-rate"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_wrong_configuration_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, file) = (folder.path().join("stream"), folder.path().join("config.toml"));
    std::fs::write(&file, "threshold = 0.5\n").unwrap();
    let program = watching(folder.path(), &["--stream", text(&socket), "--config", text(&file)], &[]);
    let mut lines = listen(&socket);
    next(&mut lines, "verdict", |_| true);
    std::fs::write(&file, "threshold = -1.0\n").unwrap();
    signal(&program, "HUP");
    for _ in 0..50 {
        assert_eq!(next(&mut lines, "verdict", |_| true)["threshold"], 0.5);
    }
    let stderr = end(program);
    assert!(stderr.contains("the configuration stays as it was"), "{stderr}");
}
