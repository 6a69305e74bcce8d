//! Volume prices, with the cliff that they have at every bound.

use super::*;

const VOLUME: &str = r#"{"type": "volume", "meter": "calls", "tiers": [
    {"up_to": "10", "unit_amount": {"USD": "1"}},
    {"up_to": "20", "unit_amount": {"USD": "0.5"}, "flat_amount": {"USD": "3"}},
    {"unit_amount": {"USD": "0.25"}}]}"#;

#[test]
fn the_whole_quantity_has_the_price_of_the_tier_in_which_it_ends() {
    check_usage(VOLUME, "0", &["tier 0 to 10: 0 x 1.00 USD = 0.00 USD", "0.00 USD"]);
    check_usage(VOLUME, "10", &["tier 0 to 10: 10 x 1.00 USD = 10.00 USD", "10.00 USD"]);
    check_usage(VOLUME, "20", &["tier 10 to 20: 20 x 0.50 USD + 3.00 USD = 13.00 USD", "13.00 USD"]);
    check_usage(VOLUME, "24", &["tier from 20: 24 x 0.25 USD = 6.00 USD", "6.00 USD"]);
    check_usage(VOLUME, "-2", &["tier 0 to 10: -2 x 1.00 USD = -2.00 USD", "-2.00 USD"]);
    let single = r#"{"type": "volume", "meter": "m", "tiers": [{"unit_amount": {"USD": "2"}}]}"#;
    check_usage(single, "3", &["3 x 2.00 USD = 6.00 USD", "6.00 USD"]);
}

#[test]
fn past_a_bound_more_usage_can_cost_less() {
    check_usage(VOLUME, "10", &["tier 0 to 10: 10 x 1.00 USD = 10.00 USD", "10.00 USD"]);
    check_usage(VOLUME, "10.5", &["tier 10 to 20: 10.5 x 0.50 USD + 3.00 USD = 8.25 USD", "8.25 USD"]);
}

#[test]
fn a_flat_amount_alone_is_a_price_by_stairs() {
    let stairs = r#"{"type": "volume", "meter": "m", "tiers": [
        {"up_to": "100", "unit_amount": {"USD": "0"}, "flat_amount": {"USD": "10"}},
        {"unit_amount": {"USD": "0"}, "flat_amount": {"USD": "15"}}]}"#;
    check_usage(stairs, "0", &["tier 0 to 100: 0 x 0.00 USD = 0.00 USD", "0.00 USD"]);
    check_usage(stairs, "1", &["tier 0 to 100: 1 x 0.00 USD + 10.00 USD = 10.00 USD", "10.00 USD"]);
    check_usage(stairs, "101", &["tier from 100: 101 x 0.00 USD + 15.00 USD = 15.00 USD", "15.00 USD"]);
}

#[test]
fn faults_name_their_tier() {
    let closed =
        VOLUME.replace(r#"{"unit_amount": {"USD": "0.25"}}"#, r#"{"up_to": "30", "unit_amount": {"USD": "1"}}"#);
    check_faults(&closed, "", &["/model/tiers/2/up_to"]);
    check_faults(&VOLUME.replace("\"20\"", "\"10\""), "", &["/model/tiers/1/up_to"]);
    check_faults(r#"{"type": "volume", "meter": "m", "tiers": []}"#, "", &["/model/tiers"]);
    check_error(VOLUME, "EUR", Basis::Usage(Decimal::ONE), "price p is not sold in EUR");
    check_error(&closed, "USD", Basis::Usage(decimal("31")), "price p has no tier for 31");
    check_error(VOLUME, "USD", Basis::Share(Fraction::WHOLE), "price p is for usage");
}

#[test]
fn what_is_included_is_priced_by_no_tier() {
    let model = r#"{"type": "volume", "meter": "m", "included": "5", "tiers": [
        {"up_to": "10", "unit_amount": {"USD": "1"}}, {"unit_amount": {"USD": "0.5"}, "flat_amount": {"USD": "3"}}]}"#;
    check_usage(model, "5", &["0 to 5: 5 included", "0.00 USD"]);
    check_usage(model, "15", &["0 to 5: 5 included", "tier 0 to 10: 10 x 1.00 USD = 10.00 USD", "10.00 USD"]);
    check_usage(
        model,
        "15.5",
        &["0 to 5: 5 included", "tier from 10: 10.5 x 0.50 USD + 3.00 USD = 8.25 USD", "8.25 USD"],
    );
    check_usage(model, "-2", &["tier 0 to 10: -2 x 1.00 USD = -2.00 USD", "-2.00 USD"]);
    check_faults(&model.replace("\"5\"", "\"-5\""), "", &["/model/included"]);
}
