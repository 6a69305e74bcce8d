//! Commitments: the least and the most that a price charges in a period. The true-up is a row of its own.

use super::{Fault, RatedRow, RowDetail, exact};
use crate::money::Currency;
use crate::period::Fraction;
use crate::plan::{Amounts, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `{"minimum": {"USD": "100"}, "maximum": {"USD": "5000"}}`: for a whole period; a part of one commits to its share, by the
/// rule of flat prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Commitment {
    /// Charged at least, in major units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Amounts>,
    /// Charged at most, in major units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Amounts>,
}

impl Commitment {
    /// Reports what keeps it from being sold with a price in `currencies`.
    pub fn validate(&self, currencies: &BTreeSet<Currency>, faults: &mut Faults<'_>) {
        faults.require(
            self.minimum.is_some() || self.maximum.is_some(),
            "commits to nothing",
            "write a minimum or a maximum, or leave the commitment out",
        );
        for (name, amounts) in [("minimum", &self.minimum), ("maximum", &self.maximum)] {
            if let Some(amounts) = amounts {
                let mut faults = faults.below(name);
                faults.flat_amounts(amounts);
                faults.require(
                    amounts.currencies() == *currencies,
                    "is not sold in the currencies of the price",
                    "give an amount in each of them, and in no other",
                );
            }
        }
        let (Some(minimum), Some(maximum)) = (&self.minimum, &self.maximum) else { return };
        for (currency, most) in maximum.iter() {
            faults.below("maximum").below(currency).require(
                minimum.get(currency).is_none_or(|least| least <= most),
                "is below the minimum",
                "write a maximum that is not below the minimum of the same currency",
            );
        }
    }

    /// The row that lifts or lowers what was `used`; none where that lies between both.
    pub(crate) fn row(&self, currency: Currency, used: Decimal, share: Fraction) -> Result<Option<RatedRow>, Fault> {
        let bound = |amounts: &Option<Amounts>| match amounts {
            Some(amounts) => Bound::of(amounts, currency, share).map(Some),
            None => Ok(None),
        };
        let short = bound(&self.minimum)?.filter(|least| used < least.prorated);
        let over = bound(&self.maximum)?.filter(|most| used > most.prorated);
        match (short, over) {
            (Some(least), _) => least.row(used, share, RowDetail::Minimum).map(Some),
            (None, Some(most)) => most.row(used, share, RowDetail::Maximum).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// One side of a commitment.
struct Bound {
    /// For a whole period.
    whole: Decimal,
    /// For the share that was served.
    prorated: Decimal,
}

impl Bound {
    fn of(amounts: &Amounts, currency: Currency, share: Fraction) -> Result<Self, Fault> {
        let whole = amounts.get(currency).ok_or(Fault::CurrencyNotSold)?;
        let prorated = exact::share(whole, share.numerator, share.denominator).ok_or(Fault::Overflow)?;
        Ok(Self { whole, prorated })
    }

    /// What has to be added so that all rows sum to it.
    fn row(&self, used: Decimal, share: Fraction, detail: RowDetail) -> Result<RatedRow, Fault> {
        let amount = exact::sum([self.prorated, -used]).ok_or(Fault::Overflow)?;
        Ok(RatedRow {
            from: Decimal::ZERO,
            up_to: None,
            quantity: Decimal::ONE,
            unit_amount: self.whole,
            flat_amount: Some(-used),
            share: (!share.is_whole()).then_some(share),
            amount,
            detail: Some(detail),
        })
    }
}
