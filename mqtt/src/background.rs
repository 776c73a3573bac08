//! What runs on a thread of its own until it is dropped, and the figures that it keeps.

use crate::report::Board;
use crate::{MqttError, Stop};
use std::thread::JoinHandle;

/// A running thread.
pub(crate) struct Background<F: Clone> {
    pub(crate) stop: Stop,
    pub(crate) board: Board<F>,
    thread: Option<JoinHandle<()>>,
}

impl<F: Clone> Background<F> {
    /// Starts `work`, which heeds `stop` and writes to `board`.
    pub(crate) fn start(
        name: &str,
        stop: Stop,
        board: Board<F>,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<Self, MqttError> {
        let thread =
            std::thread::Builder::new().name(name.to_string()).spawn(work).map_err(MqttError::Start)?;
        Ok(Self { stop, board, thread: Some(thread) })
    }

    /// Ends it; its last figures.
    pub(crate) fn end(mut self) -> F {
        self.join();
        self.board.read()
    }

    fn join(&mut self) {
        self.stop.stop();
        let Some(thread) = self.thread.take() else { return };
        let name = thread.thread().name().unwrap_or_default().to_string();
        if thread.join().is_err() {
            log::error!("the thread '{name}' panicked");
        }
    }
}

impl<F: Clone> Drop for Background<F> {
    fn drop(&mut self) {
        self.join();
    }
}
