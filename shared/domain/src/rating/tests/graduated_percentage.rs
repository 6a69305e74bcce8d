//! Percentages by tiers of the amount.

use super::*;

const TIERED: &str = r#"{"type": "graduated_percentage", "meter": "payments", "tiers": [
    {"up_to": {"USD": "10000", "JPY": "1500000"}, "rate_percent": {"USD": "2.9", "JPY": "3.6"}},
    {"rate_percent": {"USD": "2.5", "JPY": "3.1"}, "flat_amount": {"USD": "10", "JPY": "1500"}}]}"#;

#[test]
fn each_rate_holds_inside_its_tier() {
    check_usage(TIERED, "0", &["0 to 10,000: 0.00 USD x 2.9 % = 0.00 USD", "0.00 USD"]);
    check_usage(TIERED, "10000", &["0 to 10,000: 10,000.00 USD x 2.9 % = 290.00 USD", "290.00 USD"]);
    check_usage(
        TIERED,
        "12345.67",
        &[
            "0 to 10,000: 10,000.00 USD x 2.9 % = 290.00 USD",
            "from 10,000: 2,345.67 USD x 2.5 % + 10.00 USD = 68.64175 USD",
            "358.64 USD",
        ],
    );
    check_usage(TIERED, "-100", &["0 to 10,000: -100.00 USD x 2.9 % = -2.90 USD", "-2.90 USD"]);
}

#[test]
fn a_bound_is_an_amount_of_its_currency() {
    check(
        TIERED,
        "JPY",
        Basis::Usage(decimal("1500001")),
        &[
            "0 to 1,500,000: 1,500,000 JPY x 3.6 % = 54,000 JPY",
            "from 1,500,000: 1 JPY x 3.1 % + 1,500 JPY = 1,500.031 JPY",
            "55500 JPY",
        ],
    );
}

#[test]
fn faults_name_their_place() {
    check_faults(TIERED, "", &[]);
    check_faults(&TIERED.replace("\"1500000\"", "\"0\""), "", &["/model/tiers/0/up_to/JPY"]);
    let one_sided = TIERED.replace(r#"{"USD": "10000", "JPY": "1500000"}"#, r#"{"USD": "10000"}"#);
    check_faults(&one_sided, "", &["/model/tiers/0/up_to"]);
    let open = TIERED.replace(r#""up_to": {"USD": "10000", "JPY": "1500000"},"#, "");
    check_faults(&open, "", &["/model/tiers/0/up_to"]);
    let closed = TIERED.replace(r#""flat_amount""#, r#""up_to": {"USD": "20000", "JPY": "3000000"}, "flat_amount""#);
    check_faults(&closed, "", &["/model/tiers/1/up_to"]);
    check_error(TIERED, "EUR", Basis::Usage(Decimal::ONE), "price p is not sold in EUR");
    check_error(&closed, "USD", Basis::Usage(decimal("20001")), "price p has no tier for 20001");
}
