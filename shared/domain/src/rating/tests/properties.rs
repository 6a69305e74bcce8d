//! What holds for every price of usage, whatever its model, transform and commitment.

use super::*;
use crate::plan::PriceModel;

fn amounts(value: Decimal) -> crate::plan::Amounts {
    [(usd(), value)].into_iter().collect()
}

pub(super) fn meter() -> MeterKey {
    MeterKey::parse("m").unwrap()
}

/// Up to 100 with six decimals.
pub(super) fn any_unit_amount() -> impl Strategy<Value = crate::plan::Amounts> {
    (0..100_000_000_i64).prop_map(|millionths| amounts(Decimal::new(millionths, 6)))
}

/// A true-up is kept to 18 decimals, so that it fits 28 digits below ten thousand millions; beyond, the overflow is named.
fn rated_unless_too_large(price: &Price, basis: Basis<'_>) -> Option<Rated> {
    let rated = rate(price, usd(), basis);
    if let (Err(RatingError::Overflow { .. }), Some(_)) = (&rated, &price.commitment) {
        let bare = rate(&Price { commitment: None, ..price.clone() }, usd(), basis).unwrap();
        assert!(bare.exact.abs() >= Decimal::from(crate::plan::validate::FLAT_AMOUNT_BOUND), "{}", bare.exact);
        return None;
    }
    Some(rated.unwrap())
}

fn any_flat_amount() -> impl Strategy<Value = crate::plan::Amounts> {
    (0..100_000_i64).prop_map(|cents| amounts(Decimal::new(cents, 2)))
}

fn any_volume() -> impl Strategy<Value = PriceModel> {
    any_graduated().prop_map(|price| match price.model {
        PriceModel::Graduated(graduated) => {
            PriceModel::Volume(Volume { meter: meter(), tiers: graduated.tiers, included: graduated.included })
        }
        other => other,
    })
}

fn any_package() -> impl Strategy<Value = PriceModel> {
    (1..1_000_000_i64, any_unit_amount(), 0..10_u32).prop_map(|(size, package_amount, free_packages)| {
        let package_size = Decimal::new(size, 3);
        PriceModel::Package(Package { meter: meter(), package_size, package_amount, free_packages })
    })
}

fn any_per_duration() -> impl Strategy<Value = PriceModel> {
    let unit = || {
        prop::sample::select(vec![DurationUnit::Second, DurationUnit::Minute, DurationUnit::Hour, DurationUnit::Day])
    };
    (unit(), unit(), any_unit_amount(), 0..1_000_i64).prop_map(|(measured_in, per, unit_amount, included)| {
        let (meter, included) = (meter(), Decimal::from(included));
        // Of a shorter unit by a longer one, so that amounts stay as small as those of other models.
        let is_longer = measured_in.seconds() > per.seconds();
        let (measured_in, per) = if is_longer { (per, measured_in) } else { (measured_in, per) };
        PriceModel::PerDuration(PerDuration { meter, measured_in, per, unit_amount, included })
    })
}

fn any_percentage() -> impl Strategy<Value = PriceModel> {
    let optional = || prop::option::of(any_flat_amount());
    (any_unit_amount(), optional(), optional(), 0..10_u32).prop_map(|(rate_percent, fee, free_amount, count)| {
        let (transaction_amount, free_transactions) = (fee, count);
        let meter = meter();
        PriceModel::Percentage(Percentage {
            meter,
            rate_percent,
            transaction_amount,
            free_amount,
            free_transactions,
            transaction_minimum: None,
            transaction_maximum: None,
        })
    })
}

fn any_graduated_percentage() -> impl Strategy<Value = PriceModel> {
    any_graduated().prop_map(|price| {
        let PriceModel::Graduated(graduated) = price.model else { unreachable!("a graduated price") };
        let tier = |tier: Tier| PercentageTier {
            up_to: tier.up_to.map(amounts),
            rate_percent: tier.unit_amount,
            flat_amount: tier.flat_amount,
        };
        let tiers = graduated.tiers.into_iter().map(tier).collect();
        PriceModel::GraduatedPercentage(GraduatedPercentage { meter: meter(), tiers })
    })
}

/// Models whose price never falls when usage grows: all but volume.
fn any_rising_model() -> impl Strategy<Value = PriceModel> {
    prop_oneof![
        any_graduated().prop_map(|price| price.model),
        any_package(),
        any_percentage(),
        any_graduated_percentage(),
        any_per_duration(),
        any_unit_amount().prop_map(|markup_percent| PriceModel::Dynamic(Dynamic { meter: meter(), markup_percent })),
    ]
}

fn any_terms() -> impl Strategy<Value = (Option<QuantityTransform>, Option<Commitment>)> {
    let rounding = prop_oneof![Just(Rounding::Up), Just(Rounding::Down), Just(Rounding::Half)];
    let transform = (1..100_000_i64, rounding).prop_map(|(divisor, rounding)| QuantityTransform {
        divide_by: Some(Decimal::new(divisor, 2)),
        round: Some(rounding),
    });
    let commitment = (0..1_000_000_i64, 0..10_000_000_i64).prop_map(|(least, beyond)| Commitment {
        minimum: Some(amounts(Decimal::new(least, 2))),
        maximum: Some(amounts(Decimal::new(least + beyond, 2))),
    });
    (prop::option::of(transform), prop::option::of(commitment))
}

pub(super) fn price_of(model: PriceModel, terms: (Option<QuantityTransform>, Option<Commitment>)) -> Price {
    let (transform, commitment) = terms;
    Price {
        key: PriceKey::parse("p").unwrap(),
        name: "P".into(),
        model,
        transform,
        time_weighted: None,
        commitment,
        tax_category: None,
    }
}

fn any_rising_price() -> impl Strategy<Value = Price> {
    (any_rising_model(), any_terms()).prop_map(|(model, terms)| price_of(model, terms))
}

pub(super) fn any_price() -> impl Strategy<Value = Price> {
    (prop_oneof![any_rising_model(), any_volume()], any_terms()).prop_map(|(model, terms)| price_of(model, terms))
}

fn measured(quantity: Decimal, event_count: u64, share: Fraction) -> Basis<'static> {
    Basis::Measured(Usage { share, ..Usage::of(quantity, event_count) })
}

fn any_share() -> impl Strategy<Value = Fraction> {
    (0..=31_u64).prop_map(|numerator| Fraction { numerator, denominator: 31 })
}

proptest! {
    #[test]
    fn rows_always_sum_to_the_amount(
        price in any_price(), quantity in any_quantity(), is_credit: bool, events in 0..1_000_u64, share in any_share(),
    ) {
        let quantity = if is_credit { -quantity } else { quantity };
        let Some(rated) = rated_unless_too_large(&price, measured(quantity, events, share)) else { return Ok(()) };
        prop_assert_eq!(sum_of_rows(&rated.rows), Some(rated.exact));
        prop_assert_eq!(Money::rounded(rated.exact, usd()), Ok(rated.amount));
        for row in &rated.rows {
            let charged = exact::multiply(row.quantity, row.unit_amount).unwrap();
            let share = row.share.unwrap_or(Fraction::WHOLE);
            let charged = exact::share(charged, share.numerator, share.denominator);
            let amount = charged.and_then(|charged| exact::sum([charged, row.flat_amount.unwrap_or_default()]));
            // Without a share the formula of a row is exact beyond the 18th decimal.
            if let Some(amount) = amount {
                prop_assert!((amount - row.amount).abs() <= Decimal::new(1, 18), "{row:?}");
            }
        }
        prop_assert_eq!(explain(usd(), &rated.rows).len(), rated.rows.len());
    }

    #[test]
    fn more_usage_never_costs_less_but_by_volume(
        price in any_rising_price(), a in any_quantity(), b in any_quantity(), events in 0..1_000_u64,
    ) {
        let amount = |quantity| rate(&price, usd(), measured(quantity, events, Fraction::WHOLE)).unwrap().exact;
        prop_assert!(amount(a.min(b)) <= amount(a.max(b)));
    }

    #[test]
    fn inside_a_tier_volume_prices_never_fall(model in any_volume(), a in any_quantity(), b in any_quantity()) {
        let price = price_of(model, (None, None));
        let rated = |quantity| rate(&price, usd(), Basis::Usage(quantity)).unwrap();
        let (low, high) = (rated(a.min(b)), rated(a.max(b)));
        if low.rows[0].detail == high.rows[0].detail {
            prop_assert!(low.exact <= high.exact);
        }
    }

    #[test]
    fn an_amount_stays_between_minimum_and_maximum(
        price in any_price(), quantity in any_quantity(), share in any_share(),
    ) {
        let Some(rated) = rated_unless_too_large(&price, measured(quantity, 3, share)) else { return Ok(()) };
        let bare = rate(&Price { commitment: None, ..price.clone() }, usd(), measured(quantity, 3, share)).unwrap();
        let Some(commitment) = price.commitment else { return Ok(()) };
        let bound = |amounts: Option<crate::plan::Amounts>| {
            let amount = amounts.unwrap().get(usd()).unwrap();
            exact::share(amount, share.numerator, share.denominator).unwrap()
        };
        let (least, most) = (bound(commitment.minimum), bound(commitment.maximum));
        prop_assert_eq!(rated.exact, bare.exact.clamp(least, most));
    }

    #[test]
    fn a_matrix_prices_every_unit_once(parts in prop::collection::vec((0..3_usize, 0..3_usize, any_quantity()), 0..12)) {
        let model = r#"{"type": "matrix", "meter": "m", "dimensions": ["model", "region"], "unit_amount": {"USD": "0.1"},
            "cells": [{"values": {"model": "a", "region": "x"}, "unit_amount": {"USD": "0.2"}},
                      {"values": {"region": "y"}, "unit_amount": {"USD": "0.3"}}]}"#;
        let (models, regions) = (["a", "b", ""], ["x", "y", ""]);
        let texts: Vec<String> = parts.iter().map(|(_, _, quantity)| quantity.to_string()).collect();
        let named: Vec<(&str, &str, &str)> =
            parts.iter().zip(&texts).map(|((m, r, _), text)| (models[*m], regions[*r], text.as_str())).collect();
        let groups = matrix::groups(&named);
        let quantity: Decimal = groups.iter().map(|group| group.quantity).sum();
        let basis = Basis::Measured(Usage { groups: &groups, ..Usage::of(quantity, 1) });
        let rated = rate(&price(model), usd(), basis).unwrap();
        prop_assert_eq!(rated.rows.iter().map(|row| row.quantity).sum::<Decimal>(), quantity);
        let unit = |group: &UsageGroup| match (group.values["model"].as_str(), group.values["region"].as_str()) {
            ("a", "x") => Decimal::new(2, 1),
            (_, "y") => Decimal::new(3, 1),
            _ => Decimal::new(1, 1),
        };
        prop_assert_eq!(rated.exact, groups.iter().map(|group| unit(group) * group.quantity).sum::<Decimal>());
    }

    #[test]
    fn rating_any_model_never_panics(
        price in any_price(), mantissa in any::<i128>(), scale in 0..=28_u32, events: u64,
    ) {
        let Ok(quantity) = Decimal::try_from_i128_with_scale(mantissa >> 32, scale) else { return Ok(()) };
        if let Ok(rated) = rate(&price, usd(), measured(quantity, events, Fraction::WHOLE)) {
            explain(usd(), &rated.rows);
        }
    }

    #[test]
    fn every_price_is_read_as_it_was_written(price in any_price()) {
        let json = serde_json::to_string(&price).unwrap();
        prop_assert_eq!(serde_json::from_str::<Price>(&json).unwrap(), price);
    }
}
