//! Configuration in layers: flags over environment over file over defaults.

use crate::models;
use crate::pictures::{self, RED};
use crate::program::{Ended, command, text};
use std::path::Path;

struct Setting<'a> {
    file: Option<&'a Path>,
    environment: &'a [(&'a str, &'a str)],
}

fn run(setting: &Setting<'_>, arguments: &[&str]) -> Ended {
    let mut command = command();
    command.args(arguments).envs(setting.environment.iter().copied());
    if let Some(file) = setting.file {
        command.arg("--config").arg(file);
    }
    command.output().unwrap().into()
}

/// The line of a key that `anchorwatch config` prints, without runs of spaces.
fn line(ended: &Ended, key: &str) -> String {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let line = ended.stdout.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap_or("not set");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_layer_goes_before_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(
        &file,
        "region = \"centre\"\nthreshold = 3.5\nraise = \"2/4\"\ncamera-size = \"320x240\"\n",
    )
    .unwrap();
    let environment = [("ANCHORWATCH_REGION", "grid:2x2"), ("ANCHORWATCH_THRESHOLD", "4.5")];
    let setting = Setting { file: Some(&file), environment: &environment };
    let ended = run(&setting, &["config", "--threshold", "5.5"]);
    assert_eq!(line(&ended, "threshold"), "threshold = 5.5 # flag");
    assert_eq!(line(&ended, "region"), "region = \"grid:2x2\" # environment");
    assert_eq!(line(&ended, "raise"), "raise = \"2/4\" # file");
    assert_eq!(line(&ended, "camera-size"), "camera-size = \"320x240\" # file");
    assert_eq!(line(&ended, "clear"), "clear = \"4/5\" # default");
    assert_eq!(line(&ended, "source"), "not set");
    // What is printed is a file that says the same.
    let again = folder.path().join("again.toml");
    std::fs::write(&again, &ended.stdout).unwrap();
    let repeated = run(&Setting { file: Some(&again), environment: &[] }, &["config"]);
    for key in
        ["threshold", "region", "raise", "camera-size", "clear", "clear-ratio", "crops", "frame-timeout"]
    {
        let value = |ended| line(ended, key).split('#').next().unwrap().to_string();
        assert_eq!(value(&ended), value(&repeated));
    }
}

#[test]
fn what_is_asked_of_a_camera_is_written_as_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let keys = [
        ("camera-rate", "15.0"),
        ("camera-format", "\"nv12\""),
        ("camera-control", "[\"gain=20\", \"white_balance=auto\"]"),
        ("wait-for-camera", "true"),
        ("region", "\"motion:min=1%,max=50%,most=3\""),
        ("min-size", "32"),
        ("cool-down", "2.5"),
        ("learn-background", "60.0"),
        ("schedule", "\"mon,tue 8:00-18:00; 22:00-6:00\""),
    ];
    let text: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    std::fs::write(&file, text).unwrap();
    let ended = run(&Setting { file: Some(&file), environment: &[] }, &["config"]);
    for (key, value) in keys {
        assert_eq!(line(&ended, key), format!("{key} = {value} # file"));
    }
    let flags = ["config", "--camera-control", "gain=3,exposure=auto", "--wait-for-camera"];
    let ended = run(&Setting { file: None, environment: &[] }, &flags);
    assert_eq!(line(&ended, "camera-control"), "camera-control = [\"gain=3\", \"exposure=auto\"] # flag");
    assert_eq!(line(&ended, "wait-for-camera"), "wait-for-camera = true # flag");
    for wrong in [["--schedule", "never"], ["--cool-down", "-1"], ["--camera-control", "gain"]] {
        let ended = run(&Setting { file: None, environment: &[] }, &["config", wrong[0], wrong[1]]);
        assert_eq!(ended.code, 2, "{wrong:?}");
    }
}

#[test]
fn the_file_is_found_where_files_usually_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("anchorwatch/config.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "crops = \"png\"\n").unwrap();
    let xdg = [("XDG_CONFIG_HOME", text(folder.path()))];
    let ended = run(&Setting { file: None, environment: &xdg }, &["config"]);
    assert_eq!(line(&ended, "crops"), "crops = \"png\" # file");
    assert!(ended.stdout.contains(text(&file)), "{}", ended.stdout);
    let other = folder.path().join("other.toml");
    std::fs::write(&other, "").unwrap();
    let named = [xdg[0], ("ANCHORWATCH_CONFIG", text(&other))];
    let ended = run(&Setting { file: None, environment: &named }, &["config"]);
    assert_eq!(line(&ended, "crops"), "crops = \"jpeg\" # default");
}

#[test]
fn a_run_heeds_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let picture = pictures::save(&folder.path().join("red.png"), RED);
    let file = folder.path().join("config.toml");
    std::fs::write(&file, format!("model = {:?}\nsource = \"/nowhere\"\n", text(&model))).unwrap();
    let environment = [("ANCHORWATCH_SOURCE", text(&picture))];
    let ended = run(&Setting { file: Some(&file), environment: &environment }, &["run"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("known red"), "{}", ended.stdout);
}

#[test]
fn mistakes_name_the_file_the_key_and_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    for (contents, parts) in [
        ("tresholt = 3\n", ["tresholt", "threshold"]),
        ("region = \"middle\"\n", ["region", "centre"]),
        ("raise = \"6/5\"\n", ["raise", "K/N"]),
        ("threshold = \"high\"\n", ["threshold", "expected f64"]),
        ("threshold = -1\n", ["'threshold'", "above 0"]),
        ("threshold = nan\n", ["'threshold'", "above 0"]),
        ("clear-ratio = 1.5\n", ["'clear-ratio'", "up to 1"]),
        ("frame-timeout = 0\n", ["'frame-timeout'", "between"]),
        ("crops = \"bmp\"\n", ["crops", "jpeg"]),
        ("[run]\n", ["run", "unknown field"]),
        ("region = \n", ["region", "line 1"]),
    ] {
        std::fs::write(&file, contents).unwrap();
        for command in ["config", "run"] {
            let ended = run(&Setting { file: Some(&file), environment: &[] }, &[command]);
            assert_eq!(ended.code, 2, "{contents}{}", ended.stderr);
            assert!(ended.stderr.contains(text(&file)), "{}", ended.stderr);
            assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{contents}{}", ended.stderr);
        }
    }
    let missing =
        run(&Setting { file: Some(&folder.path().join("missing.toml")), environment: &[] }, &["config"]);
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("missing.toml"), "{}", missing.stderr);
}

#[test]
fn mistakes_in_flags_and_environment_are_usage_errors_too() {
    let none = Setting { file: None, environment: &[] };
    for arguments in [
        &["config", "--region", "middle"][..],
        &["config", "--threshold", "0"],
        &["config", "--threshold", "inf"],
        &["config", "--raise", "0/3"],
        &["config", "--camera-size", "large"],
        &["config", "--clear-ratio", "0"],
        &["run", "--sauce", "x"],
        &["run", "--demo", "--source", "x"],
        &["run"],
        &["fly"],
        &[],
    ] {
        assert_eq!(run(&none, arguments).code, 2, "{arguments:?}");
    }
    let bad = [("ANCHORWATCH_RAISE", "often")];
    let ended = run(&Setting { file: None, environment: &bad }, &["config"]);
    assert!(ended.code == 2 && ended.stderr.contains("raise"), "{}", ended.stderr);
    let misspelt = [("ANCHORWATCH_TRESHOLD", "3")];
    let ended = run(&Setting { file: None, environment: &misspelt }, &["config"]);
    assert!(ended.code == 0 && ended.stderr.contains("ANCHORWATCH_TRESHOLD"), "{}", ended.stderr);
}

#[test]
fn help_and_completions_are_there() {
    let none = Setting { file: None, environment: &[] };
    let help = run(&none, &["--help"]);
    assert_eq!(help.code, 0);
    for part in ["Exit codes", "ANCHORWATCH_", "run --demo", "config.toml"] {
        assert!(help.stdout.contains(part), "{part}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&none, &["completions", shell]);
        assert!(script.code == 0 && script.stdout.contains("calibrate"), "{shell}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let secret = [("ANCHORWATCH_SOURCE", "rtsp://user:password@camera")];
    let ended = run(&Setting { file: None, environment: &secret }, &["man", text(&pages)]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
    let main = page("anchorwatch.1");
    for part in ["anchorwatch\\-run(1)", "Exit codes", "\\-\\-config"] {
        assert!(main.contains(part), "{part}: {main}");
    }
    let run = page("anchorwatch-run.1");
    assert!(run.contains("\\-\\-raise") && run.contains("ANCHORWATCH_RAISE"), "{run}");
    // What is set where the pages are made is nobody's business.
    assert!(!run.contains("password@camera"), "{run}");
}
