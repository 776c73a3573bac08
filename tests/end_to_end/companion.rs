//! A companion without a board: the firmware's library in a thread, behind a TCP port.

use anchorwatch_firmware::{Arithmetic, Companion, Config};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running companion; it stops when dropped.
pub struct Board {
    /// Its port, for `--port`.
    pub address: String,
    ended: Arc<AtomicBool>,
    alarm: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Board {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("tcp:{}", listener.local_addr().unwrap());
        let (ended, alarm) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (theirs, lamp) = (ended.clone(), alarm.clone());
        let thread = Some(std::thread::spawn(move || run(&listener, &theirs, &lamp)));
        Self { address, ended, alarm, thread }
    }

    /// Whether the alarm has ever been on.
    pub fn has_raised_the_alarm(&self) -> bool {
        self.alarm.load(Ordering::Relaxed)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking());
    }
}

/// The main loop, as a board has it. The host that came last has the line.
fn run(listener: &TcpListener, ended: &AtomicBool, alarm: &AtomicBool) {
    let mut companion = Box::new(Companion::new(Config::new("a thread", Arithmetic::Float)));
    let mut flash = Memory(vec![0xFF; 40 * 1024]);
    companion.start(&mut flash, false, 0).unwrap();
    let began = Instant::now();
    let mut host: Option<TcpStream> = None;
    while !ended.load(Ordering::Relaxed) {
        let now_ms = began.elapsed().as_millis() as u64;
        if let Ok((stream, _)) = listener.accept() {
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            host = Some(stream);
        }
        let mut bytes = [0; 256];
        match host.as_mut().map(|host| host.read(&mut bytes)) {
            Some(Ok(count @ 1..)) => {
                bytes[..count].iter().for_each(|&byte| companion.receive(byte, &mut flash, now_ms));
            }
            Some(Err(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Some(_) => host = None, // it has hung up
            None => std::thread::sleep(Duration::from_millis(1)),
        }
        companion.tick(false, now_ms);
        let reply: Vec<u8> = std::iter::from_fn(|| companion.transmit(now_ms)).collect();
        if let Some(host) = &mut host {
            let _ = host.write_all(&reply); // it may have hung up
        }
        alarm.fetch_or(companion.outputs(now_ms).alarm, Ordering::Relaxed);
    }
}

/// Flash memory.
struct Memory(Vec<u8>);

#[derive(Debug)]
struct Never;

impl NorFlashError for Never {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Memory {
    type Error = Never;
}

impl ReadNorFlash for Memory {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Never> {
        bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Memory {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 1024;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Never> {
        self.0[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Never> {
        for (stored, byte) in self.0[offset as usize..].iter_mut().zip(bytes) {
            *stored &= byte;
        }
        Ok(())
    }
}
