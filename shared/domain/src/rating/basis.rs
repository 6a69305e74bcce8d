//! What is rated: usage as it was measured, or a share of a period.

use super::{Fault, Held, SplitTerms, TransactionSplit};
use crate::period::Fraction;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is rated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis<'a> {
    /// Usage of a whole period, in the meter's unit, where the number is all that is known of it.
    Usage(Decimal),
    /// Usage of a period with everything that was measured.
    Measured(Usage<'a>),
    /// The served share of a period, for a price that depends on time alone.
    Share(Fraction),
    /// The same for a price of which several are bought.
    Bought { quantity: Decimal, share: Fraction },
}

/// The usage of a meter in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage<'a> {
    /// In the meter's unit.
    pub quantity: Decimal,
    /// How many events the meter counted.
    pub event_count: u64,
    /// The same quantity by dimension; empty where it was not measured so.
    pub groups: &'a [UsageGroup],
    /// Its transactions told apart, for each of the prices that need it.
    pub splits: &'a [TransactionSplit],
    /// What it held, for the prices that weigh by time.
    pub held: &'a [Held],
    /// The length of the whole period that the window is a part of.
    pub period_seconds: u64,
    /// The share of its period that the window is; it scales a commitment.
    pub share: Fraction,
}

impl Usage<'_> {
    /// Usage of a whole period of which quantity and number of events are all that is known.
    pub fn of(quantity: Decimal, event_count: u64) -> Self {
        let (groups, splits, held) = (&[], &[], &[]);
        Self { quantity, event_count, groups, splits, held, period_seconds: 0, share: Fraction::WHOLE }
    }
}

/// What was used under one combination of dimension values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageGroup {
    /// By the name of the dimension, `{"model": "large", "region": "eu"}`; "" for events without the value.
    pub values: BTreeMap<String, String>,
    /// In the meter's unit.
    #[serde(with = "crate::money::exact_decimal")]
    pub quantity: Decimal,
}

impl<'a> Basis<'a> {
    pub(super) fn usage(self) -> Result<Decimal, Fault> {
        match self {
            Self::Usage(quantity) => Ok(quantity),
            Self::Measured(usage) => Ok(usage.quantity),
            Self::Share(_) | Self::Bought { .. } => Err(Fault::NeedsUsage),
        }
    }

    pub(super) fn event_count(self) -> Result<u64, Fault> {
        match self {
            Self::Measured(usage) => Ok(usage.event_count),
            Self::Usage(_) => Err(Fault::NeedsEventCount),
            Self::Share(_) | Self::Bought { .. } => Err(Fault::NeedsUsage),
        }
    }

    /// The usage by dimension, never without a group unless nothing was used.
    pub(super) fn groups(self) -> Result<&'a [UsageGroup], Fault> {
        match self {
            Self::Measured(usage) if usage.quantity.is_zero() || !usage.groups.is_empty() => Ok(usage.groups),
            Self::Usage(quantity) if quantity.is_zero() => Ok(&[]),
            Self::Measured(_) | Self::Usage(_) => Err(Fault::NeedsGroups),
            Self::Share(_) | Self::Bought { .. } => Err(Fault::NeedsUsage),
        }
    }

    /// The transactions told apart by these terms; none where nothing was used.
    pub(super) fn split(self, terms: SplitTerms) -> Result<TransactionSplit, Fault> {
        let (quantity, event_count) = (self.usage()?, self.event_count()?);
        let splits = match self {
            Self::Measured(usage) => usage.splits,
            _ => &[],
        };
        let split = match splits.iter().find(|split| split.terms == terms) {
            Some(split) => split.clone(),
            None if event_count == 0 => TransactionSplit::new(terms),
            None => return Err(Fault::NeedsSplit),
        };
        if split.adds_up_to(quantity, event_count) { Ok(split) } else { Err(Fault::SplitDiffers) }
    }

    /// How many are bought, one where nothing is said, and the share of the period.
    pub(super) fn bought(self) -> Result<(Decimal, Fraction), Fault> {
        match self {
            Self::Share(share) => Ok((Decimal::ONE, share)),
            Self::Bought { quantity, share } => Ok((quantity, share)),
            Self::Usage(_) | Self::Measured(_) => Err(Fault::NeedsShare),
        }
    }

    /// The share of the period that was served, whatever is rated.
    pub(super) fn served(self) -> Fraction {
        match self {
            Self::Usage(_) => Fraction::WHOLE,
            Self::Measured(usage) => usage.share,
            Self::Share(share) | Self::Bought { share, .. } => share,
        }
    }
}
