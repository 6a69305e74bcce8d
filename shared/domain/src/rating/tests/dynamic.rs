//! Amounts that the events carry.

use super::*;

const COST: &str = r#"{"type": "dynamic", "meter": "provider_cost", "markup_percent": {"USD": "20", "JPY": "0"}}"#;

#[test]
fn the_amount_is_charged_with_its_markup() {
    check_usage(
        COST,
        "1234.567",
        &["1,234.567 USD as the events carry it", "1,234.567 USD x 20 % = 246.9134 USD", "1481.48 USD"],
    );
    check_usage(COST, "-5", &["-5.00 USD as the events carry it", "-5.00 USD x 20 % = -1.00 USD", "-6.00 USD"]);
    check(COST, "JPY", Basis::Usage(decimal("100.5")), &["100.5 JPY as the events carry it", "101 JPY"]);
}

#[test]
fn faults_name_their_place() {
    check_faults(COST, "", &[]);
    check_faults(&COST.replace("\"20\"", "\"-20\""), "", &["/model/markup_percent/USD"]);
    check_error(COST, "EUR", Basis::Usage(Decimal::ONE), "price p is not sold in EUR");
}
