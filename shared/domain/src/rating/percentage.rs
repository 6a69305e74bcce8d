//! A percentage of an amount, and a fee for each transaction; the two together may be bounded for each transaction.

use super::tiers::common_currencies;
use super::{Basis, Fault, PricingRules, RatedRow, RowDetail, SplitTerms, exact};
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
    /// What each transaction of zero or more costs at least, rate and transaction amount together, in major units. A refund,
    /// which is below zero, is credited as without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_minimum: Option<Amounts>,
    /// What each transaction costs at most, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_maximum: Option<Amounts>,
}

impl PricingRules for Percentage {
    fn meter(&self) -> Option<&MeterKey> {
        Some(&self.meter)
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        common_currencies(std::iter::once(&self.rate_percent).chain(self.optional_amounts()))
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
        self.validate_bounds(faults);
    }

    /// The fee is at its least where `rate × amount < minimum - transaction amount`, and likewise at its highest.
    fn split(&self, currency: Currency, divide_by: Decimal) -> Result<Option<SplitTerms>, Fault> {
        if !self.is_bounded() {
            return Ok(None);
        }
        let rate_percent = self.rate_percent.get(currency).ok_or(Fault::CurrencyNotSold)?.normalize();
        let fee = amount(self.transaction_amount.as_ref(), currency)?.unwrap_or_default();
        let bound = |bound: Option<&Amounts>| {
            let left = |bound| {
                let left = exact::sum([bound, -fee])?;
                exact::multiply(exact::multiply(left, Decimal::ONE_HUNDRED)?, divide_by)
            };
            amount(bound, currency)?.map(|bound| left(bound).ok_or(Fault::Overflow)).transpose()
        };
        let (low, high) = (bound(self.transaction_minimum.as_ref())?, bound(self.transaction_maximum.as_ref())?);
        Ok(Some(SplitTerms { rate_percent, low, high }))
    }

    /// An amount below zero, as refunds make it, is credited at the same rate; what is free stays untouched by it.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        if let Some(terms) = self.split(currency, Decimal::ONE)? {
            return self.bounded_rows(currency, terms, basis);
        }
        let rate = percent(&self.rate_percent, currency)?;
        let free = amount(self.free_amount.as_ref(), currency)?.unwrap_or_default();
        let mut rows = beyond_free(basis.usage()?, free, rate, &RowDetail::Percent)?;
        if let Some(fee) = amount(self.transaction_amount.as_ref(), currency)? {
            let (count, free) = (basis.event_count()?.into(), self.free_transactions.into());
            rows.extend(beyond_free(count, free, fee, &RowDetail::Transactions)?);
        }
        Ok(rows)
    }
}

impl Percentage {
    fn is_bounded(&self) -> bool {
        self.transaction_minimum.is_some() || self.transaction_maximum.is_some()
    }

    fn optional_amounts(&self) -> impl Iterator<Item = &Amounts> {
        let bounds = self.transaction_minimum.iter().chain(&self.transaction_maximum);
        self.transaction_amount.iter().chain(&self.free_amount).chain(bounds)
    }

    fn validate_bounds(&self, faults: &mut Faults<'_>) {
        let bounds =
            [("transaction_minimum", &self.transaction_minimum), ("transaction_maximum", &self.transaction_maximum)];
        for (name, amounts) in bounds {
            let Some(amounts) = amounts else { continue };
            let mut faults = faults.below(name);
            faults.flat_amounts(amounts);
            faults.sold_like(amounts, &self.rate_percent, "rate_percent");
            faults.require(
                self.free_amount.is_none() && self.free_transactions == 0,
                "bounds the fee of each transaction, while others are free by the order in which they came",
                "leave out what is free, or the bounds",
            );
        }
        let (Some(minimum), Some(maximum)) = (&self.transaction_minimum, &self.transaction_maximum) else { return };
        for (currency, most) in maximum.iter() {
            faults.below("transaction_maximum").below(currency).require(
                minimum.get(currency).is_none_or(|least| least <= most),
                "is below the minimum",
                "write a maximum that is not below the minimum of the same currency",
            );
        }
    }

    /// A row for each kind of transaction that there is.
    fn bounded_rows(&self, currency: Currency, terms: SplitTerms, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let split = basis.split(terms)?;
        let row = |quantity, unit_amount, detail| {
            Ok(RatedRow::of_usage(Decimal::ZERO, None, quantity, unit_amount, None)?.counting(detail))
        };
        let mut rows = Vec::new();
        let bounds = [
            (split.low.count, &self.transaction_minimum, RowDetail::LeastFee),
            (split.high.count, &self.transaction_maximum, RowDetail::HighestFee),
        ];
        for (count, bound, detail) in bounds {
            if let (true, Some(fee)) = (count > 0, amount(bound.as_ref(), currency)?) {
                rows.push(row(count.into(), fee, detail)?);
            }
        }
        if split.middle.count > 0 || rows.is_empty() {
            rows.push(row(split.middle.amount, percent(&self.rate_percent, currency)?, RowDetail::Percent)?);
            if let Some(fee) = amount(self.transaction_amount.as_ref(), currency)? {
                rows.push(row(split.middle.count.into(), fee, RowDetail::Transactions)?);
            }
        }
        Ok(rows)
    }
}

/// An amount that may be left out, but is sold in every currency where it is not.
fn amount(amounts: Option<&Amounts>, currency: Currency) -> Result<Option<Decimal>, Fault> {
    amounts.map(|amounts| amounts.get(currency).ok_or(Fault::CurrencyNotSold)).transpose()
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
