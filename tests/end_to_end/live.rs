//! A live source. There is no camera in a test, so a stream is read: in the place of the `ffmpeg`
//! program stands a script that writes frames as it does, for as long as they are read.

#![cfg(unix)]

use crate::models;
use crate::pictures::{GREY, RED};
use crate::program::{command, events, text};
use anchorwatch::record::Phase;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A frame as ffmpeg writes it.
fn ppm(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = b"P6\n64 48\n255\n".to_vec();
    bytes.extend(colour.repeat(64 * 48));
    bytes
}

/// Writes 10 red frames, then grey ones without end.
fn write_program(folder: &Path) {
    std::fs::write(folder.join("red"), ppm(RED).repeat(10)).unwrap();
    std::fs::write(folder.join("grey"), ppm(GREY)).unwrap();
    let script = folder.join("ffmpeg");
    let folder = text(folder);
    std::fs::write(
        &script,
        format!("#!/bin/sh\ncat '{folder}/red'\nwhile cat '{folder}/grey'; do :; done\n"),
    )
    .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_stream_is_watched_until_it_is_ended_and_frames_too_many_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    write_program(folder.path());
    let kept = folder.path().join("kept");
    let path = format!("{}:{}", text(folder.path()), std::env::var("PATH").unwrap());
    let mut program = command()
        .args(["run", "--model", text(&model), "--source", "rtsp://camera/stream", "--events", text(&kept)])
        // Many regions, so that frames come faster than they are judged.
        .args(["--region", "grid:8x8", "--annotate", text(&folder.path().join("drawn"))])
        .env("PATH", path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(program.stdout.take().unwrap());
    let mut stdout = String::new();
    // All 64 regions are raised.
    for _ in 0..64 {
        output.read_line(&mut stdout).unwrap();
    }
    assert!(stdout.lines().all(|line| line.contains("comes into view")), "events only: {stdout}");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let status = Command::new("kill").args(["-s", "TERM", &program.id().to_string()]).status();
    assert!(status.unwrap().success());
    output.read_to_string(&mut stdout).unwrap();
    let ended = program.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(stdout.contains("frames judged in") && stdout.contains("64   kept in"), "{stdout}");
    let dropped = stdout.lines().find(|line| line.contains("frames came while another was being judged"));
    let dropped: u64 = dropped.expect("some were").split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(dropped > 0);
    let events = events(&kept);
    let count = |phase| events.iter().filter(|event| event.phase == phase).count();
    assert_eq!((count(Phase::Started), count(Phase::Finished)), (64, 64), "not one is lost");
}
