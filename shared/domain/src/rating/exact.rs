//! Decimal arithmetic that is exact or says that it cannot be. `rust_decimal`'s own operators round without a word once a
//! result needs more than 96 bits.

mod wide;

pub use wide::compare_product;

use super::Rounding;
use rust_decimal::Decimal;

/// Decimals to which an amount is kept that has no end, such as a third.
pub const PRORATED_DECIMALS: u32 = 18;
/// The most decimals a `Decimal` holds.
const MAX_SCALE: u32 = 28;

/// `a × b`, or `None` when the product needs more digits than can be kept.
pub fn multiply(a: Decimal, b: Decimal) -> Option<Decimal> {
    let (a, b) = (a.normalize(), b.normalize());
    from_parts(a.mantissa().checked_mul(b.mantissa())?, a.scale() + b.scale())
}

/// The sum, or `None` when it needs more digits than can be kept.
pub fn sum(terms: impl IntoIterator<Item = Decimal>) -> Option<Decimal> {
    terms.into_iter().try_fold(Decimal::ZERO, |total, term| {
        let (a, b) = (total.normalize(), term.normalize());
        let scale = a.scale().max(b.scale());
        from_parts(scaled(a, scale)?.checked_add(scaled(b, scale)?)?, scale)
    })
}

/// `amount × numerator ÷ denominator`, half away from zero at the 18th decimal. With at most 6 decimals in the amount this
/// never moves a value over a half of a minor unit: the nearest one that it does not equal is further away than that.
pub fn share(amount: Decimal, numerator: u64, denominator: u64) -> Option<Decimal> {
    let whole = scaled(amount.normalize(), PRORATED_DECIMALS)?.checked_mul(numerator.into())?;
    let denominator = i128::from(denominator);
    let quotient = whole.checked_div(denominator)?;
    let rest = whole.checked_rem(denominator)?;
    let away = if rest.abs().checked_mul(2)? >= denominator { whole.signum() } else { 0 };
    from_parts(quotient.checked_add(away)?, PRORATED_DECIMALS)
}

/// `amount × numerator ÷ denominator` of an amount with any number of decimals, half away from zero at the 18th decimal where it
/// has more than that.
pub fn ratio(amount: Decimal, numerator: u64, denominator: u64) -> Option<Decimal> {
    let amount = amount.normalize();
    if amount.scale() <= PRORATED_DECIMALS {
        return share(amount, numerator, denominator);
    }
    let beyond = 10_u64.checked_pow(amount.scale() - PRORATED_DECIMALS)?;
    let whole = from_parts(amount.mantissa(), 0)?;
    let kept = divide_rounded(
        multiply(whole, numerator.into())?,
        multiply(denominator.into(), beyond.into())?,
        Rounding::Half,
    )?;
    from_parts(kept.mantissa(), PRORATED_DECIMALS)
}

/// `a ÷ b`, or `None` when it has no end or needs more digits than can be kept.
pub fn divide(a: Decimal, b: Decimal) -> Option<Decimal> {
    let (a, b) = (a.normalize(), b.normalize());
    let (mut numerator, divisor) = (a.mantissa(), b.mantissa());
    let mut missing = i64::from(b.scale()) - i64::from(a.scale());
    // A quotient without end runs out of digits here.
    while missing > 0 || numerator.checked_rem(divisor)? != 0 {
        numerator = numerator.checked_mul(10)?;
        missing -= 1;
    }
    from_parts(numerator.checked_div(divisor)?, u32::try_from(-missing).ok()?)
}

/// `a ÷ b` as a whole number, for a `b` above zero; `None` when the numbers do not fit.
pub fn divide_rounded(a: Decimal, b: Decimal, rounding: Rounding) -> Option<Decimal> {
    let (a, b) = (a.normalize(), b.normalize());
    let scale = a.scale().max(b.scale());
    let (numerator, divisor) = (scaled(a, scale)?, scaled(b, scale)?);
    if divisor <= 0 {
        return None;
    }
    let (whole, rest) = (numerator / divisor, (numerator % divisor).abs());
    let is_away = match rounding {
        Rounding::Up => rest > 0,
        Rounding::Down => false,
        Rounding::Half => rest >= divisor - rest,
    };
    from_parts(whole.checked_add(if is_away { numerator.signum() } else { 0 })?, 0)
}

fn scaled(value: Decimal, scale: u32) -> Option<i128> {
    value.mantissa().checked_mul(10_i128.checked_pow(scale.checked_sub(value.scale())?)?)
}

fn from_parts(mut mantissa: i128, mut scale: u32) -> Option<Decimal> {
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    if scale > MAX_SCALE {
        return None;
    }
    Decimal::try_from_i128_with_scale(mantissa, scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    #[test]
    fn a_product_is_exact_or_refused() {
        let check = |a: &str, b: &str, expect: Option<&str>| {
            assert_eq!(multiply(decimal(a), decimal(b)), expect.map(decimal), "{a} x {b}");
        };
        check("18059974", "0.000003", Some("54.179922"));
        check("0.1", "0.2", Some("0.02"));
        check("10000000000000000000", "1000000000", Some("10000000000000000000000000000"));
        check("1.00000000000001", "1.00000000000001", Some("1.0000000000000200000000000001"));
        check("1.000000000000001", "1.000000000000001", None);
        check("99999999999999999999", "99999999999999999999", None);
        check("0.00000000000001", "0.000000000000001", None);
        check("0.00000000000002", "0.000000000000005", Some("0.0000000000000000000000000001"));
    }

    #[test]
    fn a_ratio_is_kept_to_eighteen_decimals() {
        let check = |amount: &str, numerator, denominator, expect: Option<&str>| {
            let found = ratio(decimal(amount), numerator, denominator);
            assert_eq!(found, expect.map(decimal), "{amount} x {numerator} / {denominator}");
        };
        check("36", 1, 3600, Some("0.01"));
        check("0.1", 1, 3600, Some("0.000027777777777778"));
        check("-0.1", 1, 3600, Some("-0.000027777777777778"));
        check("0.0000000000000000000036", 1, 3600, Some("0"));
        check("0.0000000000000000018", 1, 3600, Some("0.000000000000000000"));
        check("1.0000000000000000000001", 24, 1, Some("24.000000000000000000"));
        check("1.0000000000000000001", 24, 1, Some("24.000000000000000002"));
        check("9999999999999999999999999999", 86_400, 1, None);
    }

    #[test]
    fn a_sum_is_exact_or_refused() {
        assert_eq!(sum([decimal("0.1"), decimal("0.20"), decimal("-0.3")]), Some(Decimal::ZERO));
        assert_eq!(sum([decimal("10000000000000000000"), decimal("0.0000000001")]), None);
    }

    #[test]
    fn a_quotient_is_exact_or_refused() {
        let check = |a: &str, b: &str, expect: Option<&str>| {
            assert_eq!(divide(decimal(a), decimal(b)), expect.map(decimal), "{a} / {b}");
        };
        check("18059974", "1000", Some("18059.974"));
        check("1", "1024", Some("0.0009765625"));
        check("3", "0.001", Some("3000"));
        check("-0.5", "0.25", Some("-2"));
        check("6", "3", Some("2"));
        check("0", "7", Some("0"));
        check("1", "3", None);
        check("1", "0", None);
        check("99999999999999999999", "1000000000", Some("99999999999.999999999"));
    }

    #[test]
    fn a_rounded_quotient_is_whole_and_its_mirror_image_below_zero() {
        let check = |a: &str, b: &str, up: &str, down: &str, half: &str| {
            for (rounding, expect) in [(Rounding::Up, up), (Rounding::Down, down), (Rounding::Half, half)] {
                let expect = decimal(expect);
                assert_eq!(divide_rounded(decimal(a), decimal(b), rounding), Some(expect), "{a} / {b}");
                assert_eq!(divide_rounded(-decimal(a), decimal(b), rounding), Some(-expect), "-{a} / {b}");
            }
        };
        check("0", "1000", "0", "0", "0");
        check("1", "1000", "1", "0", "0");
        check("500", "1000", "1", "0", "1");
        check("499.999999999999999999", "1000", "1", "0", "0");
        check("1000", "1000", "1", "1", "1");
        check("1000.1", "1000", "2", "1", "1");
        check("1", "3", "1", "0", "0");
        check("2", "3", "1", "0", "1");
        check("1.5", "1", "2", "1", "2");
        check("99999999999999999999.5", "1", "100000000000000000000", "99999999999999999999", "100000000000000000000");
        assert_eq!(divide_rounded(decimal("1"), Decimal::ZERO, Rounding::Up), None);
        assert_eq!(divide_rounded(Decimal::MAX, decimal("0.0000000000000000000000000001"), Rounding::Up), None);
    }

    #[test]
    fn a_share_is_rounded_at_the_eighteenth_decimal() {
        assert_eq!(share(decimal("49"), 12, 31), Some(decimal("18.967741935483870968")));
        assert_eq!(share(decimal("-49"), 12, 31), Some(decimal("-18.967741935483870968")));
        assert_eq!(share(decimal("31"), 15, 31), Some(decimal("15")));
        assert_eq!(share(decimal("9999999999.999999"), u64::MAX, 1), None);
        assert_eq!(share(decimal("1"), 1, 0), None);
    }
}
