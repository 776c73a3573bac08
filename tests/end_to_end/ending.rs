//! How a run ends before its source does, and what is left of it then.

use crate::kept::Phase;
use crate::pictures::{self, GREEN, GREY, RED};
use crate::program::{Ended, command, events, names, succeed, text};
use crate::{models, videos};
use anchorwatch::vision::load_picture;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

/// Ends a run over a long video by a signal, once it has judged some frames.
#[cfg(unix)]
fn ends_cleanly_by(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let video = videos::y4m(&folder.path().join("long.y4m"), &[GREY; 5000]);
    let (kept, drawn) = (folder.path().join("kept"), folder.path().join("drawn"));
    let mut program = command()
        .args(["run", "--model", text(&model), "--source", text(&video)])
        .args(["--events", text(&kept), "--annotate", text(&drawn)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(program.stdout.take().unwrap());
    let mut stdout = String::new();
    for _ in 0..20 {
        output.read_line(&mut stdout).unwrap();
    }
    signal(program.id(), name);
    output.read_to_string(&mut stdout).unwrap();
    let ended = program.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("error"), "{stderr}");
    let summary = stdout.lines().find(|line| line.contains("frames judged in")).expect("there is a summary");
    let judged: usize = summary.split_whitespace().next().unwrap().parse().unwrap();
    assert!((10..5000).contains(&judged), "{summary}");
    let phases: Vec<_> = events(&kept).iter().map(|event| event.phase).collect();
    assert_eq!(phases, [Phase::Started, Phase::Finished]);
    // Every judged frame was drawn, and each of them whole.
    let frames = names(&drawn);
    assert_eq!(frames.len(), judged);
    load_picture(&drawn.join(frames.last().unwrap())).unwrap();
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_with_everything_recorded() {
    ends_cleanly_by("INT");
}

#[cfg(unix)]
#[test]
fn a_service_manager_ends_it_with_everything_recorded() {
    ends_cleanly_by("TERM");
}

#[test]
fn when_nobody_reads_the_output_any_more_it_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let video = videos::y4m(&folder.path().join("long.y4m"), &[GREY; 20_000]);
    let kept = folder.path().join("kept");
    let mut program = command()
        .args(["run", "--model", text(&model), "--source", text(&video), "--events", text(&kept)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(program.stdout.take().unwrap()).lines();
    assert!(lines.take(10).all(|line| line.unwrap().contains("UNKNOWN")));
    let ended = Ended::from(program.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(events(&kept).len(), 2);
}

/// A shell lets no file grow beyond some blocks of 512 or 1024 bytes: that is what a full disk looks
/// like.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_the_record_but_not_the_watch() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let (source, kept) = (folder.path().join("pictures"), folder.path().join("kept"));
    for number in 0..60 {
        let colour = if number % 3 == 0 { RED } else { GREY };
        pictures::save(&source.join(format!("{number:02}.png")), colour);
    }
    // Noise, so that its crop is larger than the limit, which the database stays below. It comes in the middle.
    let noise = image::RgbImage::from_fn(1600, 1600, |x, y| {
        image::Rgb([0, 1, 2].map(|c: u32| (x.wrapping_mul(7919) ^ (y * 104_729 + c * 31 * x * y) >> 3) as u8))
    });
    noise.save(source.join("30-noise.png")).unwrap();
    let program = command();
    let mut shell = Command::new("sh");
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    // Without the trap the signal of the limit would end the program.
    let ended: Ended = shell
        .args(["-c", "trap '' XFSZ; ulimit -f 6000; exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args([
            "run",
            "--model",
            text(&model),
            "--source",
            text(&source),
            "--events",
            text(&kept),
            "--crops",
            "png",
        ])
        .output()
        .unwrap()
        .into();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stdout.contains("61 pictures judged"), "{}", ended.stdout);
    let written = events(&kept);
    // The event matters more than its picture.
    assert!(written.iter().filter(|event| event.crop.is_none()).count() == 1, "{written:?}");
    assert!(ended.stdout.contains("LOST           1   pictures of events"), "{}", ended.stdout);
    // Once when it happens, once at the end.
    assert_eq!(ended.stderr.matches("error:").count(), 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("watching goes on"), "{}", ended.stderr);
    for event in written.iter().filter(|event| event.crop.is_some()) {
        load_picture(&kept.join(event.crop.as_ref().unwrap())).unwrap();
    }
    succeed(["log", text(&kept), "verify"]);
    // With room again, the log goes on where it was.
    let green = pictures::save(&folder.path().join("green.png"), GREEN);
    let arguments = ["run", "--model", text(&model), "--source", text(&green), "--events", text(&kept)];
    crate::program::succeed(arguments);
    assert_eq!(events(&kept), written);
}
