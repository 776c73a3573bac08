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
