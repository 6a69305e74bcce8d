//! Percentages of an amount, with a fee for each transaction.

use super::*;

const CARDS: &str = r#"{"type": "percentage", "meter": "payments", "rate_percent": {"USD": "2.9"},
    "transaction_amount": {"USD": "0.3"}, "free_amount": {"USD": "1000"}, "free_transactions": 10}"#;
const RATE: &str = r#"{"type": "percentage", "meter": "payments", "rate_percent": {"USD": "0.125"}}"#;

#[test]
fn a_rate_alone_needs_no_count_of_events() {
    check_usage(RATE, "1234.56", &["1,234.56 USD x 0.125 % = 1.5432 USD", "1.54 USD"]);
    check_usage(RATE, "0", &["0.00 USD x 0.125 % = 0.00 USD", "0.00 USD"]);
    check_usage(RATE, "-100", &["-100.00 USD x 0.125 % = -0.125 USD", "-0.13 USD"]);
}

#[test]
fn what_is_free_is_free_of_its_own_part_only() {
    check_events(
        CARDS,
        "6000",
        120,
        &[
            "0 to 1,000: 1,000.00 USD included",
            "from 1,000: 5,000.00 USD x 2.9 % = 145.00 USD",
            "0 to 10: 10 transactions included",
            "from 10: 110 transactions x 0.30 USD = 33.00 USD",
            "178.00 USD",
        ],
    );
    check_events(
        CARDS,
        "400.5",
        1,
        &["0 to 1,000: 400.50 USD included", "0 to 10: 1 transaction included", "0.00 USD"],
    );
    check_events(CARDS, "0", 0, &["0.00 USD x 2.9 % = 0.00 USD", "0 transactions x 0.30 USD = 0.00 USD", "0.00 USD"]);
    // A month of refunds: the rate comes back, each event still costs its fee.
    check_events(
        CARDS,
        "-200",
        12,
        &[
            "-200.00 USD x 2.9 % = -5.80 USD",
            "0 to 10: 10 transactions included",
            "from 10: 2 transactions x 0.30 USD = 0.60 USD",
            "-5.20 USD",
        ],
    );
}

#[test]
fn faults_name_their_place() {
    check_faults(CARDS, "", &[]);
    check_faults(&CARDS.replace("2.9", "-2.9"), "", &["/model/rate_percent/USD"]);
    check_faults(&CARDS.replace("\"1000\"", "\"0.0000001\""), "", &["/model/free_amount/USD"]);
    let euros = CARDS.replace(r#"{"USD": "0.3"}"#, r#"{"EUR": "0.3"}"#);
    check_faults(&euros, "", &["/model/transaction_amount"]);
    let no_fee = CARDS.replace(r#""transaction_amount": {"USD": "0.3"},"#, "");
    check_faults(&no_fee, "", &["/model/free_transactions"]);
    check_error(CARDS, "USD", Basis::Usage(Decimal::ONE), "price p is for usage and the number of its events");
    check_error(CARDS, "EUR", Basis::Usage(Decimal::ONE), "price p is not sold in EUR");
}
