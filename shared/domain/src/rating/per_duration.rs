//! A price per duration: usage measured in one unit of time, sold by another, without rounding it to whole ones.
//!
//! A transform does this too where the quotient ends or is rounded to whole units. Here 100 seconds at a price per hour are a
//! hundred of 3,600 parts of it, exactly.

use super::{Basis, Fault, PricingRules, RatedRow, RowDetail, exact};
use crate::id::MeterKey;
use crate::money::Currency;
use crate::period::Fraction;
use crate::plan::{Amounts, validate::Faults};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `{"type": "per_duration", "meter": "compute_seconds", "measured_in": "second", "per": "hour", "unit_amount": {"USD": "0.36"}}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PerDuration {
    /// Sums durations.
    pub meter: MeterKey,
    /// What one unit of the meter is.
    pub measured_in: DurationUnit,
    /// What is priced.
    pub per: DurationUnit,
    /// For one unit of `per`, in major units.
    pub unit_amount: Amounts,
    /// Free in each period, in the meter's unit.
    #[serde(default, with = "crate::money::exact_decimal", skip_serializing_if = "Decimal::is_zero")]
    #[schema(value_type = String, example = "0")]
    pub included: Decimal,
}

/// A fixed length of time: the clocks of no zone change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DurationUnit {
    Second,
    Minute,
    Hour,
    /// 24 hours.
    Day,
}

impl DurationUnit {
    pub fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl PricingRules for PerDuration {
    fn meter(&self) -> Option<&MeterKey> {
        Some(&self.meter)
    }

    fn currencies(&self) -> BTreeSet<Currency> {
        self.unit_amount.currencies()
    }

    fn validate(&self, faults: &mut Faults<'_>) {
        faults.below("unit_amount").flat_amounts(&self.unit_amount);
        faults.included(self.included);
    }

    /// Usage below zero is credited at the same price; what is included stays untouched by it.
    fn rows(&self, currency: Currency, basis: Basis<'_>) -> Result<Vec<RatedRow>, Fault> {
        let quantity = basis.usage()?;
        let unit_amount = self.unit_amount.get(currency).ok_or(Fault::CurrencyNotSold)?;
        let mut rows = Vec::new();
        let mut from = Decimal::ZERO;
        if self.included > Decimal::ZERO && quantity > Decimal::ZERO {
            rows.push(RatedRow::of_included(self.included, quantity));
            from = self.included;
        }
        if quantity > from || rows.is_empty() {
            let beyond = exact::sum([quantity, -from]).ok_or(Fault::Overflow)?;
            rows.push(self.row(from, beyond, unit_amount)?);
        }
        let detail = RowDetail::Duration { measured_in: self.measured_in, per: self.per };
        Ok(rows.into_iter().map(|row| row.counting(detail.clone())).collect())
    }
}

impl PerDuration {
    /// `quantity × unit amount × measured ÷ priced`, kept to 18 decimals where that has no end.
    fn row(&self, from: Decimal, quantity: Decimal, unit_amount: Decimal) -> Result<RatedRow, Fault> {
        let (numerator, denominator) = self.ratio();
        let whole = exact::multiply(quantity, unit_amount).ok_or(Fault::Overflow)?;
        let amount = exact::ratio(whole, numerator, denominator).ok_or(Fault::Overflow)?;
        let share = (numerator != denominator).then_some(Fraction { numerator, denominator });
        let row = RatedRow::of_usage(from, None, Decimal::ZERO, unit_amount, None)?;
        Ok(RatedRow { quantity, share, amount, ..row })
    }

    /// The length of the measured unit in the priced one, in lowest terms: each unit is a multiple of the ones before it.
    fn ratio(&self) -> (u64, u64) {
        let (measured, priced) = (self.measured_in.seconds(), self.per.seconds());
        let divisor = measured.min(priced);
        (measured / divisor, priced / divisor)
    }
}
