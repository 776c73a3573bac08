//! Models that onnxruntime's quantizer made run in integers here, from the first layer to the last,
//! and give what ONNX says that QDQ means. Skipped, with a message, where Python with onnxruntime
//! is missing: `scripts/setup-python.sh` sets it up.

mod support;

use anchorwatch::network::{Model, ModelFile};
use serde::Deserialize;
use std::process::Command;
use support::python::python_with;
use support::read_floats;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// The quantization step of the logits.
    step: f32,
}

#[test]
fn they_run_in_integers_and_right() {
    let Some(python) = python_with("onnx, onnxruntime") else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{}/tests/quantized_elsewhere.py", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let run = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let said = String::from_utf8(run.stdout).unwrap();
    let cases: Vec<Case> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Two networks; four combinations with opsets 13 and 21, and one with each opset in between.
    assert_eq!(cases.len(), 2 * (4 * 2 + 7));
    let (mut values, mut equal, mut within_one) = (0, 0, 0);
    for Case { name, step } in cases {
        let path = |ending: &str| folder.path().join(format!("{name}.{ending}"));
        let file = ModelFile::read(&path("onnx")).unwrap();
        let model = Model::load(&path("onnx")).unwrap();
        for layer in model.layers() {
            assert_eq!(layer.precision, "int8", "{name}: {layer:?}");
        }
        assert!(model.layers().len() >= 15, "{name}: {:?}", model.layers());
        let pixels = std::fs::read(path("pixels")).unwrap();
        let theirs = read_floats(&path("logits"));
        // One thread and several give the same, and so does every picture after another one.
        let sessions = [1, 3].map(|threads| model.clone().with_threads(threads).session().unwrap());
        let [mut session, mut threaded] = sessions;
        let mut stock = Model::stock(&file).unwrap().session().unwrap();
        let (count, logits) = (file.metadata.input.bytes(), file.metadata.logits());
        for (picture, theirs) in pixels.chunks_exact(count).zip(theirs.chunks_exact(logits)) {
            let ours = session.logits(picture).unwrap();
            assert_eq!(ours, threaded.logits(picture).unwrap());
            let by_tract = stock.logits(picture).unwrap();
            for ((ours, theirs), by_tract) in ours.iter().zip(theirs).zip(by_tract) {
                let steps = (ours - theirs).abs() / step;
                assert!(steps < 2.5, "{name}: {ours} here, {theirs} in onnxruntime, {by_tract} in tract");
                values += 1;
                equal += usize::from(steps < 0.5);
                within_one += usize::from(steps < 1.5);
            }
        }
    }
    println!("of {values} logits {equal} are equal, {within_one} within one step");
    assert!(within_one * 1000 >= values * 999, "{within_one} of {values} are within one step");
}
