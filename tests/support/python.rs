//! A Python with the packages that tests compare with or read with.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has these packages (`onnx, onnxruntime`); `None`, with a message, where there is none.
pub fn python_with(packages: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let candidates = [
        std::env::var_os("PEERS_PYTHON").map(PathBuf::from),
        cache.map(|cache| cache.join("anchorwatch/python/bin/python")),
        Some(PathBuf::from("python3")),
    ];
    let found = candidates.into_iter().flatten().find(|python| {
        let found = Command::new(python).args(["-c", &format!("import {packages}")]).output();
        found.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        eprintln!("skipped: no Python with {packages} (scripts/setup-python.sh sets it up)");
    }
    found
}
