//! `anchorwatch enroll`.

use crate::models;
use crate::pictures::{self, BLUE, GREEN, GREY, RED};
use crate::program::{events, fail, run, succeed, text, verdicts};
use anchorwatch::network::ModelFile;
use anchorwatch_store::{Filter, Order, Store};
use serde_json::Value;
use std::path::Path;

/// Pictures that are nearly of one colour.
fn save(folder: &Path, colour: [u8; 3], count: u8) {
    for step in 0..count {
        let near = colour.map(|channel| channel.saturating_sub(step * 3));
        pictures::save(&folder.join(format!("{step:02}.png")), near);
    }
}

#[test]
fn a_class_from_a_folder_is_recognised_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, enrolled) = (models::write(folder.path()), at("enrolled.onnx"));
    const YELLOW: [u8; 3] = [255, 255, 0];
    save(&at("yellow"), YELLOW, 12);
    for (name, colour) in [("red", RED), ("green", GREEN), ("blue", BLUE)] {
        save(&at("known").join(name), colour, 4);
    }
    save(&at("others"), GREY, 4);
    save(&at("others/olive"), [200, 200, 20], 4);
    let arguments = [
        "enroll",
        text(&model),
        "--name",
        "yellow",
        "--from",
        text(&at("yellow")),
        "--output",
        text(&enrolled),
        "--known",
        text(&at("known")),
        "--unknown",
        text(&at("others")),
        "--json",
    ]
    .map(String::from);
    let told: Value = serde_json::from_str(&succeed(&arguments).stdout).unwrap();
    assert_eq!(
        (&told["pictures"], &told["recognised"], &told["accepted"]),
        (&12.into(), &1.0.into(), &1.0.into())
    );
    assert_eq!((&told["before"]["accuracy"], &told["after"]["accuracy"]), (&1.0.into(), &1.0.into()));
    assert_eq!(told["after"]["unknown_pictures"], 8);
    // The nearest of the others: 10 apart in one logit, but for the mean's darkening.
    assert!((told["distance_to_nearest_class"].as_f64().unwrap() - 9.4).abs() < 0.5, "{told}");

    // Before it is unknown, afterwards it is that class; grey is unknown, and red is red.
    pictures::save(&at("new/yellow.png"), [250, 252, 4]);
    pictures::save(&at("new/grey.png"), GREY);
    pictures::save(&at("new/red.png"), RED);
    let judged = |model: &Path| -> Vec<(bool, Value)> {
        let ended = succeed(["run", "--json", "--model", text(model), "--source", text(&at("new"))]);
        verdicts(&ended).iter().map(|line| (line["outcome"] == "unknown", line["class"].clone())).collect()
    };
    let (before, after) = (judged(&model), judged(&enrolled));
    assert_eq!((before[0].0, before[1].0, before[2].0), (true, false, true));
    assert_eq!(
        (after[0].0, after[1].clone(), after[2].clone()),
        (true, before[1].clone(), (false, "yellow".into()))
    );
    let (block, old) = (ModelFile::read(&enrolled).unwrap(), ModelFile::read(&model).unwrap());
    assert_eq!(block.metadata.centres[..3], old.metadata.centres);
    assert_eq!(block.onnx.graph, old.onnx.graph);
    // Looked at, checked and calibrated like any other.
    let shown = succeed(["inspect", "--verify", text(&enrolled)]).stdout;
    assert!(shown.contains("Verified") && shown.contains("of classes  yellow"), "{shown}");
    // A second time the name is taken.
    let mut again = arguments.clone();
    again[1] = text(&enrolled).to_string();
    assert!(fail(1, &again).contains("the model has a class 'yellow'"));
}

#[test]
fn unknowns_of_a_field_log_become_a_class() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, enrolled, kept) = (models::write(folder.path()), at("enrolled.onnx"), at("kept"));
    save(&at("seen"), GREY, 8);
    let watch = |model: &Path| {
        succeed(["run", "--model", text(model), "--source", text(&at("seen")), "--events", text(&kept)]);
        events(&kept).len()
    };
    assert_eq!(watch(&model), 8);
    let enroll = |more: &[&str]| {
        let arguments =
            ["enroll", text(&model), "--name", "stone", "--from", text(&kept), "--output", text(&enrolled)];
        run(arguments.iter().chain(more))
    };
    let without = enroll(&[]);
    assert!(without.code == 1 && without.stderr.contains("no event") && without.stderr.contains("'stone'"));

    let mut store = Store::attach(&kept).unwrap();
    let ids: Vec<String> = store
        .page(&Filter::default(), Order::Oldest, None, 99)
        .unwrap()
        .events
        .into_iter()
        .map(|event| event.id)
        .collect();
    store.label(&ids, Some("pebble")).unwrap();
    let ended = enroll(&["--label", "pebble", "--tpr", "0.99"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("recognised   100.0 %"), "{}", ended.stdout);
    assert_eq!(watch(&enrolled), 8, "nothing new is unknown");
    // The log's logits are of another model file now: the pictures are judged instead.
    let again = succeed([
        "enroll",
        text(&enrolled),
        "--name",
        "gravel",
        "--label",
        "pebble",
        "--from",
        text(&kept),
        "--output",
        text(&at("again.onnx")),
        "--force",
    ]);
    assert!(again.stdout.contains("8 pictures"), "{}", again.stdout);
}

#[test]
fn what_looks_like_a_class_that_is_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, output, pictures) = (models::write(folder.path()), at("enrolled.onnx"), at("scarlet"));
    save(&pictures, RED, 6);
    // Half of them are red, so that the centre lies between.
    for step in 0..5 {
        pictures::save(&pictures.join(format!("blue-{step}.png")), BLUE);
    }
    let arguments =
        ["enroll", text(&model), "--name", "scarlet", "--from", text(&pictures), "--output", text(&output)];
    let error = fail(1, arguments);
    assert!(error.contains("looks like 'red'") && error.contains("--force"), "{error}");
    assert!(!output.exists());
    succeed(arguments.iter().chain(&["--force", "--tpr", "0.5"]));
    assert!(output.exists());
    for (more, what) in [
        (["--tpr", "1.5"], "between 0 and 1"),
        (["--unknown", "x"], "needs --known"),
        (["--label", "x"], "is none"),
    ] {
        assert!(fail(2, arguments.iter().chain(&more)).contains(what));
    }
}
