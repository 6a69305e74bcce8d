//! The period after which a limit starts anew.

use super::zone::{day_of, first_instant, offset_seconds, start_of_day};
use super::{BillingAnchor, Period, PeriodError, TimeZone};
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

const HOUR_SECONDS: i64 = 3600;

/// What a limit is counted over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitPeriod {
    /// The subscription's billing period.
    #[default]
    Billing,
    /// The calendar month in the tenant's zone.
    Month,
    /// The local day.
    Day,
    /// The local hour.
    Hour,
}

/// The period of this kind that holds `instant`. Periods of one kind tile, also where the clocks change.
pub fn limit_period(
    kind: LimitPeriod,
    instant: DateTime<Utc>,
    zone: TimeZone,
    billing: &BillingAnchor,
) -> Result<Period, PeriodError> {
    match kind {
        LimitPeriod::Billing => billing.period_containing(instant),
        LimitPeriod::Month => BillingAnchor::calendar_months(day_of(instant, zone)?, zone).period_containing(instant),
        LimitPeriod::Day => {
            let date = day_of(instant, zone)?;
            let next = date.succ_opt().ok_or(PeriodError::OutOfRange)?;
            let mut day = Period::new(start_of_day(date, zone)?, start_of_day(next, zone)?);
            if day.is_empty() {
                // Not reached by an instant inside a day; kept total for a day that a zone left out.
                day.end = start_of_day(next.succ_opt().ok_or(PeriodError::OutOfRange)?, zone)?;
            }
            Ok(day)
        }
        LimitPeriod::Hour => Ok(hour_of(instant, zone)),
    }
}

/// The local hour. A change of the clocks by whole hours leaves the hours where they are; one by half an hour cuts the
/// running hour in two.
fn hour_of(instant: DateTime<Utc>, zone: TimeZone) -> Period {
    let offset = offset_seconds(instant, zone);
    let into_hour = (instant.timestamp() + offset).rem_euclid(HOUR_SECONDS);
    let second = instant - Duration::nanoseconds(i64::from(instant.timestamp_subsec_nanos()));
    let start = second - Duration::seconds(into_hour);
    let end = start + Duration::seconds(HOUR_SECONDS);
    let shifted = |other| (offset_seconds(other, zone) - offset) % HOUR_SECONDS != 0;
    Period {
        start: if shifted(start) {
            first_instant(start, second, |at| offset_seconds(at, zone) == offset)
        } else {
            start
        },
        end: if shifted(end) { first_instant(second, end, |at| offset_seconds(at, zone) != offset) } else { end },
    }
}
