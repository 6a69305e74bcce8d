//! Which usage is needed to bill a period: each meter in each window that is rated by itself.

use super::sold::metered;
use super::{Subscription, TimelineError};
use crate::id::MeterKey;
use crate::period::Period;
use crate::plan::{Demand, PlanBook};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The usage that a bill moment needs: everything of `meter` in `window`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UsageNeed {
    pub meter: MeterKey,
    pub window: Period,
}

/// The usage that is billed for a period, each window by itself.
pub fn usage_needs(
    subscription: &Subscription,
    plans: &dyn PlanBook,
    within: Period,
) -> Result<BTreeSet<UsageNeed>, TimelineError> {
    let mut needs = BTreeSet::new();
    for sold in metered(subscription, plans, within)? {
        if let Some(meter) = sold.price.meter() {
            needs.extend(sold.parts.iter().map(|part| UsageNeed { meter: meter.clone(), window: part.span }));
        }
    }
    Ok(needs)
}

/// What the prices of a subscription ask of a meter's usage in a window, beside the whole.
pub fn demand(subscription: &Subscription, plans: &dyn PlanBook, need: &UsageNeed) -> Result<Demand, TimelineError> {
    let mut demand = Demand::default();
    for sold in metered(subscription, plans, need.window)? {
        if sold.price.meter() == Some(&need.meter) {
            demand.add(&sold.price, subscription.currency);
        }
    }
    Ok(demand)
}
