//! Billing periods. Every bound is derived from the anchor's own day, never from the bound before it, so that an anchor
//! on the 31st goes 31 January, 28 February, 31 March.

use super::zone::{day_of, start_of_day};
use super::{Period, PeriodError, TimeZone};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// The most periods one call lists: 100 years of months, so that a wrong date cannot fill the memory.
pub const MAX_PERIODS: usize = 1200;

/// What a billing period's length is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntervalUnit {
    Month,
}

/// The length of a billing period: `every` units. `{"unit": "month", "every": 1}` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    pub unit: IntervalUnit,
    pub every: u16,
}

impl Interval {
    pub const MONTHLY: Self = Self { unit: IntervalUnit::Month, every: 1 };
}

impl Default for Interval {
    fn default() -> Self {
        Self::MONTHLY
    }
}

/// Where billing periods begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// On the first of the month, whenever the subscription started; its first period may be partial.
    #[default]
    Calendar,
    /// On the day of the month on which the subscription started, or on the last day of a month that is too short.
    Anniversary,
}

/// Fixes all billing periods of a subscription. Period 0 is the one that holds `origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BillingAnchor {
    pub interval: Interval,
    /// Day of the month, 1 to 31. Clamped to each month's own last day.
    pub day: u8,
    /// A local date in period 0.
    pub origin: NaiveDate,
    pub zone: TimeZone,
}

impl BillingAnchor {
    /// Periods of one calendar month, counted from the month of `origin`.
    pub fn calendar_months(origin: NaiveDate, zone: TimeZone) -> Self {
        Self { interval: Interval::MONTHLY, day: 1, origin, zone }
    }

    /// Period number `index`; negative numbers lie before the origin.
    pub fn period_at(&self, index: i64) -> Result<Period, PeriodError> {
        let next = index.checked_add(1).ok_or(PeriodError::OutOfRange)?;
        Ok(Period::new(self.bound(index)?, self.bound(next)?))
    }

    /// The number of the period that holds `instant`.
    pub fn index_containing(&self, instant: DateTime<Utc>) -> Result<i64, PeriodError> {
        let date = day_of(instant, self.zone)?;
        let months = months_of(date.year(), date.month()) - self.first_month();
        let mut index = months.div_euclid(self.step());
        // The date may lie before the anchor's day of its month.
        while self.bound(index)? > instant {
            index -= 1;
        }
        while self.bound(index + 1)? <= instant {
            index += 1;
        }
        Ok(index)
    }

    /// The period that holds `instant`.
    pub fn period_containing(&self, instant: DateTime<Utc>) -> Result<Period, PeriodError> {
        self.period_at(self.index_containing(instant)?)
    }

    /// All periods that share an instant with `range`, in order, unclipped; none for an empty range.
    pub fn periods_between(&self, range: Period) -> Result<Vec<Period>, PeriodError> {
        let mut periods = Vec::new();
        if range.is_empty() {
            return Ok(periods);
        }
        let first = self.index_containing(range.start)?;
        for index in first.. {
            let period = self.period_at(index)?;
            if period.start >= range.end {
                break;
            }
            if periods.len() == MAX_PERIODS {
                return Err(PeriodError::TooMany);
            }
            periods.push(period);
        }
        Ok(periods)
    }

    /// The instant at which period `index` begins.
    fn bound(&self, index: i64) -> Result<DateTime<Utc>, PeriodError> {
        let months = index.checked_mul(self.step()).ok_or(PeriodError::OutOfRange)?;
        let month = months.checked_add(self.first_month()).ok_or(PeriodError::OutOfRange)?;
        start_of_day(clamped_date(month, self.day)?, self.zone)
    }

    /// Months per period. An interval of nothing would never end; validation refuses it, and one month stands in.
    fn step(&self) -> i64 {
        match self.interval.unit {
            IntervalUnit::Month => i64::from(self.interval.every.max(1)),
        }
    }

    /// The month in which period 0 begins.
    fn first_month(&self) -> i64 {
        let month = months_of(self.origin.year(), self.origin.month());
        let begins_later = clamped_date(month, self.day).is_ok_and(|begin| begin > self.origin);
        month - i64::from(begins_later)
    }
}

/// Months since year 0.
fn months_of(year: i32, month: u32) -> i64 {
    i64::from(year) * 12 + i64::from(month) - 1
}

/// Day `day` of a month, or the month's last day when it has fewer.
fn clamped_date(months: i64, day: u8) -> Result<NaiveDate, PeriodError> {
    let year = i32::try_from(months.div_euclid(12)).map_err(|_| PeriodError::OutOfRange)?;
    let month = u32::try_from(months.rem_euclid(12)).map_err(|_| PeriodError::OutOfRange)? + 1;
    (28..=31)
        .rev()
        .map(|longest| u32::from(day).clamp(1, longest))
        .find_map(|day| NaiveDate::from_ymd_opt(year, month, day))
        .ok_or(PeriodError::OutOfRange)
}
