//! `anchorwatch inspect`.

use crate::models;
use crate::program::{fail, run, succeed, text};
use serde_json::Value;

#[test]
fn a_model_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let said = succeed(["inspect", text(&model)]).stdout;
    for part in
        ["red, green, blue", "8×8 RGB", "threshold   2.0000", "chosen by hand", "0.0 % of them in int8"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let json: Value = serde_json::from_str(&succeed(["inspect", "--json", text(&model)]).stdout).unwrap();
    assert_eq!(json["metadata"]["classes"], serde_json::json!(["red", "green", "blue"]));
    assert_eq!((&json["golden_pictures"], &json["verified"]), (&3.into(), &Value::Null));
    let layers = json["layers"].as_array().unwrap();
    let macs: u64 = layers.iter().map(|layer| layer["macs"].as_u64().unwrap()).sum();
    assert!(macs >= 9 && layers.iter().all(|layer| layer["precision"] == "f32"), "{layers:?}");
}

#[test]
fn a_device_that_computes_the_same_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let said = succeed(["inspect", "--verify", text(&model)]).stdout;
    assert!(said.contains("Verified") && !said.contains("DIFFERENT"), "{said}");
    let json: Value =
        serde_json::from_str(&succeed(["inspect", "--verify", "--json", text(&model)]).stdout).unwrap();
    assert_eq!(
        (&json["verified"]["passes"], json["verified"]["pictures"].as_array().unwrap().len()),
        (&true.into(), 3)
    );
}

#[test]
fn one_that_does_not_ends_with_a_code_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.onnx");
    let mut other = models::colours();
    other.metadata.golden[1].logits = vec![0.0, 10.0, 0.0];
    other.write(&path).unwrap();
    let ended = run(["inspect", "--verify", text(&path)]);
    assert_eq!(ended.code, 3);
    assert!(ended.stdout.contains("NOT VERIFIED: 1 of 3 differ"), "{}", ended.stdout);
    assert!(ended.stdout.contains("another class"), "{}", ended.stdout);
    // Without the question, there is no answer.
    succeed(["inspect", text(&path)]);
}

#[test]
fn a_model_without_golden_pictures_cannot_be_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bare.onnx");
    let mut bare = models::colours();
    bare.metadata.golden.clear();
    bare.write(&path).unwrap();
    assert!(fail(1, ["inspect", "--verify", text(&path)]).contains("no golden pictures"));
}
