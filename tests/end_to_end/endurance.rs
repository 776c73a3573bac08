//! What a year brings: frames that come faster than they can be judged, hour after hour, and the power
//! that goes at any moment.

#![cfg(target_os = "linux")]

use crate::live::{ppm, write_script};
use crate::models;
use crate::pictures::{GREY, RED};
use crate::program::{command, succeed, text, wait_for};
use crate::videos;
use anchorwatch::vision::load_picture;
use anchorwatch_store::{Event as Recorded, Filter, Order, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Frames of an hour at 30 a second.
const AN_HOUR: u64 = 108_000;

/// Memory in use, in KiB.
fn memory(program: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
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

/// What is recorded, by its number: other programs see it as this one does.
fn recorded(kept: &Path) -> BTreeMap<i64, Recorded> {
    let mut recorded = BTreeMap::new();
    let store = match Store::attach(kept) {
        // Killed before there was one.
        Err(StoreError::Missing(_)) => return recorded,
        other => other.unwrap(),
    };
    store
        .each(&Filter::default(), Order::Oldest, |event| {
            recorded.insert(event.seq, event);
            Ok(())
        })
        .unwrap();
    recorded
}

#[test]
fn killed_at_any_of_two_hundred_moments_it_loses_nothing_that_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let frames: Vec<_> = (0..4000).map(|index| if index % 2 == 0 { GREY } else { RED }).collect();
    let video = videos::y4m(&folder.path().join("flicker.y4m"), &frames);
    let kept = folder.path().join("kept");
    let mut before = BTreeMap::new();
    let mut random = 1u64;
    for _ in 0..200 {
        let mut program = start(&model, &video, &kept);
        // Within the program's start, or among its first events.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros((random >> 33) % 60_000));
        program.kill().unwrap();
        program.wait().unwrap();
        let after = recorded(&kept);
        for (number, event) in &before {
            assert_eq!(after.get(number), Some(event), "an event is gone, or changed");
        }
        for (_, event) in after.iter().filter(|(number, _)| !before.contains_key(number)) {
            let crop = event.crop.as_ref().expect("every event has its picture");
            load_picture(&kept.join(crop)).unwrap_or_else(|error| panic!("{crop}: {error}"));
        }
        before = after;
    }
    assert!(before.len() > 200, "only {} events in all", before.len());

    // The next start goes on, clears away what belongs to no event, and all is whole.
    succeed(["run", "--model", text(&model), "--source", text(&video), "--events", text(&kept)]);
    let after = recorded(&kept);
    assert!(after.len() > before.len());
    let ids: BTreeSet<&str> = after.values().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), after.len(), "an id is used twice");
    let checked = succeed(["log", text(&kept), "verify"]);
    assert!(checked.stdout.contains(&format!("{} events, all whole", after.len())), "{}", checked.stdout);
}
