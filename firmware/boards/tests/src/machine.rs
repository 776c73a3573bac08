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
/// Where the firmware shows how long a turn of its main loop has taken at most, in milliseconds.
const LONGEST_TURN: u32 = 0x2101_0000;

/// How long anything may take before a test gives up. Nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running machine. It ends when dropped.
pub struct Machine {
    qemu: Child,
    folder: PathBuf,
    test: BufReader<UnixStream>,
    /// Where the host's port is, if it is a terminal device.
    tty: Option<PathBuf>,
}

impl Machine {
    /// Starts it with this program; its sockets are in `folder`.
    pub fn start(program: &Path, folder: &Path) -> Self {
        Self::start_with(&[], &socket("host", folder), program, folder)
    }

    /// The same, with the host's port as a terminal device of this machine, as a serial adapter is.
    pub fn start_on_tty(program: &Path, folder: &Path) -> Self {
        let mut machine = Self::start_with(&[], "pty", program, folder);
        let mut monitor = UnixStream::connect(folder.join("monitor")).expect("the emulator's monitor");
        writeln!(monitor, "info chardev").expect("the monitor");
        let mut lines = BufReader::new(monitor).lines();
        let line = lines.find_map(|line| line.ok().filter(|line| line.contains("filename=pty:")));
        let path = line.as_ref().and_then(|line| line.rsplit_once("filename=pty:")).expect("a tty").1;
        machine.tty = Some(path.trim().into());
        machine
    }

    /// The same, with a clock that counts instructions, one a nanosecond, and runs on at once when there is
    /// nothing to do.
    pub fn start_counting(program: &Path, folder: &Path) -> Self {
        Self::start_with(&["-icount", "shift=0,sleep=off"], &socket("host", folder), program, folder)
    }

    fn start_with(options: &[&str], host: &str, program: &Path, folder: &Path) -> Self {
        let qemu = Command::new("qemu-system-arm")
            .args(["-M", "mps2-an386", "-display", "none", "-monitor", &socket("monitor", folder)])
            .args(options)
            .args(["-serial", host, "-serial", &socket("feed", folder)])
            .args(["-qtest", &socket("test", folder), "-qtest-log", "none"])
            .arg("-kernel")
            .arg(program)
            .stdin(Stdio::null())
            .spawn()
            .expect("qemu-system-arm starts");
        let test = wait_for("the emulator's sockets", || UnixStream::connect(folder.join("test")).ok());
        // They come one after another, in no order that is promised.
        let is_socket = host.starts_with("unix:");
        for name in ["monitor", "feed", "host"].iter().take(if is_socket { 3 } else { 2 }) {
            wait_for("the emulator's sockets", || folder.join(name).exists().then_some(()));
        }
        Self { qemu, folder: folder.to_path_buf(), test: BufReader::new(test), tty: None }
    }

    /// The port for the host.
    pub fn host(&self) -> Address {
        self.tty.clone().map_or_else(|| Address::Unix(self.folder.join("host")), Address::Tty)
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
    ///
    /// # Panics
    /// If there is a permit at the same time.
    pub fn pins(&mut self) -> (bool, bool) {
        let leds = self.read(LEDS);
        assert!(leds & 8 == 0 || leds & 3 == 0, "a permit though all is not well: {leds:#b}");
        (leds & 1 != 0, leds & 2 != 0)
    }

    /// Whether the permit is given.
    pub fn permit(&mut self) -> bool {
        self.read(LEDS) & 8 != 0
    }

    /// The longest time from one turn of the firmware's main loop to the next, in milliseconds. It is one on
    /// a machine that has nothing else to do.
    pub fn longest_turn_ms(&mut self) -> u32 {
        self.read(LONGEST_TURN)
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

/// A socket of the emulator's.
fn socket(name: &str, folder: &Path) -> String {
    format!("unix:{},server=on,wait=off", folder.join(name).display())
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
    /// Starts it on this port, with this journal; so many seconds without a verdict and it gives no signs of
    /// life.
    pub fn start(program: &str, address: &Address, journal: &Path, patience: u64) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg(address.to_string()).arg(journal).arg(patience.to_string()).stdin(Stdio::piped());
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
