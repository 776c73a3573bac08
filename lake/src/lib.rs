//! The lake: many units' events as Parquet files in folders by day and unit, which DuckDB, Spark and
//! other engines read as they are. For a host that collects from many units; a board has the field log.
//!
//! What [`LakeWriter::flush`] was called for is durable: it is in a journal, and becomes Parquet files
//! when enough has come together. A kill or a power cut at any moment leaves only whole Parquet files.
//! Any number of writers may write into one lake, and [`compact`] merges their small files.
//! `docs/lake.md` has the layout, the columns and the queries.
//!
//! It knows nothing of brokers: who calls it acknowledges what was flushed. An event may come more than
//! once; [`duckdb_views`] has the view that shows each once.

mod columns;
mod compaction;
mod entry;
mod error;
mod files;
mod journal;
mod lock;
mod partition;
mod parts;
mod views;
mod writer;

pub use columns::schema;
pub use compaction::{Compacted, compact, days};
pub use entry::Entry;
pub use error::LakeError;
pub use views::{COUNT_UNKNOWNS, duckdb_views};
pub use writer::{LakeSettings, LakeWriter};
