//! Volume prices: the whole quantity at the price of the tier in which it ends.
//!
//! Unlike graduated prices they have cliffs: just past a bound the lower price holds for everything, so that more usage can
//! cost less. That is what is sold; nothing here smooths it.

use super::tiers::{self, Tier};
use super::{Basis, Fault, PricingRules, RatedRow, RowDetail, exact};
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
    #[serde(deserialize_with = "crate::objects::read")]
    pub tiers: Vec<Tier>,
    /// Free in each period. The tiers' bounds, and what they price, count what is left after it.
    #[serde(default, with = "crate::money::exact_decimal", skip_serializing_if = "Decimal::is_zero")]
    #[schema(value_type = String, example = "0")]
    pub included: Decimal,
}

impl PricingRules for Volume {
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

    /// A quantity equal to a bound still ends below it: ten units of "up to 10" are the first tier's, as with graduated
    /// prices. Usage below zero is credited at the first tier's unit price, without its flat amount.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let quantity = basis.usage()?;
        if self.included > Decimal::ZERO && quantity > Decimal::ZERO {
            return self.rows_beyond_included(currency, quantity);
        }
        Ok(vec![self.row(currency, quantity)?])
    }
}

impl Volume {
    fn rows_beyond_included(&self, currency: Currency, quantity: Decimal) -> Result<Vec<RatedRow>, Fault> {
        let mut rows = vec![RatedRow::of_included(self.included, quantity)];
        let beyond = exact::sum([quantity, -self.included]).ok_or(Fault::Overflow)?;
        if beyond > Decimal::ZERO {
            rows.push(RatedRow { from: self.included, ..self.row(currency, beyond)? });
        }
        Ok(rows)
    }

    fn row(&self, currency: Currency, quantity: Decimal) -> Result<RatedRow, Fault> {
        let reached = tiers::spans(&self.tiers, quantity, Decimal::ZERO, |tier| Ok(tier.up_to))?.pop();
        let span = reached.ok_or(Fault::NoTier(quantity))?;
        let unit_amount = span.tier.unit_amount.get(currency).ok_or(Fault::CurrencyNotSold)?;
        let flat = tiers::flat_amount(span.tier.flat_amount.as_ref(), currency, quantity)?;
        let row = RatedRow::of_usage(Decimal::ZERO, None, quantity, unit_amount, flat)?;
        Ok(row.counting(RowDetail::Tier { from: span.from, up_to: span.up_to }))
    }
}
