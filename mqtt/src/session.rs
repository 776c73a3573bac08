//! What a unit does on one connection: says that it is there, sends what waits, marks what is confirmed.

use crate::bandwidth::Bandwidth;
use crate::confirm::{Item, Ledger, Letter, Role};
use crate::connection::{Connection, Seen};
use crate::outbox::{Outbox, Suspects};
use crate::report::Board;
use crate::topics::Topics;
use crate::{About, MqttError, SendOptions, Sent, Stop, discovery, status};
use anchorwatch_store::{Event, Store};
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Bytes on their way at once, if it is more than one message: an event does not wait for crops long.
const BYTES_IN_FLIGHT: usize = 256 * 1024;
/// How often the store is looked at when nobody wakes the sender.
const LOOK: Duration = Duration::from_secs(5);
/// How often the figures are told when they changed.
const TELL: Duration = Duration::from_secs(60);
/// How long the last messages may take when it is stopped.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a sender has, connection or not.
pub(crate) struct Sending {
    pub(crate) unit: String,
    pub(crate) options: SendOptions,
    pub(crate) topics: Topics,
    pub(crate) about: Board<About>,
    pub(crate) board: Board<Sent>,
    pub(crate) stop: Stop,
    /// Ends when everything is sent, and at the first thing that is wrong.
    pub(crate) once: bool,
    pub(crate) bandwidth: Bandwidth,
    pub(crate) suspects: Suspects,
    /// Units that wait, and until when.
    pub(crate) held: HashMap<String, Instant>,
}

/// One connection's state.
struct Session<'a> {
    sending: &'a Sending,
    store: &'a mut Store,
    connection: &'a mut Connection,
    bandwidth: &'a mut Bandwidth,
    outbox: Outbox<'a>,
    ledger: Ledger,
    /// Units whose events have found a subscriber on this connection: the others' go one at a time, so
    /// that their order is kept when nobody listens yet.
    heard: HashSet<String>,
    held: &'a mut HashMap<String, Instant>,
    /// What the broker refused on this connection.
    refused: Option<MqttError>,
    /// Confirmed, and not yet marked.
    confirmed: Vec<Item>,
    told: Value,
    told_at: Instant,
}

/// Sends until it is stopped, or, once, until nothing is left.
///
/// # Errors
/// If the connection breaks, or the store cannot be read or marked.
pub(crate) async fn run(
    sending: &mut Sending,
    store: &mut Store,
    mut connection: Connection,
) -> Result<(), MqttError> {
    let mut bandwidth = sending.bandwidth.clone();
    let mut held = std::mem::take(&mut sending.held);
    let mut broke_on = None;
    let done = {
        let outbox =
            Outbox::new(&sending.options, &sending.topics, &sending.suspects, connection.limits.packet);
        let mut session = Session {
            sending,
            store,
            connection: &mut connection,
            bandwidth: &mut bandwidth,
            outbox,
            ledger: Ledger::default(),
            heard: HashSet::new(),
            held: &mut held,
            refused: None,
            confirmed: Vec::new(),
            told: Value::Null,
            told_at: Instant::now(),
        };
        let done = session.send().await;
        if matches!(done, Err(MqttError::Lost { .. })) {
            let oldest = session.ledger.oldest();
            let picture = oldest.filter(|letter| matches!(letter.role, Role::Thumbnail | Role::Crop));
            broke_on = picture.map(|letter| letter.topic.clone());
        }
        done
    };
    sending.bandwidth = bandwidth;
    sending.held = held;
    if let Some(topic) = broke_on {
        sending.suspects.broke_on(&topic);
    }
    if done.is_ok() {
        connection.close().await;
    }
    done
}

impl Session<'_> {
    async fn send(&mut self) -> Result<(), MqttError> {
        self.announce().await?;
        self.tell().await?;
        loop {
            // First: what is confirmed and not marked would be read from the store again.
            self.mark()?;
            let wait = self.hand_over().await?;
            if self.sending.stop.is_stopped() {
                return self.say_goodbye().await;
            }
            if self.sending.once && self.is_done()? {
                return self.say_goodbye().await;
            }
            if self.is_worth_telling()? {
                self.tell().await?;
            }
            tokio::select! {
                seen = self.connection.next() => self.handle_all(seen)?,
                () = self.sending.stop.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Hands over what may go now. How long nothing else may.
    async fn hand_over(&mut self) -> Result<Duration, MqttError> {
        let now = Instant::now();
        self.held.retain(|_, until| *until > now);
        let held: HashSet<String> = self.held.keys().cloned().collect();
        while self.ledger.unanswered() < self.connection.limits.window
            && (self.ledger.unanswered() == 0 || self.ledger.unanswered_bytes() < BYTES_IN_FLIGHT)
        {
            let Some(next) = self.outbox.next_unit(self.store, &mut self.ledger, &held)? else { break };
            let is_heard = self.sending.options.without_subscriber || self.heard.contains(&next.unit);
            if !is_heard && self.ledger.unanswered() > 0 {
                break;
            }
            let now = Instant::now();
            if let Some(at) = self.bandwidth.not_before(now) {
                return Ok(at - now);
            }
            let Some(ready) = self.outbox.take() else { break };
            let bytes = ready.topic.len() + ready.payload.len();
            self.ledger.hand(ready.role, &ready.topic, &ready.unit, ready.item, bytes);
            self.count_bytes(bytes);
            self.connection.publish(&ready.topic, false, ready.kind, ready.payload).await;
        }
        let passed_over = std::mem::take(&mut self.outbox.passed_over);
        if passed_over > 0 {
            self.sending.board.change(|sent| sent.passed_over += passed_over);
        }
        let now = Instant::now();
        Ok(self.held.values().map(|until| *until - now).min().unwrap_or(LOOK).min(LOOK))
    }

    fn handle_all(&mut self, first: Seen) -> Result<(), MqttError> {
        let mut seen = Some(first);
        while let Some(next) = seen {
            self.handle(next)?;
            seen = self.connection.already();
        }
        Ok(())
    }

    fn handle(&mut self, seen: Seen) -> Result<(), MqttError> {
        match seen {
            Seen::Published(packet) => self.ledger.published(packet),
            Seen::Acknowledged(packet, answer) => {
                if let Some((letter, confirmed)) = self.ledger.answered(packet) {
                    self.confirmed.extend(confirmed);
                    self.settle(letter, answer)?;
                }
            }
            Seen::Lost(error) => {
                self.mark()?;
                // A broker that hangs up after a refusal does it for that.
                return Err(self.refused.take().unwrap_or(error));
            }
            Seen::Came(_) | Seen::Subscribed(_) => {}
        }
        Ok(())
    }

    /// What the broker's answer to one message means.
    fn settle(&mut self, letter: Letter, answer: PubAckReason) -> Result<(), MqttError> {
        let nobody = answer == PubAckReason::NoMatchingSubscribers;
        let taken = answer == PubAckReason::Success || nobody;
        match letter.role {
            Role::Event if nobody && !self.sending.options.without_subscriber => {
                self.hold(&letter.unit, MqttError::NoSubscriber { topic: letter.topic })
            }
            Role::Event if taken => {
                self.heard.insert(letter.unit);
                self.ledger.settle(letter.item);
                Ok(())
            }
            Role::Thumbnail if !taken && answer != PubAckReason::NotAuthorized => {
                log::warn!("the broker refuses '{}' ({answer:?}): its event goes without it", letter.topic);
                self.sending.board.change(|sent| sent.passed_over += 1);
                self.ledger.settle(letter.item);
                Ok(())
            }
            Role::Crop if !taken => {
                log::warn!("the broker refuses '{}': {answer:?}", letter.topic);
                self.sending.board.change(|sent| sent.passed_over += 1);
                self.ledger.give_up(letter.item);
                Ok(())
            }
            Role::Event | Role::Thumbnail if !taken => {
                let reason = format!("{answer:?}");
                self.hold(&letter.unit, MqttError::NotAllowed { topic: letter.topic, reason })
            }
            Role::Other if !taken => {
                log::warn!("the broker refuses '{}': {answer:?}", letter.topic);
                Ok(())
            }
            _ => {
                self.ledger.settle(letter.item);
                Ok(())
            }
        }
    }

    /// A unit's events wait, and are then sent from the first one that is not marked.
    fn hold(&mut self, unit: &str, error: MqttError) -> Result<(), MqttError> {
        self.outbox.begin_anew(unit);
        self.ledger.give_up_unit(unit);
        self.heard.remove(unit);
        if self.sending.once {
            return Err(error);
        }
        let options = &self.sending.options;
        let wait = options.retry_most_ms.min(10 * options.retry_ms);
        self.held.insert(unit.to_string(), Instant::now() + Duration::from_millis(wait));
        self.sending.board.trouble(&error);
        if error.needs_a_change() {
            self.refused = Some(error);
        } else {
            log::info!("{error}");
        }
        Ok(())
    }

    fn mark(&mut self) -> Result<(), MqttError> {
        if self.confirmed.is_empty() {
            return Ok(());
        }
        let mut events: Vec<Event> = Vec::new();
        let mut crops = Vec::new();
        for item in self.confirmed.drain(..) {
            match item {
                Item::Event(event) => events.push(*event),
                Item::Crop { id, .. } => crops.push(id),
            }
        }
        if !events.is_empty() {
            self.store.mark_sent_as_read(&events)?;
        }
        if !crops.is_empty() {
            self.store.mark_crop_sent(&crops)?;
        }
        let unsent = self.store.totals()?.unsent;
        let is_well = self.held.is_empty();
        self.sending.board.change(|sent| {
            sent.events += events.len() as u64;
            sent.crops += crops.len() as u64;
            sent.unsent = unsent;
            if is_well {
                sent.problem = None;
            }
        });
        Ok(())
    }

    /// Whether there is nothing left to send.
    fn is_done(&mut self) -> Result<bool, MqttError> {
        let nobody_waits = HashSet::new();
        let none_ready = self.outbox.next_unit(self.store, &mut self.ledger, &nobody_waits)?.is_none();
        Ok(none_ready && self.ledger.is_settled() && self.ledger.unanswered() == 0)
    }

    async fn announce(&mut self) -> Result<(), MqttError> {
        let options = &self.sending.options;
        if options.discovery {
            let about = self.sending.about.read();
            let (topic, payload) =
                discovery(&self.sending.unit, &about, &options.prefix, &options.discovery_prefix)?;
            self.retain(&topic, &payload).await;
        }
        Ok(())
    }

    /// The last message that waits is confirmed by telling; that all is sent is news; the rest can wait.
    fn is_worth_telling(&self) -> Result<bool, MqttError> {
        let all_is_sent = self.sending.board.read().unsent == 0 && self.told["unsent"] != 0;
        Ok(self.ledger.needs_an_answer()
            || all_is_sent && self.ledger.unanswered() == 0
            || self.told_at.elapsed() > TELL && self.figures_changed()?)
    }

    fn figures(&self) -> Result<Value, MqttError> {
        let mut totals = self.store.totals()?;
        self.sending.board.change(|sent| sent.unsent = totals.unsent);
        // The message that tells this is the one that confirms these.
        totals.unsent = totals.unsent.saturating_sub(self.ledger.answered_events());
        let about = self.sending.about.read();
        Ok(status::online(&self.sending.unit, &about, &totals, self.store.free_bytes().ok()))
    }

    fn figures_changed(&self) -> Result<bool, MqttError> {
        let mut now = self.figures()?;
        // These change all the time.
        for member in ["time", "free_bytes"] {
            now[member] = self.told[member].clone();
        }
        Ok(now != self.told)
    }

    async fn tell(&mut self) -> Result<(), MqttError> {
        let figures = self.figures()?;
        let topic = self.sending.topics.status(&self.sending.unit);
        self.retain(&topic, &figures).await;
        self.told = figures;
        self.told_at = Instant::now();
        Ok(())
    }

    async fn retain(&mut self, topic: &str, payload: &Value) {
        let payload = payload.to_string().into_bytes();
        let bytes = topic.len() + payload.len();
        self.ledger.hand(Role::Other, topic, &self.sending.unit, None, bytes);
        self.count_bytes(bytes);
        self.connection.publish(topic, true, "application/json", payload).await;
    }

    fn count_bytes(&mut self, bytes: usize) {
        self.bandwidth.sent(bytes, Instant::now());
        self.sending.board.change(|sent| sent.bytes += bytes as u64);
    }

    /// The last answers still count; then the unit is offline.
    async fn say_goodbye(&mut self) -> Result<(), MqttError> {
        let topic = self.sending.topics.status(&self.sending.unit);
        self.retain(&topic, &status::offline(&self.sending.unit)).await;
        let until = tokio::time::Instant::now() + FAREWELL;
        while self.ledger.unanswered() > 0 {
            let Ok(seen) = tokio::time::timeout_at(until, self.connection.next()).await else { break };
            self.handle(seen)?;
        }
        self.mark()
    }
}
