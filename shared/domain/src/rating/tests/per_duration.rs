//! Prices per duration.

use super::*;

const GPU: &str = r#"{"type": "per_duration", "meter": "gpu_seconds", "measured_in": "second", "per": "hour",
    "unit_amount": {"USD": "0.36"}}"#;
const FREE: &str = r#"{"type": "per_duration", "meter": "minutes", "measured_in": "minute", "per": "hour",
    "unit_amount": {"USD": "0.10"}, "included": "30"}"#;
const DAYS: &str = r#"{"type": "per_duration", "meter": "days", "measured_in": "day", "per": "hour",
    "unit_amount": {"USD": "0.5"}}"#;

#[test]
fn a_part_of_the_priced_unit_costs_its_part() {
    check_usage(GPU, "3600", &["3,600 seconds x 0.36 USD per hour = 0.36 USD", "0.36 USD"]);
    check_usage(GPU, "9001", &["9,001 seconds x 0.36 USD per hour = 0.9001 USD", "0.90 USD"]);
    check_usage(GPU, "1", &["1 second x 0.36 USD per hour = 0.0001 USD", "0.00 USD"]);
    check_usage(GPU, "0", &["0 seconds x 0.36 USD per hour = 0.00 USD", "0.00 USD"]);
    check_usage(GPU, "-3600", &["-3,600 seconds x 0.36 USD per hour = -0.36 USD", "-0.36 USD"]);
    check_usage(GPU, "0.125", &["0.125 seconds x 0.36 USD per hour = 0.0000125 USD", "0.00 USD"]);
    check_usage(DAYS, "1.5", &["1.5 days x 0.50 USD per hour = 18.00 USD", "18.00 USD"]);
    // A third has no end; the sixth of a cent that is missing to it is nowhere.
    check_usage(
        &GPU.replace("0.36", "0.10"),
        "1200",
        &["1,200 seconds x 0.10 USD per hour = 0.033333333333333333 USD", "0.03 USD"],
    );
}

#[test]
fn what_is_included_is_in_the_meters_unit() {
    check_usage(FREE, "30", &["0 to 30: 30 minutes included", "0.00 USD"]);
    check_usage(
        FREE,
        "90",
        &["0 to 30: 30 minutes included", "from 30: 60 minutes x 0.10 USD per hour = 0.10 USD", "0.10 USD"],
    );
}

#[test]
fn faults_name_their_place() {
    check_faults(GPU, "", &[]);
    check_faults(&GPU.replace("0.36", "0.0000001"), "", &["/model/unit_amount/USD"]);
    check_faults(&FREE.replace("\"30\"", "\"-1\""), "", &["/model/included"]);
}
