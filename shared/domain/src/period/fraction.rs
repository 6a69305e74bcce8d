//! Proration: which share of a billing period was served.

use super::zone::{day_of, start_of_day};
use super::{Period, PeriodError, TimeZone};
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};

/// A share of a period, in lowest terms: `{"numerator": 12, "denominator": 31}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fraction {
    pub numerator: u64,
    pub denominator: u64,
}

impl Fraction {
    pub const WHOLE: Self = Self { numerator: 1, denominator: 1 };
    pub const NONE: Self = Self { numerator: 0, denominator: 1 };

    pub fn is_whole(&self) -> bool {
        self.numerator == self.denominator
    }

    /// The sum of two shares, or `None` where its terms do not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (a, b) = (u128::from(self.numerator), u128::from(self.denominator));
        let (c, d) = (u128::from(other.numerator), u128::from(other.denominator));
        let numerator = a.checked_mul(d)?.checked_add(c.checked_mul(b)?)?;
        let denominator = b.checked_mul(d)?;
        let divisor = greatest_common_divisor(numerator, denominator);
        Some(Self {
            numerator: u64::try_from(numerator / divisor).ok()?,
            denominator: u64::try_from(denominator / divisor).ok()?,
        })
    }

    /// The share that `served` has of `full`, the one rule by which flat prices are prorated.
    ///
    /// **Every local day of the period weighs the same, and inside a day time counts by the second.** So 14 of 31 days are
    /// 14/31 in every zone and every month, also in the one with a day of 23 or 25 hours, as anyone can check with a
    /// calendar; a cancellation at noon still pays for half of that day, not for all of it. Parts of a second do not
    /// count. Shares of parts that tile a period sum to one.
    ///
    /// `served` is clipped to `full`. An error when a date is out of range.
    pub fn of_period(served: &Period, full: &Period, zone: TimeZone) -> Result<Self, PeriodError> {
        let Some(served) = served.intersect(full) else {
            return Ok(Self::NONE);
        };
        let part = days_between(served, zone)?;
        let whole = days_between(*full, zone)?;
        // (a/b) / (c/d) = ad / bc
        let numerator = part.0.checked_mul(whole.1).ok_or(PeriodError::OutOfRange)?;
        let denominator = part.1.checked_mul(whole.0).ok_or(PeriodError::OutOfRange)?;
        if denominator == 0 {
            return Ok(Self::NONE);
        }
        let divisor = greatest_common_divisor(numerator, denominator);
        Ok(Self {
            numerator: u64::try_from(numerator / divisor).map_err(|_| PeriodError::OutOfRange)?,
            denominator: u64::try_from(denominator / divisor).map_err(|_| PeriodError::OutOfRange)?,
        })
    }
}

/// The local days in a period as a fraction (numerator, denominator) in lowest terms.
fn days_between(period: Period, zone: TimeZone) -> Result<(u128, u128), PeriodError> {
    let (from_day, from_second, from_length) = position(period.start, zone)?;
    let (to_day, to_second, to_length) = position(period.end, zone)?;
    let numerator = (to_day - from_day) * from_length * to_length + to_second * from_length - from_second * to_length;
    let numerator = u128::try_from(numerator).map_err(|_| PeriodError::OutOfRange)?;
    let denominator = u128::try_from(from_length * to_length).map_err(|_| PeriodError::OutOfRange)?;
    let divisor = greatest_common_divisor(numerator, denominator);
    Ok((numerator / divisor, denominator / divisor))
}

/// Where an instant lies in its local day: the day's number, the seconds into it, and its length in seconds.
fn position(instant: DateTime<Utc>, zone: TimeZone) -> Result<(i128, i128, i128), PeriodError> {
    let date = day_of(instant, zone)?;
    let start = start_of_day(date, zone)?;
    let end = start_of_day(date.succ_opt().ok_or(PeriodError::OutOfRange)?, zone)?;
    let into_day = (instant - start).num_seconds();
    Ok((date.num_days_from_ce().into(), into_day.into(), (end - start).num_seconds().into()))
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}
