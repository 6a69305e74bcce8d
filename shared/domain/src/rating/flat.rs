//! A flat recurring price: one amount for a period, times how many are bought, prorated by the share of the period that was
//! served.

use super::{Basis, Fault, PricingRules, RatedRow, exact};
use crate::id::MeterKey;
use crate::money::Currency;
use crate::plan::{Amounts, Timing, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `{"type": "flat", "timing": "in_advance", "amount": {"USD": "49.00"}}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Flat {
    pub timing: Timing,
    /// For a whole period, in major units.
    pub amount: Amounts,
}

impl PricingRules for Flat {
    fn meter(&self) -> Option<&MeterKey> {
        None
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        self.amount.currencies()
    }

    fn validate(&self, faults: &mut Faults<'_>) {
        faults.below("amount").flat_amounts(&self.amount);
    }

    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let (quantity, share) = basis.bought()?;
        let unit_amount = self.amount.get(currency).ok_or(Fault::CurrencyNotSold)?;
        let whole = exact::multiply(quantity, unit_amount).ok_or(Fault::Overflow)?;
        let amount = exact::share(whole, share.numerator, share.denominator).ok_or(Fault::Overflow)?;
        Ok(vec![RatedRow {
            from: Decimal::ZERO,
            up_to: None,
            quantity,
            unit_amount,
            flat_amount: None,
            share: (!share.is_whole()).then_some(share),
            amount,
            detail: None,
        }])
    }
}
