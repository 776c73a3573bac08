//! `anchorwatch bench`. Nothing is asserted of how fast it is.

use crate::models;
use crate::pictures::{self, GREY};
use crate::program::{fail, succeed, text};
use serde_json::Value;

#[test]
fn every_stage_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let picture = pictures::save(&folder.path().join("grey.png"), GREY);
    let arguments = ["bench", text(&model), "--source", text(&picture), "--runs", "10", "--warm-up", "2"];
    let measured: Value = serde_json::from_str(&succeed(arguments.iter().chain(&["--json"])).stdout).unwrap();
    assert_eq!((&measured["runs"], &measured["picture"]), (&10.into(), &serde_json::json!([32, 24])));
    for stage in ["prepare", "network", "score", "total"] {
        let of = |percentile: &str| measured[stage][percentile].as_f64().unwrap();
        let sorted = [of("min"), of("p50"), of("p90"), of("p99")];
        assert!(sorted.is_sorted() && sorted[0] >= 0.0 && sorted[3] > 0.0, "{measured}");
    }
    assert!(measured["frames_per_second"].as_f64().unwrap() > 0.0);
    if cfg!(target_os = "linux") {
        assert!(measured["peak_memory_mib"].as_f64().unwrap() > 1.0);
    }
    let said = succeed(arguments).stdout;
    assert!(said.contains("p99") && said.contains("frames a second"), "{said}");
    let without_a_picture = succeed(["bench", text(&model), "--runs", "1", "--warm-up", "0"]).stdout;
    assert!(without_a_picture.contains("640×480"), "{without_a_picture}");
}

#[test]
fn every_int8_layer_is_timed_with_profile() {
    let arguments = ["bench", "--profile", "--runs", "2", "--warm-up", "0"];
    let measured: Value = serde_json::from_str(&succeed(arguments.iter().chain(&["--json"])).stdout).unwrap();
    let layers = measured["layers"].as_array().unwrap();
    let macs: f64 = layers.iter().map(|layer| layer["macs"].as_f64().unwrap()).sum();
    assert!(layers.len() > 50 && macs > 1e8, "{measured}");
    assert!(layers.iter().all(|layer| layer["min"].as_f64().unwrap() > 0.0), "{measured}");
    assert!(succeed(arguments).stdout.contains("MAC/cycle"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    fail(2, ["bench", text(&model), "--runs", "0"]);
    assert!(fail(1, ["bench", text(&model), "--source", "/nowhere.png"]).contains("/nowhere.png"));
}
