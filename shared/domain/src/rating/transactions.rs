//! Transactions told apart: which of them cost the least fee, which the highest, and which their percentage.
//!
//! A fee for each transaction with bounds cannot be told from a sum. It can from three sums: of the transactions below the
//! lower bound, of those above the upper one, and of the rest. That is exact, adds up over any parts of the usage, and is the
//! same size for ten transactions and for a thousand million.

use super::{Fault, exact};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Where the bounds lie: `rate_percent × amount` of a transaction is compared with them. In the meter's unit, so that the
/// transactions can be told apart where they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitTerms {
    /// 2.9 for 2.9 %.
    #[serde(with = "crate::money::exact_decimal")]
    pub rate_percent: Decimal,
    /// A transaction of zero or more is low below this.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    pub low: Option<Decimal>,
    /// A transaction of zero or more is high above this.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    pub high: Option<Decimal>,
}

/// Some transactions of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transactions {
    pub count: u64,
    /// The sum of their amounts, in the meter's unit.
    #[serde(with = "crate::money::exact_decimal")]
    pub amount: Decimal,
}

/// The transactions of a window, told apart by some terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionSplit {
    pub terms: SplitTerms,
    /// They cost the least fee each.
    pub low: Transactions,
    /// They cost their percentage. Refunds, which are below zero, are among them whatever the bounds.
    pub middle: Transactions,
    /// They cost the highest fee each.
    pub high: Transactions,
}

impl TransactionSplit {
    pub fn new(terms: SplitTerms) -> Self {
        let none = Transactions::default();
        Self { terms, low: none, middle: none, high: none }
    }

    /// Adds one transaction; `None` where the sums do not fit.
    pub fn add(&mut self, amount: Decimal) -> Option<()> {
        let is_sale = amount >= Decimal::ZERO;
        let is_beyond = |bound: Option<Decimal>, side| {
            is_sale && bound.is_some_and(|bound| exact::compare_product(amount, self.terms.rate_percent, bound) == side)
        };
        let part = if is_beyond(self.terms.low, Ordering::Less) {
            &mut self.low
        } else if is_beyond(self.terms.high, Ordering::Greater) {
            &mut self.high
        } else {
            &mut self.middle
        };
        part.amount = exact::sum([part.amount, amount])?;
        part.count += 1;
        Some(())
    }

    /// Whether its parts add up to the usage of a window.
    pub(super) fn adds_up_to(&self, quantity: Decimal, event_count: u64) -> bool {
        let parts = [self.low, self.middle, self.high];
        exact::sum(parts.iter().map(|part| part.amount)) == Some(quantity)
            && parts.iter().map(|part| part.count).sum::<u64>() == event_count
    }

    /// The same with every amount changed.
    pub(super) fn with_amounts(&self, change: impl Fn(Decimal) -> Result<Decimal, Fault>) -> Result<Self, Fault> {
        let of = |part: Transactions| Ok(Transactions { count: part.count, amount: change(part.amount)? });
        Ok(Self { terms: self.terms, low: of(self.low)?, middle: of(self.middle)?, high: of(self.high)? })
    }
}
