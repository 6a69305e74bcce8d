//! Amounts of credits: whole millionths, so that every division is between integers and rounded where it is written.

use crate::error::FieldError;
use crate::money::parse_decimal;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The decimals of an amount of credits: at least as many as any currency has.
pub const UNIT_DECIMALS: u32 = 6;
/// The most credits of one amount, in millionths: a trillion. Sums of a million of them still fit.
const MOST: i64 = 1_000_000_000_000 * 1_000_000;

/// An amount of a wallet's unit, exact to the sixth decimal. In JSON a decimal as text: `"12.5"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Units(i64);

impl Units {
    pub const ZERO: Self = Self(0);

    /// None past a trillion.
    pub fn from_millionths(millionths: i64) -> Option<Self> {
        (millionths.unsigned_abs() <= MOST.unsigned_abs()).then_some(Self(millionths))
    }

    /// The nearest amount there is.
    pub fn saturating(millionths: i128) -> Self {
        let most = i128::from(MOST);
        Self(i64::try_from(millionths.clamp(-most, most)).unwrap_or(MOST))
    }

    /// None with more than six decimals, or past a trillion.
    pub fn from_decimal(amount: Decimal) -> Option<Self> {
        let amount = amount.normalize();
        let missing = UNIT_DECIMALS.checked_sub(amount.scale())?;
        let millionths = amount.mantissa().checked_mul(10_i128.pow(missing))?;
        i64::try_from(millionths).ok().and_then(Self::from_millionths)
    }

    pub fn millionths(self) -> i64 {
        self.0
    }

    pub fn to_decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(self.0.into(), UNIT_DECIMALS).normalize()
    }

    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::from_millionths)
    }

    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).and_then(Self::from_millionths)
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_decimal())
    }
}

impl From<Units> for String {
    fn from(units: Units) -> String {
        units.to_string()
    }
}

impl TryFrom<String> for Units {
    type Error = FieldError;
    fn try_from(text: String) -> Result<Self, FieldError> {
        let read = parse_decimal(&text).and_then(Self::from_decimal);
        read.ok_or_else(|| {
            let way_out = "write at most a trillion with at most 6 decimals as text, like \"12.5\"";
            FieldError::new("amount", "is not an amount of credits", way_out)
        })
    }
}

impl utoipa::PartialSchema for Units {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        String::schema()
    }
}

impl utoipa::ToSchema for Units {}
