//! One table for each price model, and what holds for all of them.

mod commitment;
mod currencies;
mod dynamic;
mod graduated_percentage;
mod held;
mod laws;
mod matrix;
mod package;
mod per_duration;
mod percentage;
mod properties;
mod transform;
mod volume;

use super::*;
use crate::period::Fraction;
use proptest::prelude::*;

fn decimal(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn price(model: &str) -> Price {
    serde_json::from_str(&format!(r#"{{"key": "p", "name": "P", "model": {model}}}"#)).unwrap()
}

fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

/// Rates usage; the last sentence is the rounded amount.
fn check(model: &str, currency: &str, basis: Basis, expect: &[&str]) {
    let currency = Currency::parse(currency).unwrap();
    let rated = rate(&price(model), currency, basis).unwrap();
    let mut sentences = explain(currency, &rated.rows);
    sentences.push(rated.amount.to_string());
    assert_eq!(sentences, expect, "{model} {basis:?}");
    assert_eq!(sum_of_rows(&rated.rows), Some(rated.exact));
}

fn check_usage(model: &str, quantity: &str, expect: &[&str]) {
    check(model, "USD", Basis::Usage(decimal(quantity)), expect);
}

/// Rates usage with the number of its events.
fn check_events(model: &str, quantity: &str, event_count: u64, expect: &[&str]) {
    let usage = Usage::of(decimal(quantity), event_count);
    check(model, "USD", Basis::Measured(usage), expect);
}

/// Rates usage at a whole price, given as the members beside its model.
fn check_price(price: &Price, basis: Basis, expect: &[&str]) {
    let rated = rate(price, usd(), basis).unwrap();
    let mut sentences = explain(usd(), &rated.rows);
    sentences.push(rated.amount.to_string());
    assert_eq!(sentences, expect, "{basis:?}");
    assert_eq!(sum_of_rows(&rated.rows), Some(rated.exact));
}

fn price_with(model: &str, terms: &str) -> Price {
    serde_json::from_str(&format!(r#"{{"key": "p", "name": "P", "model": {model}, {terms}}}"#)).unwrap()
}

/// Expects the faults of a plan of one price, by what follows `/prices/0`.
fn check_faults(model: &str, terms: &str, expect: &[&str]) {
    let comma = if terms.is_empty() { "" } else { ", " };
    let price = format!(r#"{{"key": "p", "name": "P", "model": {model}{comma}{terms}}}"#);
    let plan = format!(r#"{{"key": "k", "name": "K", "prices": [{price}]}}"#);
    let plan: crate::plan::PlanVersion = serde_json::from_str(&plan).unwrap();
    let faults: Vec<String> = plan.validate().into_iter().map(|fault| fault.field).collect();
    let expect: Vec<String> = expect.iter().map(|pointer| format!("/prices/0{pointer}")).collect();
    assert_eq!(faults, expect, "{price}");
}

fn check_error(model: &str, currency: &str, basis: Basis, expect: &str) {
    let error = rate(&price(model), Currency::parse(currency).unwrap(), basis).unwrap_err();
    assert!(error.to_string().starts_with(expect), "{error}");
}

const TOKENS_IN: &str = r#"{"type": "per_unit", "meter": "tokens_in", "unit_amount": {"USD": "0.000003"}}"#;
const TOKENS_OUT: &str = r#"{"type": "per_unit", "meter": "tokens_out", "unit_amount": {"USD": "0.000015"}}"#;
const INCLUDED: &str = r#"{"type": "per_unit", "meter": "calls", "unit_amount": {"USD": "0.01"}, "included": "1000"}"#;
const TIERS: &str = r#"{"type": "graduated", "meter": "calls", "tiers": [
    {"up_to": "10", "unit_amount": {"USD": "1"}},
    {"up_to": "20", "unit_amount": {"USD": "0.5"}, "flat_amount": {"USD": "3"}},
    {"unit_amount": {"USD": "0.25"}}]}"#;
const OVERAGE: &str = r#"{"type": "graduated", "meter": "calls", "included": "1000000", "tiers": [
    {"up_to": "1000000", "unit_amount": {"USD": "0.000003"}}, {"unit_amount": {"USD": "0.000002"}}]}"#;
const BASE: &str =
    r#"{"type": "flat", "timing": "in_advance", "amount": {"USD": "49.00", "JPY": "7000", "KWD": "15.5"}}"#;

#[test]
fn per_unit() {
    check_usage(TOKENS_IN, "18059974", &["18,059,974 x 0.000003 USD = 54.179922 USD", "54.18 USD"]);
    check_usage(TOKENS_OUT, "245896", &["245,896 x 0.000015 USD = 3.68844 USD", "3.69 USD"]);
    check_usage(TOKENS_IN, "22361870", &["22,361,870 x 0.000003 USD = 67.08561 USD", "67.09 USD"]);
    check_usage(TOKENS_OUT, "4088665", &["4,088,665 x 0.000015 USD = 61.329975 USD", "61.33 USD"]);
    check_usage(TOKENS_IN, "0", &["0 x 0.000003 USD = 0.00 USD", "0.00 USD"]);
    check_usage(INCLUDED, "0", &["0 x 0.01 USD = 0.00 USD", "0.00 USD"]);
    check_usage(INCLUDED, "999.5", &["0 to 1,000: 999.5 included", "0.00 USD"]);
    check_usage(INCLUDED, "1000", &["0 to 1,000: 1,000 included", "0.00 USD"]);
    check_usage(
        INCLUDED,
        "1000.5",
        &["0 to 1,000: 1,000 included", "from 1,000: 0.5 x 0.01 USD = 0.005 USD", "0.01 USD"],
    );
    check_usage(INCLUDED, "-50", &["-50 x 0.01 USD = -0.50 USD", "-0.50 USD"]);
}

#[test]
fn graduated() {
    check_usage(TIERS, "0", &["0 to 10: 0 x 1.00 USD = 0.00 USD", "0.00 USD"]);
    check_usage(TIERS, "10", &["0 to 10: 10 x 1.00 USD = 10.00 USD", "10.00 USD"]);
    // No quantity falls between two tiers.
    check_usage(
        TIERS,
        "10.5",
        &["0 to 10: 10 x 1.00 USD = 10.00 USD", "10 to 20: 0.5 x 0.50 USD + 3.00 USD = 3.25 USD", "13.25 USD"],
    );
    check_usage(
        TIERS,
        "24",
        &[
            "0 to 10: 10 x 1.00 USD = 10.00 USD",
            "10 to 20: 10 x 0.50 USD + 3.00 USD = 8.00 USD",
            "from 20: 4 x 0.25 USD = 1.00 USD",
            "19.00 USD",
        ],
    );
    check_usage(TIERS, "-2", &["0 to 10: -2 x 1.00 USD = -2.00 USD", "-2.00 USD"]);
    check_usage(OVERAGE, "400", &["0 to 1,000,000: 400 included", "0.00 USD"]);
    check_usage(
        OVERAGE,
        "2500000",
        &[
            "0 to 1,000,000: 1,000,000 included",
            "1,000,000 to 2,000,000: 1,000,000 x 0.000003 USD = 3.00 USD",
            "from 2,000,000: 500,000 x 0.000002 USD = 1.00 USD",
            "4.00 USD",
        ],
    );
}

#[test]
fn flat() {
    let share = |numerator, denominator| Basis::Share(Fraction { numerator, denominator });
    check(BASE, "USD", Basis::Share(Fraction::WHOLE), &["1 x 49.00 USD = 49.00 USD", "49.00 USD"]);
    check(
        BASE,
        "USD",
        share(12, 31),
        &["1 x 49.00 USD x 12/31 of the period = 18.967741935483870968 USD", "18.97 USD"],
    );
    check(BASE, "JPY", share(1, 2), &["1 x 7,000 JPY x 1/2 of the period = 3,500 JPY", "3500 JPY"]);
    check(BASE, "KWD", share(1, 3), &["1 x 15.500 KWD x 1/3 of the period = 5.166666666666666667 KWD", "5.167 KWD"]);
    check(BASE, "USD", Basis::Share(Fraction::NONE), &["1 x 49.00 USD x 0/1 of the period = 0.00 USD", "0.00 USD"]);
}

#[test]
fn what_cannot_be_rated_is_a_named_error() {
    let one = Basis::Usage(Decimal::ONE);
    check_error(TOKENS_IN, "EUR", one, "price p is not sold in EUR");
    check_error(TIERS, "EUR", one, "price p is not sold in EUR");
    check_error(BASE, "EUR", Basis::Share(Fraction::WHOLE), "price p is not sold in EUR");
    check_error(TOKENS_IN, "USD", Basis::Share(Fraction::WHOLE), "price p is for usage");
    check_error(BASE, "USD", one, "price p is for a share");
    let expensive = r#"{"type": "per_unit", "meter": "m", "unit_amount": {"USD": "1000000"}}"#;
    check_error(expensive, "USD", Basis::Usage(decimal("99999999999999999999")), "price p: the amount");
    let fine = r#"{"type": "per_unit", "meter": "m", "unit_amount": {"USD": "0.123456789012345678"}}"#;
    check_error(fine, "USD", Basis::Usage(decimal("1.12345678901234567")), "price p: the amount");
    let closed = r#"{"type": "graduated", "meter": "m", "tiers": [{"up_to": "5", "unit_amount": {"USD": "1"}}]}"#;
    check_error(closed, "USD", Basis::Usage(decimal("6")), "price p has no tier for 6");
}

#[test]
fn fifteen_digits_of_a_unit_price_are_exact() {
    let model = r#"{"type": "per_unit", "meter": "m", "unit_amount": {"USD": "0.000123456789012345"}}"#;
    check_usage(
        model,
        "9876543210",
        &["9,876,543,210 x 0.000123456789012345 USD = 1,219,326.31124827861592745 USD", "1219326.31 USD"],
    );
}

/// Up to 1e9 with three decimals.
fn any_quantity() -> impl Strategy<Value = Decimal> {
    (0..1_000_000_000_000_i64).prop_map(|thousandths| Decimal::new(thousandths, 3))
}

fn any_graduated() -> impl Strategy<Value = Price> {
    let tier = (1..100_000_000_i64, 0..1_000_000_i64, prop::option::of(0..100_000_i64));
    (prop::collection::vec(tier, 1..6), 0..1_000_000_i64).prop_map(|(parts, included)| {
        let mut bound = Decimal::ZERO;
        let last = parts.len() - 1;
        let usd_amounts = |amount| [(usd(), amount)].into_iter().collect();
        let tiers = parts.into_iter().enumerate().map(|(index, (width, unit, flat))| {
            bound += Decimal::new(width, 3);
            Tier {
                up_to: (index < last).then_some(bound),
                unit_amount: usd_amounts(Decimal::new(unit, 6)),
                flat_amount: flat.map(|flat| usd_amounts(Decimal::new(flat, 2))),
            }
        });
        let (tiers, included) = (tiers.collect(), Decimal::new(included, 3));
        let meter = MeterKey::parse("m").unwrap();
        let model = crate::plan::PriceModel::Graduated(Graduated { meter, tiers, included });
        Price {
            key: PriceKey::parse("p").unwrap(),
            name: "P".into(),
            model,
            transform: None,
            time_weighted: None,
            commitment: None,
            tax_category: None,
        }
    })
}

proptest! {
    #[test]
    fn rows_tile_the_quantity_and_sum_to_the_amount(price in any_graduated(), quantity in any_quantity()) {
        let rated = rate(&price, usd(), Basis::Usage(quantity)).unwrap();
        prop_assert_eq!(rated.rows.iter().map(|row| row.amount).sum::<Decimal>(), rated.exact);
        prop_assert_eq!(rated.rows.iter().map(|row| row.quantity).sum::<Decimal>(), quantity);
        prop_assert_eq!(Money::rounded(rated.exact, usd()), Ok(rated.amount));
        prop_assert_eq!(rated.rows[0].from, Decimal::ZERO);
        for pair in rated.rows.windows(2) {
            prop_assert_eq!(pair[0].up_to, Some(pair[1].from));
        }
    }

    #[test]
    fn graduated_prices_never_fall(price in any_graduated(), a in any_quantity(), b in any_quantity()) {
        let amount = |quantity| rate(&price, usd(), Basis::Usage(quantity)).unwrap().exact;
        prop_assert!(amount(a.min(b)) <= amount(a.max(b)));
    }

    #[test]
    fn rating_never_panics(mantissa in any::<i128>(), scale in 0..=28_u32, price in any_graduated()) {
        let mantissa = mantissa >> 32;
        if let Ok(quantity) = Decimal::try_from_i128_with_scale(mantissa, scale) {
            let _ = rate(&price, usd(), Basis::Usage(quantity));
        }
    }

    #[test]
    fn a_price_is_read_as_it_was_written(price in any_graduated()) {
        let json = serde_json::to_string(&price).unwrap();
        prop_assert_eq!(serde_json::from_str::<Price>(&json).unwrap(), price);
    }
}
