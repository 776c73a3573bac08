//! The embedded model gives the same answers in onnxruntime as here. Skipped, with a message,
//! where Python with onnxruntime is missing: `scripts/setup-python.sh` sets it up.

mod support;

use anchorwatch::network::{Judge, Model};
use anchorwatch::vision::{Preparer, Region, load_picture};
use anchorwatch_core::{Centres, Scorer};
use image::RgbImage;
use std::path::Path;
use std::process::Command;
use support::{python_with_onnxruntime, read_floats};

const PICTURES: usize = 1000;

/// The sample frames, the known ones and the others.
fn sample_frames() -> Vec<RgbImage> {
    let mut paths = Vec::new();
    for folder in ["known", "unknown"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/samples").join(folder);
        paths.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    paths.sort();
    paths.iter().map(|path| load_picture(path).unwrap()).collect()
}

/// Squares of all sizes all over the sample frames, the same in every run.
fn crops(frames: &[RgbImage]) -> impl Iterator<Item = (&RgbImage, Region)> {
    let mut state = 1u64;
    let mut below = move |limit: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % u64::from(limit)) as u32
    };
    frames.iter().cycle().take(PICTURES).map(move |frame| {
        let (width, height) = frame.dimensions();
        let shortest = width.min(height);
        let side = shortest / 4 + 1 + below(shortest - shortest / 4);
        let (x, y) = (below(width - side + 1), below(height - side + 1));
        (frame, Region { id: 0, x, y, width: side, height: side })
    })
}

#[test]
fn onnxruntime_gives_the_same_answers() {
    let Some(python) = python_with_onnxruntime() else { return };
    let model = Model::embedded().unwrap();
    let metadata = model.metadata();
    let frames = sample_frames();
    let mut preparer = Preparer::new(&metadata.input);
    let mut judge = Judge::new(&model).unwrap();
    let (mut pixels, mut ours) = (Vec::new(), Vec::new());
    for (frame, region) in crops(&frames) {
        pixels.extend_from_slice(preparer.prepare(frame, region).unwrap());
        ours.push(judge.judge(frame, region).unwrap().verdict);
    }

    let folder = tempfile::tempdir().unwrap();
    let [pictures, output] = ["pictures", "logits"].map(|name| folder.path().join(name));
    std::fs::write(&pictures, &pixels).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = Command::new(python)
        .arg(root.join("tests/onnxruntime_logits.py"))
        .arg(root.join("models/default.onnx"))
        .args([&pictures, &output])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let theirs = read_floats(&output);
    let centres = metadata.flat_centres();
    let scorer = Scorer::new(Centres::new(&centres, metadata.logits()).unwrap());
    let mut distances = vec![0.0; metadata.classes.len()];
    let (mut same_class, mut same_outcome, mut unknown) = (0, 0, 0);
    assert_eq!(theirs.len(), PICTURES * metadata.logits());
    for (logits, ours) in theirs.chunks_exact(metadata.logits()).zip(&ours) {
        let theirs = scorer.score(logits, metadata.threshold.value, &mut distances).unwrap();
        same_class += usize::from(theirs.class == ours.class);
        same_outcome += usize::from(theirs.is_unknown() == ours.is_unknown());
        unknown += usize::from(ours.is_unknown());
    }
    println!("of {PICTURES}: same class {same_class}, same outcome {same_outcome}, unknown {unknown}");
    assert!(same_class >= PICTURES * 995 / 1000, "the same class in {same_class} of {PICTURES}");
    assert!(same_outcome >= PICTURES * 99 / 100, "known or unknown alike in {same_outcome} of {PICTURES}");
    // With only one answer the comparison would say little.
    assert!((PICTURES / 20..PICTURES * 19 / 20).contains(&unknown), "{unknown} of {PICTURES} are unknown");
}
