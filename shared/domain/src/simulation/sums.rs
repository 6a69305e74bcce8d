//! What readings add up to.

use super::entry::Entry;
use super::usage::Placed;
use crate::meter::{Aggregation, Partial};
use rust_decimal::Decimal;

/// Events fold as their meter says; quantities are amounts of it already, so that those of a count add to it.
#[derive(Default)]
pub(super) struct Sums {
    pub events: Partial,
    pub quantities: Partial,
    pub identities: u128,
    pub bodies: u128,
}

impl Sums {
    pub fn add(&mut self, entry: &Entry, placed: &Placed) {
        let partial = if placed.is_quantity { &mut self.quantities } else { &mut self.events };
        partial.add(&placed.reading, placed.time, entry.identity);
        self.identities = self.identities.wrapping_add(entry.identity.0);
        self.bodies = self.bodies.wrapping_add(entry.body_hash);
    }

    /// 0 where the meter has no value for nothing.
    pub fn value(&self, aggregation: Aggregation) -> Option<Decimal> {
        if matches!(aggregation, Aggregation::Count | Aggregation::UniqueCount) {
            let counted = self.events.value(aggregation).ok()?.unwrap_or_default();
            return crate::quantity::add(counted, self.quantities.sum?).ok();
        }
        let mut all = self.events.clone();
        all.merge(&self.quantities);
        Some(all.value(aggregation).ok()?.unwrap_or_default())
    }
}
