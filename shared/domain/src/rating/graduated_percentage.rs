//! Graduated percentages: each tier's rate holds for the part of the amount inside that tier.

use super::percentage::percent;
use super::tiers::{self, common_currencies};
use super::{Basis, Fault, PricingRules, RatedRow, RowDetail};
use crate::id::MeterKey;
use crate::money::Currency;
use crate::plan::{Amounts, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `{"type": "graduated_percentage", "meter": "payments", "tiers": [
///    {"up_to": {"USD": "10000"}, "rate_percent": {"USD": "2.9"}}, {"rate_percent": {"USD": "2.5"}}]}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GraduatedPercentage {
    /// Sums amounts of the subscription's currency, in major units; a meter of cents is brought there by a transform.
    pub meter: MeterKey,
    /// In rising order; the last one has no `up_to`.
    #[serde(deserialize_with = "crate::objects::read")]
    pub tiers: Vec<PercentageTier>,
}

/// One tier: from the bound of the tier before it, inclusive, to its own, exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PercentageTier {
    /// An amount, hence one for each currency, in major units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Amounts>,
    /// 2.9 for 2.9 % of what lies inside the tier.
    pub rate_percent: Amounts,
    /// Charged once in a period when any part of the amount lies in the tier, in major units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flat_amount: Option<Amounts>,
}

impl PricingRules for GraduatedPercentage {
    fn meter(&self) -> Option<&MeterKey> {
        Some(&self.meter)
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        common_currencies(
            self.tiers
                .iter()
                .flat_map(|tier| std::iter::once(&tier.rate_percent).chain(&tier.flat_amount).chain(&tier.up_to)),
        )
    }

    fn validate(&self, faults: &mut Faults<'_>) {
        let mut faults = faults.below("tiers");
        tiers::validate_number(self.tiers.len(), &mut faults);
        for (index, tier) in self.tiers.iter().enumerate() {
            let mut faults = faults.below(index);
            faults.below("rate_percent").unit_amounts(&tier.rate_percent);
            for (name, amounts) in [("flat_amount", &tier.flat_amount), ("up_to", &tier.up_to)] {
                if let Some(amounts) = amounts {
                    let mut faults = faults.below(name);
                    faults.flat_amounts(amounts);
                    faults.sold_like(amounts, &tier.rate_percent, "rate_percent");
                }
            }
        }
        self.validate_bounds(&mut faults);
    }

    /// An amount below zero is credited at the first tier's rate, without its flat amount.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let spans = tiers::spans(&self.tiers, basis.usage()?, Decimal::ZERO, |tier| tier.bound(currency))?;
        let row = |span: tiers::Span<'_, PercentageTier>| {
            let rate = percent(&span.tier.rate_percent, currency)?;
            let flat = tiers::flat_amount(span.tier.flat_amount.as_ref(), currency, span.inside)?;
            let row = RatedRow::of_usage(span.from, span.up_to, span.inside, rate, flat)?;
            Ok(row.counting(RowDetail::Percent))
        };
        spans.into_iter().map(row).collect()
    }
}

impl GraduatedPercentage {
    /// Bounds must rise in every currency. One that lacks a currency is reported as not sold in it, not here.
    fn validate_bounds(&self, faults: &mut Faults<'_>) {
        for (index, tier) in self.tiers.iter().enumerate() {
            let is_last = index + 1 == self.tiers.len();
            let mut faults = faults.below(index);
            let mut bound = faults.below("up_to");
            match &tier.up_to {
                Some(up_to) if !is_last => {
                    let before = index.checked_sub(1).and_then(|before| self.tiers[before].up_to.as_ref());
                    for (currency, amount) in up_to.iter() {
                        let from = before.and_then(|before| before.get(currency)).unwrap_or_default();
                        tiers::validate_bound(from, Some(amount), false, &mut bound.below(currency));
                    }
                }
                Some(_) => bound.add("closes the last tier", "leave it out, so that every amount has a rate"),
                None => bound.require(is_last, "is missing", "give every tier but the last an upper bound"),
            }
        }
    }
}

impl PercentageTier {
    fn bound(&self, currency: Currency) -> Result<Option<Decimal>, Fault> {
        self.up_to.as_ref().map(|up_to| up_to.get(currency).ok_or(Fault::CurrencyNotSold)).transpose()
    }
}
