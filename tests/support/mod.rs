//! What several of the tests need: a Python with the packages we compare with.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has onnxruntime; `None`, with a message, where there is none.
pub fn python_with_onnxruntime() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let candidates = [
        std::env::var_os("PEERS_PYTHON").map(PathBuf::from),
        cache.map(|cache| cache.join("anchorwatch/python/bin/python")),
        Some(PathBuf::from("python3")),
    ];
    let found = candidates.into_iter().flatten().find(|python| {
        let found = Command::new(python).args(["-c", "import onnx, onnxruntime"]).output();
        found.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        eprintln!("skipped: no Python with onnxruntime (scripts/setup-python.sh sets it up)");
    }
    found
}

/// The f32 numbers of a file.
pub fn read_floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}
