//! A QEMU mps2-an386 that runs one of the firmware's programs, with its pins to be watched and driven
//! through QEMU's test socket.

use crate::link::Address;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The LED register, and the one that stands for the button: see the board's `pins`.
const LEDS: u32 = 0x4002_F004;
const BUTTON: u32 = 0x4002_804C;
/// The firmware's clock, in milliseconds.
const CLOCK: u32 = 0x4002_8018;

/// How long anything may take before a test gives up. Nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running machine. It ends when dropped.
pub struct Machine {
    qemu: Child,
    folder: PathBuf,
    test: BufReader<UnixStream>,
}

impl Machine {
    /// Starts it with this program; its sockets are in `folder`.
    pub fn start(program: &Path, folder: &Path) -> Self {
        Self::start_with(&[], program, folder)
    }

    /// The same, with a clock that counts instructions: one a nanosecond.
    pub fn start_counting(program: &Path, folder: &Path) -> Self {
        Self::start_with(&["-icount", "shift=0,sleep=off"], program, folder)
    }

    fn start_with(options: &[&str], program: &Path, folder: &Path) -> Self {
        let socket = |name: &str| format!("unix:{},server=on,wait=off", folder.join(name).display());
        let qemu = Command::new("qemu-system-arm")
            .args(["-M", "mps2-an386", "-display", "none", "-monitor", "none"])
            .args(options)
            .args(["-serial", &socket("host"), "-serial", &socket("feed")])
            .args(["-qtest", &socket("test"), "-qtest-log", "none"])
            .arg("-kernel")
            .arg(program)
            .stdin(Stdio::null())
            .spawn()
            .expect("qemu-system-arm starts");
        let test = wait_for("the emulator's sockets", || UnixStream::connect(folder.join("test")).ok());
        Self { qemu, folder: folder.to_path_buf(), test: BufReader::new(test) }
    }

    /// The port for the host.
    pub fn host(&self) -> Address {
        Address::Unix(self.folder.join("host"))
    }

    /// The same, as bytes.
    pub fn host_socket(&self) -> UnixStream {
        UnixStream::connect(self.folder.join("host")).expect("the host's port")
    }

    /// The port for a network that runs beside the companion.
    pub fn feed(&self) -> UnixStream {
        UnixStream::connect(self.folder.join("feed")).expect("the feed's port")
    }

    /// Whether the alarm is on, and whether the host is lost.
    pub fn pins(&mut self) -> (bool, bool) {
        let leds = self.read(LEDS);
        (leds & 1 != 0, leds & 2 != 0)
    }

    /// Presses the acknowledge button, or lets it go.
    pub fn button(&mut self, pressed: bool) {
        self.command(&format!("writel {BUTTON:#x} {}", u32::from(pressed)));
    }

    /// The firmware's time, in milliseconds since its start.
    pub fn clock_ms(&mut self) -> u32 {
        self.read(CLOCK)
    }

    fn read(&mut self, address: u32) -> u32 {
        let answer = self.command(&format!("readl {address:#x}"));
        let digits = answer.trim().rsplit("0x").next().unwrap_or_default();
        u64::from_str_radix(digits, 16).expect("a number") as u32
    }

    fn command(&mut self, command: &str) -> String {
        writeln!(self.test.get_mut(), "{command}").expect("the test socket");
        let mut answer = String::new();
        loop {
            answer.clear();
            self.test.read_line(&mut answer).expect("the test socket");
            // Interrupts are told of, too.
            if let Some(rest) = answer.strip_prefix("OK") {
                return rest.to_string();
            }
            assert!(!answer.is_empty() && !answer.starts_with("ERR"), "{command}: {answer}");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// The firmware program of this name, built by `firmware/test-qemu.sh`.
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("ANCHORWATCH_QEMU_FIRMWARE")
        .expect("ANCHORWATCH_QEMU_FIRMWARE is the folder of the built firmware: run firmware/test-qemu.sh");
    Path::new(&folder).join(name)
}

/// Looks again and again until there is something.
///
/// # Panics
/// If there is nothing for a very long time.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "never seen: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A host program in a process of its own, so that it can be killed.
pub struct Host(Child);

impl Host {
    /// Starts it on this port, with this journal.
    pub fn start(program: &str, address: &Address, journal: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg(address.to_string()).arg(journal).stdin(Stdio::piped());
        Ok(Self(command.spawn()?))
    }

    /// Has it tell the companion of a verdict.
    pub fn verdict(&mut self, region: u16, score: f32, threshold: f32) {
        let stdin = self.0.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "{region} {score} {threshold}").expect("the host reads");
        stdin.flush().expect("the host reads");
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it runs");
    }
}
