//! A row of an amount, as it is stored in an invoice and as it explains itself.

use super::{DurationUnit, Fault, Rounding, exact};
use crate::id::CouponKey;
use crate::period::Fraction;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// The share of the period that is charged, or of a priced unit that a measured one is; absent for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Fraction>,
    /// Exact; only a prorated amount, which may have no end, is kept to 18 decimals.
    #[serde(with = "crate::money::exact_decimal")]
    #[schema(value_type = String)]
    pub amount: Decimal,
    /// What the row counts, where that is not units of usage. Rows tile among those of the same kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<RowDetail>,
}

/// What a row counts, where that is not units of usage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RowDetail {
    /// The whole usage, at the price of the tier in which it ends.
    Tier {
        /// Where the tier begins.
        #[serde(with = "crate::money::exact_decimal")]
        #[schema(value_type = String)]
        from: Decimal,
        #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
        #[schema(value_type = Option<String>)]
        up_to: Option<Decimal>,
    },
    /// Packages; `from` and `up_to` of the row stay in units of usage.
    Packages {
        /// Units of usage in one.
        #[serde(with = "crate::money::exact_decimal")]
        #[schema(value_type = String)]
        size: Decimal,
    },
    /// An amount of money; the unit amount is the part of it that is charged, 0.029 for 2.9 %.
    Percent,
    /// The amount that the events carry, charged as it is.
    Carried,
    /// Events.
    Transactions,
    /// Durations; the unit amount is for the priced unit, and the row's share says how much of that a measured unit is.
    Duration { measured_in: DurationUnit, per: DurationUnit },
    /// Events that cost the least fee of a transaction each.
    LeastFee,
    /// Events that cost the highest fee of a transaction each.
    HighestFee,
    /// The usage that falls to one cell of a matrix.
    Cell {
        /// The dimension values that the cell asks for; none for what no other cell takes.
        values: BTreeMap<String, String>,
    },
    /// Costs nothing: `quantity` counts `units × seconds` that they were held, and becomes a number of units by the period's length.
    Held {
        period_seconds: u64,
        /// The quantity that is priced.
        #[serde(with = "crate::money::exact_decimal")]
        #[schema(value_type = String)]
        result: Decimal,
    },
    /// Costs nothing: it says how the measured quantity became the one that the other rows price.
    Transformed {
        #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::money::optional_decimal")]
        #[schema(value_type = Option<String>)]
        divide_by: Option<Decimal>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        round: Option<Rounding>,
        /// The quantity that is priced.
        #[serde(with = "crate::money::exact_decimal")]
        #[schema(value_type = String)]
        result: Decimal,
    },
    /// Units that a coupon makes free: they cost nothing, and the other rows price what is left.
    FreeUnits { coupon: CouponKey },
    /// What is missing to the least amount: that amount, less the rows before.
    Minimum,
    /// What is beyond the most that is charged: that amount, less the rows before.
    Maximum,
}

impl RatedRow {
    /// A row of usage: `quantity` units from `from` on, at `unit_amount` each, and once `flat_amount`.
    pub(super) fn of_usage(
        from: Decimal,
        up_to: Option<Decimal>,
        quantity: Decimal,
        unit_amount: Decimal,
        flat_amount: Option<Decimal>,
    ) -> Result<Self, Fault> {
        let units = exact::multiply(quantity, unit_amount).ok_or(Fault::Overflow)?;
        let amount = exact::sum([units, flat_amount.unwrap_or_default()]).ok_or(Fault::Overflow)?;
        Ok(Self { from, up_to, quantity, unit_amount, flat_amount, share: None, amount, detail: None })
    }

    /// The only row of what is asked once, outside any plan; none where it has no exact amount.
    pub fn once(quantity: Decimal, unit_amount: Decimal) -> Option<Self> {
        let amount = exact::multiply(quantity, unit_amount)?;
        let (from, up_to, flat_amount, share, detail) = (Decimal::ZERO, None, None, None, None);
        Some(Self { from, up_to, quantity, unit_amount, flat_amount, share, amount, detail })
    }

    /// The row of what is included: it covers usage and costs nothing.
    pub(super) fn of_included(included: Decimal, quantity: Decimal) -> Self {
        Self {
            from: Decimal::ZERO,
            up_to: Some(included),
            quantity: quantity.min(included),
            unit_amount: Decimal::ZERO,
            flat_amount: None,
            share: None,
            amount: Decimal::ZERO,
            detail: None,
        }
    }

    /// The row of what a coupon makes free.
    pub fn of_free_units(quantity: Decimal, coupon: CouponKey) -> Self {
        Self {
            from: Decimal::ZERO,
            up_to: None,
            quantity,
            unit_amount: Decimal::ZERO,
            flat_amount: None,
            share: None,
            amount: Decimal::ZERO,
            detail: Some(RowDetail::FreeUnits { coupon }),
        }
    }

    pub(super) fn counting(self, detail: RowDetail) -> Self {
        Self { detail: Some(detail), ..self }
    }
}
