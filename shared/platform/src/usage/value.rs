//! Values on their way from ClickHouse to the domain: text to decimal, with a check and never through a float.

use super::UsageError;
use rust_decimal::Decimal;
use talea_domain::meter::Aggregation;
use talea_domain::quantity;

/// The value of an aggregate from its parts: `amount` is the sum (sum, avg), the extreme, the latest value or the number of
/// different values; `count` is how many events it stands on. Nothing counted: a count, a sum and a number of different values are 0,
/// the others have no value.
///
/// # Errors
/// [`UsageError::Overflow`] when a total does not fit a decimal exactly.
pub(super) fn value_of(aggregation: Aggregation, count: u64, amount: &str) -> Result<Option<Decimal>, UsageError> {
    let value = match aggregation {
        Aggregation::Count => Some(Decimal::from(count)),
        Aggregation::Sum | Aggregation::UniqueCount => Some(quantity::from_clickhouse_str(amount)?),
        _ if count == 0 => None,
        Aggregation::Avg => quantity::average(quantity::from_clickhouse_str(amount)?, count),
        Aggregation::Max | Aggregation::Min | Aggregation::Latest => Some(quantity::from_clickhouse_str(amount)?),
    };
    Ok(value.map(|value| value.normalize()))
}

/// A stored `Decimal(…, 18)` given as its integer of 10^-18.
///
/// # Errors
/// [`UsageError::Overflow`] when it needs more digits than a decimal has.
pub(super) fn from_scaled(scaled: i128) -> Result<Decimal, UsageError> {
    let (mut mantissa, mut scale) = (scaled, quantity::MAX_DECIMALS);
    while scale > 0 && mantissa % 10 == 0 {
        (mantissa, scale) = (mantissa / 10, scale - 1);
    }
    Decimal::try_from_i128_with_scale(mantissa, scale)
        .map_err(|_| quantity::QuantityOverflow { value: format!("{scaled}e-18") }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_integer_becomes_its_shortest_decimal() {
        for (scaled, text) in [
            (0, "0"),
            (1, "0.000000000000000001"),
            (-1_500_000_000_000_000_000, "-1.5"),
            (12_000_000_000_000_000_000_000, "12000"),
        ] {
            assert_eq!(from_scaled(scaled).expect("fits").to_string(), text);
        }
        assert!(from_scaled(i128::MAX).is_err());
    }
}
