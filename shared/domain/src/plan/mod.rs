//! Plans: what is sold, at which prices and within which limits. A sold version never changes: a change is a new version.

mod book;
mod demand;
mod meters;
mod model;
pub mod validate;

pub use book::PlanBook;
pub use demand::Demand;
pub use model::PriceModel;

use crate::dunning::DunningPolicy;
use crate::entitlement::{Limit, QuotaPolicy, StaticEntitlement};
use crate::id::{MeterKey, PlanKey, PriceKey, TaxCategory};
use crate::money::Currency;
use crate::period::{Alignment, Interval};
use crate::rating::{Commitment, QuantityTransform, TimeWeighting};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An amount in major units for every currency that a price is sold in: `{"EUR": "0.0000028", "USD": "0.000003"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = std::collections::BTreeMap<String, String>)]
pub struct Amounts(BTreeMap<Currency, Amount>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Amount(#[serde(with = "crate::money::exact_decimal")] Decimal);

impl Amounts {
    pub fn get(&self, currency: Currency) -> Option<Decimal> {
        self.0.get(&currency).map(|amount| amount.0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Currency, Decimal)> + '_ {
        self.0.iter().map(|(currency, amount)| (*currency, amount.0))
    }

    pub fn currencies(&self) -> BTreeSet<Currency> {
        self.0.keys().copied().collect()
    }
}

impl FromIterator<(Currency, Decimal)> for Amounts {
    fn from_iter<I: IntoIterator<Item = (Currency, Decimal)>>(amounts: I) -> Self {
        Self(amounts.into_iter().map(|(currency, amount)| (currency, Amount(amount))).collect())
    }
}

/// When a flat price is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// When the period begins.
    InAdvance,
    /// When the period has ended.
    InArrears,
    /// Once, when charging begins: for the subscription, or for the add-on. Neither prorated nor given back.
    Once,
}

impl Timing {
    /// Whether it is paid when the period begins.
    pub fn is_in_advance(self) -> bool {
        matches!(self, Self::InAdvance | Self::Once)
    }
}

/// One price of a plan; it becomes at most one line of an invoice for a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Unique in its plan.
    pub key: PriceKey,
    /// As the invoice prints it.
    pub name: String,
    #[serde(deserialize_with = "crate::objects::tagged")]
    pub model: PriceModel,
    /// From the unit that the meter measures to the one that the model prices; only for usage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<QuantityTransform>,
    /// Prices what was held by the share of the period; only for usage. Before any transform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_weighted: Option<TimeWeighting>,
    /// The least and the most that it charges in a period; only for usage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<Commitment>,
    /// What kind of product it is to the tax office; taxed as usual when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_category: Option<TaxCategory>,
}

/// One version of a plan, complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanVersion {
    pub key: PlanKey,
    /// Counts from 1 in each plan. Given by the catalogue; what a sender writes is replaced.
    #[serde(default)]
    pub version: u32,
    pub name: String,
    /// Where the billing periods of a new subscription begin, unless the subscription says otherwise.
    #[serde(default)]
    pub calendar: Alignment,
    #[serde(default)]
    pub interval: Interval,
    pub prices: Vec<Price>,
    /// The least and the most that a subscription to it is charged in a period, by all of the plan's own prices together. What is
    /// missing, or beyond, is a line of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<Commitment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entitlements: Vec<StaticEntitlement>,
    #[serde(default)]
    pub policy: QuotaPolicy,
    /// How long a period waits for late usage before its invoice is final, in hours; the deployment's setting when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_hours: Option<u32>,
    /// Days from issue to due; the deployment's setting when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_days: Option<u32>,
    /// What happens to its unpaid invoices; the deployment's policy when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dunning: Option<DunningPolicy>,
}

impl PlanVersion {
    /// The currencies in which every price of the plan is sold. A plan without prices sells in any: `None`.
    pub fn currencies(&self) -> Option<BTreeSet<Currency>> {
        let sold = self.prices.iter().map(|price| price.model.rules().currencies());
        sold.reduce(|all, some| all.intersection(&some).copied().collect())
    }

    pub fn price(&self, key: &PriceKey) -> Option<&Price> {
        self.prices.iter().find(|price| price.key == *key)
    }

    /// The meters that its prices bill, each once, in the order of their keys.
    pub fn billed_meters(&self) -> BTreeSet<&MeterKey> {
        self.prices.iter().filter_map(Price::meter).collect()
    }
}

impl Price {
    /// The meter whose usage it bills; none for a flat price.
    pub fn meter(&self) -> Option<&MeterKey> {
        self.model.rules().meter()
    }

    /// The dimensions by which its usage has to be measured; none when the whole is enough.
    pub fn dimensions(&self) -> &[String] {
        self.model.rules().dimensions()
    }

    pub fn timing(&self) -> Timing {
        self.model.rules().timing()
    }
}

#[cfg(test)]
mod tests;
