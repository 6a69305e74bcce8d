//! Graduated prices: each tier's price holds for the usage inside that tier. Tiers are half-open over decimals, so that no
//! quantity falls between two of them.

use super::tiers::{self, Tier};
use super::{Basis, Fault, PricingRules, RatedRow};
use crate::id::MeterKey;
use crate::money::Currency;
use crate::plan::validate::Faults;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `{"type": "graduated", "meter": "api_calls", "included": "0", "tiers": [
///    {"up_to": "1000000", "unit_amount": {"USD": "0.0004"}}, {"unit_amount": {"USD": "0.0002"}, "flat_amount": {"USD": "5"}}]}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Graduated {
    pub meter: MeterKey,
    /// In rising order; the last one has no `up_to`. Their bounds count what is left after the included quantity.
    #[serde(deserialize_with = "crate::objects::read")]
    pub tiers: Vec<Tier>,
    /// Free in each period.
    #[serde(default, with = "crate::money::exact_decimal")]
    #[schema(value_type = String, example = "0")]
    pub included: Decimal,
}

impl PricingRules for Graduated {
    fn meter(&self) -> Option<&MeterKey> {
        Some(&self.meter)
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        tiers::currencies(&self.tiers)
    }

    fn validate(&self, faults: &mut Faults<'_>) {
        faults.included(self.included);
        tiers::validate(&self.tiers, &mut faults.below("tiers"));
    }

    /// Usage below zero is credited at the first tier's unit price, without its flat amount.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let quantity = basis.usage()?;
        let mut rows = Vec::new();
        if self.included > Decimal::ZERO && quantity > Decimal::ZERO {
            rows.push(RatedRow::of_included(self.included, quantity));
        }
        for span in tiers::spans(&self.tiers, quantity, self.included, |tier| Ok(tier.up_to))? {
            let unit_amount = span.tier.unit_amount.get(currency).ok_or(Fault::CurrencyNotSold)?;
            let flat = tiers::flat_amount(span.tier.flat_amount.as_ref(), currency, span.inside)?;
            rows.push(RatedRow::of_usage(span.from, span.up_to, span.inside, unit_amount, flat)?);
        }
        Ok(rows)
    }
}
