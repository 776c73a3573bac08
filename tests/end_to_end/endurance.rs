//! What a year brings: frames that come faster than they can be judged, hour after hour, and the power
//! that goes at any moment.

#![cfg(target_os = "linux")]

use crate::live::{ppm, write_script};
use crate::models;
use crate::pictures::{GREY, RED};
use crate::program::{command, events, lines, names, succeed, text};
use crate::videos;
use anchorwatch::record::Line;
use anchorwatch::vision::load_picture;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Frames of an hour at 30 a second.
const AN_HOUR: u64 = 108_000;

/// Memory in use, in KiB.
fn memory(program: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(300), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An hour's frames as fast as they can be read, into 64 regions each: most come while another is judged.
#[test]
fn in_an_hour_of_too_many_frames_memory_stays_and_every_frame_is_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    std::fs::write(folder.path().join("second"), ppm(GREY).repeat(30)).unwrap();
    let seconds = AN_HOUR / 30;
    let path = write_script(
        folder.path(),
        &format!(
            "if [ $run = 1 ]; then\n\
             for second in $(seq {seconds}); do cat second; [ $second != 200 ] || : >settled; done\n\
             : >over; sleep 600\nfi\nsleep 600\n"
        ),
    );
    let mut program = command()
        .args(["run", "--model", text(&model), "--source", "rtsp://camera/stream", "--region", "grid:8x8"])
        .args(["--frame-timeout", "600"])
        .env("PATH", path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("frames", || folder.path().join("settled").exists());
    let settled = memory(&program);
    wait_for("the end of the hour", || folder.path().join("over").exists());
    let in_the_end = memory(&program);
    // What is still in the pipe is read and judged.
    std::thread::sleep(Duration::from_millis(500));
    assert!(Command::new("kill").args(["-s", "TERM", &program.id().to_string()]).status().unwrap().success());
    let mut stdout = String::new();
    program.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert!(program.wait().unwrap().success());

    let number = |words: &str, nth: usize| -> u64 {
        let line = stdout.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{stdout}"));
        line.split_whitespace().nth(nth).unwrap().parse().unwrap()
    };
    let (judged, dropped) =
        (number("frames judged in", 0), number("frames came while another was being judged", 1));
    assert_eq!(judged + dropped, AN_HOUR, "{stdout}");
    assert!(judged > 0 && dropped > AN_HOUR / 10, "it was no overload: {stdout}");
    assert!(in_the_end < settled + 4096, "memory grew from {settled} to {in_the_end} KiB");
}

/// A run over a video in which something unknown comes and goes with every other frame.
fn start(model: &Path, video: &Path, kept: &Path) -> Child {
    command()
        .args(["run", "--quiet", "--model", text(model), "--source", text(video), "--events", text(kept)])
        .args(["--raise", "1/1", "--clear", "1/1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The lines that are whole: of a program that was killed, the last one may not be.
fn whole_lines(kept: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(kept.join("events.jsonl")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_string).collect()
}

#[test]
fn killed_at_any_of_two_hundred_moments_it_loses_nothing_that_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let frames: Vec<_> = (0..4000).map(|index| if index % 2 == 0 { GREY } else { RED }).collect();
    let video = videos::y4m(&folder.path().join("flicker.y4m"), &frames);
    let kept = folder.path().join("kept");
    let mut before: Vec<String> = Vec::new();
    let mut random = 1u64;
    let mut torn = 0;
    for _ in 0..200 {
        let mut program = start(&model, &video, &kept);
        // Within the program's start, or among its first events.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros((random >> 33) % 60_000));
        program.kill().unwrap();
        program.wait().unwrap();
        let after = whole_lines(&kept);
        assert!(after.starts_with(&before), "a line is gone, or changed");
        for line in &after[before.len()..] {
            let Line::Event(event) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
            if let Some(crop) = &event.crop {
                load_picture(&kept.join(crop)).unwrap_or_else(|error| panic!("{crop}: {error}"));
            }
        }
        let length = std::fs::metadata(kept.join("events.jsonl")).map_or(0, |file| file.len());
        torn += u64::from(length > after.iter().map(|line| line.len() as u64 + 1).sum());
        before = after;
    }
    assert!(before.len() > 200, "only {} lines in all", before.len());

    // The next start puts right what was torn, and goes on.
    succeed(["run", "--model", text(&model), "--source", text(&video), "--events", text(&kept)]);
    assert!(lines(&kept).len() > before.len());
    let ids: Vec<String> = events(&kept).into_iter().map(|event| event.id).collect();
    let mut pairs = std::collections::BTreeMap::<_, usize>::new();
    ids.into_iter().for_each(|id| *pairs.entry(id).or_default() += 1);
    assert!(pairs.values().all(|&count| count <= 2), "an id is used twice");
    let left: Vec<_> = names(&kept.join("crops")).into_iter().filter(|name| name.ends_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?} is left ({torn} torn lines)");
}
