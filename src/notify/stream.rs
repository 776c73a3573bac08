//! What happens, as JSON lines, to every program that connects to a Unix socket. A program that does
//! not read is disconnected: nobody waits for it.
//!
//! A line is an object with one key: `{"verdict": {…}}` (as `run --json` prints), `{"event": {…}}`
//! (something came into view or is gone), or `{"camera": {…}}` (lost, or back).

use crate::vision::proposals::bind;
use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Programs that may be connected at once.
const MOST_PROGRAMS: usize = 16;
/// Lines that may wait for one of them.
const MOST_LINES: usize = 256;
/// How long a program may take nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the last lines may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Sends lines to whoever listens.
#[derive(Debug)]
pub struct Stream {
    path: PathBuf,
    programs: Arc<Programs>,
}

#[derive(Debug, Default)]
struct Programs(Mutex<Vec<Program>>);

#[derive(Debug)]
struct Program {
    lines: SyncSender<Arc<str>>,
    thread: JoinHandle<()>,
}

impl Programs {
    fn lock(&self) -> MutexGuard<'_, Vec<Program>> {
        // Nobody leaves the list half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// Makes the socket. One that a program left behind which has ended is replaced.
    ///
    /// # Errors
    /// If another program listens there, or the socket cannot be made.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let listener = bind(path)?;
        let programs = Arc::new(Programs::default());
        let theirs = programs.clone();
        std::thread::Builder::new().name("stream".to_string()).spawn(move || accept(&listener, &theirs))?;
        Ok(Self { path: path.to_path_buf(), programs })
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        !self.programs.lock().is_empty()
    }

    /// Sends a line (without its end) to all. Never waits.
    pub fn send(&self, line: &str) {
        let mut programs = self.programs.lock();
        if programs.is_empty() {
            return;
        }
        let line: Arc<str> = format!("{line}\n").into();
        programs.retain(|program| match program.lines.try_send(line.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                log::warn!("stream: a program that does not read was disconnected");
                false
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Whoever still finds it finds nobody.
        let _ = std::fs::remove_file(&self.path);
        let threads: Vec<_> = self.programs.lock().drain(..).map(|program| program.thread).collect();
        // What is in the queues is still written, but not for ever.
        let until = Instant::now() + LAST_WORDS;
        while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn accept(listener: &UnixListener, programs: &Programs) {
    for stream in listener.incoming() {
        let added = stream.and_then(|stream| {
            stream.set_write_timeout(Some(PATIENCE))?;
            let mut list = programs.lock();
            if list.len() >= MOST_PROGRAMS {
                return Err(io::Error::other("a program too many was turned away"));
            }
            let (sender, receiver) = sync_channel(MOST_LINES);
            let thread = std::thread::Builder::new()
                .name("stream to".to_string())
                .spawn(move || write_all(stream, &receiver))?;
            list.push(Program { lines: sender, thread });
            Ok(())
        });
        if let Err(error) = added {
            log::warn!("stream: {error}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Until the program hangs up, takes nothing for a while, or there will be no more lines.
fn write_all(mut stream: UnixStream, lines: &Receiver<Arc<str>>) {
    while let Ok(line) = lines.recv() {
        if let Err(error) = stream.write_all(line.as_bytes()) {
            log::debug!("stream: {error}");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    fn wait_until(what: impl Fn() -> bool) {
        for _ in 0..6000 {
            if what() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not come");
    }

    #[test]
    fn all_who_listen_hear_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stream");
        let stream = Stream::listen(&path).unwrap();
        stream.send("nobody hears this");
        let mut readers: Vec<_> =
            (0..3).map(|_| BufReader::new(UnixStream::connect(&path).unwrap()).lines()).collect();
        wait_until(|| stream.programs.lock().len() == 3);
        stream.send("{\"one\":1}");
        stream.send("{\"two\":2}");
        for reader in &mut readers {
            assert_eq!(reader.next().unwrap().unwrap(), "{\"one\":1}");
            assert_eq!(reader.next().unwrap().unwrap(), "{\"two\":2}");
        }
        drop(stream);
        assert!(readers[0].next().is_none() && !path.exists());
    }

    #[test]
    fn who_does_not_read_is_disconnected_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stream");
        let stream = Stream::listen(&path).unwrap();
        let deaf = UnixStream::connect(&path).unwrap();
        wait_until(|| stream.is_heard());
        let line = "x".repeat(10_000);
        let sent = (0..100_000).take_while(|_| {
            stream.send(&line);
            stream.is_heard()
        });
        let sent = sent.count();
        // What the kernel takes, and what waits here.
        assert!((MOST_LINES - 1..2000).contains(&sent), "{sent}");
        drop(deaf);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stream");
        let stream = Stream::listen(&path).unwrap();
        let programs: Vec<_> = (0..MOST_PROGRAMS + 1).map(|_| UnixStream::connect(&path).unwrap()).collect();
        wait_until(|| stream.programs.lock().len() == MOST_PROGRAMS);
        let mut last = BufReader::new(programs.last().unwrap()).lines();
        assert!(last.next().is_none(), "it was turned away");
    }
}
