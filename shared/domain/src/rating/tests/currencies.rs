//! Minor units of nothing to four decimals, and unit prices of many digits.

use super::*;

/// One price in a currency of each exponent; there is none of one decimal in ISO 4217.
#[test]
fn an_amount_is_rounded_once_to_the_currencys_own_decimals() {
    let amounts = r#"{"JPY": "0.5", "USD": "0.125", "KWD": "0.0125", "CLF": "0.00125"}"#;
    let model = format!(r#"{{"type": "per_unit", "meter": "m", "unit_amount": {amounts}}}"#);
    let check = |currency: &str, quantity: &str, expect: &str| {
        let currency = Currency::parse(currency).unwrap();
        let rated = rate(&price(&model), currency, Basis::Usage(decimal(quantity))).unwrap();
        assert_eq!(rated.amount.to_string(), expect, "{quantity}");
        let mirrored = rate(&price(&model), currency, Basis::Usage(-decimal(quantity))).unwrap();
        assert_eq!(mirrored.amount.minor, -rated.amount.minor, "{quantity}");
    };
    for (currency, exponent) in [("JPY", 0), ("USD", 2), ("KWD", 3), ("CLF", 4)] {
        assert_eq!(Currency::parse(currency).unwrap().exponent(), exponent);
    }
    // Half a minor unit goes away from zero, less than that to it.
    check("JPY", "1", "1 JPY");
    check("JPY", "0.999999", "0 JPY");
    check("JPY", "3", "2 JPY");
    check("USD", "1", "0.13 USD");
    check("USD", "0.999999", "0.12 USD");
    check("KWD", "1", "0.013 KWD");
    check("KWD", "0.999999", "0.012 KWD");
    check("CLF", "1", "0.0013 CLF");
    check("CLF", "0.999999", "0.0012 CLF");
    check("CLF", "1000000", "1250.0000 CLF");
}

#[test]
fn unit_prices_keep_fifteen_digits_and_more() {
    let check = |unit_amount: &str, quantity: &str, expect: &str| {
        let model = format!(r#"{{"type": "per_unit", "meter": "m", "unit_amount": {{"USD": "{unit_amount}"}}}}"#);
        check_faults(&model, "", &[]);
        let rated = rate(&price(&model), usd(), Basis::Usage(decimal(quantity))).unwrap();
        assert_eq!(rated.exact, decimal(expect), "{unit_amount} x {quantity}");
    };
    check("0.000123456789012345", "1", "0.000123456789012345");
    check("0.000123456789012345", "1000000000", "123456.789012345");
    check("123456789012345", "3", "370370367037035");
    check("0.000000000000123456", "1000000", "0.000000123456");
    check("1.23456789012345678", "9999999999", "12345678899.99999990987654322");
}
