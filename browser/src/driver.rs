//! The process of chromedriver: on a port of its own choice, in a process group of its own, which the
//! browsers that it starts belong to.

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// What chromedriver says when it listens, before the port's number.
const READY: &str = "started successfully on port ";

/// Why there is no browser.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// It is not installed.
    #[error("there is no chromedriver: install it with 'scripts/install-packages.sh tests'")]
    NoDriver,
    /// The process or its profile cannot be had.
    #[error("chromedriver cannot be started: {0}")]
    Start(#[source] io::Error),
    /// It ended at once.
    #[error("chromedriver did not say on which port it listens, but: {0}")]
    Silent(String),
    /// It does not give a browser.
    #[error("chromedriver cannot open Chromium (is the package 'chromium' installed?): {0}")]
    Session(#[source] Box<fantoccini::error::NewSessionError>),
}

impl BrowserError {
    pub(crate) fn session(error: fantoccini::error::NewSessionError) -> Self {
        Self::Session(Box::new(error))
    }
}

/// A running chromedriver.
pub(crate) struct Driver {
    process: Child,
    address: String,
}

impl Driver {
    /// Starts it and waits until it listens.
    pub(crate) fn start() -> Result<Self, BrowserError> {
        let process = Command::new("chromedriver")
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => BrowserError::NoDriver,
                _ => BrowserError::Start(error),
            })?;
        // Ended by its drop if it does not get ready.
        let mut driver = Self { process, address: String::new() };
        let mut said = String::new();
        if let Some(output) = driver.process.stdout.take() {
            let mut lines = BufReader::new(output);
            let mut line = String::new();
            while driver.address.is_empty() && lines.read_line(&mut line).map_err(BrowserError::Start)? > 0 {
                if let Some((_, port)) = line.split_once(READY) {
                    let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
                    driver.address = format!("http://127.0.0.1:{digits}");
                }
                said.push_str(&line);
                line.clear();
            }
            // It must be able to go on writing.
            std::thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        }
        if driver.address.is_empty() { Err(BrowserError::Silent(said)) } else { Ok(driver) }
    }

    /// Where it takes WebDriver's commands.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.process);
        // Nothing is to be saved: the profile goes too.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.process.wait();
        // The browser's processes have another parent by now; the profile must not go before them.
        for _ in 0..100 {
            if test_kill_process_group(group).is_err() {
                break;
            }
            sleep(Duration::from_millis(20));
        }
    }
}
