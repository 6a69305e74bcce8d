//! Windows of time in a zone, and the buckets that usage is stored in.
//!
//! Windows are half-open and tile the range. They follow the local clock: a day can have 23 or 25 hours, an hour in
//! Kathmandu starts at 15 minutes past, and a midnight that the clock skips is the first instant of that day.

use crate::error::FieldError;
use crate::period::zone::{offset_seconds, start_of_day};
use crate::period::{Period, TimeZone};
use chrono::{DateTime, Datelike, Days, Duration, Months, Utc};
use serde::{Deserialize, Serialize};

/// The width of a bucket, in seconds: 15 minutes, of which the offset of every current zone is a multiple.
pub const BUCKET_SECONDS: i64 = 900;
/// The most windows of one answer: more than a year of hours.
pub const MAX_WINDOWS: usize = 10_000;

/// The start of the bucket that holds this time. Buckets are aligned in UTC.
pub fn bucket_start(time: DateTime<Utc>) -> DateTime<Utc> {
    let into = Duration::seconds(time.timestamp().rem_euclid(BUCKET_SECONDS))
        + Duration::nanoseconds(i64::from(time.timestamp_subsec_nanos()));
    time - into
}

/// How wide a window is, on the clock and calendar of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowSize {
    Minute,
    Hour,
    Day,
    Month,
}

/// The bounds of the windows that tile a range: its start, every start of a window inside it, its end. One more than
/// there are windows; the first and last window are clipped to the range. An error for a range that is empty, or that
/// has more than [`MAX_WINDOWS`] windows.
pub fn window_bounds(range: Period, size: WindowSize, zone: TimeZone) -> Result<Vec<DateTime<Utc>>, FieldError> {
    if range.start >= range.end {
        return Err(FieldError::new("range", "is empty", "let it end after its start"));
    }
    let mut bounds = vec![range.start];
    let mut at = range.start;
    loop {
        let next = next_start(at, size, zone)
            .ok_or_else(|| FieldError::new("range", "is outside the calendar", "use times from 1970 to 2200"))?;
        if next >= range.end {
            bounds.push(range.end);
            return Ok(bounds);
        }
        if bounds.len() >= MAX_WINDOWS {
            let reason = format!("has more than {MAX_WINDOWS} windows");
            return Err(FieldError::new("window", reason, "use a wider window or a shorter range"));
        }
        bounds.push(next);
        at = next;
    }
}

/// The first start of a window that is later than `at`.
fn next_start(at: DateTime<Utc>, size: WindowSize, zone: TimeZone) -> Option<DateTime<Utc>> {
    match size {
        WindowSize::Minute => next_on_clock(at, 60, zone),
        WindowSize::Hour => next_on_clock(at, 3600, zone),
        WindowSize::Day | WindowSize::Month => {
            let mut date = at.with_timezone(&zone).date_naive();
            // A zone can skip a whole date, whose first instant is then the next date's: search until it moves on.
            loop {
                date = match size {
                    WindowSize::Month => date.with_day(1)?.checked_add_months(Months::new(1))?,
                    _ => date.checked_add_days(Days::new(1))?,
                };
                let start = start_of_day(date, zone).ok()?;
                if start > at {
                    return Some(start);
                }
            }
        }
    }
}

/// The next instant at which the local clock shows a full minute or hour, or jumps into another one.
fn next_on_clock(at: DateTime<Utc>, step_seconds: i64, zone: TimeZone) -> Option<DateTime<Utc>> {
    let mut at = at;
    loop {
        let offset = offset_seconds(at, zone);
        let local = at.timestamp() + offset;
        let next = DateTime::from_timestamp(at.timestamp() + step_seconds - local.rem_euclid(step_seconds), 0)?;
        if offset_seconds(next, zone) == offset {
            return Some(next);
        }
        let jump = first_second(at.timestamp(), next.timestamp(), |second| {
            DateTime::from_timestamp(second, 0).is_some_and(|time| offset_seconds(time, zone) != offset)
        });
        let jump_time = DateTime::from_timestamp(jump, 0)?;
        let landed = jump + offset_seconds(jump_time, zone);
        if landed.rem_euclid(step_seconds) == 0 || landed.div_euclid(step_seconds) != local.div_euclid(step_seconds) {
            return Some(jump_time);
        }
        at = jump_time;
    }
}

/// The first second in `(low, high]` for which `holds`, where it holds for `high` and for all after the first.
fn first_second(mut low: i64, mut high: i64, holds: impl Fn(i64) -> bool) -> i64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}
