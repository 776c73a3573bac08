//! Stores with events to send, and a home that keeps them.

use anchorwatch_mqtt::{
    About, BrokerOptions, CollectOptions, Collector, Group, SendOptions, Sender, keep_in_store,
};
use anchorwatch_store::{Crop, Facts, Kind, Moment, NewEvent, Picture, Retention, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A picture of this size; a different one for each number.
pub fn picture(number: u32, side: u32) -> Crop {
    let image = image::RgbImage::from_fn(side, side, |x, y| {
        image::Rgb([(x * 7 + number * 31) as u8, (y * 5) as u8, (number * 13) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageRgb8(image).write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    Crop { bytes: bytes.into_inner(), picture: Picture::Jpeg, size: [side, side] }
}

pub fn event(number: i64, crop: Option<Crop>) -> NewEvent {
    let moment = Moment {
        utc_ms: 1_767_225_600_000 + number * 1000,
        uptime_ms: 60_000 + number * 1000,
        boot: "boot-a".into(),
        clock_set: true,
    };
    let mut facts = Facts::new(Kind::Single, moment, "a test");
    facts.frame = number.unsigned_abs();
    facts.region_box = [4, 8, 32, 16];
    facts.class = Some("cat".into());
    facts.score = Some(12.5);
    facts.threshold = Some(10.0);
    facts.logits = vec![0.5, -0.25, 1.0];
    facts.model = "ab12".into();
    NewEvent { facts, crop, identity: None }
}

/// A unit's store.
pub struct Unit {
    pub folder: tempfile::TempDir,
    pub store: Store,
    pub name: String,
}

impl Unit {
    pub fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: open(folder.path(), name), folder, name: name.to_string() }
    }

    /// Records events; every `with_crop`th has a picture of this side.
    pub fn record(&mut self, count: i64, with_crop: i64, side: u32) -> Vec<String> {
        let crop = |number: i64| {
            (with_crop > 0 && number % with_crop == 0).then(|| picture(number.unsigned_abs() as u32, side))
        };
        let group: Vec<NewEvent> = (0..count).map(|number| event(number, crop(number))).collect();
        self.store.record(&group).ids.into_iter().map(Option::unwrap).collect()
    }

    pub fn send(&self, options: SendOptions) -> Sender {
        Sender::start(self.folder.path(), &self.name, options, about()).unwrap()
    }

    pub fn unsent(&self) -> u64 {
        self.store.totals().unwrap().unsent
    }
}

pub fn about() -> About {
    About { version: "1.2.3".into(), model: "ab12".into(), model_version: None, dropped: 7 }
}

fn open(folder: &Path, name: &str) -> Store {
    Store::open(folder, name, Retention { free_floor: 0, ..Retention::default() }).unwrap()
}

pub fn sending(url: &str) -> SendOptions {
    SendOptions { broker: to(url), retry_ms: 20, retry_most_ms: 200, ..SendOptions::default() }
}

pub fn collecting(url: &str, client: &str) -> CollectOptions {
    let broker = BrokerOptions { client_id: Some(client.to_string()), ..to(url) };
    CollectOptions { broker, retry_ms: 20, retry_most_ms: 200, ..CollectOptions::default() }
}

fn to(url: &str) -> BrokerOptions {
    BrokerOptions { url: url.to_string(), ..BrokerOptions::default() }
}

/// A store at home, and what came to it in which order.
#[derive(Clone)]
pub struct Home {
    folder: Arc<tempfile::TempDir>,
    came: Arc<Mutex<Vec<(String, String)>>>,
}

impl Home {
    pub fn new() -> Self {
        Self { folder: Arc::new(tempfile::tempdir().unwrap()), came: Arc::default() }
    }

    /// Collects into it; `refuse` may fail a group before it is kept.
    pub fn collect(
        &self,
        options: CollectOptions,
        mut refuse: impl FnMut(&Group) -> bool + Send + 'static,
    ) -> Collector {
        let mut store = open(self.folder.path(), "home");
        let came = Arc::clone(&self.came);
        Collector::start(options, move |group| {
            if refuse(group) {
                return Err("the disk is full, says the test".to_string());
            }
            keep_in_store(&mut store, group)?;
            let ids = group.events.iter().filter_map(|event| event.identity.clone());
            came.lock().unwrap().extend(ids.map(|identity| (identity.unit, identity.id)));
            Ok(())
        })
        .unwrap()
    }

    /// Everything that was kept, with repetitions: unit and identifier.
    pub fn came(&self) -> Vec<(String, String)> {
        self.came.lock().unwrap().clone()
    }

    /// How many different events came.
    pub fn different(&self) -> usize {
        self.came.lock().unwrap().iter().map(|(_, id)| id).collect::<BTreeSet<_>>().len()
    }

    /// Of each unit, its events in the order in which each came first.
    pub fn first_came(&self) -> BTreeMap<String, Vec<String>> {
        let mut seen = BTreeSet::new();
        let mut by_unit: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (unit, id) in self.came() {
            if seen.insert(id.clone()) {
                by_unit.entry(unit).or_default().push(id);
            }
        }
        by_unit
    }

    pub fn store(&self) -> Store {
        Store::attach(self.folder.path()).unwrap()
    }
}
