//! DuckDB, in Python.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

const SCRIPT: &str = "
import duckdb, json, sys
connection = duckdb.connect()
connection.execute('SET enable_progress_bar = false')
for statement in sys.argv[1:-1]:
    connection.execute(statement)
print(json.dumps(connection.execute(sys.argv[-1]).fetchall(), default=str))
";

/// The rows of a query, after some statements.
pub fn query(python: &Path, statements: &[&str], query: &str) -> Vec<Vec<Value>> {
    let output = Command::new(python).args(["-c", SCRIPT]).args(statements).arg(query).output();
    let output = output.expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{query}: {said}");
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}
