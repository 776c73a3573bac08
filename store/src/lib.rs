//! The field log: what was seen, in an SQLite database, and its crops as files beside it. A power cut
//! loses at most the group of events that was being written; a full disk never stops the caller; old
//! events make room for new ones. `docs/field-log.md` has the layout, the order of syncs and the rules.
//!
//! It knows nothing of networks, cameras or brokers: what is recorded comes from the caller as
//! [`NewEvent`], and is read back as [`Event`].

mod boots;
mod coco;
mod crops;
mod error;
mod event;
mod export;
mod late_crop;
mod marks;
mod query;
mod recording;
mod retention;
mod room;
mod row;
mod salvage;
mod schema;
mod store;
mod verify;

pub use error::StoreError;
pub use event::{
    Clock, Crop, Event, Facts, Identity, Kind, Marks, Moment, NewEvent, Picture, Position, timestamp,
};
pub use export::folder_name;
pub use late_crop::Attached;
pub use query::{Cursor, Filter, Order, Page};
pub use recording::Recorded;
pub use retention::{Removed, Retention};
pub use store::{DATABASE, Store, Totals, unit_name};
pub use verify::{Findings, verify};
