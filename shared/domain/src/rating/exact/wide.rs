//! Comparing a product with a bound, whatever its digits: a product of two decimals can need twice the bits that one has.

use rust_decimal::Decimal;
use std::cmp::Ordering;

/// How `a × b` compares with `c`. Exact for all decimals.
pub fn compare_product(a: Decimal, b: Decimal, c: Decimal) -> Ordering {
    let sign = |value: Decimal| value.mantissa().signum();
    let product_sign = sign(a) * sign(b);
    if product_sign != sign(c) || product_sign == 0 {
        return product_sign.cmp(&sign(c));
    }
    let product = Wide::product(a.mantissa().unsigned_abs(), b.mantissa().unsigned_abs());
    let bound = Wide::product(c.mantissa().unsigned_abs(), 1);
    let scale = a.scale() + b.scale();
    // One that outgrows 256 bits on its way to the other's scale is the larger: the other never had as many.
    let by_size = if scale >= c.scale() {
        bound.times_ten(scale - c.scale()).map_or(Ordering::Less, |bound| product.cmp(&bound))
    } else {
        product.times_ten(c.scale() - scale).map_or(Ordering::Greater, |product| product.cmp(&bound))
    };
    if product_sign > 0 { by_size } else { by_size.reverse() }
}

/// An integer of 256 bits, its higher half first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wide {
    high: u128,
    low: u128,
}

impl Wide {
    fn product(a: u128, b: u128) -> Self {
        let halves = |value: u128| (value >> 64, value & u128::from(u64::MAX));
        let ((a_high, a_low), (b_high, b_low)) = (halves(a), halves(b));
        let (cross, other_cross) = (a_high * b_low, a_low * b_high);
        let (first, first_carry) = (a_low * b_low).overflowing_add(cross << 64);
        let (low, second_carry) = first.overflowing_add(other_cross << 64);
        let carries = u128::from(first_carry) + u128::from(second_carry);
        Self { high: a_high * b_high + (cross >> 64) + (other_cross >> 64) + carries, low }
    }

    /// Times a power of ten, or `None` past 256 bits.
    fn times_ten(self, power: u32) -> Option<Self> {
        (0..power).try_fold(self, |value, _| {
            let low = Self::product(value.low, 10);
            let high = value.high.checked_mul(10)?.checked_add(low.high)?;
            Some(Self { high, low: low.low })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_product_is_compared_to_its_last_digit() {
        let check = |a: &str, b: &str, c: &str, expect| {
            let decimal = |text: &str| Decimal::from_str_exact(text).unwrap();
            assert_eq!(compare_product(decimal(a), decimal(b), decimal(c)), expect, "{a} x {b} and {c}");
        };
        check("6.89", "2.9", "19.981", Ordering::Equal);
        check("6.89", "2.9", "19.9810000000000000001", Ordering::Less);
        check("0.123456789012345678", "0.123456789012345678", "0.0152415787532389", Ordering::Less);
        check("0.123456789012345678", "0.123456789012345678", "0.0152415787532388", Ordering::Greater);
        check("-2", "3", "-5.9", Ordering::Less);
        check("-2", "-3", "6", Ordering::Equal);
        check("0", "3", "0.0", Ordering::Equal);
        check("0", "3", "-1", Ordering::Greater);
        check(
            "79228162514264337593543950335",
            "79228162514264337593543950335",
            "0.0000000000000000000000000001",
            Ordering::Greater,
        );
        check(
            "0.0000000000000000000000000001",
            "0.0000000000000000000000000001",
            "79228162514264337593543950335",
            Ordering::Less,
        );
    }

    proptest! {
        #[test]
        fn small_products_compare_as_integers_do(a in -1_000_000..1_000_000_i64, b in -1_000_000..1_000_000_i64, c: i64, scales in (0..10_u32, 0..10_u32, 0..10_u32)) {
            let (left, right) = (i128::from(a) * i128::from(b), i128::from(c));
            let expect = (left * 10_i128.pow(scales.2)).cmp(&(right * 10_i128.pow(scales.0 + scales.1)));
            let decimal = |value: i64, scale| Decimal::new(value, scale);
            prop_assert_eq!(compare_product(decimal(a, scales.0), decimal(b, scales.1), decimal(c, scales.2)), expect);
        }
    }
}
