//! A gpsd of the test's own, and a receiver for it.

use crate::track;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use time::OffsetDateTime;

/// A running gpsd; killed when it is dropped.
pub struct Gpsd(Child);

impl Gpsd {
    /// Starts Debian's gpsd for clients at `port`, with a receiver that sends to `receiver`.
    pub fn start(port: u16, receiver: u16) -> Self {
        let program = ["/usr/sbin/gpsd", "/usr/local/sbin/gpsd", "/usr/bin/gpsd"]
            .into_iter()
            .find(|program| Path::new(program).exists())
            .expect("this test needs gpsd, which is not installed: scripts/install-packages.sh tests");
        let child = Command::new(program)
            .args(["-N", "-n", "-S", &port.to_string(), &format!("udp://127.0.0.1:{receiver}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Gpsd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A receiver on a walk, which sends what it knows five times a second.
pub struct Receiver {
    pub indoors: Arc<AtomicBool>,
    off: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Switches it on; it sends to a port of this machine.
    pub fn start(port: u16) -> Self {
        let (indoors, off) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (inside, ended) = (Arc::clone(&indoors), Arc::clone(&off));
        let thread = std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for number in 0.. {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let now = OffsetDateTime::now_utc();
                let said = if inside.load(Ordering::Relaxed) {
                    track::indoors(now)
                } else {
                    track::second(number, now)
                };
                // Nobody listens while gpsd is down.
                let _ = socket.send_to(said.as_bytes(), ("127.0.0.1", port));
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self { indoors, off, thread: Some(thread) }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.off.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
