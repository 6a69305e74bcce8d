//! Graduated prices: each tier's price holds for the usage inside that tier. Tiers are half-open over decimals, so that no
//! quantity falls between two of them.

use super::{Basis, Fault, PricingRules, RatedRow, exact};
use crate::id::MeterKey;
use crate::money::Currency;
use crate::plan::{Amounts, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most tiers of a price: each is a row of the line's explanation.
pub const MAX_TIERS: usize = 50;

/// `{"type": "graduated", "meter": "api_calls", "included": "0", "tiers": [
///    {"up_to": "1000000", "unit_amount": {"USD": "0.0004"}}, {"unit_amount": {"USD": "0.0002"}, "flat_amount": {"USD": "5"}}]}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Graduated {
    pub meter: MeterKey,
    /// In rising order; the last one has no `up_to`. Their bounds count what is left after the included quantity.
    pub tiers: Vec<Tier>,
    /// Free in each period.
    #[serde(default, with = "crate::money::exact_decimal")]
    #[schema(value_type = String, example = "0")]
    pub included: Decimal,
}

/// One tier: from the bound of the tier before it, inclusive, to its own, exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>, example = "1000000")]
    pub up_to: Option<Decimal>,
    /// For one unit inside the tier, in major units.
    pub unit_amount: Amounts,
    /// Charged once in a period when any usage lies in the tier, in major units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flat_amount: Option<Amounts>,
}

impl PricingRules for Graduated {
    fn meter(&self) -> Option<&MeterKey> {
        Some(&self.meter)
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        let amounts = self.tiers.iter().flat_map(|tier| std::iter::once(&tier.unit_amount).chain(&tier.flat_amount));
        let common = amounts.map(Amounts::currencies).reduce(|all, some| all.intersection(&some).copied().collect());
        common.unwrap_or_default()
    }

    fn validate(&self, faults: &mut Faults<'_>) {
        faults.included(self.included);
        let mut faults = faults.below("tiers");
        faults.require(
            (1..=MAX_TIERS).contains(&self.tiers.len()),
            "does not hold a usable number of tiers",
            &format!("write 1 to {MAX_TIERS} tiers"),
        );
        let mut from = Decimal::ZERO;
        for (index, tier) in self.tiers.iter().enumerate() {
            let mut faults = faults.below(index);
            faults.below("unit_amount").unit_amounts(&tier.unit_amount);
            if let Some(flat) = &tier.flat_amount {
                faults.below("flat_amount").flat_amounts(flat);
                faults.below("flat_amount").require(
                    flat.currencies() == tier.unit_amount.currencies(),
                    "is not sold in the currencies of unit_amount",
                    "give both amounts in the same currencies",
                );
            }
            let is_last = index + 1 == self.tiers.len();
            let mut bound = faults.below("up_to");
            match tier.up_to {
                None => bound.require(is_last, "is missing", "give every tier but the last an upper bound"),
                Some(_) if is_last => bound.add("closes the last tier", "leave it out, so that all usage has a price"),
                Some(up_to) => {
                    bound.require(up_to > from, "does not rise", "write a bound above the one of the tier before");
                    from = up_to;
                }
            }
        }
    }

    /// Usage below zero is credited at the first tier's unit price, without its flat amount.
    fn rows(&self, currency: Currency, basis: Basis) -> Result<Vec<RatedRow>, Fault> {
        let quantity = basis.usage()?;
        let mut rows = Vec::new();
        let mut from = Decimal::ZERO;
        if self.included > Decimal::ZERO && quantity > Decimal::ZERO {
            rows.push(RatedRow::of_included(self.included, quantity));
            from = self.included;
        }
        for tier in &self.tiers {
            if quantity <= from && !rows.is_empty() {
                return Ok(rows);
            }
            let up_to =
                tier.up_to.map(|bound| exact::sum([bound, self.included]).ok_or(Fault::Overflow)).transpose()?;
            let reached = up_to.map_or(quantity, |bound| bound.min(quantity));
            let inside = exact::sum([reached, -from]).ok_or(Fault::Overflow)?;
            let unit_amount = tier.unit_amount.get(currency).ok_or(Fault::CurrencyNotSold)?;
            let flat = tier.flat_amount.as_ref().map(|amounts| amounts.get(currency).ok_or(Fault::CurrencyNotSold));
            let flat = flat.transpose()?.filter(|_| inside > Decimal::ZERO);
            rows.push(RatedRow::of_usage(from, up_to, inside, unit_amount, flat)?);
            match up_to {
                Some(bound) => from = bound,
                None => return Ok(rows),
            }
        }
        if quantity <= from && !rows.is_empty() { Ok(rows) } else { Err(Fault::NoTier(quantity)) }
    }
}
