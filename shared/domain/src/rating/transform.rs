//! Quantity transforms: from the unit that is measured to the one that is sold, before any price is applied.

use super::{Basis, Fault, RatedRow, RowDetail, SplitTerms, TransactionSplit, Usage, UsageGroup, exact};
use crate::plan::validate::Faults;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// `{"divide_by": "3600", "round": "up"}`: sells begun hours of what is measured in seconds. The usage of the whole period is
/// transformed once, never each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuantityTransform {
    /// Units of the meter in a unit that is sold.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
    #[schema(value_type = Option<String>, example = "3600")]
    pub divide_by: Option<Decimal>,
    /// To whole units that are sold; absent where parts of one count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Rounding>,
}

/// How a quantity becomes whole. A quantity below zero rounds as the mirror image of the one above, so that a credit takes
/// back exactly what a charge asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Away from zero: a unit that is begun counts.
    Up,
    /// Towards zero: only whole units count.
    Down,
    /// To the nearest; a half away from zero.
    Half,
}

impl QuantityTransform {
    /// Reports what makes it useless or inexact. `by_parts`: whether the price is one of dimension values or of single
    /// transactions.
    pub fn validate(&self, by_parts: bool, faults: &mut Faults<'_>) {
        faults.require(
            self.divide_by.is_some() || self.round.is_some(),
            "changes nothing",
            "write divide_by or round, or leave the transform out",
        );
        if let Some(divisor) = self.divide_by {
            let mut faults = faults.below("divide_by");
            faults.divisor(divisor);
            faults.require(
                self.round.is_some() || divides_every_decimal(divisor),
                "divides without end",
                "say with round how the quotient becomes whole, or divide by a number such as 1000 or 1024",
            );
        }
        faults.below("round").require(
            !(by_parts && self.round.is_some()),
            "rounds what is priced in parts, which would no longer add up to the whole",
            "leave it out",
        );
    }

    /// The quantity that is priced.
    pub fn apply(&self, quantity: Decimal) -> Result<Decimal, Fault> {
        let divisor = self.divide_by.unwrap_or(Decimal::ONE);
        let answer = match self.round {
            Some(rounding) => exact::divide_rounded(quantity, divisor, rounding),
            None => exact::divide(quantity, divisor),
        };
        answer.ok_or(Fault::Overflow)
    }

    /// The usage by dimension, each part on its own.
    pub(super) fn apply_to_groups(&self, groups: &[UsageGroup]) -> Result<Vec<UsageGroup>, Fault> {
        let group =
            |group: &UsageGroup| Ok(UsageGroup { values: group.values.clone(), quantity: self.apply(group.quantity)? });
        groups.iter().map(group).collect()
    }

    /// The transactions told apart, in the unit that is priced, under the terms of that unit.
    pub(super) fn apply_to_split(
        &self,
        split: &TransactionSplit,
        terms: SplitTerms,
    ) -> Result<TransactionSplit, Fault> {
        Ok(TransactionSplit { terms, ..split.with_amounts(|amount| self.apply(amount))? })
    }

    /// The basis of the price, and the row that says how it came about. `groups` and `splits` are the transformed ones.
    pub(super) fn apply_to_basis<'a>(
        &self,
        basis: Basis<'_>,
        groups: &'a [UsageGroup],
        splits: &'a [TransactionSplit],
    ) -> Result<(Basis<'a>, RatedRow), Fault> {
        let measured = basis.usage()?;
        let result = self.apply(measured)?;
        let row = RatedRow::of_usage(Decimal::ZERO, None, measured, Decimal::ZERO, None)?;
        let row = row.counting(RowDetail::Transformed { divide_by: self.divide_by, round: self.round, result });
        let basis = match basis {
            Basis::Measured(Usage { event_count, period_seconds, share, .. }) => {
                let held = &[];
                Basis::Measured(Usage { quantity: result, event_count, groups, splits, held, period_seconds, share })
            }
            Basis::Usage(_) | Basis::Share(_) | Basis::Bought { .. } => Basis::Usage(result),
        };
        Ok((basis, row))
    }
}

/// Whether a quotient by it always ends: nothing but twos and fives.
fn divides_every_decimal(divisor: Decimal) -> bool {
    let mut rest = divisor.normalize().mantissa();
    for prime in [2, 5] {
        while rest != 0 && rest % prime == 0 {
            rest /= prime;
        }
    }
    rest == 1
}
