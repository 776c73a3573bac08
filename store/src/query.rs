//! Reading: pages by filter, what is to be sent, single events. Pages continue after the last event
//! that was shown, so that the thousandth costs what the first did.

use crate::store::Store;
use crate::{Event, Kind, StoreError, row};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params, params_from_iter};

/// What waits to be sent, by the index `to_send`.
pub(crate) const UNSENT: &str =
    "WHERE events.unit = ?1 AND sent = 0 AND kind <> 'known' AND seq > ?2 ORDER BY seq LIMIT ?3";
/// Crops that wait, by the index `crops_to_send`.
pub(crate) const CROPS_UNSENT: &str =
    "WHERE events.unit = ?1 AND crop_sent = 0 AND crop IS NOT NULL AND kind <> 'known' AND seq > ?2
    ORDER BY seq LIMIT ?3";

/// Which events; all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before this time, in milliseconds since 1970, UTC.
    pub since_ms: Option<i64>,
    /// Before this time.
    pub until_ms: Option<i64>,
    /// The known class that it is most like.
    pub class: Option<String>,
    /// The class that a person gave it.
    pub label: Option<String>,
    /// Whether a person gave it a class.
    pub labelled: Option<bool>,
    /// What happened.
    pub kind: Option<Kind>,
    /// The unit that recorded it.
    pub unit: Option<String>,
    /// Whether it is starred.
    pub starred: Option<bool>,
    /// Whether it was set aside.
    pub ignored: Option<bool>,
    /// Whether the broker has acknowledged it.
    pub sent: Option<bool>,
    /// Whether it has a crop.
    pub with_crop: Option<bool>,
    /// Whether it is a sample of what was judged known.
    pub sample: Option<bool>,
}

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    Newest,
    /// The oldest first.
    Oldest,
}

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last event's time.
    pub utc_ms: i64,
    /// Its number.
    pub seq: i64,
}

/// Some events, and where the next ones begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// Given to [`Store::page`], what comes next; `None` if there is nothing.
    pub next: Option<Cursor>,
}

impl Filter {
    /// Its conditions in SQL, with their values.
    fn conditions(&self) -> (Vec<String>, Vec<Value>) {
        let mut conditions = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        let mut with = |condition: &str, value: Value| {
            values.push(value);
            conditions.push(format!("{condition} ?{}", values.len()));
        };
        if let Some(since) = self.since_ms {
            with("time_ms >=", since.into());
        }
        if let Some(until) = self.until_ms {
            with("time_ms <", until.into());
        }
        for (column, text) in [
            ("class =", self.class.as_deref()),
            ("label =", self.label.as_deref()),
            ("kind =", self.kind.map(Kind::name)),
            ("events.unit =", self.unit.as_deref()),
        ] {
            if let Some(text) = text {
                with(column, text.to_string().into());
            }
        }
        // Written out, so that SQLite knows that an index of starred or unsent events will do.
        for (flag, yes, no) in [
            (self.starred, "starred = 1", "starred = 0"),
            (self.ignored, "ignored = 1", "ignored = 0"),
            (self.sent, "sent = 1", "sent = 0"),
            (self.labelled, "label IS NOT NULL", "label IS NULL"),
            (self.with_crop, "crop IS NOT NULL", "crop IS NULL"),
            (self.sample, "kind = 'known'", "kind <> 'known'"),
        ] {
            if let Some(flag) = flag {
                conditions.push(if flag { yes } else { no }.to_string());
            }
        }
        (conditions, values)
    }
}

impl Store {
    /// A page of events by time: at most `limit`, after the end of the one before.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn page(
        &self,
        filter: &Filter,
        order: Order,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let (mut conditions, mut values) = filter.conditions();
        let (compared, direction) = match order {
            Order::Newest => ("<", "DESC"),
            Order::Oldest => (">", "ASC"),
        };
        if let Some(after) = after {
            values.extend([after.utc_ms.into(), after.seq.into()]);
            let place = values.len();
            conditions.push(format!("(time_ms, seq) {compared} (?{}, ?{place})", place - 1));
        }
        values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        let conditions =
            if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let sql = format!(
            "{} {conditions} ORDER BY time_ms {direction}, seq {direction} LIMIT ?{}",
            row::SELECT,
            values.len()
        );
        let events = self.events(&sql, params_from_iter(values))?;
        let last = events.last().filter(|_| events.len() == limit);
        let next = last.map(|event| Cursor { utc_ms: event.facts.moment.utc_ms, seq: event.seq });
        Ok(Page { events, next })
    }

    /// How many events a filter lets through. Looks at all of them.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn count(&self, filter: &Filter) -> Result<u64, StoreError> {
        let (conditions, values) = filter.conditions();
        let conditions =
            if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let sql = format!("SELECT count(*) FROM events {conditions}");
        self.connection
            .query_row(&sql, params_from_iter(values), |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
            .map_err(self.failed())
    }

    /// Hands on every event of a filter, a page at a time.
    ///
    /// # Errors
    /// If the database cannot be read, or `what` fails.
    pub fn each(
        &self,
        filter: &Filter,
        order: Order,
        mut what: impl FnMut(Event) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        const A_PAGE: usize = 500;
        let mut after = None;
        loop {
            let page = self.page(filter, order, after, A_PAGE)?;
            page.events.into_iter().try_for_each(&mut what)?;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// The event with this identifier.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn event(&self, id: &str) -> Result<Option<Event>, StoreError> {
        self.connection
            .query_row(&format!("{} WHERE id = ?1", row::SELECT), [id], row::event)
            .optional()
            .map_err(self.failed())
    }

    /// All units that events are from.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn units(&self) -> Result<Vec<String>, StoreError> {
        self.rows("SELECT DISTINCT unit FROM boots ORDER BY unit", [], |row| row.get(0))
    }

    /// A unit's events that no broker has acknowledged, in the order in which they were recorded, after
    /// the number `after` (0 at first). An event that is put right when the clock is set is unsent again.
    /// Samples of what was judged known do not wait to be sent.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn unsent(&self, unit: &str, after: i64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let sql = format!("{} {UNSENT}", row::SELECT);
        self.events(&sql, params![unit, after, i64::try_from(limit).unwrap_or(i64::MAX)])
    }

    /// A unit's events whose whole crop no broker has acknowledged, as [`Store::unsent`].
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn crops_unsent(&self, unit: &str, after: i64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let sql = format!("{} {CROPS_UNSENT}", row::SELECT);
        self.events(&sql, params![unit, after, i64::try_from(limit).unwrap_or(i64::MAX)])
    }

    /// The bytes of an event's crop; `None` if it has none.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn crop(&self, event: &Event) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(path) = &event.crop else { return Ok(None) };
        let path = self.folder.join(path);
        std::fs::read(&path).map(Some).map_err(StoreError::file(&path))
    }

    fn events(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<Event>, StoreError> {
        self.rows(sql, values, row::event)
    }
}
