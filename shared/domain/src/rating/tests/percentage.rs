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

const BOUNDED: &str = r#"{"type": "percentage", "meter": "payments", "rate_percent": {"USD": "2.9"},
    "transaction_amount": {"USD": "0.3"}, "transaction_minimum": {"USD": "0.5"}, "transaction_maximum": {"USD": "10"}}"#;

/// Rates transactions, each told apart as the meter would, and expects the rows as sentences, then the amount.
fn check_transactions(model: &str, transform: &str, amounts: &[&str], expect: &[&str]) {
    let price = if transform.is_empty() { price(model) } else { price_with(model, transform) };
    let mut splits: Vec<TransactionSplit> =
        price.split(usd()).unwrap().into_iter().map(TransactionSplit::new).collect();
    for amount in amounts {
        splits.iter_mut().for_each(|split| split.add(decimal(amount)).unwrap());
    }
    let quantity = amounts.iter().map(|amount| decimal(amount)).sum();
    let event_count = amounts.len() as u64;
    let usage = Usage { splits: &splits, ..Usage::of(quantity, event_count) };
    check_price(&price, Basis::Measured(usage), expect);
}

#[test]
fn the_fee_of_each_transaction_has_its_bounds() {
    // 0.30 + 2.9 % is 0.50 at 6.8966 and 10.00 at 334.4828.
    check_transactions(
        BOUNDED,
        "",
        &["1", "6.89", "6.90", "100", "334.48", "334.49", "5000"],
        &[
            "least fee: 2 transactions x 0.50 USD = 1.00 USD",
            "highest fee: 2 transactions x 10.00 USD = 20.00 USD",
            "441.38 USD x 2.9 % = 12.80002 USD",
            "3 transactions x 0.30 USD = 0.90 USD",
            "34.70 USD",
        ],
    );
    check_transactions(BOUNDED, "", &["2"], &["least fee: 1 transaction x 0.50 USD = 0.50 USD", "0.50 USD"]);
    check_transactions(BOUNDED, "", &["0"], &["least fee: 1 transaction x 0.50 USD = 0.50 USD", "0.50 USD"]);
    check_transactions(
        BOUNDED,
        "",
        &[],
        &["0.00 USD x 2.9 % = 0.00 USD", "0 transactions x 0.30 USD = 0.00 USD", "0.00 USD"],
    );
    // A refund comes back at the rate, whatever its size.
    check_transactions(
        BOUNDED,
        "",
        &["-1000"],
        &["-1,000.00 USD x 2.9 % = -29.00 USD", "1 transaction x 0.30 USD = 0.30 USD", "-28.70 USD"],
    );
}

#[test]
fn cents_are_told_apart_in_cents() {
    check_transactions(
        BOUNDED,
        r#""transform": {"divide_by": "100"}"#,
        &["689", "690", "500000"],
        &[
            "501,379 / 100 = 5,013.79",
            "least fee: 1 transaction x 0.50 USD = 0.50 USD",
            "highest fee: 1 transaction x 10.00 USD = 10.00 USD",
            "6.90 USD x 2.9 % = 0.2001 USD",
            "1 transaction x 0.30 USD = 0.30 USD",
            "11.00 USD",
        ],
    );
}

#[test]
fn bounds_are_refused_where_they_cannot_be_told() {
    check_faults(BOUNDED, "", &[]);
    check_faults(BOUNDED, r#""transform": {"divide_by": "100"}"#, &[]);
    check_faults(BOUNDED, r#""transform": {"divide_by": "100", "round": "up"}"#, &["/transform/round"]);
    let free = BOUNDED.replace("\"transaction_amount\"", "\"free_amount\": {\"USD\": \"5\"}, \"transaction_amount\"");
    check_faults(&free, "", &["/model/transaction_minimum", "/model/transaction_maximum"]);
    check_faults(&BOUNDED.replace("\"10\"", "\"0.4\""), "", &["/model/transaction_maximum/USD"]);
    check_faults(&BOUNDED.replace(r#"{"USD": "10"}"#, r#"{"EUR": "10"}"#), "", &["/model/transaction_maximum"]);
    check_faults(&BOUNDED.replace("\"0.3\"", "\"0.00000000000000012\""), "", &[]);
    check_faults(
        &BOUNDED.replace("\"0.3\"", "\"0.000000000000000012\""),
        r#""transform": {"divide_by": "0.001"}"#,
        &["/model"],
    );
    let amounts = Usage::of(Decimal::ONE, 1);
    check_error(BOUNDED, "USD", Basis::Measured(amounts), "price p is for usage by the size of its transactions");
}
