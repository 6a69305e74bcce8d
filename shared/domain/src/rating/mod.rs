//! Rating: from a quantity, or a share of a period, to an amount that explains itself. Pure: same inputs, same rows.
//!
//! A price model is one file here that implements [`PricingRules`], and one variant of [`crate::plan::PriceModel`]. The
//! amount and its explanation are the same rows: they sum exactly to what is then rounded once.

mod basis;
mod commitment;
mod dynamic;
mod exact;
mod explain;
mod flat;
mod graduated;
mod graduated_percentage;
mod held;
mod matrix;
mod package;
mod per_duration;
mod per_unit;
mod percentage;
mod row;
mod tiers;
mod transactions;
mod transform;
mod volume;

pub use basis::{Basis, Usage, UsageGroup};
pub use commitment::Commitment;
pub use dynamic::Dynamic;
pub use explain::explain;
pub use flat::Flat;
pub use graduated::Graduated;
pub use graduated_percentage::{GraduatedPercentage, PercentageTier};
pub use held::{Held, TimeWeighting, seconds_held};
pub use matrix::{Cell, Matrix};
pub use package::Package;
pub use per_duration::{DurationUnit, PerDuration};
pub use per_unit::PerUnit;
pub use percentage::Percentage;
pub use row::{RatedRow, RowDetail};
pub use tiers::Tier;
pub use transactions::{SplitTerms, TransactionSplit, Transactions};
pub use transform::{QuantityTransform, Rounding};
pub use volume::Volume;

use crate::id::{MeterKey, PriceKey};
use crate::money::{Currency, Money};
use crate::plan::{Price, Timing, validate::Faults};
use rust_decimal::Decimal;
use std::collections::BTreeSet;

/// An amount with the rows that make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rated {
    pub rows: Vec<RatedRow>,
    /// The exact sum of the rows, in major units.
    pub exact: Decimal,
    /// `exact`, rounded once.
    pub amount: Money,
}

impl Rated {
    /// The quantity that was priced, where that is not the measured one but what was held of it.
    pub fn held_quantity(&self) -> Option<Decimal> {
        self.rows.iter().find_map(|row| match row.detail {
            Some(RowDetail::Held { result, .. }) => Some(result),
            _ => None,
        })
    }
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
    #[error(
        "price {price}: the usage by dimension does not add up to the whole; price by dimension a meter that counts or sums"
    )]
    GroupsDiffer { price: PriceKey },
    #[error("price {price}: its transactions do not add up to the whole; price by transaction a meter that sums")]
    SplitDiffers { price: PriceKey },
}

/// Why the rows of one model cannot be made; [`rate`] adds which price it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Overflow,
    CurrencyNotSold,
    NeedsUsage,
    NeedsShare,
    NeedsEventCount,
    NeedsGroups,
    GroupsDiffer,
    NeedsSplit,
    SplitDiffers,
    NeedsHeld,
    NoTier(Decimal),
}

/// What a price model decides.
pub trait PricingRules {
    /// The meter it bills; none when it depends on time alone.
    fn meter(&self) -> Option<&MeterKey>;

    /// The dimensions by which the usage has to be measured; none when the whole is enough.
    fn dimensions(&self) -> &[String] {
        &[]
    }

    /// How the transactions have to be told apart where a unit that is priced is `divide_by` units of the meter; none when
    /// the whole is enough.
    fn split(&self, _currency: Currency, _divide_by: Decimal) -> Result<Option<SplitTerms>, Fault> {
        Ok(None)
    }

    /// When it is billed. Usage can be billed in arrears only.
    fn timing(&self) -> Timing {
        Timing::InArrears
    }

    /// The currencies in which every one of its amounts is given.
    fn currencies(&self) -> BTreeSet<Currency>;

    /// Reports what keeps it from being sold.
    fn validate(&self, faults: &mut Faults<'_>);

    /// The rows of the amount, in the order of the usage they cover.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault>;
}

/// Rates one price: its transform, its model, its commitment, and one rounding at the end. The only caller of the models'
/// rules.
pub fn rate(price: &Price, currency: Currency, basis: Basis<'_>) -> Result<Rated, RatingError> {
    let named = |fault| name_fault(fault, &price.key, currency);
    let (rows, exact) = priced(price, currency, basis).map_err(named)?;
    let amount = Money::rounded(exact, currency).map_err(|_| named(Fault::Overflow))?;
    Ok(Rated { rows, exact, amount })
}

/// The rows of a price, with their exact sum.
fn priced(price: &Price, currency: Currency, basis: Basis<'_>) -> Result<(Vec<RatedRow>, Decimal), Fault> {
    let rules = price.model.rules();
    let weighted = price.time_weighted.map(|weighting| weighting.apply(basis)).transpose()?;
    let (basis, held) = weighted.map_or((basis, None), |(basis, row)| (basis, Some(row)));
    let mut rows = Vec::from_iter(held.clone());
    rows.extend(match &price.transform {
        None => match &held {
            Some(held) => held::refine(rules.rows(currency, basis)?, held)?,
            None => rules.rows(currency, basis)?,
        },
        Some(transform) => {
            let needs_groups = !rules.dimensions().is_empty();
            let groups = if needs_groups { transform.apply_to_groups(basis.groups()?)? } else { Vec::new() };
            let split = price.split(currency)?.map(|terms| basis.split(terms)).transpose()?;
            let terms = rules.split(currency, Decimal::ONE)?;
            let splits = split.zip(terms).map(|(split, terms)| transform.apply_to_split(&split, terms)).transpose()?;
            let (transformed, row) = transform.apply_to_basis(basis, &groups, splits.as_slice())?;
            [vec![row], rules.rows(currency, transformed)?].concat()
        }
    });
    let used = sum_of_rows(&rows).ok_or(Fault::Overflow)?;
    let Some(commitment) = &price.commitment else {
        return Ok((rows, used));
    };
    rows.extend(commitment.row(currency, used, basis.served())?);
    let exact = sum_of_rows(&rows).ok_or(Fault::Overflow)?;
    Ok((rows, exact))
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
        Fault::NeedsEventCount => {
            RatingError::WrongBasis { price, needs: "usage and the number of its events", given: "a quantity alone" }
        }
        Fault::NeedsGroups => RatingError::WrongBasis {
            price,
            needs: "usage by each of its dimensions",
            given: "usage that was not measured by them",
        },
        Fault::GroupsDiffer => RatingError::GroupsDiffer { price },
        Fault::NeedsSplit => RatingError::WrongBasis {
            price,
            needs: "usage by the size of its transactions",
            given: "usage that was not measured so",
        },
        Fault::NeedsHeld => RatingError::WrongBasis {
            price,
            needs: "usage with the time for which it was held",
            given: "usage that was not measured so",
        },
        Fault::SplitDiffers => RatingError::SplitDiffers { price },
        Fault::NoTier(quantity) => RatingError::NoTier { price, quantity },
    }
}

#[cfg(test)]
mod tests;
