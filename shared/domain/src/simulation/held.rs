//! What a window held: each reading by the time from it to the window's end.

use super::usage::Placed;
use crate::meter::{Aggregation, Reading, ValueHash};
use crate::period::Period;
use crate::rating::{Held, seconds_held};
use rust_decimal::Decimal;
use std::collections::BTreeSet;

/// Of readings in the order of their time; those before the window count where it carries over. `None` where the sum does not
/// fit. A quantity of a span of time is held for the span.
pub(super) fn held<'a>(
    readings: impl Iterator<Item = &'a Placed>,
    window: Period,
    aggregation: Aggregation,
    carry_over: bool,
) -> Option<Held> {
    let mut held = Held::new(carry_over);
    let mut seen: BTreeSet<ValueHash> = BTreeSet::new();
    for placed in readings.filter(|placed| carry_over || placed.time >= window.start) {
        let Reading::Value { value, text, .. } = &placed.reading else { continue };
        if let Some(until) = placed.until {
            // It ended before the window, or lies inside it.
            if placed.time >= window.start {
                held.add(value.unwrap_or_default(), until.timestamp() - placed.time.timestamp())?;
            }
            continue;
        }
        let units = match (aggregation, text) {
            (Aggregation::UniqueCount, Some(text)) if !seen.insert(ValueHash::of(text)) => continue,
            (Aggregation::UniqueCount, _) => Decimal::ONE,
            _ => value.unwrap_or(Decimal::ONE),
        };
        held.add(units, seconds_held(window, placed.time))?;
    }
    Some(held)
}
