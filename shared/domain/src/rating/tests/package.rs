//! Packages.

use super::*;

const PACKAGE: &str = r#"{"type": "package", "meter": "sms", "package_size": "1000", "package_amount": {"USD": "5"}, "free_packages": 2}"#;
const NO_FREE: &str = r#"{"type": "package", "meter": "gb", "package_size": "0.5", "package_amount": {"USD": "0.07"}}"#;

#[test]
fn a_package_that_is_begun_is_paid_whole() {
    check_usage(PACKAGE, "0", &["0 packages of 1,000 x 5.00 USD = 0.00 USD", "0.00 USD"]);
    check_usage(PACKAGE, "1", &["0 to 2,000: 1 package of 1,000 included", "0.00 USD"]);
    check_usage(PACKAGE, "2000", &["0 to 2,000: 2 packages of 1,000 included", "0.00 USD"]);
    check_usage(
        PACKAGE,
        "2000.000001",
        &[
            "0 to 2,000: 2 packages of 1,000 included",
            "from 2,000: 1 package of 1,000 x 5.00 USD = 5.00 USD",
            "5.00 USD",
        ],
    );
    check_usage(
        PACKAGE,
        "5000",
        &[
            "0 to 2,000: 2 packages of 1,000 included",
            "from 2,000: 3 packages of 1,000 x 5.00 USD = 15.00 USD",
            "15.00 USD",
        ],
    );
    check_usage(NO_FREE, "1.2", &["3 packages of 0.5 x 0.07 USD = 0.21 USD", "0.21 USD"]);
}

#[test]
fn a_credit_is_the_mirror_image_of_its_charge() {
    check_usage(PACKAGE, "-1500", &["-2 packages of 1,000 x 5.00 USD = -10.00 USD", "-10.00 USD"]);
}

#[test]
fn faults_name_their_place() {
    check_faults(&PACKAGE.replace("\"1000\"", "\"0\""), "", &["/model/package_size"]);
    check_faults(&PACKAGE.replace("\"1000\"", "\"-3\""), "", &["/model/package_size"]);
    check_faults(&PACKAGE.replace("\"1000\"", "\"1.234567890123456780\""), "", &[]);
    check_faults(&PACKAGE.replace("\"1000\"", "\"1.234567890123456789\""), "", &["/model/package_size"]);
    check_faults(&PACKAGE.replace("\"5\"", "\"-5\""), "", &["/model/package_amount/USD"]);
    check_error(PACKAGE, "EUR", Basis::Usage(Decimal::ONE), "price p is not sold in EUR");
    let fine = PACKAGE.replace("\"1000\"", "\"0.000000000000000001\"");
    check_error(&fine, "USD", Basis::Usage(decimal("99999999999999999999")), "price p: the amount");
}
