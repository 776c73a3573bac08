//! The built trainer, and pictures to train on: cuttings of the sample frames, which are real ones, and soon
//! learned.

use image::imageops::FilterType;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a test trains on, and what it must not know.
pub const KNOWN: [(&str, &str); 3] = [
    ("espresso", "known/espresso-1.jpg"),
    ("goldfish", "known/goldfish-1.jpg"),
    ("orange", "known/orange-1.jpg"),
];
pub const UNKNOWN: [(&str, &str); 2] =
    [("owl", "unknown/owl-1.jpg"), ("shuttle", "unknown/space-shuttle-1.jpg")];

/// Cuttings of one sample frame, at places that wander over the middle of it; `from` sets the levels
/// of a folder apart, so that no picture is in two.
pub fn cuttings(sample: &str, folder: &Path, from: u32, count: u32) {
    std::fs::create_dir_all(folder).unwrap();
    let crate_folder = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let path = Path::new(&crate_folder).join("../models/samples").join(sample);
    let frame = image::open(path).unwrap();
    let side = frame.width().min(frame.height()) * 2 / 3;
    for number in from..from + count {
        let spread = |span: u32, step: u32| number * step % (span - side + 1).max(1);
        let (x, y) = (spread(frame.width(), 37), spread(frame.height(), 53));
        let cutting = frame.crop_imm(x, y, side, side).resize_exact(32, 32, FilterType::Triangle);
        cutting.to_rgb8().save(folder.join(format!("{number:03}.png"))).unwrap();
    }
}

/// `DIR/train/CLASS` and `DIR/val/CLASS`, five classes.
pub fn data(folder: &Path) -> PathBuf {
    let data = folder.join("things");
    for (class, sample) in KNOWN.iter().chain(&UNKNOWN) {
        cuttings(sample, &data.join("train").join(class), 0, 24);
        cuttings(sample, &data.join("val").join(class), 24, 12);
    }
    data
}

pub fn trainer<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anchorwatch-train"));
    command.args(arguments).stdin(Stdio::null());
    command
}

pub fn fit(data: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command =
        trainer(["fit", "--known", "espresso,goldfish,orange", "--threads", "1", "--batch", "24"]);
    command.arg("--data").arg(data).arg("--out").arg(out).args(more);
    command
}

pub fn succeed(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{status}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    String::from_utf8(stdout).unwrap()
}

pub fn fail(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
