//! `anchorwatch calibrate`.

use crate::models;
use crate::pictures::{self, GREEN, GREY, RED};
use crate::program::{fail, names, succeed, text, verdicts};
use anchorwatch::network::ModelFile;
use serde_json::Value;
use std::path::Path;

/// 30 pictures whose scores rise from 0, most of them red.
fn save(folder: &Path) -> Vec<f64> {
    let colours = (0..30u8).map(|step| if step == 0 { GREEN } else { [255, step * 8, 0] });
    let mut scores = Vec::new();
    for (step, colour) in colours.enumerate() {
        let class = if step == 0 { "green" } else { "red" };
        pictures::save(&folder.join(format!("{class}/{step:02}.png")), colour);
        scores.push(models::score(colour));
    }
    scores.sort_by(f64::total_cmp);
    scores
}

#[test]
fn the_copy_has_the_threshold_that_accepts_the_share() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let (known, copy) = (folder.path().join("known"), folder.path().join("copy.onnx"));
    let scores = save(&known);
    let arguments = ["calibrate", text(&model), "--known", text(&known), "--output", text(&copy)];
    let said = succeed(arguments.iter().chain(&["--tpr", "0.9"])).stdout;
    let (before, after) = (ModelFile::read(&model).unwrap(), ModelFile::read(&copy).unwrap());
    let threshold = &after.metadata.threshold;
    assert!((f64::from(threshold.value) - scores[27]).abs() < 1e-4, "the 28th of 30: {threshold:?}");
    assert_eq!((threshold.pictures, threshold.target_tpr, threshold.measured_tpr), (30, 0.9, 28.0 / 30.0));
    assert!(said.contains(&format!("threshold 2.0000 → {:.4}", threshold.value)), "{said}");
    assert!(said.contains("28 of 30 pictures"), "{said}");
    assert!(said.contains("flagged at most 9.68 % of the time"), "{said}");
    // The network is the same, and so is all else.
    assert_eq!(before.onnx.graph, after.onnx.graph);
    assert_eq!(before.metadata.centres, after.metadata.centres);
    assert_eq!(before.metadata.golden, after.metadata.golden);
    let statistics: Vec<_> =
        after.metadata.known_scores.iter().map(|class| (class.class.as_str(), class.pictures)).collect();
    assert_eq!(statistics, [("red", 29), ("green", 1)]);
    // And it is a model that runs.
    assert!(succeed(["inspect", "--verify", text(&copy)]).stdout.contains("Verified"));
}

#[test]
fn too_few_pictures_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let (known, copy) = (folder.path().join("known"), folder.path().join("copy.onnx"));
    for step in 0..19 {
        pictures::save(&known.join(format!("red/{step}.png")), RED);
    }
    std::fs::write(known.join("red/broken.png"), "").unwrap();
    let arguments = ["calibrate", text(&model), "--known", text(&known), "--output", text(&copy)];
    assert!(fail(1, arguments).contains("19 usable pictures are too few"));
    save(&known);
    let error = fail(1, arguments.iter().chain(&["--tpr", "0.99"]));
    assert!(error.contains("at least 100"), "{error}");
    for tpr in ["0", "1", "95", "NaN"] {
        assert!(fail(2, arguments.iter().chain(&["--tpr", tpr])).contains("between 0 and 1"));
    }
    assert_eq!(names(folder.path()), ["colours.onnx", "known"]);
}

/// The least score that so many of the scores are not above.
fn ranked(mut scores: Vec<f64>, rank: usize) -> f64 {
    scores.sort_by(f64::total_cmp);
    scores[rank - 1]
}

#[test]
fn each_class_may_get_a_threshold_of_the_pictures_that_are_given_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, known, copy) = (models::write(folder.path()), at("known"), at("copy.onnx"));
    // Reds lie close to their centre and greens far from theirs; two greens look red; blues are few.
    let (mut reds, mut greens) = (Vec::new(), Vec::new());
    for step in 0..30u8 {
        let (red, green) = ([255, step, 0], [step * 6, 255, 0]);
        pictures::save(&known.join(format!("red/{step}.png")), red);
        pictures::save(&known.join(format!("green/{step}.png")), green);
        reds.push(models::score(red));
        greens.push(models::score(green));
    }
    for step in 0..2u8 {
        let reddish = [255, 100 + step, 0];
        pictures::save(&known.join(format!("green/reddish-{step}.png")), reddish);
        reds.push(models::score(reddish));
    }
    for step in 0..3u8 {
        pictures::save(&known.join(format!("blue/{step}.png")), [0, step, 255]);
    }
    let all = |model: &Path, output: &Path, more: &[&str]| {
        let arguments = ["calibrate", text(model), "--known", text(&known), "--output", text(output)];
        arguments.iter().chain(more).map(|argument| argument.to_string()).collect::<Vec<_>>()
    };
    let said = succeed(all(&model, &copy, &["--tpr", "0.9", "--per-class"])).stdout;
    let block = ModelFile::read(&copy).unwrap().metadata;
    // ⌈33·0.9⌉ of 32, ⌈31·0.9⌉ of 30.
    let (red, green) = (ranked(reds, 30), ranked(greens, 28));
    let own = &block.class_thresholds;
    let same = |one: f32, other: f64| (f64::from(one) / other - 1.0).abs() < 1e-3;
    assert!(same(own[0], red) && same(own[1], green), "{own:?}");
    assert!(red * 2.0 < green && own[2] == block.threshold.value, "{own:?}");
    let calibrations: Vec<_> =
        block.class_calibrations.iter().map(|one| (one.class.as_str(), one.threshold.pictures)).collect();
    assert_eq!(calibrations, [("red", 32), ("green", 30)]);
    assert_eq!(block.version, 2);
    assert!(said.contains("takes 20 pictures given the class: blue (3)"), "{said}");

    let shown = succeed(["inspect", "--verify", text(&copy)]).stdout;
    for part in [
        "Verified",
        "with this threshold for every class",
        "32 pictures: at most 9.09 % flagged",
        "30 pictures: at most 9.68 % flagged",
        "that of all: too few",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let json: Value = serde_json::from_str(&succeed(["inspect", "--json", text(&copy)]).stdout).unwrap();
    let promised = &json["class_promises"][1];
    assert_eq!(promised["class"], "green");
    assert!((promised["promise"]["flagged_at_most"].as_f64().unwrap() - 3.0 / 31.0).abs() < 1e-6, "{json}");

    // At the same distance, and between the two thresholds: red is unknown there, green is known.
    let between = (0..255u8).find(|&step| models::score([255, step, 0]) > (red + green) / 2.0).unwrap();
    pictures::save(&at("new/1.png"), [255, between, 0]);
    pictures::save(&at("new/2.png"), [between, 255, 0]);
    let judged = |more: &[&str]| -> Vec<(bool, f64)> {
        let seen = at("new");
        let what = ["run", "--json", "--model", text(&copy), "--source", text(&seen)];
        verdicts(&succeed(what.iter().chain(more)))
            .iter()
            .map(|line| (line["outcome"] == "unknown", line["threshold"].as_f64().unwrap()))
            .collect()
    };
    let unknown = |judged: &[(bool, f64)]| judged.iter().map(|(unknown, _)| *unknown).collect::<Vec<_>>();
    let with_own = judged(&[]);
    assert_eq!(unknown(&with_own), [true, false]);
    // Another threshold than the model's moves these too.
    let larger = format!("{}", block.threshold.value * 1e5);
    let moved = judged(&["--threshold", &larger]);
    assert_eq!(unknown(&moved), [false, false]);
    for (one, other) in with_own.iter().zip(&moved) {
        assert!((other.1 / one.1 / 1e5 - 1.0).abs() < 1e-4, "{one:?} {other:?}");
    }

    // Calibrated as a whole, they keep their share, and no class's promise is left.
    let whole = at("whole.onnx");
    succeed(all(&copy, &whole, &["--tpr", "0.8"]));
    let again = ModelFile::read(&whole).unwrap().metadata;
    assert!(again.class_calibrations.is_empty());
    assert!(same(again.class_thresholds[0] / again.threshold.value, f64::from(own[0] / own[2])));
    assert!(succeed(["inspect", text(&whole)]).stdout.contains("its own; promises nothing"));
    // A class that is enrolled changes what the others score: theirs is gone too.
    let enrolled = at("enrolled.onnx");
    for step in 0..5u8 {
        pictures::save(&at(&format!("white/{step}.png")), [255 - step; 3]);
    }
    let white = at("white");
    let enroll =
        ["enroll", text(&copy), "--name", "white", "--from", text(&white), "--output", text(&enrolled)];
    succeed(enroll);
    let block = ModelFile::read(&enrolled).unwrap().metadata;
    assert_eq!((&block.class_thresholds[..3], block.class_calibrations.len()), (&own[..], 0));

    // No class with enough pictures, or a field log: nothing is written.
    let no = at("no.onnx");
    let error = fail(1, all(&model, &no, &["--tpr", "0.98", "--per-class"]));
    assert!(error.contains("no class is given the 50 pictures") && error.contains("green (30)"), "{error}");
    let kept = at("kept");
    pictures::save(&at("new/grey.png"), GREY);
    succeed(["run", "--model", text(&model), "--source", text(&at("new")), "--events", text(&kept)]);
    let log = ["calibrate", text(&model), "--known", text(&kept), "--output", text(&no), "--per-class"];
    assert!(fail(2, log).contains("folders of pictures"));
    assert!(!no.exists());
}

#[test]
fn where_it_cannot_be_written_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let known = folder.path().join("known");
    save(&known);
    let calibrate = |output: &Path| {
        fail(1, ["calibrate", text(&model), "--known", text(&known), "--output", text(output)])
    };
    assert!(calibrate(&folder.path().join("missing/copy.onnx")).contains("cannot write"));
    assert!(calibrate(&known).contains("cannot write"));
    assert_eq!(names(folder.path()), ["colours.onnx", "known"]);
}
