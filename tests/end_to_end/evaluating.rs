//! `anchorwatch eval`, against figures computed by hand.

use crate::models;
use crate::pictures::{self, AMBER, BLUE, DEEP_YELLOW, GREEN, GREY, RED, YELLOW};
use crate::program::{fail, succeed, text};
use serde_json::Value;
use std::path::Path;

/// Seven known pictures, one of them in the wrong folder, and three unknown ones, one of which is
/// taken for red.
fn save(folder: &Path) {
    for (name, colour) in [
        ("known/red/a.png", RED),
        ("known/red/b.png", AMBER),
        ("known/red/deeper/c.png", DEEP_YELLOW),
        ("known/green/a.png", GREEN),
        ("known/green/b.png", [230, 255, 0]),
        ("known/blue/a.png", BLUE),
        ("known/blue/wrong.png", RED),
        ("unknown/a.png", YELLOW),
        ("unknown/greys/a.png", GREY),
        ("unknown/greys/b.png", AMBER),
    ] {
        pictures::save(&folder.join(name), colour);
    }
}

fn close(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
}

#[test]
fn figures_are_those_computed_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    save(folder.path());
    let (known, unknown) = (folder.path().join("known"), folder.path().join("unknown"));
    let arguments = ["eval", "--model", text(&model), "--known", text(&known), "--unknown", text(&unknown)];
    for threads in ["1", "3"] {
        let ended = succeed(arguments.iter().chain(&["--json", "--threads", threads]));
        let figures: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&figures["known_pictures"], &figures["unknown_pictures"]), (&7.into(), &3.into()));
        close(&figures["accuracy"], 6.0 / 7.0);
        // The two deep yellows of the known are rejected at the threshold, the amber one passes.
        close(&figures["tpr"], 5.0 / 7.0);
        close(&figures["fpr"], 1.0 / 3.0);
        // Yellow and grey are above all seven; amber is above four and equal to one.
        close(&figures["auroc"], (7.0 + 7.0 + 4.5) / 21.0);
        // 95 % of seven are all seven.
        close(&figures["fpr_at_95_tpr"], 1.0 / 3.0);
        // The same without the wrong one, which is one of the four.
        close(&figures["oscr"], (6.0 + 6.0 + 3.5) / 21.0);
        let of = |class: &str| {
            let classes = figures["classes"].as_array().unwrap();
            classes.iter().find(|entry| entry["class"] == class).unwrap().clone()
        };
        close(&of("red")["accuracy"], 1.0);
        close(&of("red")["tpr"], 2.0 / 3.0);
        let median = of("red")["median_relative_score"].as_f64().unwrap();
        assert!((median - models::score(AMBER) / f64::from(models::THRESHOLD)).abs() < 1e-4);
        close(&of("blue")["accuracy"], 0.5);
        let greys = &figures["unknown"][1];
        assert_eq!((&greys["folder"], &greys["pictures"]), (&"greys".into(), &2.into()));
        close(&greys["fpr"], 0.5);
    }
    let text = succeed(arguments).stdout;
    assert!(text.contains("AUROC        0.8810") && text.contains("larger is better"), "{text}");
}

#[test]
fn without_unknown_pictures_there_are_fewer_figures() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    save(folder.path());
    std::fs::remove_dir_all(folder.path().join("known/green")).unwrap();
    let known = folder.path().join("known");
    let ended = succeed(["eval", "--json", "--model", text(&model), "--known", text(&known)]);
    let figures: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(figures["auroc"].is_null() && figures["fpr"].is_null());
    close(&figures["accuracy"], 4.0 / 5.0);
    assert_eq!(
        (&figures["classes"][1]["pictures"], &figures["classes"][1]["accuracy"]),
        (&0.into(), &Value::Null)
    );
}

#[test]
fn unusable_pictures_are_left_out_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    save(folder.path());
    let unusable = pictures::save_unusable(&folder.path().join("known/green")).len();
    let known = folder.path().join("known");
    let ended = succeed(["eval", "--model", text(&model), "--known", text(&known)]);
    assert!(ended.stderr.contains(&format!("{unusable} of the pictures cannot be used")), "{}", ended.stderr);
    assert!(ended.stderr.contains("empty.jpg"), "{}", ended.stderr);
    let ended = succeed(["eval", "--json", "--model", text(&model), "--known", text(&known)]);
    let figures: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(figures["unusable"].as_array().unwrap().len(), unusable);
    assert_eq!(figures["known_pictures"], 7);
}

#[test]
fn what_does_not_fit_the_model_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    save(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let eval = |known: &str, unknown: &str, code| {
        fail(code, ["eval", "--model", text(&model), "--known", &at(known), "--unknown", &at(unknown)])
    };
    assert!(eval("known", "nowhere", 1).contains("nowhere"));
    assert!(eval("known/red", "unknown", 1).contains("'deeper'"));
    assert!(eval("known/green", "unknown", 1).contains("no folders"));
    // Overlaps, in every form.
    assert!(eval("known", "known", 2).contains("overlap"));
    assert!(eval("known", "known/red", 2).contains("overlap"));
    pictures::save(&folder.path().join("unknown/red/a.png"), RED);
    let error = eval("known", "unknown", 1);
    assert!(error.contains("'red' is a class of the model"), "{error}");
    std::fs::remove_dir_all(folder.path().join("unknown/red")).unwrap();
    pictures::save(&folder.path().join("known/zebra/a.png"), GREY);
    let error = eval("known", "unknown", 1);
    assert!(
        error.contains("'zebra' is not a class of the model: its classes are red, green, blue"),
        "{error}"
    );
}

#[test]
fn folders_without_usable_pictures_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    save(folder.path());
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("empty/red")).unwrap();
    std::fs::create_dir_all(at("bad/red")).unwrap();
    std::fs::write(at("bad/red/a.jpg"), "").unwrap();
    let eval = |known: &Path, unknown: &Path| {
        fail(1, ["eval", "--model", text(&model), "--known", text(known), "--unknown", text(unknown)])
    };
    assert!(eval(&at("empty"), &at("unknown")).contains("no pictures"));
    assert!(eval(&at("bad"), &at("unknown")).contains("none of the known pictures can be used"));
    std::fs::remove_dir(at("empty/red")).unwrap();
    assert!(eval(&at("known"), &at("empty")).contains("no pictures"));
    std::fs::rename(at("bad/red"), at("bad/other")).unwrap();
    assert!(eval(&at("known"), &at("bad")).contains("none of the unknown pictures can be used"));
}
