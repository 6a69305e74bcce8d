//! The least and the most that a price charges.

use super::*;

const CALLS: &str = r#"{"type": "per_unit", "meter": "calls", "unit_amount": {"USD": "0.01"}}"#;
const BOTH: &str = r#""commitment": {"minimum": {"USD": "100"}, "maximum": {"USD": "500"}}"#;

fn check_commitment(quantity: &str, share: Fraction, expect: &[&str]) {
    let usage = Usage { share, ..Usage::of(decimal(quantity), 1) };
    check_price(&price_with(CALLS, BOTH), Basis::Measured(usage), expect);
}

#[test]
fn the_true_up_is_a_row_of_its_own() {
    let whole = Fraction::WHOLE;
    check_commitment(
        "3750",
        whole,
        &["3,750 x 0.01 USD = 37.50 USD", "minimum 100.00 USD less 37.50 USD = 62.50 USD", "100.00 USD"],
    );
    check_commitment(
        "0",
        whole,
        &["0 x 0.01 USD = 0.00 USD", "minimum 100.00 USD less 0.00 USD = 100.00 USD", "100.00 USD"],
    );
    check_commitment("10000", whole, &["10,000 x 0.01 USD = 100.00 USD", "100.00 USD"]);
    check_commitment("50000", whole, &["50,000 x 0.01 USD = 500.00 USD", "500.00 USD"]);
    check_commitment(
        "50001",
        whole,
        &["50,001 x 0.01 USD = 500.01 USD", "maximum 500.00 USD less 500.01 USD = -0.01 USD", "500.00 USD"],
    );
    check_commitment(
        "-100",
        whole,
        &["-100 x 0.01 USD = -1.00 USD", "minimum 100.00 USD less -1.00 USD = 101.00 USD", "100.00 USD"],
    );
}

#[test]
fn a_part_of_a_period_commits_to_its_share() {
    check_commitment(
        "3",
        Fraction { numerator: 1, denominator: 3 },
        &[
            "3 x 0.01 USD = 0.03 USD",
            "minimum 100.00 USD x 1/3 of the period less 0.03 USD = 33.303333333333333333 USD",
            "33.33 USD",
        ],
    );
    check_commitment(
        "20000",
        Fraction { numerator: 15, denominator: 31 },
        &["20,000 x 0.01 USD = 200.00 USD", "200.00 USD"],
    );
    check_commitment(
        "25000",
        Fraction { numerator: 15, denominator: 31 },
        &[
            "25,000 x 0.01 USD = 250.00 USD",
            "maximum 500.00 USD x 15/31 of the period less 250.00 USD = -8.064516129032258065 USD",
            "241.94 USD",
        ],
    );
}

#[test]
fn faults_name_their_place() {
    check_faults(CALLS, BOTH, &[]);
    check_faults(CALLS, r#""commitment": {}"#, &["/commitment"]);
    check_faults(CALLS, &BOTH.replace("\"500\"", "\"99\""), &["/commitment/maximum/USD"]);
    check_faults(CALLS, &BOTH.replace("\"100\"", "\"-1\""), &["/commitment/minimum/USD"]);
    check_faults(CALLS, r#""commitment": {"minimum": {"EUR": "1"}}"#, &["/commitment/minimum"]);
    check_faults(BASE, r#""commitment": {"minimum": {"USD": "1", "JPY": "1", "KWD": "1"}}"#, &["/commitment"]);
    let euros = price_with(CALLS, r#""commitment": {"minimum": {"EUR": "1"}}"#);
    let error = rate(&euros, usd(), Basis::Usage(Decimal::ONE)).unwrap_err();
    assert_eq!(error.to_string().get(..29), Some("price p is not sold in USD; a"));
}
