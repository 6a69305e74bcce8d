//! Splits an amount so that nothing is lost and nothing is invented: the one function for every split of money.

use super::Money;
use std::cmp::Reverse;

/// Splits `total` in proportion to `weights`, one part for each, by the method of the largest remainder: every part is its
/// exact share cut to whole minor units, and the units that are left go one by one to the parts that lost most by the cut;
/// of equal ones to the first.
///
/// The parts sum exactly to `total` (without weights there are none), each is less than one minor unit from its exact
/// share, and the parts of a negative total are those of the positive one with the other sign. A weight below zero counts
/// as zero, and takes nothing; where all are zero the parts are equal.
///
/// ```
/// # use talea_domain::money::{Currency, Money, allocate};
/// let usd = Currency::parse("USD").unwrap();
/// let parts = allocate(Money::new(100, usd), &[1, 1, 1]);
/// assert_eq!(parts.iter().map(|part| part.minor).collect::<Vec<_>>(), [34, 33, 33]);
/// ```
pub fn allocate(total: Money, weights: &[i64]) -> Vec<Money> {
    let whole = weight_of(weights);
    let equal = vec![1; weights.len()];
    let (weights, whole) = if whole == 0 { (equal.as_slice(), weight_of(&equal)) } else { (weights, whole) };
    let minor = u128::from(total.minor.unsigned_abs());
    // 64 bits by 63 bits: the product cannot overflow.
    let shares = weights.iter().map(|weight| minor * u128::from(positive(*weight)));
    let mut parts: Vec<(u128, u128)> = shares.map(|share| (share / whole, share % whole)).collect();
    let left = minor.saturating_sub(parts.iter().map(|part| part.0).sum());
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|index| Reverse(parts[*index].1));
    for index in order.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        parts[index].0 += 1;
    }
    let sign = i128::from(total.minor.signum());
    let signed = |part: u128| i128::try_from(part).ok().and_then(|part| i64::try_from(part * sign).ok());
    let money = |part| Money::new(signed(part).expect("a part lies between zero and the total"), total.currency);
    parts.into_iter().map(|(part, _)| money(part)).collect()
}

fn positive(weight: i64) -> u64 {
    u64::try_from(weight).unwrap_or(0)
}

fn weight_of(weights: &[i64]) -> u128 {
    weights.iter().map(|weight| u128::from(positive(*weight))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;
    use proptest::prelude::*;

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::parse("USD").unwrap())
    }

    fn check(total: i64, weights: &[i64], expect: &[i64]) {
        let parts: Vec<i64> = allocate(usd(total), weights).iter().map(|part| part.minor).collect();
        assert_eq!(parts, expect, "{total} over {weights:?}");
    }

    #[test]
    fn the_largest_remainder_gets_the_cent_and_of_equal_ones_the_first() {
        check(100, &[1, 1, 1], &[34, 33, 33]);
        check(200, &[1, 1, 1], &[67, 67, 66]);
        check(10, &[3333, 3333, 3334], &[3, 3, 4]);
        check(1, &[1, 2, 2], &[0, 1, 0]);
        check(1000, &[4900, 1234, 777], &[709, 179, 112]);
        check(0, &[5, 7], &[0, 0]);
    }

    #[test]
    fn a_weight_of_zero_or_less_takes_nothing_and_all_of_zero_share_alike() {
        check(101, &[0, 1, 0, 1, -9], &[0, 51, 0, 50, 0]);
        check(5, &[0, 0, 0], &[2, 2, 1]);
        check(5, &[-1, -1], &[3, 2]);
        check(5, &[], &[]);
    }

    #[test]
    fn a_negative_total_is_the_mirror_of_the_positive_one() {
        check(-100, &[1, 1, 1], &[-34, -33, -33]);
        check(i64::MIN, &[1, 1], &[i64::MIN / 2, i64::MIN / 2]);
        check(i64::MIN, &[i64::MAX], &[i64::MIN]);
        check(
            i64::MAX,
            &[i64::MAX, i64::MAX, i64::MAX, 0],
            &[3_074_457_345_618_258_603, 3_074_457_345_618_258_602, 3_074_457_345_618_258_602, 0],
        );
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_total_and_none_is_off_by_a_minor_unit(
            total in prop_oneof![any::<i64>(), -10_000_i64..10_000],
            weights in prop::collection::vec(prop_oneof![0_i64..5, 0..=1_000_000_i64, any::<i64>()], 1..20),
        ) {
            let parts = allocate(usd(total), &weights);
            prop_assert_eq!(parts.len(), weights.len());
            prop_assert_eq!(parts.iter().map(|part| i128::from(part.minor)).sum::<i128>(), i128::from(total));
            let whole = i128::try_from(weight_of(&weights)).unwrap();
            for (part, weight) in parts.iter().zip(&weights).filter(|_| whole > 0) {
                // |part - total * weight / whole| < 1, without a division. Large whole weights are left to the sum above.
                let share = i128::from(total) * i128::from(positive(*weight));
                if let Some(product) = i128::from(part.minor).checked_mul(whole) {
                    prop_assert!((product - share).abs() < whole, "{} of {} by {} of {}", part, total, weight, whole);
                }
                prop_assert!(*weight > 0 || part.is_zero());
            }
        }

        #[test]
        fn the_mirror_of_a_total_is_the_mirror_of_its_parts(
            total in -1_000_000_i64..1_000_000,
            weights in prop::collection::vec(0_i64..1000, 1..20),
        ) {
            let mirror: Vec<i64> = allocate(usd(-total), &weights).iter().map(|part| -part.minor).collect();
            let parts: Vec<i64> = allocate(usd(total), &weights).iter().map(|part| part.minor).collect();
            prop_assert_eq!(parts, mirror);
        }
    }
}
