//! DuckDB, in Python.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPT: &str = "
import duckdb, json, sys
connection = duckdb.connect()
connection.execute('SET enable_progress_bar = false')
for statement in sys.argv[1:-1]:
    connection.execute(statement)
print(json.dumps(connection.execute(sys.argv[-1]).fetchall(), default=str))
";

/// Python with DuckDB; `None`, with a message, where there is none.
pub fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let candidates = [
        std::env::var_os("PEERS_PYTHON").map(PathBuf::from),
        cache.map(|cache| cache.join("anchorwatch/python/bin/python")),
        Some(PathBuf::from("python3")),
    ];
    let found = candidates.into_iter().flatten().find(|python| {
        let found = Command::new(python).args(["-c", "import duckdb"]).output();
        found.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        eprintln!("skipped: no Python with duckdb (scripts/setup-python.sh sets it up)");
    }
    found
}

/// The rows of a query, after some statements.
pub fn query(python: &Path, statements: &[&str], query: &str) -> Vec<Vec<Value>> {
    let output = Command::new(python).args(["-c", SCRIPT]).args(statements).arg(query).output();
    let output = output.expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{query}: {said}");
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}
