//! Local days in a zone with daylight saving time: where a day begins, and which day an instant lies in.

use super::PeriodError;
use chrono::{
    DateTime, Datelike, Duration, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone as _, Utc,
};

/// A zone of the IANA database, for example `America/New_York`. In JSON its name.
pub type TimeZone = chrono_tz::Tz;

/// Years in which a date can be counted. Wide of anything billed, narrow of where date arithmetic ends.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=9000;

/// The zone's clock at `instant`, without its offset.
pub fn local(instant: DateTime<Utc>, zone: TimeZone) -> NaiveDateTime {
    instant.with_timezone(&zone).naive_local()
}

/// The difference of local time to UTC at `instant`, in seconds, positive in the east.
pub fn offset_seconds(instant: DateTime<Utc>, zone: TimeZone) -> i64 {
    i64::from(zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc())
}

/// The first instant of a local day: midnight, or, where the clocks jump over midnight, the first instant after the jump.
/// Where midnight happens twice, the first one. A day that a zone left out begins where the next day begins.
pub fn start_of_day(date: NaiveDate, zone: TimeZone) -> Result<DateTime<Utc>, PeriodError> {
    if !YEARS.contains(&date.year()) {
        return Err(PeriodError::OutOfRange);
    }
    let midnight = date.and_time(NaiveTime::MIN);
    Ok(match zone.from_local_datetime(&midnight) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant.with_timezone(&Utc),
        LocalResult::None => {
            // No zone is further than a day and two hours from UTC, so the jump lies between these two.
            let reach = Duration::hours(26);
            let (before, after) = (midnight.and_utc() - reach, midnight.and_utc() + reach);
            first_instant(before, after, |instant| local(instant, zone) >= midnight)
        }
    })
}

/// The local day that `instant` belongs to: the last one that has begun by [`start_of_day`].
pub fn day_of(instant: DateTime<Utc>, zone: TimeZone) -> Result<NaiveDate, PeriodError> {
    let mut date = local(instant, zone).date();
    // The clock's date differs where the clocks go back over midnight.
    while start_of_day(date, zone)? > instant {
        date = date.pred_opt().ok_or(PeriodError::OutOfRange)?;
    }
    loop {
        let next = date.succ_opt().ok_or(PeriodError::OutOfRange)?;
        if start_of_day(next, zone)? > instant {
            return Ok(date);
        }
        date = next;
    }
}

/// The first whole second after `before`, up to `after`, at which `reached` holds. It must hold from there on.
pub(super) fn first_instant(
    before: DateTime<Utc>,
    after: DateTime<Utc>,
    reached: impl Fn(DateTime<Utc>) -> bool,
) -> DateTime<Utc> {
    let (mut low, mut high) = (0, (after - before).num_seconds());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if reached(before + Duration::seconds(middle)) { high = middle } else { low = middle }
    }
    before + Duration::seconds(high)
}
