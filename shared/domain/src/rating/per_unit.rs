//! A price per unit of usage, after an included quantity.

use super::{Basis, Fault, PricingRules, RatedRow, exact};
use crate::id::MeterKey;
use crate::money::Currency;
use crate::plan::{Amounts, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `{"type": "per_unit", "meter": "tokens_in", "unit_amount": {"USD": "0.000003"}, "included": "0"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PerUnit {
    pub meter: MeterKey,
    /// For one unit of the meter, in major units.
    pub unit_amount: Amounts,
    /// Free in each period.
    #[serde(default, with = "crate::money::exact_decimal")]
    #[schema(value_type = String, example = "0")]
    pub included: Decimal,
}

impl PricingRules for PerUnit {
    fn meter(&self) -> Option<&MeterKey> {
        Some(&self.meter)
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        self.unit_amount.currencies()
    }

    fn validate(&self, faults: &mut Faults<'_>) {
        faults.below("unit_amount").unit_amounts(&self.unit_amount);
        faults.included(self.included);
    }

    /// Usage below zero, as a meter that sums corrections can have, is credited at the same price; what is included
    /// stays untouched by it.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let unit_amount = self.unit_amount.get(currency).ok_or(Fault::CurrencyNotSold)?;
        rows_beyond(self.included, basis.usage()?, unit_amount)
    }
}

/// What is included, and what is beyond it at one price.
pub(super) fn rows_beyond(included: Decimal, quantity: Decimal, unit_amount: Decimal) -> Result<Vec<RatedRow>, Fault> {
    let mut rows = Vec::new();
    let mut from = Decimal::ZERO;
    if included > Decimal::ZERO && quantity > Decimal::ZERO {
        rows.push(RatedRow::of_included(included, quantity));
        from = included;
    }
    if quantity > from || rows.is_empty() {
        let beyond = exact::sum([quantity, -from]).ok_or(Fault::Overflow)?;
        rows.push(RatedRow::of_usage(from, None, beyond, unit_amount, None)?);
    }
    Ok(rows)
}
