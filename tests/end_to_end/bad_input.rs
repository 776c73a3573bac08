//! Bad input: one clear error, or a skipped file that is counted and named. Never a panic, never
//! anything half written.

use crate::pictures::{self, GREY, RED};
use crate::program::{events, fail, names, run, succeed, text, verdicts};
use crate::{models, videos};
use prost::Message;

#[test]
fn odd_pictures_are_judged_by_what_they_show() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    for path in pictures::save_odd(&folder.path().join("odd")) {
        let ended = succeed(["run", "--json", "--model", text(&model), "--source", text(&path)]);
        let lines = verdicts(&ended);
        assert_eq!(lines.len(), 1, "{path:?}: of an animation the first frame");
        assert_eq!((&lines[0]["outcome"], &lines[0]["class"]), (&"known".into(), &"red".into()), "{path:?}");
    }
}

#[test]
fn unusable_pictures_of_a_folder_are_counted_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let source = folder.path().join("pictures");
    let unusable = pictures::save_unusable(&source);
    pictures::save(&source.join("good.png"), RED);
    let ended = succeed(["run", "--model", text(&model), "--source", text(&source)]);
    assert!(ended.stdout.contains("1 picture judged"), "{}", ended.stdout);
    assert!(ended.stdout.contains(&format!("left out       {}", unusable.len())), "{}", ended.stdout);
    for (path, why) in &unusable {
        let named = ended.stdout.lines().any(|line| line.contains(text(path)) && line.contains(why));
        assert!(named, "{path:?}: {}", ended.stdout);
    }
}

#[test]
fn one_unusable_picture_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    for (path, why) in pictures::save_unusable(&folder.path().join("pictures")) {
        let error = fail(1, ["run", "--model", text(&model), "--source", text(&path)]);
        assert!(error.contains(text(&path)) && error.contains(why), "{error}");
    }
}

#[test]
fn sources_without_anything_usable_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    std::fs::create_dir(at("empty")).unwrap();
    pictures::save_unusable(&folder.path().join("unusable"));
    std::fs::write(at("empty.y4m"), "").unwrap();
    std::fs::write(at("text.avi"), "no video").unwrap();
    for (source, why) in [
        (at("nowhere"), "there is no"),
        (at("empty"), "no pictures"),
        (at("unusable"), "none of the 6 pictures"),
        (at("*.jpg"), "no pictures"),
        (at("empty.y4m"), "not a usable video"),
        (at("text.avi"), "not a usable video"),
        ("/dev/null".to_string(), "/dev/null"),
    ] {
        let error = fail(1, ["run", "--model", text(&model), "--source", &source]);
        assert!(error.contains(why), "{source}: {error}");
    }
}

#[test]
fn regions_that_do_not_fit_are_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let source = folder.path().join("pictures");
    pictures::save(&source.join("small.png"), RED);
    let arguments = ["run", "--model", text(&model), "--region", "box:10,10,20,20", "--source"];
    let error = fail(1, arguments.iter().chain(&[text(&source)]));
    assert!(error.contains("none of the 1 pictures can be judged"), "{error}");
    // With one that is large enough, the other is left out.
    image::RgbImage::from_pixel(64, 64, image::Rgb(GREY)).save(source.join("large.png")).unwrap();
    let ended = succeed(arguments.iter().chain(&[text(&source)]));
    assert!(
        ended.stdout.contains("left out       1") && ended.stdout.contains("small.png"),
        "{}",
        ended.stdout
    );
    let video = videos::y4m(&folder.path().join("video.y4m"), &[RED; 3]);
    fail(1, arguments.iter().chain(&[text(&video)]));
}

#[test]
fn a_video_that_breaks_off_gives_what_it_has_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let whole = videos::y4m(&folder.path().join("video.y4m"), &[GREY; 6]);
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&whole, &bytes[..bytes.len() - 100]).unwrap();
    let kept = folder.path().join("kept");
    let ended = run(["run", "--model", text(&model), "--source", text(&whole), "--events", text(&kept)]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("truncated or damaged at frame 5"), "{}", ended.stderr);
    assert!(ended.stdout.contains("5 frames judged"), "{}", ended.stdout);
    assert_eq!(events(&kept).len(), 2, "the event is ended");
    // A damaged frame in between is left out and named.
    let frames = [Some(RED), None, Some(RED)];
    let video = videos::mjpeg(&folder.path().join("video.avi"), &frames);
    let ended = succeed(["run", "--model", text(&model), "--source", text(&video)]);
    assert!(ended.stdout.contains("2 frames judged") && ended.stdout.contains("frame 1"), "{}", ended.stdout);
}

#[test]
fn models_that_cannot_be_used_are_configuration_errors() {
    let folder = tempfile::tempdir().unwrap();
    let picture = pictures::save(&folder.path().join("red.png"), RED);
    let path = folder.path().join("model.onnx");
    let check = |bytes: &[u8], why: &str| {
        std::fs::write(&path, bytes).unwrap();
        for arguments in [
            &["run", "--model", text(&path), "--source", text(&picture)][..],
            &["inspect", "--verify", text(&path)],
        ] {
            let error = fail(2, arguments);
            assert!(error.contains(text(&path)) && error.contains(why), "{error}");
        }
    };
    let whole = models::colours();
    check(b"", "ONNX");
    check(b"GIF89a, surely", "ONNX");
    check(&whole.onnx.encode_to_vec(), "no 'anchorwatch' block");
    let mut other = whole.clone();
    other.metadata.input.width = 9;
    check(&other.encode().unwrap(), "do not fit");
    let mut other = whole.clone();
    other.metadata.centres.iter_mut().for_each(|centre| centre.push(0.0));
    other.metadata.golden.clear();
    check(&other.encode().unwrap(), "centres have 4 logits");
    let mut other = whole.clone();
    other.metadata.version = 99;
    check(&other.encode().unwrap(), "update anchorwatch");
    assert!(fail(2, ["inspect", "/nowhere/model.onnx"]).contains("/nowhere/model.onnx"));
    assert!(fail(2, ["inspect", text(folder.path())]).contains("cannot read"));
}

#[test]
fn truncated_and_random_model_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let whole = models::colours().encode().unwrap();
    // Every byte is cut at in the library's own tests; here the program is run.
    for length in (0..whole.len()).step_by(whole.len() / 40) {
        std::fs::write(&path, &whole[..length]).unwrap();
        fail(2, ["inspect", text(&path)]);
    }
    let mut state = 7u32;
    for round in 0..20 {
        let mut bytes = whole.clone();
        for place in 0..if round < 10 { 20 } else { bytes.len() } {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = if round < 10 { state as usize % bytes.len() } else { place };
            bytes[at] = (state >> 24) as u8;
        }
        std::fs::write(&path, &bytes).unwrap();
        let ended = run(["inspect", text(&path)]);
        // Some changed bytes do no harm (in a name, say): what counts is that it does not crash.
        assert!(ended.code == 2 || round < 10 && ended.code == 0, "{}", ended.stderr);
    }
}

#[test]
fn outputs_that_cannot_be_written_are_errors_before_anything_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let picture = pictures::save(&folder.path().join("grey.png"), GREY);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("below");
    for (flag, what) in [("--events", "cannot use"), ("--annotate", "cannot write")] {
        for place in [&file, &below] {
            let ended = run(["run", "--model", text(&model), "--source", text(&picture), flag, text(place)]);
            assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{flag}: {}", ended.stderr);
            assert!(ended.stderr.contains(what) && ended.stderr.contains(text(&file)), "{}", ended.stderr);
            assert_eq!(ended.stderr.matches("os error").count(), 1, "{}", ended.stderr);
        }
    }
    assert_eq!(names(folder.path()), ["colours.onnx", "file", "grey.png"]);
    assert_eq!(std::fs::read(&file).unwrap(), b"");
}
