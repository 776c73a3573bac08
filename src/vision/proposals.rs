//! Boxes from another program, a detector say: JSON lines on a Unix socket. What the program says last
//! counts, until it is too old.
//!
//! One line a frame of the other program: `{"boxes": [[x, y, width, height], …]}`, in pixels, with
//! `"ids": [7, …]` beside it when the program follows things by itself. An empty list says that there
//! is nothing to judge.

use serde::Deserialize;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest line that is read, in bytes.
const LONGEST_LINE: u64 = 64 * 1024;
/// Programs that may be connected at once.
const MOST_PROGRAMS: usize = 4;
/// Boxes of one frame; those after them are left.
pub const MOST_BOXES: usize = 64;

/// What the other program said of one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// x, y, width, height, in pixels.
    pub boxes: Vec<[u32; 4]>,
    /// Its numbers for them, of things that it follows; as many as boxes.
    #[serde(default)]
    pub ids: Option<Vec<u32>>,
}

/// Listens, for as long as it lives.
#[derive(Debug)]
pub struct Proposals {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    newest: Mutex<Option<(Instant, Proposal)>>,
    connected: AtomicUsize,
}

impl Proposals {
    /// Makes the socket. One that a program left behind which has ended is replaced.
    ///
    /// # Errors
    /// If another program listens there, or the socket cannot be made.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let listener = bind(path)?;
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        std::thread::Builder::new().name("boxes".to_string()).spawn(move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => serve(stream, &theirs),
                    Err(error) => {
                        log::warn!("boxes: {error}");
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            }
        })?;
        Ok(Self { path: path.to_path_buf(), shared })
    }

    /// What was said last, unless that is longer ago than this.
    pub fn newest(&self, oldest: Duration) -> Option<Proposal> {
        let newest = self.shared.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().filter(|(when, _)| when.elapsed() <= oldest).map(|(_, proposal)| proposal.clone())
    }
}

impl Drop for Proposals {
    fn drop(&mut self) {
        // The thread waits in accept until the program ends; nobody finds it any more.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A listening socket at this place. What is there is replaced if it is a socket that nobody listens
/// to.
///
/// # Errors
/// If somebody does, or it cannot be made.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket {
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens there"));
        }
        std::fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

fn serve(stream: UnixStream, shared: &Arc<Shared>) {
    if shared.connected.fetch_add(1, Ordering::Relaxed) >= MOST_PROGRAMS {
        shared.connected.fetch_sub(1, Ordering::Relaxed);
        log::warn!("boxes: a program too many was turned away");
        return;
    }
    let theirs = shared.clone();
    let thread = std::thread::Builder::new().name("boxes from".to_string()).spawn(move || {
        if let Err(error) = read_all(BufReader::new(stream), &theirs) {
            log::warn!("boxes: the other program was disconnected: {error}");
        }
        theirs.connected.fetch_sub(1, Ordering::Relaxed);
    });
    if let Err(error) = thread {
        shared.connected.fetch_sub(1, Ordering::Relaxed);
        log::warn!("boxes: {error}");
    }
}

fn read_all(mut reader: impl BufRead, shared: &Shared) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        if line.last() != Some(&b'\n') && line.len() as u64 == LONGEST_LINE {
            return Err(wrong(format!("a line of more than {LONGEST_LINE} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let mut proposal: Proposal =
            serde_json::from_slice(&line).map_err(|error| wrong(error.to_string()))?;
        if proposal.ids.as_ref().is_some_and(|ids| ids.len() != proposal.boxes.len()) {
            return Err(wrong("there are not as many ids as boxes".to_string()));
        }
        proposal.boxes.truncate(MOST_BOXES);
        *shared.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), proposal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LONG: Duration = Duration::from_secs(3600);

    /// Waits until this is said.
    fn wait_for(proposals: &Proposals, wanted: &Proposal) {
        let began = Instant::now();
        while proposals.newest(LONG).as_ref() != Some(wanted) {
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}", proposals.newest(LONG));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn the_last_word_counts_whoever_says_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes");
        let proposals = Proposals::listen(&path).unwrap();
        assert_eq!(proposals.newest(LONG), None);
        let mut one = UnixStream::connect(&path).unwrap();
        one.write_all(b"{\"boxes\":[[1,2,3,4]]}\n\n{\"boxes\":[[5,6,7,8],[1,1,1,1]],\"ids\":[9,10]}\n")
            .unwrap();
        let boxes = vec![[5, 6, 7, 8], [1, 1, 1, 1]];
        wait_for(&proposals, &Proposal { boxes, ids: Some(vec![9, 10]) });
        let mut other = UnixStream::connect(&path).unwrap();
        other.write_all(b"{\"boxes\":[]}\n").unwrap();
        wait_for(&proposals, &Proposal::default());
        assert_eq!(proposals.newest(Duration::ZERO), None, "too old");
        assert!(Proposals::listen(&path).is_err(), "it is in use");
        drop(proposals);
        assert!(!path.exists());
    }

    #[test]
    fn nonsense_ends_the_connection_and_changes_nothing() {
        let shared = Shared::default();
        let long = [b'1'; LONGEST_LINE as usize + 5];
        let many = b"{\"boxes\":[[1,2,3,4]],\"ids\":[1,2]}\n".as_slice();
        for text in
            [b"boxes\n".as_slice(), b"{\"boxes\":[[1,2,3]]}\n", b"{\"boxes\":[[-1,2,3,4]]}\n", many, &long]
        {
            assert!(read_all(text, &shared).is_err());
        }
        assert!(shared.newest.lock().unwrap().is_none());
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        Proposals::listen(&path).unwrap();
        std::fs::write(&path, "text").unwrap();
        assert!(Proposals::listen(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
    }
}
