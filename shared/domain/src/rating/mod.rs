//! Rating: from a quantity, or a share of a period, to an amount that explains itself. Pure: same inputs, same rows.
//!
//! A price model is one file here that implements [`PricingRules`], and one variant of [`crate::plan::PriceModel`]. The
//! amount and its explanation are the same rows: they sum exactly to what is then rounded once.

mod exact;
mod explain;
mod flat;
mod graduated;
mod per_unit;

pub use explain::explain;
pub use flat::Flat;
pub use graduated::{Graduated, Tier};
pub use per_unit::PerUnit;

use crate::id::{MeterKey, PriceKey};
use crate::money::{Currency, Money};
use crate::period::Fraction;
use crate::plan::{Price, Timing, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is rated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Usage of a period, in the meter's unit.
    Usage(Decimal),
    /// The served share of a period, for a price that depends on time alone.
    Share(Fraction),
}

/// One row of an amount: `quantity × unit_amount × share + flat_amount = amount`, in major units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RatedRow {
    /// Where in the period's whole usage the row begins; rows tile from 0.
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String)]
    pub from: Decimal,
    /// Where the row's range ends, exclusive; absent where it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>)]
    pub up_to: Option<Decimal>,
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String)]
    pub quantity: Decimal,
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String)]
    pub unit_amount: Decimal,
    /// Added once when the row is reached.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>)]
    pub flat_amount: Option<Decimal>,
    /// The share of the period that is charged; absent for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Fraction>,
    /// Exact; only a prorated amount, which may have no end, is kept to 18 decimals.
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String)]
    pub amount: Decimal,
}

/// An amount with the rows that make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rated {
    pub rows: Vec<RatedRow>,
    /// The exact sum of the rows, in major units.
    pub exact: Decimal,
    /// `exact`, rounded once.
    pub amount: Money,
}

/// Why something cannot be rated. Nothing was rounded or cut to make it fit. All of them stop the one invoice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    #[error(
        "price {price}: the amount needs more than 28 digits or does not fit 64 bits of minor units; sell it by a larger unit, or with fewer digits"
    )]
    Overflow { price: PriceKey },
    #[error("price {price} is not sold in {currency}; add an amount in this currency in a new version of the plan")]
    CurrencyNotSold { price: PriceKey, currency: Currency },
    #[error("price {price} is for {needs}, but was asked about {given}; this is a fault of the caller")]
    WrongBasis { price: PriceKey, needs: &'static str, given: &'static str },
    #[error("price {price} has no tier for {quantity}; its last tier must have no upper bound")]
    NoTier { price: PriceKey, quantity: Decimal },
}

/// Why the rows of one model cannot be made; [`rate`] adds which price it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Overflow,
    CurrencyNotSold,
    NeedsUsage,
    NeedsShare,
    NoTier(Decimal),
}

/// What a price model decides.
pub trait PricingRules {
    /// The meter it bills; none when it depends on time alone.
    fn meter(&self) -> Option<&MeterKey>;

    /// When it is billed. Usage can be billed in arrears only.
    fn timing(&self) -> Timing {
        Timing::InArrears
    }

    /// The currencies in which every one of its amounts is given.
    fn currencies(&self) -> BTreeSet<Currency>;

    /// Reports what keeps it from being sold.
    fn validate(&self, faults: &mut Faults<'_>);

    /// The rows of the amount, in the order of the usage they cover.
    fn rows(&self, currency: Currency, basis: Basis) -> Result<Vec<RatedRow>, Fault>;
}

/// Rates one price. The only caller of the models' rules.
pub fn rate(price: &Price, currency: Currency, basis: Basis) -> Result<Rated, RatingError> {
    let named = |fault| name_fault(fault, &price.key, currency);
    let rows = price.model.rules().rows(currency, basis).map_err(named)?;
    let exact = sum_of_rows(&rows).ok_or(Fault::Overflow).map_err(named)?;
    let amount = Money::rounded(exact, currency).map_err(|_| named(Fault::Overflow))?;
    Ok(Rated { rows, exact, amount })
}

/// The exact sum of decimals, or `None` when it needs more than 28 digits.
pub fn sum_exact(terms: impl IntoIterator<Item = Decimal>) -> Option<Decimal> {
    exact::sum(terms)
}

/// The exact sum of the amounts of rows, in major units.
pub fn sum_of_rows(rows: &[RatedRow]) -> Option<Decimal> {
    exact::sum(rows.iter().map(|row| row.amount))
}

fn name_fault(fault: Fault, price: &PriceKey, currency: Currency) -> RatingError {
    let price = price.clone();
    match fault {
        Fault::Overflow => RatingError::Overflow { price },
        Fault::CurrencyNotSold => RatingError::CurrencyNotSold { price, currency },
        Fault::NeedsUsage => RatingError::WrongBasis { price, needs: "usage", given: "a share of a period" },
        Fault::NeedsShare => RatingError::WrongBasis { price, needs: "a share of a period", given: "usage" },
        Fault::NoTier(quantity) => RatingError::NoTier { price, quantity },
    }
}

impl Basis {
    fn usage(self) -> Result<Decimal, Fault> {
        match self {
            Self::Usage(quantity) => Ok(quantity),
            Self::Share(_) => Err(Fault::NeedsUsage),
        }
    }

    fn share(self) -> Result<Fraction, Fault> {
        match self {
            Self::Share(share) => Ok(share),
            Self::Usage(_) => Err(Fault::NeedsShare),
        }
    }
}

impl RatedRow {
    /// A row of usage: `quantity` units from `from` on, at `unit_amount` each, and once `flat_amount`.
    fn of_usage(
        from: Decimal,
        up_to: Option<Decimal>,
        quantity: Decimal,
        unit_amount: Decimal,
        flat_amount: Option<Decimal>,
    ) -> Result<Self, Fault> {
        let units = exact::multiply(quantity, unit_amount).ok_or(Fault::Overflow)?;
        let amount = exact::sum([units, flat_amount.unwrap_or_default()]).ok_or(Fault::Overflow)?;
        Ok(Self { from, up_to, quantity, unit_amount, flat_amount, share: None, amount })
    }

    /// The row of what is included: it covers usage and costs nothing.
    fn of_included(included: Decimal, quantity: Decimal) -> Self {
        Self {
            from: Decimal::ZERO,
            up_to: Some(included),
            quantity: quantity.min(included),
            unit_amount: Decimal::ZERO,
            flat_amount: None,
            share: None,
            amount: Decimal::ZERO,
        }
    }
}

#[cfg(test)]
mod tests;
