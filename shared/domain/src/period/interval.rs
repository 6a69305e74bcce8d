//! The length of a billing period, and the days on which one can begin.

use super::{Alignment, PeriodError, TimeZone, zone::day_of};
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// What a billing period's length is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntervalUnit {
    Day,
    Week,
    Month,
    Year,
}

/// The length of a billing period: `every` units. `{"unit": "month", "every": 3}` in JSON is a quarter, 6 a half year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    pub unit: IntervalUnit,
    pub every: u16,
}

impl IntervalUnit {
    /// The most of them that one period may last: ten years of months and years, two years of weeks, one of days.
    pub fn most(self) -> u16 {
        match self {
            Self::Day => 366,
            Self::Week => 104,
            Self::Month => 120,
            Self::Year => 10,
        }
    }

    /// What several are called.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Day => "days",
            Self::Week => "weeks",
            Self::Month => "months",
            Self::Year => "years",
        }
    }
}

impl Interval {
    pub const MONTHLY: Self = Self { unit: IntervalUnit::Month, every: 1 };

    /// Whether a period of this length can be billed.
    pub fn is_valid(self) -> bool {
        (1..=self.unit.most()).contains(&self.every)
    }

    /// A number of days that no period of this length falls short of, whatever the clocks of any zone do: they can leave out
    /// one day and a few hours.
    pub fn shortest_days(self) -> i64 {
        let every = i64::from(self.every);
        let days = match self.unit {
            IntervalUnit::Day => every,
            IntervalUnit::Week => 7 * every,
            IntervalUnit::Month => 28 * every,
            IntervalUnit::Year => 365 * every,
        };
        (days - 2).max(0)
    }

    /// The anchor's days that a subscription may name, as [`BillingAnchor`](super::BillingAnchor) counts them: a day of the
    /// month, or of the week. By the calendar, months and years begin on the first, and nothing else.
    pub fn anchor_days(self, calendar: Alignment) -> RangeInclusive<u8> {
        match (self.unit, calendar) {
            (IntervalUnit::Week, _) => 1..=7,
            (IntervalUnit::Day, _) | (_, Alignment::Calendar) => 1..=1,
            (IntervalUnit::Month | IntervalUnit::Year, Alignment::Anniversary) => 1..=31,
        }
    }

    /// The anchor's day of a subscription that starts at `start` and names none.
    pub fn own_anchor_day(self, calendar: Alignment, start: DateTime<Utc>, zone: TimeZone) -> Result<u8, PeriodError> {
        let date = day_of(start, zone)?;
        let day = match (self.unit, calendar) {
            (_, Alignment::Calendar) | (IntervalUnit::Day, _) => 1,
            (IntervalUnit::Week, Alignment::Anniversary) => date.weekday().number_from_monday(),
            (IntervalUnit::Month | IntervalUnit::Year, Alignment::Anniversary) => date.day(),
        };
        u8::try_from(day).map_err(|_| PeriodError::OutOfRange)
    }
}

impl Default for Interval {
    fn default() -> Self {
        Self::MONTHLY
    }
}
