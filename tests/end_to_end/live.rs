//! A live source. There is no camera in a test, so a stream is read: in the place of the `ffmpeg`
//! program stands a script that writes frames as it does, for as long as they are read.

#![cfg(unix)]

use crate::kept::{CameraPhase, Phase};
use crate::models;
use crate::pictures::{GREY, RED};
use crate::program::{camera_events, command, events, fail, succeed, text, verdicts};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A frame as ffmpeg writes it.
pub fn ppm(colour: [u8; 3]) -> Vec<u8> {
    ppm_of(64, 48, colour)
}

fn ppm_of(width: usize, height: usize, colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = format!("P6\n{width} {height}\n255\n").into_bytes();
    bytes.extend(colour.repeat(width * height));
    bytes
}

/// Puts this shell script in the place of ffmpeg; `$run` counts its runs from 1. Returns the PATH.
pub fn write_script(folder: &Path, script: &str) -> String {
    let program = folder.join("ffmpeg");
    let count = "run=$(($(cat count 2>/dev/null || echo 0) + 1))\necho $run >count\n";
    let place = text(folder);
    std::fs::write(&program, format!("#!/bin/sh\ncd '{place}' || exit 1\n{count}{script}")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{place}:{}", std::env::var("PATH").unwrap())
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

#[test]
fn a_stream_that_breaks_off_is_opened_again_and_goes_on_in_another_format() {
    let folder = tempfile::tempdir().unwrap();
    let (model, kept) = (models::write(folder.path()), folder.path().join("kept"));
    std::fs::write(folder.path().join("first"), ppm(GREY).repeat(5)).unwrap();
    std::fs::write(folder.path().join("second"), ppm_of(32, 24, GREY)).unwrap();
    // The first camera is pulled out in the middle of a frame; then there is none; then another one.
    let path = write_script(
        folder.path(),
        "case $run in\n\
         1) cat first; sleep 3; head -c 100 first; echo 'cable pulled' >&2; exit 1;;\n\
         2) echo 'no such camera' >&2; exit 1;;\n\
         *) while cat second; do sleep 0.05; done;;\nesac\n",
    );
    let ended = command()
        .args(["run", "--json", "--model", text(&model), "--source", "rtsp://camera/stream"])
        .args(["--raise", "1/1", "--max-frames", "12", "--events", text(&kept)])
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let events = events(&kept);
    let phases: Vec<_> = events.iter().map(|event| event.phase).collect();
    assert_eq!(phases, [Phase::Started, Phase::Finished, Phase::Started, Phase::Finished]);
    assert_eq!((events[0].region_box, events[2].region_box), ([0, 0, 64, 48], [0, 0, 32, 24]));
    assert_eq!(events[0].boot, events[3].boot);
    assert!(events[0].uptime < events[2].uptime);
    let camera = camera_events(&kept);
    let [lost, back] = &camera[..] else { panic!("{camera:?}") };
    assert_eq!((lost.phase, back.phase), (CameraPhase::CameraLost, CameraPhase::CameraBack));
    assert_eq!(Some(&lost.id), back.ends.as_ref());
    assert!(lost.why.as_ref().unwrap().contains("cable pulled"), "{lost:?}");
    assert!(back.seconds.unwrap() > 0.0 && back.uptime > lost.uptime);
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(stderr.contains("no such camera") && stderr.contains("the camera was gone"), "{stderr}");
}

#[test]
fn a_stream_that_hangs_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (model, kept) = (models::write(folder.path()), folder.path().join("kept"));
    std::fs::write(folder.path().join("frames"), ppm(RED).repeat(3)).unwrap();
    // exec, so that nothing is left of it when it is ended.
    let path = write_script(
        folder.path(),
        "if [ $run = 1 ]; then cat frames; exec sleep 1000; fi\nwhile cat frames; do :; done\n",
    );
    let ended = command()
        .args(["run", "--model", text(&model), "--source", "rtsp://camera/stream"])
        .args(["--frame-timeout", "2", "--max-frames", "10", "--events", text(&kept)])
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let camera = camera_events(&kept);
    assert!(camera[0].why.as_ref().unwrap().contains("nothing came for 2s"), "{camera:?}");
    assert_eq!(camera[1].phase, CameraPhase::CameraBack);
    let stdout = String::from_utf8_lossy(&ended.stdout);
    assert!(stdout.contains("CAMERA LOST") && stdout.contains("camera back"), "{stdout}");
}

#[cfg(feature = "v4l")]
#[test]
fn a_camera_that_is_not_there_is_an_error_or_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (model, kept) = (models::write(folder.path()), folder.path().join("kept"));
    let error = fail(1, ["run", "--model", text(&model), "--source", "/dev/no-such-video"]);
    assert!(error.contains("there is no '/dev/no-such-video'"), "{error}");
    let mut program = command()
        .args(["run", "--model", text(&model), "--source", "/dev/no-such-video", "--wait-for-camera"])
        .args(["--events", text(&kept)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(program.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("CAMERA LOST") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0);
    }
    let status = Command::new("kill").args(["-s", "TERM", &program.id().to_string()]).status();
    assert!(status.unwrap().success() && program.wait().unwrap().success());
    assert_eq!(camera_events(&kept)[0].phase, CameraPhase::CameraLost);
}

#[cfg(feature = "v4l")]
#[test]
fn cameras_are_listed_for_people_and_programs() {
    assert!(!succeed(["cameras"]).stdout.is_empty());
    let listed: serde_json::Value = serde_json::from_str(&succeed(["cameras", "--json"]).stdout).unwrap();
    assert!(listed.is_array());
}

#[test]
fn another_program_says_where_to_look() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    std::fs::write(folder.path().join("frame"), ppm(RED)).unwrap();
    let path = write_script(folder.path(), "while cat frame; do sleep 0.02; done\n");
    let socket = folder.path().join("boxes");
    let mut program = command()
        .args(["run", "--json", "--model", text(&model), "--source", "rtsp://camera/stream"])
        .args(["--region", &format!("socket:{}", text(&socket)), "--min-size", "4"])
        .env("PATH", path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut detector = loop {
        match std::os::unix::net::UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    };
    // The second is cut at the edge, the third is too small.
    let boxes = b"{\"boxes\":[[1,2,30,20],[60,40,30,20],[5,5,3,3]],\"ids\":[7,8,9]}\n";
    let feeding = std::thread::spawn(move || {
        while detector.write_all(boxes).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut next = || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let (one, other) = (next(), next());
    assert_eq!((&one["region"], &one["region_box"]), (&7.into(), &serde_json::json!([1, 2, 30, 20])));
    assert_eq!((&other["region"], &other["region_box"]), (&8.into(), &serde_json::json!([60, 40, 4, 8])));
    assert_eq!((&one["frame"], &one["class"]), (&other["frame"], &"red".into()));
    let status = Command::new("kill").args(["-s", "TERM", &program.id().to_string()]).status();
    assert!(status.unwrap().success());
    for _ in lines {}
    assert!(program.wait().unwrap().success());
    feeding.join().unwrap();
    assert!(!socket.exists());
}

#[test]
fn what_is_always_there_is_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let (model, kept) = (models::write(folder.path()), folder.path().join("kept"));
    let video = crate::videos::y4m(&folder.path().join("video.y4m"), &[GREY; 8]);
    let ended = succeed([
        "run",
        "--json",
        "--model",
        text(&model),
        "--source",
        text(&video),
        "--events",
        text(&kept),
        "--learn-background",
        "3600",
    ]);
    assert!(verdicts(&ended).iter().all(|line| line["background"] == true && line["outcome"] == "unknown"));
    assert!(events(&kept).is_empty());
    assert!(ended.stderr.contains("8   more are background"), "{}", ended.stderr);
}
