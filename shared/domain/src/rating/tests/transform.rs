//! From the measured unit to the one that is sold.

use super::*;

const HOURS: &str = r#"{"type": "per_unit", "meter": "seconds", "unit_amount": {"USD": "0.12"}, "included": "1"}"#;

fn check_transform(terms: &str, quantity: &str, expect: &[&str]) {
    let price = price_with(HOURS, &format!(r#""transform": {terms}"#));
    check_price(&price, Basis::Usage(decimal(quantity)), expect);
}

#[test]
fn usage_is_divided_and_rounded_once_before_it_is_priced() {
    check_transform(
        r#"{"divide_by": "3600", "round": "up"}"#,
        "9001",
        &["9,001 / 3,600 rounded up = 3", "0 to 1: 1 included", "from 1: 2 x 0.12 USD = 0.24 USD", "0.24 USD"],
    );
    check_transform(
        r#"{"divide_by": "3600", "round": "down"}"#,
        "9001",
        &["9,001 / 3,600 rounded down = 2", "0 to 1: 1 included", "from 1: 1 x 0.12 USD = 0.12 USD", "0.12 USD"],
    );
    check_transform(
        r#"{"divide_by": "3600", "round": "half"}"#,
        "9000",
        &[
            "9,000 / 3,600 rounded to the nearest = 3",
            "0 to 1: 1 included",
            "from 1: 2 x 0.12 USD = 0.24 USD",
            "0.24 USD",
        ],
    );
    check_transform(
        r#"{"divide_by": "1024"}"#,
        "1536",
        &["1,536 / 1,024 = 1.5", "0 to 1: 1 included", "from 1: 0.5 x 0.12 USD = 0.06 USD", "0.06 USD"],
    );
    check_transform(r#"{"round": "up"}"#, "0.2", &["0.2 rounded up = 1", "0 to 1: 1 included", "0.00 USD"]);
    check_transform(
        r#"{"divide_by": "3600", "round": "up"}"#,
        "-1",
        &["-1 / 3,600 rounded up = -1", "-1 x 0.12 USD = -0.12 USD", "-0.12 USD"],
    );
}

#[test]
fn cents_become_the_amount_of_a_percentage() {
    let rate = r#"{"type": "percentage", "meter": "cents", "rate_percent": {"USD": "3"}, "transaction_amount": {"USD": "0.1"}}"#;
    let usage = Usage::of(decimal("123450"), 7);
    check_price(
        &price_with(rate, r#""transform": {"divide_by": "100"}"#),
        Basis::Measured(usage),
        &[
            "123,450 / 100 = 1,234.5",
            "1,234.50 USD x 3 % = 37.035 USD",
            "7 transactions x 0.10 USD = 0.70 USD",
            "37.74 USD",
        ],
    );
}

#[test]
fn faults_name_their_place() {
    check_faults(HOURS, r#""transform": {"divide_by": "3600", "round": "up"}"#, &[]);
    check_faults(HOURS, r#""transform": {}"#, &["/transform"]);
    check_faults(HOURS, r#""transform": {"divide_by": "3600"}"#, &["/transform/divide_by"]);
    check_faults(HOURS, r#""transform": {"divide_by": "0.0125"}"#, &[]);
    check_faults(HOURS, r#""transform": {"divide_by": "0", "round": "up"}"#, &["/transform/divide_by"]);
    check_faults(HOURS, r#""transform": {"divide_by": "-8", "round": "up"}"#, &["/transform/divide_by"]);
    check_faults(BASE, r#""transform": {"round": "up"}"#, &["/transform"]);
}
