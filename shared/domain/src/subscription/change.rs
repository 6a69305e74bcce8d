//! What is changed about a subscription after its start. A change is never edited: it is recorded with the instant from which
//! it holds, which may lie in the future or in the past, and what it leads to follows from all of them in order.

use crate::id::{AddOnKey, PlanKey, PriceKey, SubscriptionId};
use crate::period::Interval;
use crate::plan::PriceModel;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A change of a subscription, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// From when on it holds: for usage, limits and what is switched on.
    pub at: DateTime<Utc>,
    /// From when on recurring charges count by it: `at`, as its proration moved it.
    pub charged_from: DateTime<Utc>,
    pub proration: Proration,
    #[serde(default, skip_serializing_if = "InvoiceTiming::is_next")]
    pub invoice: InvoiceTiming,
    pub recorded_at: DateTime<Utc>,
    pub what: Alteration,
}

/// How the recurring charge of the running period follows a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proration {
    /// Not at all: the new terms count from the next period on.
    None,
    /// By whole local days: the day of the change belongs to the new terms.
    ByDay,
    /// By the second.
    #[default]
    BySecond,
}

/// When a change is billed that concerns a period which is billed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceTiming {
    /// With the next invoice.
    #[default]
    Next,
    /// At once, by an invoice of its own.
    Now,
}

impl InvoiceTiming {
    fn is_next(&self) -> bool {
        *self == Self::Next
    }
}

/// What a change does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Alteration {
    /// To another plan, or another version of it. Quantities that are not named stay.
    PlanChanged {
        plan: PlanKey,
        plan_version: u32,
        /// The plan's. Where it is another one than before, the running period ends here and periods begin anew.
        interval: Interval,
        #[serde(default, skip_serializing_if = "Quantities::is_empty")]
        quantities: Quantities,
    },
    /// How many of a flat price are bought, of the plan or of an add-on.
    QuantityChanged {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        add_on: Option<AddOnKey>,
        quantities: Quantities,
    },
    /// A plan of its own beside the subscription's, in the same periods. Added again, it replaces itself.
    AddOnAdded {
        add_on: AddOnKey,
        plan: PlanKey,
        plan_version: u32,
        #[serde(default, skip_serializing_if = "Quantities::is_empty")]
        quantities: Quantities,
    },
    AddOnRemoved {
        add_on: AddOnKey,
    },
    /// Nothing recurring is charged; usage is counted and billed.
    Paused,
    Resumed,
    /// The price is this subscription's own, as long as it stays on the plan, whatever version; none: the plan's again.
    PriceOverridden {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        add_on: Option<AddOnKey>,
        price: PriceKey,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<PriceModel>,
    },
    /// It ends.
    Ended,
    /// An end is undone. Where it had ended, it goes on from here, and the time between is not served.
    Reactivated {
        ended_at: DateTime<Utc>,
    },
}

/// How many of each flat price are bought, by the price's key; one where nothing is said: `{"seats": "12"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = std::collections::BTreeMap<String, String>)]
pub struct Quantities(BTreeMap<PriceKey, Exact>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Exact(#[serde(with = "crate::money::exact_decimal")] Decimal);

impl Quantities {
    /// 1 where nothing is said.
    pub fn of(&self, price: &PriceKey) -> Decimal {
        self.0.get(price).map_or(Decimal::ONE, |quantity| quantity.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&PriceKey, Decimal)> {
        self.0.iter().map(|(price, quantity)| (price, quantity.0))
    }

    /// Takes what others say, and keeps the rest.
    pub(super) fn replace(&mut self, others: &Self) {
        self.0.extend(others.0.iter().map(|(price, quantity)| (price.clone(), *quantity)));
    }
}

impl FromIterator<(PriceKey, Decimal)> for Quantities {
    fn from_iter<I: IntoIterator<Item = (PriceKey, Decimal)>>(quantities: I) -> Self {
        Self(quantities.into_iter().map(|(price, quantity)| (price, Exact(quantity))).collect())
    }
}

/// A subscription was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionChanged {
    pub subscription_id: SubscriptionId,
    pub change: Change,
}

/// The time at the start in which nothing recurring is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Exclusive. The first paid period begins here.
    pub until: DateTime<Utc>,
    pub usage: TrialUsage,
}

/// What becomes of usage in a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialUsage {
    /// Nothing is charged for it.
    #[default]
    Free,
    Billed,
}
