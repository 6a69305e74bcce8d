//! Quantities that are held for a time, as seats and stored gigabytes are: what is priced is their share of the period.
//!
//! The meter's events are changes, as everywhere: `+5` seats, `-2` seats. A change counts from its event to the end of the window, so
//! that 5 seats of the second half of a month are 2.5. What is kept of a window is one sum of `change × seconds held`; it adds
//! up over any parts of the events, in any order, and is divided by the period once.

use super::{Basis, Fault, RatedRow, RowDetail, Usage, exact};
use crate::period::Period;
use crate::quantity;
use chrono::{DateTime, Utc};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// Decimals to which a quantity is kept whose division has no end: few enough that prices of many digits still fit beside them.
const HELD_DECIMALS: u32 = 12;

/// `{"carry_over": true}`: prices what was held for a time by the share of the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeWeighting {
    /// Whether what was held when the window began goes on to be held, until an event takes it back. Else every window begins
    /// with nothing.
    #[serde(default)]
    pub carry_over: bool,
}

/// What a window held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    pub carry_over: bool,
    /// The sum of `units × seconds` that they were held.
    #[serde(with = "crate::money::exact_decimal")]
    pub unit_seconds: Decimal,
}

impl Held {
    pub fn new(carry_over: bool) -> Self {
        Self { carry_over, unit_seconds: Decimal::ZERO }
    }

    /// Adds units that were held for some seconds; `None` where the sum does not fit.
    pub fn add(&mut self, units: Decimal, seconds: i64) -> Option<()> {
        let product = exact::multiply(units, seconds.into())?;
        self.unit_seconds = exact::sum([self.unit_seconds, product])?;
        Some(())
    }
}

/// The seconds of a window from an instant to its end, or all of them when the instant lies before it. Parts of a second do
/// not count, as with every share of a period.
pub fn seconds_held(window: Period, from: DateTime<Utc>) -> i64 {
    window.end.timestamp() - from.max(window.start).timestamp()
}

impl TimeWeighting {
    /// What is priced, and the row that says how it came about.
    pub(super) fn apply(self, basis: Basis<'_>) -> Result<(Basis<'_>, RatedRow), Fault> {
        let Basis::Measured(usage) = basis else { return Err(Fault::NeedsHeld) };
        let held = match usage.held.iter().find(|held| held.carry_over == self.carry_over) {
            Some(held) => *held,
            None if usage.event_count == 0 && !self.carry_over => Held::new(false),
            None => return Err(Fault::NeedsHeld),
        };
        let result = quantity::average(held.unit_seconds, usage.period_seconds).ok_or(Fault::Overflow)?;
        let result = result.round_dp_with_strategy(HELD_DECIMALS, RoundingStrategy::MidpointAwayFromZero).normalize();
        let row = RatedRow::of_usage(Decimal::ZERO, None, held.unit_seconds, Decimal::ZERO, None)?;
        let row = row.counting(RowDetail::Held { period_seconds: usage.period_seconds, result });
        Ok((Basis::Measured(Usage { quantity: result, ..usage }), row))
    }
}

/// The rows of what was held, with the amounts of those that reach to its end made from the unit seconds, not from the quantity
/// that has no end: a third at 30.015 is 10.005, and not a little less.
pub(super) fn refine(rows: Vec<RatedRow>, held: &RatedRow) -> Result<Vec<RatedRow>, Fault> {
    let Some(RowDetail::Held { period_seconds, result }) = held.detail else { return Ok(rows) };
    let refined = |row: RatedRow| {
        let is_linear =
            matches!(row.detail, None | Some(RowDetail::Tier { .. } | RowDetail::Percent | RowDetail::Carried));
        if !is_linear || row.share.is_some() || exact::sum([result, -row.from]) != Some(row.quantity) {
            return Some(row);
        }
        let before = exact::multiply(row.from, period_seconds.into())?;
        let beyond = exact::sum([held.quantity, -before])?;
        let units = exact::ratio(exact::multiply(beyond, row.unit_amount)?, 1, period_seconds)?;
        let amount = exact::sum([units, row.flat_amount.unwrap_or_default()])?;
        Some(RatedRow { amount, ..row })
    };
    rows.into_iter().map(|row| refined(row).ok_or(Fault::Overflow)).collect()
}
