//! Time as billing sees it: half-open periods that tile, counted in the customer's own zone. [`BillingAnchor`] gives the
//! billing periods, [`limit_period`] the shorter ones of a limit, [`Fraction`] the share of a period.

mod anchor;
mod fraction;
mod interval;
mod limit;
pub mod zone;

pub use anchor::{Alignment, BillingAnchor, MAX_PERIODS};
pub use fraction::Fraction;
pub use interval::{Interval, IntervalUnit};
pub use limit::{LimitPeriod, limit_period};
pub use zone::TimeZone;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A span of time: `start` belongs to it, `end` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Period {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

/// Why there is no such period. Reject the input that led here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    #[error("the date lies outside the years that can be counted; use an instant between the years 1900 and 9000")]
    OutOfRange,
    #[error("the range holds more than {MAX_PERIODS} periods; ask for a shorter one")]
    TooMany,
}

impl Period {
    pub fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        Self { start, end }
    }

    pub fn contains(&self, instant: DateTime<Utc>) -> bool {
        self.start <= instant && instant < self.end
    }

    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// What both periods share; `None` when that is nothing.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let shared = Self::new(self.start.max(other.start), self.end.min(other.end));
        (!shared.is_empty()).then_some(shared)
    }
}

#[cfg(test)]
mod tests;
