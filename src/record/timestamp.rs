//! Times as they are printed, recorded and sent.

use std::time::{SystemTime, UNIX_EPOCH};

/// RFC 3339 in UTC with milliseconds, always of the same length, so that it sorts as text: as the field
/// log has it. Times before 1970 are those of a clock that shows nothing yet, and become 1970.
pub fn timestamp(time: SystemTime) -> String {
    anchorwatch_store::timestamp(milliseconds(time))
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn time_stamps_sort_as_text() {
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
        let later = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_540_230_007);
        assert_eq!(timestamp(later), "2026-11-24T17:10:30.007Z");
    }
}
