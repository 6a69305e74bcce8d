//! Quantities: exact decimals that cross the whole system unchanged, in Rust, in JSON and in ClickHouse.
//!
//! The bounds hold where a quantity enters, so that every later place can rely on them. `rust_decimal` would round a
//! longer text without a word, therefore digits are counted here before it sees them.

mod arithmetic;
mod spelling;

pub use arithmetic::{add, average};
pub(crate) use spelling::Spelling;

use rust_decimal::Decimal;

/// An exact amount of something that is metered. Made by [`parse_quantity`].
pub type Quantity = Decimal;

/// The most significant digits of a quantity: what 96 bits hold for every value.
pub const MAX_DIGITS: usize = 28;
/// The most decimals of a quantity: the scale of ClickHouse's `Decimal(38, 18)`.
pub const MAX_DECIMALS: u32 = 18;
/// The most digits before the point: `Decimal(38, 18)` has 20, so every quantity is below 1e20.
pub const MAX_INTEGER_DIGITS: usize = 20;

/// A value that no quantity can hold exactly. It is never rounded: the caller reports it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the quantity {value} does not fit exactly; a quantity has at most 28 digits, 18 of them after the point")]
pub struct QuantityOverflow {
    /// The value, or the sum that would not fit, as text.
    pub value: String,
}

/// Reads a number in JSON syntax, exponent included. `None` when it is no number, or has more than [`MAX_DIGITS`]
/// significant digits or [`MAX_DECIMALS`] decimals (trailing zeros do not count), or is 1e20 or more away from zero.
pub fn parse_quantity(text: &str) -> Option<Quantity> {
    Spelling::parse(text)?.quantity()
}

/// The one text form of a value: no exponent, no trailing zeros, never `-0`.
pub fn canonical(value: Decimal) -> String {
    if value.is_zero() { "0".to_owned() } else { value.normalize().to_string() }
}

/// The value as ClickHouse's `Decimal(38, 18)` stores it: scaled by 1e18. An error for what [`parse_quantity`] refuses.
pub fn to_clickhouse(value: Quantity) -> Result<i128, QuantityOverflow> {
    let overflow = || QuantityOverflow { value: canonical(value) };
    // Only a value with more decimals than a quantity has needs the costly normalisation.
    let value = if value.scale() > MAX_DECIMALS { value.normalize() } else { value };
    let decimals = MAX_DECIMALS.checked_sub(value.scale()).ok_or_else(overflow)?;
    let scaled = value.mantissa().checked_mul(10i128.pow(decimals)).ok_or_else(overflow)?;
    if scaled.unsigned_abs() >= 10u128.pow(MAX_DECIMALS + MAX_INTEGER_DIGITS as u32) {
        return Err(overflow());
    }
    Ok(scaled)
}

/// Reads a decimal that ClickHouse printed, for example a sum in `Decimal(76, 18)`. It may exceed 1e20, but an error
/// says when it does not fit exactly.
pub fn from_clickhouse_str(text: &str) -> Result<Decimal, QuantityOverflow> {
    Spelling::parse(text)
        .and_then(|number| number.exact_decimal())
        .ok_or_else(|| QuantityOverflow { value: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    /// One line of the table that the live path and the stored path are both tested with.
    #[derive(Deserialize)]
    struct Row {
        text: String,
        canonical: Option<String>,
    }

    fn check(text: &str, expect: Option<&str>) {
        let read = parse_quantity(text);
        assert_eq!(read.map(canonical).as_deref(), expect, "{text}");
        let Some(value) = read else { return };
        let stored = to_clickhouse(value).expect("a quantity can be stored");
        let printed = print_scaled(stored);
        assert_eq!(from_clickhouse_str(&printed), Ok(value), "{text} came back as {printed}");
    }

    /// Prints like ClickHouse with all its decimals.
    fn print_scaled(scaled: i128) -> String {
        let one = 10u128.pow(MAX_DECIMALS);
        let sign = if scaled < 0 { "-" } else { "" };
        format!("{sign}{}.{:018}", scaled.unsigned_abs() / one, scaled.unsigned_abs() % one)
    }

    #[test]
    fn the_golden_table_holds() {
        let rows: Vec<Row> =
            serde_json::from_str(include_str!("../../../schemas/golden/quantities.json")).expect("golden file is JSON");
        assert!(rows.len() > 40);
        for row in rows {
            check(&row.text, row.canonical.as_deref());
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_never_rounded() {
        for text in ["79228162514264337593543950336", "1e30", "1234567890123456789012.123456789012345678", "nan", ""] {
            assert!(from_clickhouse_str(text).is_err(), "{text}");
        }
        assert!(from_clickhouse_str("1234567890123456789012.000000000000000000").is_ok());
        let too_fine = Decimal::from_i128_with_scale(1, 19);
        assert_eq!(to_clickhouse(too_fine), Err(QuantityOverflow { value: "0.0000000000000000001".into() }));
        assert!(to_clickhouse(Decimal::from_i128_with_scale(10i128.pow(20), 0)).is_err());
        assert!(to_clickhouse(Decimal::MAX).is_err());
        assert_eq!(to_clickhouse(Decimal::from_i128_with_scale(10, 19)), Ok(1));
    }

    proptest! {
        #[test]
        fn a_spelling_never_changes_the_value(mantissa in -9_999_999_999_999_999_999_999_999_999i128..=9_999_999_999_999_999_999_999_999_999i128, scale in 8u32..=18, shift in -40i32..40) {
            let value = Decimal::from_i128_with_scale(mantissa, scale);
            let exponent = -(scale as i32);
            prop_assert_eq!(parse_quantity(&value.to_string()), Some(value));
            let (sign, digits) = if mantissa < 0 { ("-", (-mantissa).to_string()) } else { ("", mantissa.to_string()) };
            let padded = format!("{sign}{digits}{}e{}", "0".repeat(shift.unsigned_abs() as usize), exponent - shift.abs());
            prop_assert_eq!(parse_quantity(&padded), Some(value));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "-?[0-9.eE+-]{0,60}") {
            if let Some(value) = parse_quantity(&text) {
                prop_assert_eq!(parse_quantity(&canonical(value)), Some(value));
            }
        }
    }
}
