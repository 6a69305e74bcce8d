//! The times of a subscription as people are shown them: what holds from when to when, with everything that is scheduled.

use super::Subscription;
use super::change::{Quantities, TrialUsage};
use super::timeline::{Clock, END_OF_TIME, Stretch};
use crate::id::{AddOnKey, PlanKey, PriceKey};
use crate::period::Interval;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// A time in which the terms stay the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ShownStretch {
    pub from: DateTime<Utc>,
    /// Exclusive; absent for the last one of a subscription that runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    pub plan: PlanKey,
    pub plan_version: u32,
    pub interval: Interval,
    #[serde(skip_serializing_if = "Quantities::is_empty")]
    pub quantities: Quantities,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_ons: Vec<ShownAddOn>,
    /// Prices that are the subscription's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<ShownOverride>,
    pub is_paused: bool,
    /// Of a trial: what becomes of usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialUsage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ShownAddOn {
    pub add_on: AddOnKey,
    pub plan: PlanKey,
    pub plan_version: u32,
    #[serde(skip_serializing_if = "Quantities::is_empty")]
    pub quantities: Quantities,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ShownOverride {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_on: Option<AddOnKey>,
    pub price: PriceKey,
    /// The number of the change that set it, from 1.
    pub change: u32,
}

impl Subscription {
    /// Its times by one of the two clocks, in order; between an end and a reactivation there is none.
    pub fn shown(&self, clock: Clock) -> Vec<ShownStretch> {
        self.stretches(clock).into_iter().map(ShownStretch::from).collect()
    }
}

impl From<Stretch> for ShownStretch {
    fn from(Stretch { span, terms }: Stretch) -> Self {
        let add_on = |(add_on, it): (AddOnKey, super::AddOn)| ShownAddOn {
            add_on,
            plan: it.plan,
            plan_version: it.plan_version,
            quantities: it.quantities,
        };
        let own = |((add_on, price), change)| ShownOverride { add_on, price, change };
        Self {
            from: span.start,
            until: (span.end != END_OF_TIME).then_some(span.end),
            plan: terms.plan,
            plan_version: terms.plan_version,
            interval: terms.interval,
            quantities: terms.quantities,
            add_ons: terms.add_ons.into_iter().map(add_on).collect(),
            overrides: terms.overrides.into_iter().map(own).collect(),
            is_paused: terms.is_paused,
            trial: terms.trial,
        }
    }
}
