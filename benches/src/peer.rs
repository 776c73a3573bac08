//! A peer that is run by Python: a script beside this crate that says when it is ready, and then does its
//! work as often as it is told.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A Python process with a script that prints one JSON object when it is ready, and for each line "N" on
/// its standard input does its work N times and prints the seconds of each as a JSON array.
pub struct Peer {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Peer {
    /// Starts a script; what it says of itself when it is ready.
    ///
    /// # Errors
    /// If it does not start, or says why it cannot do its work.
    pub fn start(python: &Path, script: &str, arguments: &[&OsStr]) -> Result<(Self, Value)> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        let mut process = Command::new(python)
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start '{}'", python.display()))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            bail!("it has no pipes");
        };
        let mut peer = Self { process, input, output: BufReader::new(output) };
        let ready = peer.answer()?;
        if let Some(error) = ready["error"].as_str() {
            bail!("{error}");
        }
        Ok((peer, ready))
    }

    /// Seconds of each of so many runs.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn run(&mut self, count: usize) -> Result<Vec<f64>> {
        writeln!(self.input, "{count}")?;
        Ok(serde_json::from_value(self.answer()?)?)
    }

    /// The next JSON line; what a library prints beside them is passed over.
    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line)? == 0 {
                bail!("it ended");
            }
            if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(&line) {
                return Ok(value);
            }
        }
    }
}

/// The Python of scripts/setup-python.sh, or else the system's.
pub fn usual_python() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let python = cache.map(|cache| cache.join("anchorwatch/python/bin/python"));
    python.filter(|python| python.exists()).unwrap_or_else(|| PathBuf::from("python3"))
}
