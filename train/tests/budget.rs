//! `fit --target`: a network that fits is picked and trained, and an interrupted training keeps it.

use anchorwatch::network::Model;
use image::{Rgb, RgbImage};
use std::path::Path;
use std::process::{Command, Output};

/// Two classes of stripes, along and across.
fn pictures(folder: &Path) {
    for (class, along) in [("along", true), ("across", false)] {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        for number in 0..12u32 {
            let picture = RgbImage::from_fn(16, 16, |x, y| {
                let place = if along { x } else { y };
                Rgb([((place + number) % 5 * 50) as u8, number as u8 * 9, 40])
            });
            picture.save(folder.join(class).join(format!("{number}.png"))).unwrap();
        }
    }
}

fn fit(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_anchorwatch-train"))
        .args([
            "fit",
            "--backbone",
            "tiny",
            "--size",
            "16",
            "--epochs",
            "2",
            "--batch",
            "8",
            "--threads",
            "1",
        ])
        .arg("--data")
        .arg(folder.join("stripes"))
        .arg("--out")
        .arg(folder.join("out"))
        .args(more)
        .output()
        .unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_width_that_fits_is_trained_and_kept_when_the_training_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("stripes"));
    let (status, told) = fit(folder.path(), &["--target", "pi-zero2", "--fps", "8000"]);
    assert_eq!(status, Some(0), "{told}");
    assert!(
        told.contains("computed, not measured") && told.contains("chosen: tiny at 16×16, width 0."),
        "{told}"
    );
    let macs = || -> u64 {
        let model = Model::load(&folder.path().join("out/model.onnx")).unwrap();
        model.layers().iter().map(|layer| layer.macs).sum()
    };
    // 2·10⁹ MACs a second are reckoned with.
    let chosen = macs();
    assert!(chosen * 8000 <= 2_000_000_000 && chosen * 8000 > 1_000_000_000, "{chosen}");

    // What is measured now would allow the whole width.
    let (status, told) = fit(folder.path(), &["--target", "this", "--fps", "1", "--resume"]);
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(macs(), chosen);

    let (status, told) = fit(folder.path(), &["--target", "pi-zero2", "--fps", "90000", "--overwrite"]);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("would manage") && told.contains("faster board"), "{told}");
}
