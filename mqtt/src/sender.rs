//! The thread that sends the field log home, however long the network is away.

use crate::background::Background;
use crate::bandwidth::Bandwidth;
use crate::broker::{self, Broker};
use crate::connection::Connection;
use crate::outbox::Suspects;
use crate::report::Board;
use crate::retry::Retry;
use crate::send_turn::SendTurn;
use crate::session::{self, Sending};
use crate::topics::Topics;
use crate::{About, MqttError, SendOptions, Sent, Stop, status};
use anchorwatch_store::{Store, unit_name};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::LastWill;
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

/// Sends what is recorded into a store until it is dropped. It reads and marks the store with a handle of
/// its own; who records is never held up.
pub struct Sender {
    background: Background<Sent>,
    about: Board<About>,
}

impl Sender {
    /// Starts sending the store of a folder, which must be there. `unit` is the one that it records as.
    ///
    /// # Errors
    /// If a setting or one of its files cannot be used. That the broker is away, or refuses this unit, is
    /// no error: [`Sender::report`] says so, and it is tried again.
    pub fn start(folder: &Path, unit: &str, options: SendOptions, about: About) -> Result<Self, MqttError> {
        let stop = Stop::default();
        let (mut sending, broker) = prepare(unit, options, about, stop.clone(), false)?;
        let (board, about) = (sending.board.clone(), sending.about.clone());
        let runtime = runtime()?;
        let folder = folder.to_path_buf();
        let work = move || runtime.block_on(keep_sending(&folder, &broker, &mut sending));
        Ok(Self { background: Background::start("mqtt", stop, board, work)?, about })
    }

    /// Something was recorded. Without this it is seen some seconds later.
    pub fn wake(&self) {
        self.background.stop.wake();
    }

    /// Does what [`Sender::wake`] does, wherever the sender is.
    pub fn waker(&self) -> Box<dyn Fn() + Send> {
        let stop = self.background.stop.clone();
        Box::new(move || stop.wake())
    }

    /// Says something else of the unit from now on.
    pub fn set_about(&self, about: About) {
        self.about.change(|known| *known = about);
    }

    /// What it did so far, and what is wrong.
    pub fn report(&self) -> Sent {
        self.background.board.read()
    }

    /// Tells what [`Sender::report`] does, wherever the sender is.
    pub fn reporter(&self) -> Box<dyn Fn() -> Sent + Send + Sync> {
        let board = self.background.board.clone();
        Box::new(move || board.read())
    }

    /// Ends it, after a last word to the broker. What is not sent then is sent next time.
    pub fn stop(self) -> Sent {
        self.background.end()
    }
}

/// Sends everything that waits in a store, and returns. For units that are not always on.
///
/// # Errors
/// At the first thing that is wrong; what was acknowledged by then is marked. While a [`Sender`] or another
/// program is sending the same store, [`MqttError::BeingSent`].
pub fn send_all(
    folder: &Path,
    unit: &str,
    options: SendOptions,
    about: About,
    stop: &Stop,
) -> Result<Sent, MqttError> {
    let (mut sending, broker) = prepare(unit, options, about, stop.clone(), true)?;
    runtime()?.block_on(attempt(folder, &broker, &mut sending))?;
    Ok(sending.board.read())
}

fn prepare(
    unit: &str,
    options: SendOptions,
    about: About,
    stop: Stop,
    once: bool,
) -> Result<(Sending, Broker), MqttError> {
    let unit = unit_name(unit);
    let topics = Topics::new(&options.prefix)?;
    if options.discovery {
        crate::discovery(&unit, &about, &options.prefix, &options.discovery_prefix)?;
    }
    let client_id = format!("anchorwatch-{unit}{}", if once { "-once" } else { "" });
    let mut broker = broker::prepare(&options.broker, &client_id)?;
    let will = status::offline(&unit).to_string();
    broker.options.set_last_will(LastWill::new(topics.status(&unit), will, QoS::AtLeastOnce, true, None));
    let known_about = Board::default();
    known_about.change(|known| *known = about);
    let bandwidth = Bandwidth::new(options.bandwidth);
    let sending = Sending {
        unit,
        options,
        topics,
        about: known_about,
        board: Board::default(),
        stop,
        once,
        bandwidth,
        suspects: Suspects::default(),
        held: HashMap::new(),
    };
    Ok((sending, broker))
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, MqttError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(MqttError::Start)
}

/// Never gives up.
async fn keep_sending(folder: &Path, broker: &Broker, sending: &mut Sending) {
    let mut retry = Retry::new(sending.options.retry_ms, sending.options.retry_most_ms);
    while !sending.stop.is_stopped() {
        let (before, since) = (sending.board.read().events, Instant::now());
        let Err(error) = attempt(folder, broker, sending).await else { return };
        sending.board.trouble(&error);
        let progress = sending.board.read().events > before;
        retry.after(&error, since, progress, &sending.stop).await;
    }
}

/// One connection, from beginning to end; nobody else sends the store meanwhile.
async fn attempt(folder: &Path, broker: &Broker, sending: &mut Sending) -> Result<(), MqttError> {
    let mut store = Store::attach(folder)?;
    let _turn = SendTurn::take(folder, if sending.once { "send" } else { "run --mqtt" })?;
    let unsent = store.totals()?.unsent;
    sending.board.change(|sent| sent.unsent = unsent);
    let stop = sending.stop.clone();
    let connecting = Connection::open(broker);
    let connection = tokio::select! {
        connection = connecting => connection?,
        () = async { while !stop.is_stopped() { stop.changed().await; } } => return Ok(()),
    };
    sending.board.change(|sent| {
        sent.connected = true;
        sent.connections += 1;
        sent.problem = None;
    });
    let done = session::run(sending, &mut store, connection).await;
    sending.board.change(|sent| sent.connected = false);
    done
}
