//! An event's time: RFC 3339 with a zone, kept to the nanosecond.

use crate::error::FieldError;
use chrono::{DateTime, Datelike, Utc};

/// The reason text of a time that is well formed but cannot be stored.
pub(super) const OUT_OF_RANGE: &str = "is outside the years that can be stored";

/// Parses `2026-11-25T07:20:14.123456789+01:00`. More than nine fraction digits are cut, which moves no event over the
/// end of a period. A leap second is the first second of the next minute.
pub(super) fn parse_time(field: &str, text: &str) -> Result<DateTime<Utc>, FieldError> {
    let malformed =
        || FieldError::new(field, "is not a time with a zone", "send RFC 3339, for example 2026-11-25T07:20:14.123Z");
    if !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
        return Err(malformed());
    }
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| malformed())?.to_utc();
    let out_of_range =
        || FieldError::new(field, OUT_OF_RANGE, "send the time at which it happened, from 1970 up to 2200");
    if !(1970..2200).contains(&time.year()) {
        return Err(out_of_range());
    }
    // Counting nanoseconds folds a leap second, which has nanoseconds past 1e9, into the next second.
    time.timestamp_nanos_opt().map(DateTime::from_timestamp_nanos).ok_or_else(out_of_range)
}
