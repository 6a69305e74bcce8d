//! Tiers: what the models share that price by them. Half-open over decimals, so that no quantity falls between two.

use super::{Fault, exact};
use crate::money::Currency;
use crate::plan::{Amounts, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most tiers of a price: each is a row of the line's explanation.
pub const MAX_TIERS: usize = 50;

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

/// The currencies that all of some amounts are given in.
pub fn common_currencies<'a>(amounts: impl IntoIterator<Item = &'a Amounts>) -> BTreeSet<Currency> {
    let sold = amounts.into_iter().map(Amounts::currencies);
    sold.reduce(|all, some| all.intersection(&some).copied().collect()).unwrap_or_default()
}

/// The currencies in which every tier is sold.
pub fn currencies(tiers: &[Tier]) -> BTreeSet<Currency> {
    common_currencies(tiers.iter().flat_map(|tier| std::iter::once(&tier.unit_amount).chain(&tier.flat_amount)))
}

/// Reports a number of tiers that nobody could read or that leaves usage without a price.
pub fn validate_number(count: usize, faults: &mut Faults<'_>) {
    faults.require(
        (1..=MAX_TIERS).contains(&count),
        "does not hold a usable number of tiers",
        &format!("write 1 to {MAX_TIERS} tiers"),
    );
}

/// Reports an upper bound that is missing, closes the last tier, or does not rise; answers where the next tier begins.
pub fn validate_bound(from: Decimal, up_to: Option<Decimal>, is_last: bool, bound: &mut Faults<'_>) -> Decimal {
    match up_to {
        None => bound.require(is_last, "is missing", "give every tier but the last an upper bound"),
        Some(_) if is_last => bound.add("closes the last tier", "leave it out, so that all usage has a price"),
        Some(up_to) => {
            bound.require(up_to > from, "does not rise", "write a bound above the one of the tier before");
            return up_to;
        }
    }
    from
}

/// Reports what keeps the tiers of units from being sold.
pub fn validate(tiers: &[Tier], faults: &mut Faults<'_>) {
    validate_number(tiers.len(), faults);
    let mut from = Decimal::ZERO;
    for (index, tier) in tiers.iter().enumerate() {
        let mut faults = faults.below(index);
        faults.below("unit_amount").unit_amounts(&tier.unit_amount);
        if let Some(flat) = &tier.flat_amount {
            faults.below("flat_amount").flat_amounts(flat);
            faults.below("flat_amount").sold_like(flat, &tier.unit_amount, "unit_amount");
        }
        from = validate_bound(from, tier.up_to, index + 1 == tiers.len(), &mut faults.below("up_to"));
    }
}

/// The part of a quantity that lies in one tier.
pub struct Span<'a, T> {
    pub tier: &'a T,
    pub from: Decimal,
    pub up_to: Option<Decimal>,
    pub inside: Decimal,
}

/// The parts of `quantity` beyond `included`, tier by tier. A quantity below zero lies in the first tier, and one of zero
/// reaches it with nothing; none where everything is included.
pub fn spans<T>(
    tiers: &[T],
    quantity: Decimal,
    included: Decimal,
    bound_of: impl Fn(&T) -> Result<Option<Decimal>, Fault>,
) -> Result<Vec<Span<'_, T>>, Fault> {
    let uses_included = included > Decimal::ZERO && quantity > Decimal::ZERO;
    let mut from = if uses_included { included } else { Decimal::ZERO };
    let mut spans = Vec::new();
    for tier in tiers {
        if quantity <= from && (uses_included || !spans.is_empty()) {
            return Ok(spans);
        }
        let up_to = bound_of(tier)?.map(|bound| exact::sum([bound, included]).ok_or(Fault::Overflow)).transpose()?;
        let reached = up_to.map_or(quantity, |bound| bound.min(quantity));
        let inside = exact::sum([reached, -from]).ok_or(Fault::Overflow)?;
        spans.push(Span { tier, from, up_to, inside });
        match up_to {
            Some(bound) => from = bound,
            None => return Ok(spans),
        }
    }
    if quantity <= from && (uses_included || !spans.is_empty()) { Ok(spans) } else { Err(Fault::NoTier(quantity)) }
}

/// What a tier charges once when any usage lies in it.
pub fn flat_amount(flat: Option<&Amounts>, currency: Currency, inside: Decimal) -> Result<Option<Decimal>, Fault> {
    let flat = flat.map(|amounts| amounts.get(currency).ok_or(Fault::CurrencyNotSold)).transpose()?;
    Ok(flat.filter(|_| inside > Decimal::ZERO))
}
