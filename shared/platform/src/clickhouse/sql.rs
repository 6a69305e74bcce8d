//! Values as SQL text. A value never enters a statement in any other way than through here or as a server-side parameter.
//!
//! 128-bit integers travel inside quoted text that is cast: a bare literal above 2^64 is a Float64 in ClickHouse and never matches.

use chrono::{DateTime, Utc};
use std::fmt::Write;

/// The longest statement that is sent, in bytes: sets of keys are part of the text.
pub const MAX_QUERY_BYTES: usize = 64 << 20;

/// Whether a name can stand in a statement as it is.
pub fn is_plain_name(name: &str) -> bool {
    let first_ok = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first_ok && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A quoted string literal.
pub fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    push_text(&mut out, value);
    out
}

fn push_text(out: &mut String, value: &str) {
    out.push('\'');
    for character in value.chars() {
        match character {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out.push('\'');
}

/// A list of string literals in parentheses, for `IN`. An empty list matches nothing.
pub fn text_set<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let list: Vec<String> = values.into_iter().map(text).collect();
    if list.is_empty() { "(SELECT '' WHERE 0)".to_owned() } else { format!("({})", list.join(",")) }
}

/// `Array(…)` of numbers of any width, cast from text, so that every digit counts.
pub fn number_array<N: std::fmt::Display>(values: impl IntoIterator<Item = N>, element_type: &str) -> String {
    let mut list = String::from("CAST('[");
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            list.push(',');
        }
        // Writing into a String cannot fail.
        let _ = write!(list, "{value}");
    }
    let _ = write!(list, "]', 'Array({element_type})')");
    list
}

/// A point in time as `DateTime64(9, 'UTC')`.
pub fn time(value: DateTime<Utc>) -> String {
    format!("fromUnixTimestamp64Nano(toInt64({}), 'UTC')", nanos(value))
}

/// Nanoseconds since 1970. A time outside of 1900 to 2262, the years that the store can hold, becomes the nearest one inside: as a
/// border of a range it means the same.
pub fn nanos(value: DateTime<Utc>) -> i64 {
    const FIRST_SECOND_OF_1900: i64 = -2_208_988_800;
    let seconds = value.timestamp().max(FIRST_SECOND_OF_1900);
    match value.timestamp_nanos_opt() {
        Some(nanos) if seconds == value.timestamp() => nanos,
        _ if value.timestamp() > 0 => i64::MAX,
        _ => seconds * 1_000_000_000,
    }
}

/// The time that so many nanoseconds since 1970 mean.
pub fn from_nanos(nanos: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(nanos)
}

/// The time that so many microseconds since 1970 mean. All that a `DateTime64(6)` can hold is inside chrono's range.
pub fn from_micros(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_leave_its_quotes() {
        assert_eq!(text("it's"), r"'it\'s'");
        assert_eq!(text(r"\' OR 1 --"), r"'\\\' OR 1 --'");
        assert_eq!(text_set([]), "(SELECT '' WHERE 0)");
        assert_eq!(text_set(["a", "b"]), "('a','b')");
    }

    #[test]
    fn wide_numbers_are_quoted() {
        assert_eq!(
            number_array([u128::MAX], "UInt128"),
            "CAST('[340282366920938463463374607431768211455]', 'Array(UInt128)')"
        );
    }

    #[test]
    fn times_outside_the_store_become_its_borders() {
        assert_eq!(nanos(DateTime::<Utc>::MAX_UTC), i64::MAX);
        assert_eq!(nanos(DateTime::<Utc>::MIN_UTC), -2_208_988_800_000_000_000);
        assert_eq!(nanos(DateTime::<Utc>::UNIX_EPOCH), 0);
    }
}
