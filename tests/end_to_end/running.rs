//! `anchorwatch run` on files.

use crate::kept::{Event, Phase};
use crate::pictures::{self, BLUE, GREEN, GREY, RED, YELLOW};
use crate::program::{crops, events, names, succeed, text, verdicts};
use crate::{models, videos};
use anchorwatch::vision::load_picture;

#[test]
fn one_picture_is_known_or_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let run = |colour| {
        let picture = pictures::save(&folder.path().join("picture.png"), colour);
        succeed(["run", "--model", text(&model), "--source", text(&picture)]).stdout
    };
    let (known, unknown) = (run(RED), run(YELLOW));
    assert!(known.lines().next().unwrap().ends_with("  known red 0.00"), "{known}");
    let relative = models::score(YELLOW) / f64::from(models::THRESHOLD);
    let expected = format!("  UNKNOWN (most like red) {relative:.2}");
    assert!(unknown.lines().next().unwrap().ends_with(&expected), "{unknown}");
    assert!(unknown.contains("1 picture judged") && unknown.contains("give --events DIR"), "{unknown}");
}

#[test]
fn a_folder_gives_a_line_a_picture_and_a_summary() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let source = folder.path().join("pictures");
    pictures::save_some(&source);
    let ended = succeed(["run", "--model", text(&model), "--source", text(&source)]);
    let lines: Vec<Vec<&str>> = ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        ("known/amber.bmp", "known red"),
        ("known/blue.webp", "known blue"),
        ("known/green.jpg", "known green"),
        ("known/red.png", "known red"),
        ("unknown/grey.tiff", "UNKNOWN (most like"),
        ("unknown/yellow.png", "UNKNOWN (most like"),
    ];
    for (line, (name, verdict)) in lines.iter().zip(expected) {
        assert_eq!(line[0], name);
        assert!(line[1..].join(" ").starts_with(verdict), "{line:?}");
    }
    let summary = &ended.stdout[ended.stdout.find("6 pictures judged").unwrap()..];
    assert!(summary.contains("4   red 2, "), "{summary}");
    assert!(summary.contains("2   most like red 2"), "{summary}");
}

#[test]
fn a_pattern_takes_what_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    pictures::save_some(folder.path());
    let pattern = format!("{}/*/*.[pj][pn]g", text(folder.path()));
    let ended = succeed(["run", "--json", "--model", text(&model), "--source", &pattern]);
    let sources: Vec<_> =
        verdicts(&ended).iter().map(|line| line["source"].as_str().unwrap().to_string()).collect();
    let expected = ["known/green.jpg", "known/red.png", "unknown/yellow.png"];
    assert_eq!(sources, expected.map(|name| folder.path().join(name).display().to_string()));
}

#[test]
fn json_has_an_object_a_verdict_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let source = folder.path().join("pictures");
    pictures::save_some(&source);
    let ended = succeed([
        "run",
        "--json",
        "--region",
        "grid:2x1",
        "--model",
        text(&model),
        "--source",
        text(&source),
    ]);
    let lines = verdicts(&ended);
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[1]["region"], 1);
    assert_eq!(lines[1]["region_box"], serde_json::json!([16, 0, 16, 24]));
    let yellow = &lines[10];
    assert_eq!(
        (&yellow["frame"], &yellow["outcome"], &yellow["class"]),
        (&5.into(), &"unknown".into(), &"red".into())
    );
    assert_eq!(yellow["runner_up"], "green");
    let number = |key: &str| yellow[key].as_f64().unwrap();
    assert!((number("score") - models::score(YELLOW)).abs() < 1e-4, "{yellow}");
    assert!((number("score") / number("threshold") - number("relative_score")).abs() < 1e-6);
    assert!(ended.stderr.contains("6 pictures judged"), "{}", ended.stderr);
}

#[test]
fn unknown_pictures_are_kept_as_events_with_their_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let (source, kept) = (folder.path().join("pictures"), folder.path().join("kept/here"));
    pictures::save_some(&source);
    let arguments = ["run", "--model", text(&model), "--source", text(&source), "--events", text(&kept)];
    succeed(arguments.iter().chain(&["--crops", "png"]));
    let first = events(&kept);
    assert_eq!(first.len(), 2);
    for (event, colour) in first.iter().zip([GREY, YELLOW]) {
        assert_eq!((event.phase, event.region_box), (Phase::Single, [0, 0, 32, 24]));
        assert!(event.source.ends_with(if colour == GREY { "grey.tiff" } else { "yellow.png" }));
        assert!(event.relative_score.unwrap() > 1.0 && event.distances.len() == 3);
        let crop = load_picture(&kept.join(event.crop.as_ref().unwrap())).unwrap();
        assert_eq!((crop.dimensions(), crop.get_pixel(7, 7).0), ((32, 24), colour));
    }
    // A second run goes on behind the first.
    let again = succeed(arguments);
    assert!(again.stdout.contains("kept in"), "{}", again.stdout);
    assert_eq!(events(&kept).len(), 4);
    assert_eq!(events(&kept)[..2], first);
    assert_eq!(crops(&kept).len(), 4);
}

#[test]
fn another_threshold_is_another_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let picture = pictures::save(&folder.path().join("yellow.png"), YELLOW);
    let run = |threshold: &str| {
        let arguments = ["run", "--json", "--model", text(&model), "--source", text(&picture)];
        let ended = succeed(arguments.iter().chain(&["--threshold", threshold]));
        verdicts(&ended)[0]["outcome"].as_str().unwrap().to_string()
    };
    assert_eq!(run("4.9"), "unknown");
    assert_eq!(run("5.1"), "known");
}

#[test]
fn annotated_frames_are_whole_pictures_with_something_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let (source, drawn) = (folder.path().join("pictures"), folder.path().join("drawn"));
    pictures::save_some(&source);
    let ended =
        succeed(["run", "--model", text(&model), "--source", text(&source), "--annotate", text(&drawn)]);
    assert!(ended.stdout.contains("annotated"), "{}", ended.stdout);
    let expected = ["0-amber", "1-blue", "2-green", "3-red", "4-grey", "5-yellow"];
    assert_eq!(names(&drawn), expected.map(|name| format!("00000{name}.jpg")));
    for name in names(&drawn) {
        let picture = load_picture(&drawn.join(name)).unwrap();
        assert!(picture.width() >= 256 && picture.height() >= 256);
        let corner = picture.get_pixel(1, 1).0;
        assert!(picture.pixels().any(|pixel| pixel.0 != corner));
    }
}

/// What comes into view and goes: raised at the 3rd unknown of 5, cleared at the 4th calm of 5.
fn a_visit() -> Vec<[u8; 3]> {
    let mut frames = vec![RED; 6];
    frames.extend([YELLOW, YELLOW, GREY, GREY, YELLOW]);
    frames.extend([GREEN; 6]);
    frames
}

fn check_visit(folder: &std::path::Path, source: &std::path::Path) {
    let model = models::write(folder);
    let kept = folder.join(format!("events of {}", source.file_name().unwrap().to_str().unwrap()));
    let ended = succeed(["run", "--model", text(&model), "--source", text(source), "--events", text(&kept)]);
    let events = events(&kept);
    let [started, finished] = &events[..] else { panic!("{events:?}") };
    assert_eq!((started.phase, started.frame), (Phase::Started, 8));
    assert_eq!((finished.phase, finished.ends.as_ref()), (Phase::Finished, Some(&started.id)));
    let summary = finished.summary.as_ref().unwrap();
    assert_eq!((summary.frames, summary.unknown_frames), (3, 3));
    // Grey is the worst: frame 8 or 9, as the video's format has it.
    assert!([8, 9].contains(&finished.frame) && summary.worst_frame == finished.frame);
    assert!(started.score.unwrap() > 5.5, "frame 8 is grey: {started:?}");
    for event in &events {
        assert!(kept.join(event.crop.as_ref().unwrap()).exists());
    }
    let lines = ended.stdout.lines().filter(|line| line.starts_with("frame ")).count();
    assert_eq!(lines, 17 + 1, "a line a frame, and one for what came: {}", ended.stdout);
    assert!(ended.stdout.contains("17 frames judged") && ended.stdout.contains("it was there for"));
}

#[test]
fn in_a_y4m_video_what_comes_and_goes_is_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let video = videos::y4m(&folder.path().join("visit.y4m"), &a_visit());
    check_visit(folder.path(), &video);
}

#[test]
fn in_an_mjpeg_video_too() {
    let folder = tempfile::tempdir().unwrap();
    let frames: Vec<_> = a_visit().into_iter().map(Some).collect();
    let video = videos::mjpeg(&folder.path().join("visit.avi"), &frames);
    check_visit(folder.path(), &video);
}

#[test]
fn what_is_in_view_at_the_end_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let (model, kept) = (models::write(folder.path()), folder.path().join("kept"));
    let video = videos::y4m(&folder.path().join("video.y4m"), &[BLUE, GREY, GREY, GREY, GREY]);
    let arguments = ["run", "--model", text(&model), "--source", text(&video), "--events", text(&kept)];
    succeed(arguments.iter().chain(&["--raise", "2/2"]));
    let events = events(&kept);
    assert_eq!(events.iter().map(|event| event.phase).collect::<Vec<_>>(), [Phase::Started, Phase::Finished]);
    assert_eq!(events[1].summary.as_ref().unwrap().unknown_frames, 3);
    // The first grey frame that counts is the worst: both show it.
    let picture = |event: &Event| std::fs::read(kept.join(event.crop.as_ref().unwrap())).unwrap();
    assert_eq!(picture(&events[0]), picture(&events[1]));
}

#[test]
fn regions_of_a_video_have_events_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (model, kept) = (models::write(folder.path()), folder.path().join("kept"));
    let video = videos::y4m(&folder.path().join("video.y4m"), &[GREY; 4]);
    let arguments = ["run", "--model", text(&model), "--source", text(&video), "--events", text(&kept)];
    let ended = succeed(arguments.iter().chain(&["--region", "box:0,0,8,8;16,8,8,8"]));
    assert!(
        ended.stdout.contains("frame 3") && ended.stdout.contains("  region 1  UNKNOWN"),
        "{}",
        ended.stdout
    );
    let mut started: Vec<_> = events(&kept)
        .into_iter()
        .filter(|event| event.phase == Phase::Started)
        .map(|event| event.region_box)
        .collect();
    started.sort();
    assert_eq!(started, [[0, 0, 8, 8], [16, 8, 8, 8]]);
}

#[test]
fn it_stops_after_max_frames() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let video = videos::y4m(&folder.path().join("video.y4m"), &[RED; 50]);
    let ended =
        succeed(["run", "--json", "--max-frames", "7", "--model", text(&model), "--source", text(&video)]);
    assert_eq!(verdicts(&ended).len(), 7);
}
