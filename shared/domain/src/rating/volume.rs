//! Volume prices: the whole quantity at the price of the tier in which it ends.
//!
//! Unlike graduated prices they have cliffs: just past a bound the lower price holds for everything, so that more usage can
//! cost less. That is what is sold; nothing here smooths it.

use super::tiers::{self, Tier};
use super::{Basis, Fault, PricingRules, RatedRow, RowDetail};
use crate::id::MeterKey;
use crate::money::Currency;
use crate::plan::validate::Faults;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `{"type": "volume", "meter": "api_calls", "tiers": [
///    {"up_to": "1000000", "unit_amount": {"USD": "0.0004"}}, {"unit_amount": {"USD": "0.0002"}, "flat_amount": {"USD": "5"}}]}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    pub meter: MeterKey,
    /// In rising order; the last one has no `up_to`. The one in which the last unit lies prices all of them, and charges its
    /// flat amount once.
    pub tiers: Vec<Tier>,
}

impl PricingRules for Volume {
    fn meter(&self) -> Option<&MeterKey> {
        Some(&self.meter)
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        tiers::currencies(&self.tiers)
    }

    fn validate(&self, faults: &mut Faults<'_>) {
        tiers::validate(&self.tiers, &mut faults.below("tiers"));
    }

    /// A quantity equal to a bound still ends below it: ten units of "up to 10" are the first tier's, as with graduated
    /// prices. Usage below zero is credited at the first tier's unit price, without its flat amount.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let quantity = basis.usage()?;
        let reached = tiers::spans(&self.tiers, quantity, Decimal::ZERO, |tier| Ok(tier.up_to))?.pop();
        let span = reached.ok_or(Fault::NoTier(quantity))?;
        let unit_amount = span.tier.unit_amount.get(currency).ok_or(Fault::CurrencyNotSold)?;
        let flat = tiers::flat_amount(span.tier.flat_amount.as_ref(), currency, quantity)?;
        let row = RatedRow::of_usage(Decimal::ZERO, None, quantity, unit_amount, flat)?;
        Ok(vec![row.counting(RowDetail::Tier { from: span.from, up_to: span.up_to })])
    }
}
