//! Samples of what is judged known: `run --keep-known`, `log`, and `calibrate` from the field log.

use crate::models;
use crate::pictures::{self, BLUE, GREEN, GREY, RED};
use crate::program::{events, fail, names, succeed, text};
use crate::videos;
use anchorwatch::network::ModelFile;
use anchorwatch_store::Store;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The samples that a log has.
fn samples(log: &Path) -> Vec<Value> {
    let lines = succeed(["log", text(log), "--kind", "known", "--export", "jsonl"]).stdout;
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How many judgements of each class they stand for.
fn stand_for(samples: &[Value]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for sample in samples {
        let class = sample["class"].as_str().unwrap().to_string();
        *sums.entry(class).or_default() += sample["stands_for"].as_u64().unwrap();
    }
    sums
}

fn watch(model: &Path, source: &Path, log: &Path, minutes: &str) -> String {
    let what = ["run", "--model", text(model), "--source", text(source), "--events", text(log)];
    succeed(what.iter().chain(&["--keep-known", minutes, "--crops", "png"])).stdout
}

/// Some of each colour, and unknown ones.
fn save(folder: &Path) {
    for (name, colour, count) in
        [("red", RED, 30), ("blue", BLUE, 10), ("green", GREEN, 1), ("grey", GREY, 3)]
    {
        for number in 0..count {
            pictures::save(&folder.join(format!("{number:02}-{name}.png")), colour);
        }
    }
}

#[test]
fn a_sample_of_each_class_stands_for_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, seen, kept) = (models::write(folder.path()), at("seen"), at("kept"));
    save(&seen);
    let all = BTreeMap::from([("blue".to_string(), 10), ("green".to_string(), 1), ("red".to_string(), 30)]);
    let said = watch(&model, &seen, &kept, "60");
    assert!(said.contains("3   of known things kept"), "{said}");
    let first = samples(&kept);
    assert_eq!((first.len(), stand_for(&first)), (3, all.clone()));
    for sample in &first {
        assert_eq!((&sample["phase"], sample["logits"].as_array().unwrap().len()), (&"known".into(), 3));
        assert!(sample["relative_score"].as_f64().unwrap() <= 1.0, "{sample}");
        assert_eq!(sample["distances"].as_array().unwrap().len(), 3);
        let crop = image::open(kept.join(sample["crop"].as_str().unwrap())).unwrap();
        assert_eq!((crop.width(), crop.height()), (32, 24));
    }
    // They are not among the events, unless somebody asks.
    assert_eq!(events(&kept).len(), 3);
    let listed = succeed(["log", text(&kept)]).stdout;
    assert!(
        listed.contains("3 events shown of 3; 3 unsent") && listed.contains("3 samples of known"),
        "{listed}"
    );
    assert!(succeed(["log", text(&kept), "--known"]).stdout.contains("6 events shown of 6"));
    assert!(succeed(["log", text(&kept), "verify"]).stdout.contains("6 events, all whole"));

    // However short the time, nothing is counted twice, and nothing is left out.
    let short = at("short");
    watch(&model, &seen, &short, "0.00001");
    let many = samples(&short);
    assert!(many.len() >= 3);
    assert_eq!(stand_for(&many), all);

    // Without it there are none; without a log, or with a time that is none, it is said.
    let without = at("without");
    watch(&model, &seen, &without, "0");
    assert!(samples(&without).is_empty());
    let run = ["run", "--model", text(&model), "--source", text(&seen), "--keep-known"];
    assert!(fail(2, run.iter().chain(&["5"])).contains("--events"));
    for wrong in ["-1", "NaN", "1e9"] {
        let error = fail(2, run.iter().chain(&[wrong, "--events", text(&at("no"))]));
        assert!(error.contains("keep-known") || error.contains("unexpected argument"), "{error}");
    }
    assert!(!names(folder.path()).contains(&"no".to_string()));
}

#[test]
fn what_is_in_view_as_unknown_is_no_sample() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, kept) = (models::write(folder.path()), at("kept"));
    let video = videos::y4m(&at("video.y4m"), &[[RED; 20].as_slice(), &[GREY; 10], &[RED; 20]].concat());
    watch(&model, &video, &kept, "60");
    assert_eq!(events(&kept).len(), 2, "it came, and is gone");
    // Four calm frames say that it is gone: until then it is in view.
    assert_eq!(stand_for(&samples(&kept)), BTreeMap::from([("red".to_string(), 36)]));
}

/// A log with samples and false alarms, and what they score and stand for.
fn log_of_known_things(model: &Path, folder: &Path, log: &Path) -> Vec<(f64, f64)> {
    let mut known = Vec::new();
    for step in 0..24u8 {
        let (seen, colour) = (folder.join(format!("seen-{step}")), [255, step * 6, 0]);
        let count = 1 + step % 3;
        for number in 0..count {
            pictures::save(&seen.join(format!("{number}.png")), colour);
        }
        watch(model, &seen, log, "60");
        known.push((models::score(colour), f64::from(count)));
    }
    for step in 0..4u8 {
        let colour = [255, 246 - step * 5, 0];
        pictures::save(&folder.join(format!("flagged/{step}.png")), colour);
        known.push((models::score(colour), 1.0));
    }
    watch(model, &folder.join("flagged"), log, "60");
    known
}

#[test]
fn a_threshold_from_a_log_is_that_of_all_judgements() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, kept) = (models::write(folder.path()), at("kept"));
    let mut known = log_of_known_things(&model, folder.path(), &kept);
    pictures::save(&at("grey/1.png"), GREY);
    pictures::save(&at("grey/2.png"), GREY);
    watch(&model, &at("grey"), &kept, "60");
    let calibrate = |model: &Path, output: &str, tpr: &str| {
        let output = at(output);
        let what =
            ["calibrate", text(model), "--known", text(&kept), "--output", text(&output), "--tpr", tpr];
        what.map(String::from)
    };
    // Nobody has said what was flagged.
    let said = succeed(calibrate(&model, "blind.onnx", "0.8")).stdout;
    assert!(said.contains("24 of what was judged known, of 48 judgements; 0 of them"), "{said}");
    assert!(said.contains("0 flagged") && said.contains("can only become smaller"), "{said}");
    assert!(said.contains("6 flagged things have no label"), "{said}");

    // The yellow ones are red, and two of the samples are something else.
    let mut store = Store::attach(&kept).unwrap();
    let yellow: Vec<String> =
        events(&kept).into_iter().filter(|event| event.logits[1] > 7.0).map(|event| event.id).collect();
    assert_eq!(yellow.len(), 4);
    store.label(&yellow, Some("red")).unwrap();
    let ids: Vec<String> =
        samples(&kept).iter().map(|sample| sample["id"].as_str().unwrap().to_string()).collect();
    store.label(&ids[3..6], Some("brick")).unwrap();
    store.label(&ids[6..7], Some("red")).unwrap();
    store.ignore(&ids[7..8], true).unwrap();
    known.drain(3..6);
    known.remove(4);
    let said = succeed(calibrate(&model, "copy.onnx", "0.92")).stdout;
    for part in [
        "20 of what was judged known",
        "1 of them somebody has labelled",
        "4 flagged and then labelled as a known class, of 4 judgements",
        "3 labelled as something else",
        "1 set aside",
        "2 flagged things have no label",
        "19 samples nobody has looked at",
        "promise: none",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("judged anew"), "{said}");

    known.sort_by(|one, other| one.0.total_cmp(&other.0));
    let total: f64 = known.iter().map(|(_, stands_for)| stands_for).sum();
    let mut weight = 0.0;
    let expected = known.iter().find(|(_, stands_for)| {
        weight += stands_for;
        weight >= 0.92 * total
    });
    let (expected, _) = *expected.unwrap();
    let block = ModelFile::read(&at("copy.onnx")).unwrap().metadata;
    let threshold = &block.threshold;
    assert!((f64::from(threshold.value) - expected).abs() < 1e-4, "{expected}: {threshold:?}");
    assert!(
        f64::from(threshold.value) > f64::from(models::THRESHOLD),
        "false alarms raise it: {threshold:?}"
    );
    assert_eq!((threshold.weighted, threshold.pictures), (true, 24));
    assert!((f64::from(threshold.measured_tpr) - weight / total).abs() < 1e-6);
    assert_eq!(block.known_scores.len(), 1);
    let shown = succeed(["inspect", text(&at("copy.onnx"))]).stdout;
    assert!(shown.contains("promises nothing") && shown.contains("promise     none"), "{shown}");
    let shown = succeed(["inspect", "--json", text(&at("copy.onnx"))]).stdout;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["promise"], Value::Null);

    // Another file has other logits: the pictures are judged, and are the same.
    let said = succeed(calibrate(&at("copy.onnx"), "again.onnx", "0.92")).stdout;
    assert!(said.contains("24 by their pictures"), "{said}");
    let again = ModelFile::read(&at("again.onnx")).unwrap().metadata.threshold.value;
    assert!((again - threshold.value).abs() < 1e-4);

    // One picture is more than what is to be left out.
    let error = fail(1, calibrate(&model, "no.onnx", "0.99"));
    assert!(error.contains("the outermost picture stands for 1 of") && error.contains("--tpr"), "{error}");
    assert!(!at("no.onnx").exists());

    // What was taken for a known thing, and is none, may become a class.
    let enrolled = succeed([
        "enroll",
        text(&model),
        "--name",
        "brick",
        "--from",
        text(&kept),
        "--force",
        "--output",
        text(&at("enrolled.onnx")),
    ]);
    assert!(enrolled.stdout.contains("from 3 pictures"), "{}", enrolled.stdout);
}

#[test]
fn a_log_without_known_things_is_too_little() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, kept) = (models::write(folder.path()), at("kept"));
    save(&at("seen"));
    watch(&model, &at("seen"), &kept, "60");
    let output = at("copy.onnx");
    let what = ["calibrate", text(&model), "--known", text(&kept), "--output", text(&output)];
    assert!(fail(1, what).contains("3 usable pictures are too few"));
    assert!(!output.exists());
}
