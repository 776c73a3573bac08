//! `anchorwatch calibrate`.

use crate::models;
use crate::pictures::{self, GREEN, RED};
use crate::program::{fail, names, succeed, text};
use anchorwatch::network::ModelFile;
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
