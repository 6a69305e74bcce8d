//! A percentage of an amount, and a fee for each transaction.
//!
//! Billing knows the sum of the amounts and the number of the events, not each event: a least or highest fee for a single
//! transaction is therefore no part of this model.

use super::tiers::common_currencies;
use super::{Basis, Fault, PricingRules, RatedRow, RowDetail, exact};
use crate::id::MeterKey;
use crate::money::Currency;
use crate::plan::{Amounts, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `{"type": "percentage", "meter": "payments", "rate_percent": {"USD": "2.9"}, "transaction_amount": {"USD": "0.30"},
///   "free_amount": {"USD": "1000"}, "free_transactions": 10}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Percentage {
    /// Sums amounts of the subscription's currency, in major units; a meter of cents is brought there by a transform.
    pub meter: MeterKey,
    /// 2.9 for 2.9 %.
    pub rate_percent: Amounts,
    /// For each event that the meter counts, in major units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_amount: Option<Amounts>,
    /// The part of the amount in each period that the rate is not charged on, in major units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_amount: Option<Amounts>,
    /// How many events in each period cost no transaction amount. Their amounts are charged all the same.
    #[serde(default)]
    pub free_transactions: u32,
}

impl PricingRules for Percentage {
    fn meter(&self) -> Option<&MeterKey> {
        Some(&self.meter)
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        common_currencies(std::iter::once(&self.rate_percent).chain(&self.transaction_amount).chain(&self.free_amount))
    }

    fn validate(&self, faults: &mut Faults<'_>) {
        faults.below("rate_percent").unit_amounts(&self.rate_percent);
        if let Some(amounts) = &self.transaction_amount {
            let mut faults = faults.below("transaction_amount");
            faults.unit_amounts(amounts);
            faults.sold_like(amounts, &self.rate_percent, "rate_percent");
        }
        if let Some(amounts) = &self.free_amount {
            let mut faults = faults.below("free_amount");
            faults.flat_amounts(amounts);
            faults.sold_like(amounts, &self.rate_percent, "rate_percent");
        }
        faults.below("free_transactions").require(
            self.free_transactions == 0 || self.transaction_amount.is_some(),
            "frees transactions that cost nothing",
            "give a transaction_amount, or leave it out",
        );
    }

    /// An amount below zero, as refunds make it, is credited at the same rate; what is free stays untouched by it.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let free = self.free_amount.as_ref().map(|free| free.get(currency).ok_or(Fault::CurrencyNotSold));
        let rate = percent(&self.rate_percent, currency)?;
        let free = free.transpose()?.unwrap_or_default();
        let mut rows = beyond_free(basis.usage()?, free, rate, &RowDetail::Percent)?;
        if let Some(amounts) = &self.transaction_amount {
            let fee = amounts.get(currency).ok_or(Fault::CurrencyNotSold)?;
            let (count, free) = (basis.event_count()?.into(), self.free_transactions.into());
            rows.extend(beyond_free(count, free, fee, &RowDetail::Transactions)?);
        }
        Ok(rows)
    }
}

/// The rate as a part of one: 0.029 for 2.9 %.
pub fn percent(rates: &Amounts, currency: Currency) -> Result<Decimal, Fault> {
    let rate = rates.get(currency).ok_or(Fault::CurrencyNotSold)?;
    exact::multiply(rate, Decimal::new(1, 2)).ok_or(Fault::Overflow)
}

/// The rows of a quantity of which the first part is free.
fn beyond_free(
    quantity: Decimal,
    free: Decimal,
    unit_amount: Decimal,
    detail: &RowDetail,
) -> Result<Vec<RatedRow>, Fault> {
    let mut rows = Vec::new();
    let mut from = Decimal::ZERO;
    if free > Decimal::ZERO && quantity > Decimal::ZERO {
        rows.push(RatedRow::of_included(free, quantity).counting(detail.clone()));
        from = free;
    }
    if quantity > from || rows.is_empty() {
        let beyond = exact::sum([quantity, -from]).ok_or(Fault::Overflow)?;
        rows.push(RatedRow::of_usage(from, None, beyond, unit_amount, None)?.counting(detail.clone()));
    }
    Ok(rows)
}
