//! Sums and averages of quantities. `rust_decimal`'s own `+` and `/` round without a word past 28 digits, so the
//! additions are done in integers, and an average is rounded exactly once.

use super::{MAX_DECIMALS, MAX_DIGITS, QuantityOverflow, canonical};
use rust_decimal::Decimal;

/// The exact sum, or an error when it has more digits than a decimal holds.
pub fn add(left: Decimal, right: Decimal) -> Result<Decimal, QuantityOverflow> {
    exact_sum(left, right)
        .or_else(|| exact_sum(left.normalize(), right.normalize()))
        .ok_or_else(|| QuantityOverflow { value: format!("{} + {}", canonical(left), canonical(right)) })
}

fn exact_sum(left: Decimal, right: Decimal) -> Option<Decimal> {
    let mut scale = left.scale().max(right.scale());
    let aligned = |value: Decimal| value.mantissa().checked_mul(10i128.pow(scale - value.scale()));
    let mut sum = aligned(left)?.checked_add(aligned(right)?)?;
    loop {
        if let Ok(value) = Decimal::try_from_i128_with_scale(sum, scale) {
            return Some(value);
        }
        if scale == 0 || sum % 10 != 0 {
            return None;
        }
        (sum, scale) = (sum / 10, scale - 1);
    }
}

/// `sum / count`, rounded once, half away from zero, to 18 decimals, or to as many as leave it at 28 digits when its
/// integer part has more than ten. `None` for a count of zero.
pub fn average(sum: Decimal, count: u64) -> Option<Decimal> {
    if count == 0 {
        return None;
    }
    let sum = sum.normalize();
    let divisor = u128::from(count);
    let limit = 10u128.pow(MAX_DIGITS as u32 - 1);
    let (mut quotient, mut rest) = (sum.mantissa().unsigned_abs() / divisor, sum.mantissa().unsigned_abs() % divisor);
    let mut scale = sum.scale();
    while scale < MAX_DECIMALS && quotient < limit {
        (quotient, rest) = (quotient * 10 + rest * 10 / divisor, rest * 10 % divisor);
        scale += 1;
    }
    if rest * 2 >= divisor {
        quotient += 1;
    }
    let mantissa = i128::try_from(quotient).ok()?;
    Decimal::try_from_i128_with_scale(if sum.is_sign_negative() { -mantissa } else { mantissa }, scale)
        .ok()
        .map(|mean| mean.normalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::{from_clickhouse_str, parse_quantity};

    fn decimal(text: &str) -> Decimal {
        from_clickhouse_str(text).expect("a decimal")
    }

    fn check(values: &[&str], sum: Option<&str>, mean: Option<&str>) {
        let total = values.iter().try_fold(Decimal::ZERO, |total, text| add(total, decimal(text)));
        assert_eq!(total.clone().ok().map(canonical).as_deref(), sum, "{values:?}");
        let Ok(total) = total else { return };
        assert_eq!(average(total, values.len() as u64).map(canonical).as_deref(), mean, "{values:?}");
    }

    #[test]
    fn sums_are_exact_and_averages_are_rounded_once() {
        check(&[], Some("0"), None);
        check(&["0.1", "0.2"], Some("0.3"), Some("0.15"));
        check(&["1", "0", "0"], Some("1"), Some("0.333333333333333333"));
        check(&["2", "0", "0"], Some("2"), Some("0.666666666666666667"));
        check(&["-2", "0", "0"], Some("-2"), Some("-0.666666666666666667"));
        check(&["0.000000000000000001", "0"], Some("0.000000000000000001"), Some("0.000000000000000001"));
        check(&["-0.000000000000000001", "0"], Some("-0.000000000000000001"), Some("-0.000000000000000001"));
        check(&["99999999999999999999", "1"], Some("100000000000000000000"), Some("50000000000000000000"));
        check(&["10000000000000000000", "0.000000000000000001"], None, None);
        check(
            &["1000000000000", "0", "0", "0", "0", "0", "0"],
            Some("1000000000000"),
            Some("142857142857.1428571428571429"),
        );
        check(
            &["10000000000000000000.5", "9999999999999999999.5"],
            Some("20000000000000000000"),
            Some("10000000000000000000"),
        );
        check(&["79228162514264337593543950335", "1"], None, None);
    }

    #[test]
    fn trailing_zeros_do_not_make_a_sum_overflow() {
        let fine = Decimal::from_i128_with_scale(0, 18);
        let large = parse_quantity("99999999999999999999").expect("fits");
        assert_eq!(add(large, fine), Ok(large));
    }
}
