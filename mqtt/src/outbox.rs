//! What is sent next: the events of each unit in their order, each followed by its thumbnail, and when
//! there are none, whole crops.

use crate::confirm::{Item, Ledger, Role};
use crate::topics::Topics;
use crate::{MqttError, SendOptions, detections, event_json, thumbnail};
use anchorwatch_store::{Event, Store};
use std::collections::{HashMap, HashSet, VecDeque};

/// Events that are read at once.
const A_PAGE: usize = 16;
/// Connections that may break on a picture before it is passed over.
const CHANCES: u32 = 5;

/// A message that is ready to go.
pub(crate) struct Ready {
    pub(crate) role: Role,
    pub(crate) topic: String,
    pub(crate) unit: String,
    pub(crate) item: Option<u64>,
    pub(crate) kind: &'static str,
    pub(crate) payload: Vec<u8>,
}

/// Pictures on which connections broke: a proxy or a broker may not take them, and says nothing.
#[derive(Debug, Default)]
pub(crate) struct Suspects(HashMap<String, u32>);

impl Suspects {
    pub(crate) fn broke_on(&mut self, topic: &str) {
        *self.0.entry(topic.to_string()).or_default() += 1;
    }

    fn is_hopeless(&self, topic: &str) -> bool {
        self.0.get(topic).is_some_and(|times| *times >= CHANCES)
    }
}

/// What one connection has taken from the store.
pub(crate) struct Outbox<'a> {
    options: &'a SendOptions,
    topics: &'a Topics,
    suspects: &'a Suspects,
    /// Bytes of a packet that the broker takes.
    largest: usize,
    ready: VecDeque<Ready>,
    /// The last event that was read, by unit.
    events_until: HashMap<String, i64>,
    crops_until: HashMap<String, i64>,
    /// Pictures that are not sent.
    pub(crate) passed_over: u64,
}

impl<'a> Outbox<'a> {
    pub(crate) fn new(
        options: &'a SendOptions,
        topics: &'a Topics,
        suspects: &'a Suspects,
        largest: usize,
    ) -> Self {
        Self {
            options,
            topics,
            suspects,
            largest,
            ready: VecDeque::new(),
            events_until: HashMap::new(),
            crops_until: HashMap::new(),
            passed_over: 0,
        }
    }

    /// The unit of the next message, which is read from the store if none is ready.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) fn next_unit(
        &mut self,
        store: &Store,
        ledger: &mut Ledger,
        held: &HashSet<String>,
    ) -> Result<Option<&Ready>, MqttError> {
        if self.ready.is_empty() {
            self.read(store, ledger, held)?;
        }
        Ok(self.ready.front())
    }

    /// Takes the next message.
    pub(crate) fn take(&mut self) -> Option<Ready> {
        self.ready.pop_front()
    }

    /// Reads the unit's events from the beginning, when it is its turn again.
    pub(crate) fn begin_anew(&mut self, unit: &str) {
        self.ready.retain(|ready| ready.unit != unit);
        self.events_until.remove(unit);
    }

    fn read(&mut self, store: &Store, ledger: &mut Ledger, held: &HashSet<String>) -> Result<(), MqttError> {
        let units: Vec<String> = store.units()?.into_iter().filter(|unit| !held.contains(unit)).collect();
        for unit in &units {
            let after = self.events_until.get(unit).copied().unwrap_or(0);
            let events = store.unsent(unit, after, A_PAGE)?;
            if let Some(last) = events.last() {
                self.events_until.insert(unit.clone(), last.seq);
                events.into_iter().for_each(|event| self.add_event(store, ledger, event));
                return Ok(());
            }
        }
        if !ledger.is_settled() {
            return Ok(());
        }
        // An event whose time was put right is unsent again, and has an earlier number.
        self.events_until.clear();
        if self.options.crops {
            for unit in &units {
                if self.read_crop(store, ledger, unit)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn add_event(&mut self, store: &Store, ledger: &mut Ledger, mut event: Event) {
        if !self.options.crops {
            // Some ten kilobytes of text: for whom even the crops are not too much.
            event.facts.embedding = Vec::new();
        }
        let payload = event_json(&event);
        let topic = self.topics.event(&event.unit);
        if !self.fits(&topic, payload.len()) {
            // The store keeps it; it would break every connection.
            log::error!("event {} is larger than the broker takes, and stays here", event.id);
            self.passed_over += 1;
            return;
        }
        let small = self.thumbnail(store, &event);
        let shaped = self.options.detections.then(|| detections(&event).to_string().into_bytes());
        let unit = event.unit.clone();
        let json = "application/json";
        let messages = 1 + usize::from(small.is_some());
        let item = Some(ledger.begin(Item::Event(Box::new(event)), messages));
        self.add(Role::Event, topic, &unit, item, json, payload);
        if let Some((topic, payload)) = small {
            self.add(Role::Thumbnail, topic, &unit, item, "image/jpeg", payload);
        }
        if let Some(payload) = shaped {
            self.add(Role::Other, self.topics.detections(&unit), &unit, None, json, payload);
        }
    }

    fn add(
        &mut self,
        role: Role,
        topic: String,
        unit: &str,
        item: Option<u64>,
        kind: &'static str,
        payload: Vec<u8>,
    ) {
        self.ready.push_back(Ready { role, topic, unit: unit.to_string(), item, kind, payload });
    }

    /// A picture that is damaged or too large holds up nothing: the event goes without it.
    fn thumbnail(&mut self, store: &Store, event: &Event) -> Option<(String, Vec<u8>)> {
        if self.options.thumbnail_side == 0 || event.crop.is_none() {
            return None;
        }
        let topic = self.topics.thumbnail(&event.unit, &event.id);
        let made = self.readable(store, event, &topic).and_then(|bytes| {
            let small = thumbnail::thumbnail(bytes, self.options.thumbnail_side)?;
            if self.fits(&topic, small.len()) {
                Ok(small)
            } else {
                Err("the broker takes no such size".into())
            }
        });
        match made {
            Ok(small) => Some((topic, small)),
            Err(reason) => {
                log::warn!("event {} goes without a thumbnail: {reason}", event.id);
                self.passed_over += 1;
                None
            }
        }
    }

    /// Makes the unit's next whole crop ready, if there is one.
    fn read_crop(&mut self, store: &Store, ledger: &mut Ledger, unit: &str) -> Result<bool, MqttError> {
        loop {
            let after = self.crops_until.get(unit).copied().unwrap_or(0);
            let page = store.crops_unsent(unit, after, A_PAGE)?;
            if page.is_empty() {
                return Ok(false);
            }
            for event in page {
                self.crops_until.insert(unit.to_string(), event.seq);
                // Its event waits for something; the crop comes after it.
                if !event.marks.sent {
                    continue;
                }
                let topic = self.topics.crop(unit, &event.id);
                let bytes = self.readable(store, &event, &topic).and_then(|bytes| {
                    thumbnail::crop_of(&bytes)?;
                    if self.fits(&topic, bytes.len()) {
                        Ok(bytes)
                    } else {
                        Err("the broker takes no such size".into())
                    }
                });
                match bytes {
                    Ok(bytes) => {
                        let is_png = event.crop.as_deref().is_some_and(|path| path.ends_with("png"));
                        let kind = if is_png { "image/png" } else { "image/jpeg" };
                        let item = Item::Crop { unit: unit.to_string(), id: event.id };
                        let item = Some(ledger.begin(item, 1));
                        self.add(Role::Crop, topic, unit, item, kind, bytes);
                        return Ok(true);
                    }
                    Err(reason) => {
                        log::warn!("the crop of {} is not sent: {reason}", event.id);
                        self.passed_over += 1;
                    }
                }
            }
        }
    }

    fn readable(&self, store: &Store, event: &Event, topic: &str) -> Result<Vec<u8>, String> {
        if self.suspects.is_hopeless(topic) {
            return Err(format!("{CHANCES} connections broke on it"));
        }
        let bytes = store.crop(event).map_err(|error| error.to_string())?.unwrap_or_default();
        if bytes.len() as u64 == event.crop_bytes {
            Ok(bytes)
        } else {
            Err("its file is damaged".to_string())
        }
    }

    /// With room for what a packet has besides its payload.
    fn fits(&self, topic: &str, payload: usize) -> bool {
        payload.saturating_add(topic.len() + 64) <= self.largest
    }
}
