//! One line of an invoice: an amount, the rows that make it, and where they come from.

use super::LineTax;
use crate::discount::LineDiscount;
use crate::id::{AddOnKey, ChargeId, MeterKey, PlanKey, PriceKey, TaxCategory};
use crate::money::{Money, MoneyError};
use crate::period::Period;
use crate::rating::RatedRow;
use crate::subscription::PriceIdentity;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// A flat price for a period.
    Recurring,
    /// What was used in a period.
    Usage,
    /// What usage that came late changes about a period that is billed already.
    Adjustment,
    /// What was paid in advance for time that is not served.
    ProrationCredit,
    /// What a change adds to a period that is billed already.
    Proration,
    /// What a plan's commitment adds to the charges of a period, or takes from them.
    Commitment,
    /// What is asked once, outside any plan.
    OneOff,
}

impl LineKind {
    /// Flat prices, with what changes about them.
    pub(super) const RECURRING: [Self; 3] = [Self::Recurring, Self::Proration, Self::ProrationCredit];
    /// Usage, with what came late.
    pub(super) const USAGE: [Self; 2] = [Self::Usage, Self::Adjustment];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recurring => "recurring",
            Self::Usage => "usage",
            Self::Adjustment => "adjustment",
            Self::ProrationCredit => "proration_credit",
            Self::Proration => "proration",
            Self::Commitment => "commitment",
            Self::OneOff => "one_off",
        }
    }
}

/// One line. Its amount is the sum of `rows`, rounded once, less what is `already_billed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceLine {
    /// Counts from 1.
    pub number: u32,
    pub kind: LineKind,
    pub price_key: PriceKey,
    pub description: String,
    /// The time it pays for; of usage the window. Half-open.
    pub period: Period,
    /// 1 for a flat price; of an adjustment the change, which may be negative.
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String)]
    pub quantity: Decimal,
    pub amount: Money,
    pub rows: Vec<RatedRow>,
    /// What earlier lines charged for the same thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub already_billed: Option<Money>,
    /// What coupons take off it; of a correction, what they give more or take back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<LineDiscount>,
    /// Of a correction: what coupons took off the earlier lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub already_discounted: Vec<LineDiscount>,
    /// Of a correction: how the earlier lines were taxed, which it follows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub already_taxed: Vec<LineTax>,
    /// Of its price; absent for what is taxed as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_category: Option<TaxCategory>,
    /// The rows as sentences.
    pub explanation: Vec<String>,
    pub lineage: Lineage,
}

impl InvoiceLine {
    /// Its amount less its discounts: what is taxed.
    pub fn net(&self) -> Result<Money, MoneyError> {
        let discounts = self.discounts.iter().map(|discount| discount.amount);
        self.amount.checked_sub(Money::sum(self.amount.currency, discounts)?)
    }
}

/// The part of an amount that falls to one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineShare {
    /// The line's number.
    pub line: u32,
    pub amount: Money,
}

/// Where a line comes from. For usage, the events behind it are exactly the rows inside `window` and `cut`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// Absent for a one-off charge, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_version: Option<u32>,
    pub price_key: PriceKey,
    /// The one-off charge that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<ChargeId>,
    /// The add-on whose plan it is; absent for the subscription's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_on: Option<AddOnKey>,
    /// The number of the subscription's change that gave it a price of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden_by: Option<u32>,
    pub window: Period,
    /// Where the billing period begins to be served that the line belongs to, if not with the line's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_start: Option<DateTime<Utc>>,
    /// Of an adjustment: the end of its billing period, at which it was charged, if not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<MeterKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter_version: Option<u32>,
    /// The whole window's usage as measured for this line.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>)]
    pub measured_quantity: Option<Decimal>,
    /// Of an adjustment: the usage of the window that was billed before.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>)]
    pub previous_quantity: Option<Decimal>,
    /// Per partition of the usage log, the first offset that was not counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_count: Option<u64>,
    /// Of the identities and bodies of the events, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Lineage {
    /// Which price the line is about; none of a one-off charge.
    pub fn identity(&self) -> Option<PriceIdentity> {
        Some(PriceIdentity {
            add_on: self.add_on.clone(),
            plan: self.plan.clone()?,
            plan_version: self.plan_version?,
            price: self.price_key.clone(),
            overridden_by: self.overridden_by,
        })
    }
}

/// What an earlier document charged: the part of a line that later ones must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledLine {
    pub kind: LineKind,
    pub identity: PriceIdentity,
    /// An instant of the billing period that it belongs to.
    pub belongs_to: DateTime<Utc>,
    /// The line's `period`.
    pub period: Period,
    pub quantity: Decimal,
    pub amount: Money,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<LineDiscount>,
    /// Its invoice was voided for good: it is never asked for again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_forgiven: bool,
    /// How it was taxed; none where no taxes were configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<LineTax>,
}

impl BilledLine {
    /// Without its taxes, which its document has: see [`BilledLine::of`]. None of a one-off charge: nothing is ever compared
    /// with it.
    pub fn untaxed(line: &InvoiceLine) -> Option<Self> {
        Some(Self {
            kind: line.kind,
            identity: line.lineage.identity()?,
            belongs_to: line.lineage.period_start.unwrap_or(line.period.start),
            period: line.period,
            quantity: line.quantity,
            amount: line.amount,
            discounts: line.discounts.clone(),
            is_forgiven: false,
            taxes: Vec::new(),
        })
    }
}
