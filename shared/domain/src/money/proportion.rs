//! A part of an amount, rounded once: what a percentage takes and what a tax asks.

use super::{AmountOverflow, Money};
use rust_decimal::Decimal;

/// `amount × numerator ÷ denominator` in whole minor units, half away from zero, as if the quotient had all its digits. The
/// part of a negative amount is the mirror image. The denominator is above zero.
pub fn proportion(amount: Money, numerator: Decimal, denominator: Decimal) -> Result<Money, AmountOverflow> {
    let minor = parts(amount.minor, numerator.normalize(), denominator.normalize());
    minor.map(|minor| Money::new(minor, amount.currency)).ok_or(AmountOverflow { currency: amount.currency })
}

fn parts(minor: i64, numerator: Decimal, denominator: Decimal) -> Option<i64> {
    let scale = numerator.scale().max(denominator.scale());
    let whole = |value: Decimal| value.mantissa().checked_mul(10_i128.checked_pow(scale - value.scale())?);
    let (numerator, denominator) = (whole(numerator)?, whole(denominator)?);
    let product = i128::from(minor).checked_mul(numerator)?;
    let (quotient, rest) = (product.checked_div(denominator)?, product.checked_rem(denominator)?);
    let is_away = rest.unsigned_abs() >= denominator.unsigned_abs() - rest.unsigned_abs();
    let away = if is_away { product.signum() * denominator.signum() } else { 0 };
    i64::try_from(quotient.checked_add(away)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    fn check(minor: i64, numerator: &str, denominator: &str, expect: Option<i64>) {
        let amount = Money::new(minor, Currency::parse("EUR").unwrap());
        let part = proportion(amount, numerator.parse().unwrap(), denominator.parse().unwrap());
        assert_eq!(part.ok().map(|part| part.minor), expect, "{minor} x {numerator} / {denominator}");
    }

    #[test]
    fn a_part_is_rounded_once_half_away_from_zero() {
        check(10_000, "19", "100", Some(1900));
        check(10_000, "19", "119", Some(1597));
        check(11_900, "19", "119", Some(1900));
        check(50, "7", "100", Some(4));
        check(-50, "7", "100", Some(-4));
        check(49, "7", "100", Some(3));
        check(1, "50", "100", Some(1));
        check(-1, "50", "100", Some(-1));
        check(10_000, "9.975", "100", Some(998));
        check(10_000, "33.333333", "100", Some(3333));
        check(5, "0", "100", Some(0));
        check(i64::MAX, "100", "100", Some(i64::MAX));
        check(i64::MAX, "101", "100", None);
        check(i64::MIN, "100", "100.00", Some(i64::MIN));
    }
}
