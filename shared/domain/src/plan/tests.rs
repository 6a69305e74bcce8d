//! What a sender may write, and what a fault is called.

use super::*;

const SOLD: &str = include_str!("../../../../schemas/golden/plan/committed.v1.json");

fn sold() -> serde_json::Value {
    serde_json::from_str(SOLD).unwrap()
}

/// Changes one member of the sold plan and expects the pointers of the faults.
fn check(pointer: &str, value: serde_json::Value, expect: &[&str]) {
    let mut document = sold();
    *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
    let plan: PlanVersion = serde_json::from_str(&document.to_string()).unwrap();
    let fields: Vec<String> = plan.validate().into_iter().map(|fault| fault.field).collect();
    assert_eq!(fields, expect, "{pointer} = {value}");
}

/// What cannot be read at all.
fn check_unreadable(pointer: &str, value: serde_json::Value, expect: &str) {
    let mut document = sold();
    *document.pointer_mut(pointer).unwrap() = value;
    let error = serde_json::from_str::<PlanVersion>(&document.to_string()).unwrap_err().to_string();
    assert!(error.contains(expect), "{error}");
}

#[test]
fn a_sold_plan_has_no_faults_and_knows_its_currencies_and_meters() {
    let plan: PlanVersion = serde_json::from_str(SOLD).unwrap();
    assert_eq!(plan.validate(), vec![]);
    let currencies: Vec<String> = plan.currencies().unwrap().iter().map(Currency::to_string).collect();
    assert_eq!(currencies, ["EUR", "USD"]);
    let meters: Vec<&str> = plan.billed_meters().into_iter().map(MeterKey::as_str).collect();
    assert_eq!(meters, ["api_calls", "tokens_in"]);
}

#[test]
fn every_fault_names_its_place() {
    use serde_json::json;
    check("/name", json!(" "), &["/name"]);
    check("/interval/every", json!(0), &["/interval/every"]);
    check("/prices/1/key", json!("base"), &["/prices/1/key"]);
    check("/prices/0/name", json!("a\nb"), &["/prices/0/name"]);
    check("/prices/0/model/amount/USD", json!("-1"), &["/prices/0/model/amount/USD"]);
    check("/prices/0/model/amount/USD", json!("0.0000001"), &["/prices/0/model/amount/USD"]);
    check("/prices/0/model/amount/USD", json!("10000000000"), &["/prices/0/model/amount/USD"]);
    check("/prices/1/model/unit_amount", json!({"USD": "1"}), &["/prices/1/model"]);
    check("/prices/1/model/unit_amount", json!({}), &["/prices/1/model/unit_amount", "/prices/1/model"]);
    check("/prices/1/model/unit_amount/EUR", json!("0.0000000000000000001"), &["/prices/1/model/unit_amount/EUR"]);
    check("/prices/1/model/unit_amount/EUR", json!("1.234567890123456789"), &["/prices/1/model/unit_amount/EUR"]);
    check("/prices/1/model/unit_amount/EUR", json!("0.000123456789012345"), &[]);
    check("/prices/1/model/included", json!("-1"), &["/prices/1/model/included"]);
    check("/prices/2/model/tiers", json!([]), &["/prices/2/model/tiers", "/prices/2/model"]);
    check("/prices/2/model/tiers/0/up_to", json!("0"), &["/prices/2/model/tiers/0/up_to"]);
    check("/prices/2/model/tiers/0/up_to", json!(null), &["/prices/2/model/tiers/0/up_to"]);
    check(
        "/prices/2/model/tiers/1/flat_amount",
        json!({"USD": "5"}),
        &["/prices/2/model/tiers/1/flat_amount", "/prices/2/model"],
    );
    check("/limits/0/amount", json!("-5"), &["/limits/0/amount"]);
    check("/entitlements/0/feature", json!("api_calls"), &["/entitlements/0/feature"]);
}

#[test]
fn a_closed_last_tier_is_a_fault() {
    let mut document = sold();
    document["prices"][2]["model"]["tiers"][1]["up_to"] = "5000000".into();
    let plan: PlanVersion = serde_json::from_str(&document.to_string()).unwrap();
    assert_eq!(plan.validate()[0].field, "/prices/2/model/tiers/1/up_to");
}

#[test]
fn amounts_are_read_exactly_or_not_at_all() {
    use serde_json::json;
    check_unreadable("/prices/0/model/amount/USD", json!(49.0), "string");
    check_unreadable("/prices/0/model/amount/USD", json!("4.9e1"), "not an exact decimal");
    check_unreadable("/prices/0/model/amount", json!({"usd": "1"}), "ISO 4217");
    check_unreadable("/prices/0/model/type", json!("auction"), "unknown variant");
    check_unreadable("/prices/0/model/timing", json!("later"), "unknown variant");
    check_unreadable("/prices/0", json!({"key": "a", "name": "A", "model": {"type": "flat"}, "x": 1}), "timing");
    check_unreadable("/interval", json!({"unit": "month", "every": 1, "x": 1}), "unknown field");
}

#[test]
fn every_stored_plan_stays_readable_and_is_written_the_same() {
    for golden in [
        SOLD,
        include_str!("../../../../schemas/golden/plan/free.v1.json"),
        include_str!("../../../../schemas/golden/plan/tokens.v1.json"),
        include_str!("../../../../schemas/golden/plan/models.v1.json"),
        include_str!("../../../../schemas/golden/plan/measures.v1.json"),
    ] {
        let plan: PlanVersion = serde_json::from_str(golden).unwrap();
        assert_eq!(serde_json::to_string_pretty(&plan).unwrap(), golden.trim_end());
        assert_eq!(plan.validate(), vec![]);
    }
}
