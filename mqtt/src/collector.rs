//! Home: subscribes to the units, and acknowledges a message only when what it brought was kept. The
//! broker keeps the session while the collector is away, so that nothing is lost meanwhile.

use crate::background::Background;
use crate::broker::{self, Broker};
use crate::connection::{Connection, Seen};
use crate::report::Board;
use crate::retry::Retry;
use crate::sender::runtime;
use crate::topics::{Named, Topics, is_id_of, is_unit};
use crate::{
    CollectOptions, Collected, Group, LatePicture, MAX_EVENT_BYTES, MqttError, Stop, event_from_json,
    thumbnail,
};
use rumqttc::v5::mqttbytes::v5::Publish;
use std::time::{Duration, Instant};

/// How long a group waits for one more message.
const FOR_MORE: Duration = Duration::from_millis(20);
/// Collects what units send, until it is dropped.
pub struct Collector {
    background: Background<Collected>,
}

/// What keeps a group; the reason if it cannot.
type Keep = dyn FnMut(&Group) -> Result<(), String> + Send;

struct Collecting {
    options: CollectOptions,
    topics: Topics,
    filters: Vec<String>,
    board: Board<Collected>,
    stop: Stop,
    keep: Box<Keep>,
}

impl Collector {
    /// Starts collecting. `keep` gets groups in the order in which they came, on the collector's thread;
    /// when it fails, the broker sends the group again after a while. It may get the same event twice,
    /// and must know it by its identifier.
    ///
    /// # Errors
    /// If a setting or one of its files cannot be used. That the broker is away or refuses this client is
    /// no error: [`Collector::report`] says so, and it is tried again.
    pub fn start(
        options: CollectOptions,
        keep: impl FnMut(&Group) -> Result<(), String> + Send + 'static,
    ) -> Result<Self, MqttError> {
        let stop = Stop::default();
        let board = Board::default();
        let topics = Topics::new(&options.prefix)?;
        let filters = topics.filters(options.group.as_deref(), options.pictures)?;
        if options.broker.client_id.as_deref().unwrap_or_default().is_empty() {
            let reason =
                "a collector needs a --client-id that stays the same: the broker keeps its messages under it";
            return Err(MqttError::Setting(reason.to_string()));
        }
        let mut broker = broker::prepare(&options.broker, "")?;
        broker
            .options
            .set_clean_start(false)
            .set_session_expiry_interval(Some(options.session_days.saturating_mul(86_400)))
            .set_receive_maximum(Some(options.at_once.max(1)))
            .set_max_packet_size(Some(options.max_bytes))
            .set_manual_acks(true);
        let mut collecting = Collecting {
            options,
            topics,
            filters,
            board: board.clone(),
            stop: stop.clone(),
            keep: Box::new(keep),
        };
        let runtime = runtime()?;
        let work = move || runtime.block_on(keep_collecting(&broker, &mut collecting));
        Ok(Self { background: Background::start("collect", stop, board, work)? })
    }

    /// What it did so far, and what is wrong.
    pub fn report(&self) -> Collected {
        self.background.board.read()
    }

    /// Ends it. What was not kept by then comes next time.
    pub fn stop(self) -> Collected {
        self.background.end()
    }
}

/// Never gives up.
async fn keep_collecting(broker: &Broker, collecting: &mut Collecting) {
    let mut retry = Retry::new(collecting.options.retry_ms, collecting.options.retry_most_ms);
    while !collecting.stop.is_stopped() {
        let since = Instant::now();
        let Err(error) = collect(broker, collecting).await else { return };
        collecting.board.trouble(&error);
        collecting.board.change(|collected| collected.connected = false);
        retry.after(&error, since, false, &collecting.stop).await;
    }
}

/// One connection, from beginning to end.
async fn collect(broker: &Broker, collecting: &mut Collecting) -> Result<(), MqttError> {
    let stop = collecting.stop.clone();
    let stopped = async {
        while !stop.is_stopped() {
            stop.changed().await;
        }
    };
    tokio::pin!(stopped);
    let mut connection = tokio::select! {
        connection = Connection::open(broker) => connection?,
        () = &mut stopped => return Ok(()),
    };
    connection.subscribe(&collecting.filters).await;
    loop {
        let first = tokio::select! {
            seen = connection.next() => seen,
            () = &mut stopped => break,
        };
        let mut messages = Vec::new();
        let lost = gather(&mut connection, collecting, first, &mut messages).await;
        if let Err(error @ MqttError::NoSubscription { .. }) = lost {
            return Err(error);
        }
        let group = collecting.group(&messages);
        if !group.is_empty() {
            (collecting.keep)(&group).map_err(MqttError::Keep)?;
            collecting.board.change(|collected| {
                collected.events += group.events.len() as u64;
                collected.pictures += group.pictures.len() as u64;
                collected.problem = None;
            });
        }
        // What was refused is acknowledged too: it would come again for ever.
        for message in &messages {
            connection.acknowledge(message).await;
        }
        lost?;
    }
    collecting.board.change(|collected| collected.connected = false);
    connection.close().await;
    Ok(())
}

/// Adds messages until there are enough, or none comes for a moment.
async fn gather(
    connection: &mut Connection,
    collecting: &Collecting,
    first: Seen,
    messages: &mut Vec<Publish>,
) -> Result<(), MqttError> {
    let mut seen = first;
    loop {
        match seen {
            Seen::Came(message) => messages.push(message),
            Seen::Lost(error) => return Err(error),
            Seen::Subscribed(None) => collecting.board.change(|collected| {
                collected.connected = true;
                collected.connections += 1;
                collected.problem = None;
            }),
            Seen::Subscribed(Some(reason)) => {
                let filter = collecting.filters.join(", ");
                return Err(MqttError::NoSubscription { filter, reason });
            }
            Seen::Published(_) | Seen::Acknowledged(..) => {}
        }
        if messages.is_empty() || messages.len() >= usize::from(collecting.options.at_once) {
            return Ok(());
        }
        match tokio::time::timeout(FOR_MORE, connection.next()).await {
            Ok(next) => seen = next,
            Err(_) => return Ok(()),
        }
    }
}

impl Collecting {
    fn group(&self, messages: &[Publish]) -> Group {
        let mut group = Group::default();
        for message in messages {
            let topic = String::from_utf8_lossy(&message.topic);
            if let Err(reason) = self.add(&mut group, &topic, &message.payload) {
                self.board.refusal(&topic, &reason);
            }
        }
        group
    }

    fn add(&self, group: &mut Group, topic: &str, payload: &[u8]) -> Result<(), String> {
        let (unit, id, whole) = match self.topics.parse(topic) {
            Some(Named::Event { unit }) => {
                let event = event_from_json(unit, payload).map_err(|refusal| refusal.to_string())?;
                group.events.push(event);
                return Ok(());
            }
            Some(Named::Thumbnail { unit, id }) if payload.len() <= MAX_EVENT_BYTES => (unit, id, false),
            Some(Named::Thumbnail { .. }) => return Err("it is too large for a thumbnail".to_string()),
            Some(Named::Crop { unit, id }) => (unit, id, true),
            None => return Err("it is to no topic of a unit".to_string()),
        };
        if !is_unit(unit) || !is_id_of(id, unit) {
            return Err("its identifier is not one of its unit".to_string());
        }
        let crop = thumbnail::crop_of(payload)?;
        group.add_picture(LatePicture { unit: unit.to_string(), id: id.to_string(), crop, whole });
        Ok(())
    }
}
