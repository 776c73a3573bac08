//! docs/tutorial.md is run: the commands of its `sh` blocks, in their order, in a folder with pictures.
//!
//! What is not as in the tutorial is written down here: the pictures are cuttings of the project's sample
//! frames; the camera is a folder of them; and `scp` and `ssh` are stand-ins, whose board is a folder.

use anchorwatch::network::Model;
use image::imageops::{FilterType, crop_imm, resize};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What stands in the tutorial, and what is run instead.
const SUBSTITUTIONS: [(&str, &str); 1] = [("/dev/video0", "camera")];

/// Copies to the board, which is a folder: scp FILE HOST:
const SCP: &str = "#!/bin/sh\nexec cp \"$1\" board/\n";

/// Runs a command on the board: ssh -t HOST COMMAND
const SSH: &str = "#!/bin/sh\nshift 2\ncd board && exec \"$@\"\n";

const KNOWN: [(&str, &str); 3] = [
    ("espresso", "known/espresso-1.jpg"),
    ("goldfish", "known/goldfish-1.jpg"),
    ("orange", "known/orange-1.jpg"),
];
const UNKNOWN: [(&str, &str); 2] = [("owl", "unknown/owl-1.jpg"), ("astronaut", "unknown/astronaut-1.jpg")];

fn repository() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("..")
}

/// The commands: every line of every `sh` block, one that ends with a backslash together with the next.
fn commands(markdown: &str) -> Vec<String> {
    let mut blocks = markdown.split("\n```sh\n");
    blocks.next();
    let blocks = blocks.map(|rest| rest.split("\n```").next().unwrap().replace("\\\n", " "));
    blocks.flat_map(|block| block.lines().map(str::to_string).collect::<Vec<_>>()).collect()
}

/// Cuttings of a sample frame: which, `numbers` say; no two are nearly the same.
fn cuttings(sample: &str, folder: &Path, name: &str, numbers: std::ops::Range<u32>) {
    std::fs::create_dir_all(folder).unwrap();
    let frame = image::open(repository().join("models/samples").join(sample)).unwrap().to_rgb8();
    for number in numbers {
        let side = frame.width().min(frame.height()) * (55 + number % 3 * 12) / 100;
        let x = (frame.width() - side) * (number % 5) / 4;
        let y = (frame.height() - side) * (number / 5) / 4;
        let cutting = crop_imm(&frame, x, y, side, side).to_image();
        let picture = resize(&cutting, 160, 160, FilterType::Triangle);
        picture.save(folder.join(format!("{name}-{number:02}.jpg"))).unwrap();
    }
}

/// The folder in which somebody follows the tutorial.
fn workplace(folder: &Path) {
    for (class, sample) in KNOWN {
        cuttings(sample, &folder.join("parts").join(class), class, 0..20);
    }
    for (name, sample) in KNOWN.iter().chain(&UNKNOWN) {
        cuttings(sample, &folder.join("new"), name, 20..23);
        cuttings(sample, &folder.join("board/camera"), name, 23..25);
    }
    let programs = folder.join("bin");
    std::fs::create_dir(&programs).unwrap();
    for (name, script) in [("scp", SCP), ("ssh", SSH)] {
        std::fs::write(programs.join(name), script).unwrap();
        let made = Command::new("chmod").arg("+x").arg(programs.join(name)).status().unwrap();
        assert!(made.success());
    }
}

/// Runs a command of the tutorial; what it prints on standard output.
fn follow(command: &str, folder: &Path) -> String {
    let trainer = Path::new(env!("CARGO_BIN_EXE_anchorwatch-train"));
    let path = std::env::join_paths(
        [folder.join("bin"), trainer.parent().unwrap().to_path_buf()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .env("PATH", path.unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\n{told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Of the verdicts that `run` printed, how many pictures whose names begin so are said to be that.
fn said(verdicts: &str, name: &str, what: &str) -> usize {
    let of_name = |line: &&str| line.split('/').next_back().unwrap().starts_with(name);
    verdicts.lines().filter(of_name).filter(|line| line.contains(what)).count()
}

#[test]
fn the_tutorial_works_as_it_is_written() {
    let trainer = Path::new(env!("CARGO_BIN_EXE_anchorwatch-train"));
    if !trainer.with_file_name("anchorwatch").exists() {
        eprintln!("skipped: the program 'anchorwatch' is not built: run the tests with --workspace");
        return;
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|cache| !cache.is_empty()).map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"));
    if !cache.join("anchorwatch/efficientnet-lite0-57934424.pth").exists() {
        eprintln!("skipped: train/setup-weights.sh was not run");
        return;
    }
    let markdown = std::fs::read_to_string(repository().join("docs/tutorial.md")).unwrap();
    let mut commands = commands(&markdown);
    for (written, run) in SUBSTITUTIONS {
        assert!(commands.iter().any(|command| command.contains(written)), "{written} is not in the tutorial");
        commands.iter_mut().for_each(|command| *command = command.replace(written, run));
    }
    let [check, fit, run, deploy] = &commands[..] else { panic!("not four commands: {commands:#?}") };

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    workplace(folder);

    let checked = follow(check, folder);
    assert!(checked.contains("3 classes, 60 pictures") && checked.contains("nothing is wrong"), "{checked}");

    let fitted = follow(fit, folder);
    assert!(fitted.contains("model.onnx (deploy this one)"), "{fitted}");
    let model = Model::load(&folder.join("model/model.onnx")).unwrap();
    assert_eq!(model.metadata().classes, KNOWN.map(|(class, _)| class));
    assert!(model.all_integer());
    assert!(model.verify().unwrap().iter().all(|result| result.passes()));
    let figures = &model.metadata().training.metrics;
    assert!(figures["accuracy"] > 0.8, "{figures:?}");

    let verdicts = follow(run, folder);
    let of_known = |what: &str| {
        KNOWN.iter().map(|(class, _)| said(&verdicts, class, &format!("{what} {class}"))).sum::<usize>()
    };
    let (accepted, too_strict) = (of_known("known"), of_known("most like"));
    let flagged: usize = UNKNOWN.iter().map(|(name, _)| said(&verdicts, name, "UNKNOWN")).sum();
    // Nine held-out pictures make a rough threshold: it may be a little too strict for a good one.
    assert!(accepted >= 5 && accepted + too_strict >= 8 && flagged >= 5, "of 9 and 6:\n{verdicts}");

    let on_the_board = follow(deploy, folder);
    assert_eq!(
        std::fs::read(folder.join("board/model.onnx")).unwrap(),
        std::fs::read(folder.join("model/model.onnx")).unwrap()
    );
    let verdicts = on_the_board.lines().filter(|line| line.contains(".jpg"));
    assert_eq!(verdicts.count(), 10, "{on_the_board}");
}
