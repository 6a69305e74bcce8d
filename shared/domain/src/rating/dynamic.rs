//! Dynamic prices: the events carry the amount, and a markup may be added to it.

use super::percentage::percent;
use super::{Basis, Fault, PricingRules, RatedRow, RowDetail};
use crate::id::MeterKey;
use crate::money::Currency;
use crate::plan::{Amounts, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `{"type": "dynamic", "meter": "provider_cost", "markup_percent": {"USD": "20"}}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Dynamic {
    /// Sums amounts of the subscription's currency, in major units; a meter of cents is brought there by a transform.
    pub meter: MeterKey,
    /// 20 for 20 % on top; 0 where the amounts are charged as they are. Its currencies are those that the events carry.
    pub markup_percent: Amounts,
}

impl PricingRules for Dynamic {
    fn meter(&self) -> Option<&MeterKey> {
        Some(&self.meter)
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        self.markup_percent.currencies()
    }

    fn validate(&self, faults: &mut Faults<'_>) {
        faults.below("markup_percent").unit_amounts(&self.markup_percent);
    }

    /// An amount below zero is a credit, with the same markup.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let amount = basis.usage()?;
        let row = |unit_amount, detail| {
            Ok(RatedRow::of_usage(Decimal::ZERO, None, amount, unit_amount, None)?.counting(detail))
        };
        let mut rows = vec![row(Decimal::ONE, RowDetail::Carried)?];
        let markup = percent(&self.markup_percent, currency)?;
        if !markup.is_zero() {
            rows.push(row(markup, RowDetail::Percent)?);
        }
        Ok(rows)
    }
}
