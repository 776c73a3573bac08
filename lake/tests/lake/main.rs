//! The lake as its users see it: what is written, what a kill leaves, compaction while others read, and
//! what DuckDB makes of it.

mod compacted;
mod duckdb;
mod everyday;
mod fleet;
mod killed;
mod queries;
mod read;
mod scratch;
mod trouble;

#[path = "../../../tests/support/python.rs"]
mod python;
#[path = "../../../tests/support/small_disk.rs"]
mod small_disk;
