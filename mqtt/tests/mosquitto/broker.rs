//! A mosquitto of its own for each test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NEEDED: &str = "this test needs mosquitto and openssl: scripts/install-packages.sh tests";

/// The settings of `docs/mosquitto.conf` that decide what survives.
fn documented() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mosquitto.conf");
    let text = fs::read_to_string(file).unwrap();
    let lasting: Vec<&str> =
        text.lines().filter(|line| line.starts_with("autosave_") || line.starts_with("max_")).collect();
    assert_eq!(lasting.len(), 4, "docs/mosquitto.conf was changed");
    lasting.join("\n")
}

/// A port that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub struct Broker {
    folder: tempfile::TempDir,
    child: Option<Child>,
    pub port: u16,
}

impl Broker {
    /// Anybody may do everything; not started yet.
    pub fn new() -> Self {
        let port = free_port();
        Self::with(port, &format!("listener {port} 127.0.0.1\nallow_anonymous true\n"))
    }

    /// A broker with other listeners; the first one's port is waited for.
    pub fn with(port: u16, listeners: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let settings = format!(
            "user root\n{}\npersistence true\npersistence_location {place}/\nlog_dest file {place}/log\nlog_type all\n{listeners}",
            documented()
        );
        fs::write(folder.path().join("mosquitto.conf"), settings).unwrap();
        Self { folder, child: None, port }
    }

    pub fn started() -> Self {
        let mut broker = Self::new();
        broker.start();
        broker
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub fn start(&mut self) {
        let settings = self.folder.path().join("mosquitto.conf");
        let child = Command::new(program("mosquitto"))
            .arg("-c")
            .arg(settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{NEEDED}: {error}"));
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "mosquitto does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// As `systemctl stop` does.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("-TERM", &child);
            child.wait().unwrap();
        }
    }

    /// Reads users and access lists again.
    pub fn reload(&self) {
        signal("-HUP", self.child.as_ref().unwrap());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The payload of the next message to a topic: a retained one comes at once.
    pub fn next(&self, topic: &str) -> Vec<u8> {
        let port = self.port.to_string();
        let heard = Command::new("mosquitto_sub")
            .args(["-p", &port, "-t", topic, "-C", "1", "-W", "20", "-N"])
            .output()
            .unwrap_or_else(|error| panic!("{NEEDED}: {error}"));
        assert!(heard.status.success(), "nothing came to {topic}");
        heard.stdout
    }

    /// Publishes with other arguments of mosquitto_pub.
    pub fn publish(&self, arguments: &[&str], payload: &[u8]) {
        let file = self.folder.path().join("payload");
        fs::write(&file, payload).unwrap();
        let port = self.port.to_string();
        let status = Command::new("mosquitto_pub")
            .args(["-p", &port, "-V", "5", "-q", "1", "-f"])
            .arg(file)
            .args(arguments)
            .status()
            .unwrap_or_else(|error| panic!("{NEEDED}: {error}"));
        assert!(status.success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal(name: &str, child: &Child) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Debian has brokers where only root's path leads.
fn program(name: &str) -> PathBuf {
    let usual = Path::new("/usr/sbin").join(name);
    if usual.exists() { usual } else { PathBuf::from(name) }
}

/// Runs a program that sets something up.
pub fn run(program: &str, arguments: &[&str], folder: &Path) {
    let done = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{NEEDED}: {error}"));
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Waits for something that must come.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}
