//! Whose turn it is to send a field log: one program's at a time, or everything would be sent twice.

use crate::MqttError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// The file in the log's folder that who sends has locked. It says who that is.
const FILE: &str = "send.lock";
/// For so long a lock may be there that nobody holds any more: a child that a killed program was just
/// starting has the file open too, until it becomes another program.
const LEFT_BEHIND: Duration = Duration::from_millis(300);
/// Between two looks at it.
const A_LOOK: Duration = Duration::from_millis(20);
/// What is read of who holds it.
const MOST_TOLD: u64 = 100;

/// The turn to send a log, until it is dropped.
#[derive(Debug)]
pub(crate) struct SendTurn(File);

impl SendTurn {
    /// Takes the turn; `what` says to others what is being done.
    ///
    /// # Errors
    /// If another has it, or the file cannot be made.
    pub(crate) fn take(folder: &Path, what: &str) -> Result<Self, MqttError> {
        let path = folder.join(FILE);
        let failed = |source| MqttError::Turn { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < LEFT_BEHIND => std::thread::sleep(A_LOOK),
                Err(TryLockError::WouldBlock) => {
                    return Err(MqttError::BeingSent { folder: folder.to_path_buf(), who: who(&mut file) });
                }
                // Some file systems have no locks; sending works without one.
                Err(TryLockError::Error(error)) => {
                    log::debug!("{}: no lock: {error}", path.display());
                    break;
                }
            }
        }
        // That others cannot be told who it is, on a full disk say, keeps nobody from sending.
        let told = file.set_len(0).and_then(|()| file.rewind());
        let told = told.and_then(|()| writeln!(file, "process {} ({what})", std::process::id()));
        if let Err(error) = told {
            log::debug!("{}: {error}", path.display());
        }
        Ok(Self(file))
    }
}

/// Closing alone would not give it up at once, while a child is being started.
impl Drop for SendTurn {
    fn drop(&mut self) {
        let _ = self.0.unlock(); // closing does it a moment later
    }
}

/// Who has the file locked, as it says itself.
fn who(file: &mut File) -> String {
    let mut told = String::new();
    let read = file.rewind().and_then(|()| file.take(MOST_TOLD).read_to_string(&mut told));
    let line: String = told.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    if read.is_err() || line.is_empty() { "another program".to_string() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sends_at_a_time_and_the_other_is_told_who() {
        let folder = tempfile::tempdir().unwrap();
        let turn = SendTurn::take(folder.path(), "run --mqtt").unwrap();
        let refused = SendTurn::take(folder.path(), "send").unwrap_err();
        assert!(!refused.needs_a_change(), "it is tried again");
        let text = refused.to_string();
        let who = format!("process {} (run --mqtt)", std::process::id());
        assert!(text.contains(&who) && text.contains("end that first"), "{text}");
        drop(turn);
        drop(SendTurn::take(folder.path(), "send").unwrap());
        // Nothing is left of a longer text.
        let _turn = SendTurn::take(folder.path(), "x").unwrap();
        let text = SendTurn::take(folder.path(), "send").unwrap_err().to_string();
        assert!(text.contains("(x):"), "{text}");
        let missing = SendTurn::take(&folder.path().join("missing"), "send").unwrap_err().to_string();
        assert!(missing.contains("send.lock"), "{missing}");
    }

    /// What a child that is just being started has open does not hold the turn.
    #[test]
    fn a_turn_that_is_given_up_is_free_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..20 {
            let turn = SendTurn::take(folder.path(), "send").unwrap();
            let child = turn.0.try_clone().unwrap();
            drop(turn);
            let file = OpenOptions::new().write(true).open(folder.path().join(FILE)).unwrap();
            file.try_lock().unwrap();
            file.unlock().unwrap();
            drop(child);
        }
    }
}
