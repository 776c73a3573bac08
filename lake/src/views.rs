//! How DuckDB is told of the lake: the statements of `docs/lake.md`, in one place.

use std::path::Path;

/// How many unknown things each unit met on each day, in DuckDB's SQL, after [`duckdb_views`]. What came
/// into view and went again is two events; the first is counted.
pub const COUNT_UNKNOWNS: &str = "SELECT unit, day, count(*) AS unknowns FROM events
WHERE kind IN ('single', 'started') AND score > threshold
GROUP BY unit, day ORDER BY unit, day";

/// Two views in DuckDB's SQL: `copies`, all rows of the lake, and `events`, each event once, as its
/// latest copy has it.
pub fn duckdb_views(lake: &Path) -> String {
    let files = lake.join("day=*").join("unit=*").join("*.parquet");
    let files = files.to_string_lossy().replace('\'', "''");
    format!(
        "CREATE OR REPLACE VIEW copies AS SELECT * FROM read_parquet('{files}', union_by_name = true,
    hive_partitioning = true, hive_types = {{'day': DATE, 'unit': VARCHAR}});
CREATE OR REPLACE VIEW events AS SELECT * FROM copies
    QUALIFY row_number() OVER (PARTITION BY id ORDER BY received DESC) = 1;"
    )
}
