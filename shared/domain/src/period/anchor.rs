//! Billing periods. Every bound is derived from the anchor's own day, never from the bound before it, so that an anchor
//! on the 31st goes 31 January, 28 February, 31 March.

use super::zone::{day_of, start_of_day};
use super::{Interval, IntervalUnit, Period, PeriodError, TimeZone};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// The most periods one call lists: 100 years of months, so that a wrong date cannot fill the memory.
pub const MAX_PERIODS: usize = 1200;
const MONTHS_IN_YEAR: i64 = 12;

/// Where billing periods begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// Where the calendar's own begin, whenever the subscription started: years on 1 January, months on the 1st, weeks on a
    /// Monday (ISO 8601), unless the subscription names another weekday. Its first period may be partial. Of several
    /// units, the first one is the one in which the subscription started.
    #[default]
    Calendar,
    /// On the day on which the subscription started: the same day of the year, of the month, of the week. Where a month is too
    /// short for the day, on its last day.
    Anniversary,
}

/// Fixes all billing periods of a subscription. Period 0 is the one that holds `origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BillingAnchor {
    pub interval: Interval,
    pub calendar: Alignment,
    /// Of months and years the day of the month, 1 to 31, clamped to each month's own last day; of weeks the day of the week,
    /// 1 for Monday to 7 for Sunday; days have none.
    pub day: u8,
    /// A local date in period 0.
    pub origin: NaiveDate,
    pub zone: TimeZone,
}

/// The grid of the local dates on which periods begin.
enum Grid {
    /// Every so many days from a date, given by its number since year 1.
    Days { first: i64, step: i64 },
    /// A day of the month, every so many months from one, given by its number since year 0.
    Months { first: i64, step: i64 },
}

impl BillingAnchor {
    /// Periods of one calendar month, counted from the month of `origin`.
    pub fn calendar_months(origin: NaiveDate, zone: TimeZone) -> Self {
        Self { interval: Interval::MONTHLY, calendar: Alignment::Calendar, day: 1, origin, zone }
    }

    /// Period number `index`; negative numbers lie before the origin. It is empty where it would be a single day that its
    /// zone left out, and in no other case.
    pub fn period_at(&self, index: i64) -> Result<Period, PeriodError> {
        let next = index.checked_add(1).ok_or(PeriodError::OutOfRange)?;
        Ok(Period::new(self.bound(index)?, self.bound(next)?))
    }

    /// The number of the period that holds `instant`.
    pub fn index_containing(&self, instant: DateTime<Utc>) -> Result<i64, PeriodError> {
        let date = day_of(instant, self.zone)?;
        let mut index = match self.grid() {
            Grid::Days { first, step } => (i64::from(date.num_days_from_ce()) - first).div_euclid(step),
            Grid::Months { first, step } => (months_of(date) - first).div_euclid(step),
        };
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
            if period.is_empty() {
                continue;
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
        let at = |first: i64, step: i64| {
            index.checked_mul(step).and_then(|units| units.checked_add(first)).ok_or(PeriodError::OutOfRange)
        };
        let date = match self.grid() {
            Grid::Days { first, step } => date_of(at(first, step)?)?,
            Grid::Months { first, step } => clamped_date(at(first, step)?, self.day)?,
        };
        start_of_day(date, self.zone)
    }

    /// An interval of nothing would never end; validation refuses it, and one unit stands in.
    fn grid(&self) -> Grid {
        let every = i64::from(self.interval.every.max(1));
        let origin = i64::from(self.origin.num_days_from_ce());
        match self.interval.unit {
            IntervalUnit::Day => Grid::Days { first: origin, step: every },
            IntervalUnit::Week => {
                let into_week = i64::from(self.origin.weekday().number_from_monday()) - i64::from(self.day);
                Grid::Days { first: origin - into_week.rem_euclid(7), step: 7 * every }
            }
            IntervalUnit::Month => Grid::Months { first: self.first_month(), step: every },
            IntervalUnit::Year => {
                let first = match self.calendar {
                    Alignment::Calendar => i64::from(self.origin.year()) * MONTHS_IN_YEAR,
                    Alignment::Anniversary => self.first_month(),
                };
                Grid::Months { first, step: MONTHS_IN_YEAR * every }
            }
        }
    }

    /// The last month before or at the origin in which a period can begin.
    fn first_month(&self) -> i64 {
        let month = months_of(self.origin);
        let begins_later = clamped_date(month, self.day).is_ok_and(|begin| begin > self.origin);
        month - i64::from(begins_later)
    }
}

/// Months from year 0 to the month of a date.
fn months_of(date: NaiveDate) -> i64 {
    i64::from(date.year()) * MONTHS_IN_YEAR + i64::from(date.month0())
}

fn date_of(days: i64) -> Result<NaiveDate, PeriodError> {
    let days = i32::try_from(days).map_err(|_| PeriodError::OutOfRange)?;
    NaiveDate::from_num_days_from_ce_opt(days).ok_or(PeriodError::OutOfRange)
}

/// Day `day` of a month, or the month's last day when it has fewer.
fn clamped_date(months: i64, day: u8) -> Result<NaiveDate, PeriodError> {
    let year = i32::try_from(months.div_euclid(MONTHS_IN_YEAR)).map_err(|_| PeriodError::OutOfRange)?;
    let month = u32::try_from(months.rem_euclid(MONTHS_IN_YEAR)).map_err(|_| PeriodError::OutOfRange)? + 1;
    (28..=31)
        .rev()
        .map(|longest| u32::from(day).clamp(1, longest))
        .find_map(|day| NaiveDate::from_ymd_opt(year, month, day))
        .ok_or(PeriodError::OutOfRange)
}
