//! `anchorwatch-train data check` on made folders, each with planted faults: exactly those are found.

use image::imageops::{FilterType, crop_imm, resize};
use image::{Rgb, RgbImage};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Things that the default model knows: it tells them apart.
const CLASSES: [(&str, &str); 3] = [
    ("espresso", "known/espresso-1.jpg"),
    ("goldfish", "known/goldfish-1.jpg"),
    ("orange", "known/orange-1.jpg"),
];

fn sample(name: &str) -> RgbImage {
    let crate_folder = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    image::open(Path::new(&crate_folder).join("../models/samples").join(name)).unwrap().to_rgb8()
}

/// A part of a sample frame: which, `number` says; no two are nearly the same.
fn cutting(frame: &RgbImage, number: u32) -> RgbImage {
    let side = frame.width().min(frame.height());
    let part = side * (62 + number % 3 * 9) / 100;
    let (column, row) = (number % 5, number / 5);
    let (x, y) = ((frame.width() - part) * column / 4, (frame.height() - part) * row / 5);
    let mut cutting = resize(&crop_imm(frame, x, y, part, part).to_image(), 64, 64, FilterType::Triangle);
    // A corner of each has a colour of its own, and another light falls on it.
    let mark = Rgb([number * 83 % 256, number * 151 % 256, number * 59 % 256].map(|value| value as u8));
    for (x, y) in (0..24).flat_map(|x| (0..24).map(move |y| (x, y))) {
        let corner = [(x, y), (63 - x, y), (x, 63 - y), (63 - x, 63 - y)][number as usize % 4];
        cutting.put_pixel(corner.0, corner.1, mark);
    }
    cutting
}

/// `DIR/train/CLASS` with 24 pictures and `DIR/val/CLASS` with six, nothing wrong with any.
fn clean() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (class, name) in CLASSES {
        let frame = sample(name);
        for number in 0..30 {
            let level = if number < 24 { "train" } else { "val" };
            write(
                &cutting(&frame, number),
                &folder.path().join(level).join(class).join(format!("{number:02}.png")),
            );
        }
    }
    folder
}

fn write(picture: &RgbImage, path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

fn check(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anchorwatch-train"))
        .args(["data", "check", "--threads", "1"])
        .arg(folder)
        .args(more)
        .output()
        .unwrap()
}

/// The findings as (kind, path, beside), paths below the folder.
fn found(folder: &Path, more: &[&str]) -> BTreeSet<(String, PathBuf, Option<PathBuf>)> {
    let Output { status, stdout, stderr } = check(folder, &[more, &["--json"]].concat());
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    let mut found = BTreeSet::new();
    for finding in report["findings"].as_array().unwrap() {
        for item in finding["items"].as_array().unwrap() {
            let path = |value: &Value| {
                let path = PathBuf::from(value.as_str().unwrap());
                path.strip_prefix(folder).map(Path::to_path_buf).unwrap_or(path)
            };
            let beside = Some(&item["beside"]).filter(|beside| !beside.is_null()).map(path);
            found.insert((finding["kind"].as_str().unwrap().to_string(), path(&item["path"]), beside));
        }
    }
    found
}

fn expected(list: &[(&str, &str, &str)]) -> BTreeSet<(String, PathBuf, Option<PathBuf>)> {
    let beside = |path: &str| if path.is_empty() { None } else { Some(PathBuf::from(path)) };
    list.iter().map(|&(kind, path, other)| (kind.to_string(), PathBuf::from(path), beside(other))).collect()
}

#[test]
fn in_a_clean_folder_nothing_is_found() {
    let folder = clean();
    assert_eq!(found(folder.path(), &[]), expected(&[]));
    let Output { status, stdout, .. } = check(folder.path(), &["--strict"]);
    assert_eq!(status.code(), Some(0));
    let text = String::from_utf8(stdout).unwrap();
    assert!(text.contains("3 classes, 90 pictures") && text.contains("nothing is wrong"), "{text}");
    assert!(text.contains("64×64 to 64×64"), "{text}");
}

#[test]
fn each_planted_fault_is_found_and_nothing_else() {
    let folder = clean();
    let at = |path: &str| folder.path().join(path);
    let frame = |class: usize| sample(CLASSES[class].1);

    // Broken: a PNG that breaks off, an empty file, no picture at all.
    let whole = std::fs::read(at("train/orange/00.png")).unwrap();
    std::fs::write(at("train/orange/broken.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(at("train/goldfish/empty.jpg"), b"").unwrap();
    std::fs::write(at("val/orange/words.png"), b"no picture").unwrap();
    // Passed over: another format, no class folder; a folder without pictures.
    std::fs::write(at("train/orange/phone.HEIC"), b"ftypheic").unwrap();
    write(&cutting(&frame(0), 40), &at("train/loose.png"));
    std::fs::create_dir(at("train/zebra")).unwrap();
    // The same pixels again in the class; smaller and compressed; brighter, at the other level.
    std::fs::copy(at("train/espresso/03.png"), at("train/espresso/copy.png")).unwrap();
    let smaller = resize(&cutting(&frame(1), 5), 40, 40, FilterType::Triangle);
    write(&smaller, &at("train/goldfish/small.jpg"));
    let mut brighter = cutting(&frame(2), 7);
    brighter
        .pixels_mut()
        .for_each(|pixel| pixel.0 = pixel.0.map(|value| 20 + (f32::from(value) * 0.85) as u8));
    write(&brighter, &at("val/orange/brighter.png"));
    // An espresso among the oranges, and one that is in its own class too.
    write(&cutting(&frame(0), 31), &at("train/orange/cup.png"));
    std::fs::copy(at("train/espresso/11.png"), at("train/orange/twice.png")).unwrap();
    // Too small, too long.
    write(&resize(&frame(1), 12, 12, FilterType::Triangle), &at("val/goldfish/tiny.png"));
    write(&resize(&frame(2), 130, 40, FilterType::Triangle), &at("train/orange/long.png"));

    let list = [
        ("unreadable", "train/orange/broken.png", ""),
        ("unreadable", "train/goldfish/empty.jpg", ""),
        ("unreadable", "val/orange/words.png", ""),
        ("unsupported-format", "train/orange/phone.HEIC", ""),
        ("outside", "train/loose.png", ""),
        ("empty-class", "train/zebra", ""),
        ("duplicate", "train/espresso/copy.png", "train/espresso/03.png"),
        ("duplicate", "train/goldfish/small.jpg", "train/goldfish/05.png"),
        ("leak", "val/orange/brighter.png", "train/orange/07.png"),
        ("label-conflict", "train/orange/twice.png", "train/espresso/11.png"),
        ("wrong-label", "train/orange/cup.png", ""),
        ("wrong-label", "train/orange/twice.png", ""),
        ("small", "val/goldfish/tiny.png", ""),
        ("odd-shape", "train/orange/long.png", ""),
    ];
    assert_eq!(found(folder.path(), &[]), expected(&list));
    let without_network: Vec<_> = list.into_iter().filter(|(kind, ..)| *kind != "wrong-label").collect();
    assert_eq!(found(folder.path(), &["--no-labels"]), expected(&without_network));

    let sheet = folder.path().join("sheet.html");
    let Output { status, stdout, stderr } =
        check(folder.path(), &["--strict", "--report", sheet.to_str().unwrap()]);
    assert_eq!(status.code(), Some(4));
    let sheet = std::fs::read_to_string(sheet).unwrap();
    // Four pairs, two wrong labels, one outside, one small, one long; what cannot be read is named only.
    assert_eq!(sheet.matches("src=\"data:image/png;base64,").count(), 4 * 2 + 2 + 3);
    assert!(sheet.contains("train/goldfish/empty.jpg: it is empty") && sheet.ends_with("</html>\n"));
    let (text, told) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(text.contains("3 picture(s) cannot be read"), "{text}");
    assert!(text.contains("train/goldfish/empty.jpg: it is empty"), "{text}");
    assert!(text.contains("val/orange/brighter.png = train/orange/07.png: nearly ("), "{text}");
    assert!(text.contains("train/orange/cup.png: looks like espresso"), "{text}");
    assert!(told.contains("--strict"), "{told}");
}

#[test]
fn small_and_uneven_classes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for ((class, name), count) in CLASSES.into_iter().zip([8, 45, 24]) {
        let frame = sample(name);
        for number in 0..count {
            write(&cutting(&frame, number % 30), &folder.path().join(class).join(format!("{number:02}.png")));
        }
    }
    let found = found(folder.path(), &["--no-labels"]);
    let of_kind = |kind: &str| found.iter().filter(|(found, ..)| found == kind).count();
    assert!(found.contains(&("too-few".into(), "espresso".into(), None)), "{found:?}");
    assert!(found.contains(&("imbalance".into(), "goldfish".into(), None)), "{found:?}");
    assert_eq!((of_kind("too-few"), of_kind("imbalance")), (1, 1));
    // Of 45 goldfish 15 are there twice.
    assert_eq!(of_kind("duplicate"), 15);
    assert_eq!(found.len(), 17);
}

#[test]
fn many_copies_of_one_picture_are_each_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let frame = sample(CLASSES[0].1);
    for number in 0..300 {
        write(&cutting(&frame, 0), &folder.path().join(format!("train/a/{number:03}.png")));
    }
    for number in 0..25 {
        write(&cutting(&frame, number), &folder.path().join(format!("train/b/{number:03}.png")));
    }
    let found = found(folder.path(), &["--no-labels"]);
    let of_kind = |kind: &str| found.iter().filter(|(found, ..)| found == kind).count();
    assert_eq!((of_kind("duplicate"), of_kind("label-conflict"), of_kind("imbalance")), (299, 1, 1));
    assert_eq!(found.len(), 301);
}

#[test]
fn what_cannot_be_checked_is_one_clear_error() {
    let failing = |folder: &Path, more: &[&str]| {
        let Output { status, stderr, .. } = check(folder, more);
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        stderr
    };
    let folder = tempfile::tempdir().unwrap();
    assert!(failing(&folder.path().join("none"), &[]).contains("there is no folder"));
    assert!(failing(folder.path(), &[]).contains("class folders"));
    write(&RgbImage::new(20, 20), &folder.path().join("a/1.png"));
    write(&RgbImage::new(20, 20), &folder.path().join("b/1.png"));
    let model = folder.path().join("none.onnx");
    assert!(failing(folder.path(), &["--model", model.to_str().unwrap()]).contains("none.onnx"));
}
