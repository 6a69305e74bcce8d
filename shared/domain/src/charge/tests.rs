use super::*;
use crate::error::FieldError;
use crate::invoice::charge_amount;
use chrono_tz::Europe::Berlin;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn asked(json: &str) -> Result<Charge, FieldError> {
    let new: NewCharge = serde_json::from_str(json).unwrap();
    let to = ChargedTo {
        tenant: TenantId::parse("acme").unwrap(),
        subscription: None,
        currency: Currency::parse("EUR").unwrap(),
        zone: Berlin,
        at: at("2026-10-05T22:30:00Z"),
    };
    new.charge(ChargeId::parse("chg_1").unwrap(), &to)
}

fn check(json: &str, expect: Result<&str, &str>) {
    let amount = asked(json).map(|charge| charge_amount(&charge).unwrap().to_decimal().to_string());
    assert_eq!(amount.as_deref().map_err(|fault| fault.field.as_str()), expect, "{json}");
}

#[test]
fn a_charge_is_a_positive_amount_that_is_rounded_once() {
    check(r#"{"description": "Setup", "amount": "250"}"#, Ok("250.00"));
    check(r#"{"description": "Training", "quantity": "2", "unit_amount": "900"}"#, Ok("1800.00"));
    check(r#"{"description": "Cables", "quantity": "3", "unit_amount": "0.335"}"#, Ok("1.01"));
    check(r#"{"description": "One", "unit_amount": "0.005"}"#, Ok("0.01"));
    check(r#"{"description": "Nothing", "unit_amount": "0.004"}"#, Err("/unit_amount"));
    check(r#"{"description": "Back", "amount": "-5"}"#, Err("/amount"));
    check(r#"{"description": "Back", "quantity": "-1", "unit_amount": "5"}"#, Err("/quantity"));
    check(r#"{"description": "Back", "unit_amount": "-5"}"#, Err("/unit_amount"));
    check(r#"{"description": "Fine", "amount": "0.001"}"#, Err("/amount"));
    check(r#"{"description": "Both", "amount": "1", "unit_amount": "1"}"#, Err("/amount"));
    check(r#"{"description": "Both", "amount": "1", "quantity": "1"}"#, Err("/amount"));
    check(r#"{"description": "Neither"}"#, Err("/amount"));
    check(r#"{"description": " ", "amount": "1"}"#, Err("/description"));
    check(
        r#"{"description": "Huge", "quantity": "999999999999999", "unit_amount": "999999999999999"}"#,
        Err("/quantity"),
    );
}

#[test]
fn its_day_is_one_of_the_tenants_calendar() {
    let day = |json: &str| asked(json).map(|charge| charge.period);
    // Half past midnight in Berlin.
    let today = Period::new(at("2026-10-05T22:00:00Z"), at("2026-10-06T22:00:00Z"));
    assert_eq!(day(r#"{"description": "x", "amount": "1"}"#), Ok(today));
    assert_eq!(day(r#"{"description": "x", "amount": "1", "date": "2026-10-06"}"#), Ok(today));
    let period = r#""period": {"start": "2026-10-01T00:00:00Z", "end": "2026-10-03T00:00:00Z"}"#;
    let span = Period::new(at("2026-10-01T00:00:00Z"), at("2026-10-03T00:00:00Z"));
    assert_eq!(day(&format!(r#"{{"description": "x", "amount": "1", {period}}}"#)), Ok(span));
    let both = format!(r#"{{"description": "x", "amount": "1", "date": "2026-10-06", {period}}}"#);
    assert_eq!(day(&both).unwrap_err().field, "/date");
    let empty = period.replace("10-03", "10-01");
    assert_eq!(day(&format!(r#"{{"description": "x", "amount": "1", {empty}}}"#)).unwrap_err().field, "/period/end");
}

#[test]
fn a_charge_is_invoiced_or_withdrawn_once() {
    let charge = asked(r#"{"description": "Setup", "amount": "250"}"#).unwrap();
    let (invoice, now) = (InvoiceId::parse("inv_1").unwrap(), at("2026-11-01T00:00:00Z"));
    let pending = ChargeState::new(charge);
    let event = pending.take(&invoice, now).unwrap();
    let invoiced = pending.clone().evolve(&event);
    assert_eq!((invoiced.stage, invoiced.invoice.as_ref()), (ChargeStage::Invoiced, Some(&invoice)));
    assert!(matches!(invoiced.withdraw(now), Err(ChargeError::Invoiced { .. })));
    assert!(matches!(invoiced.take(&invoice, now), Err(ChargeError::Invoiced { .. })));
    let event = pending.withdraw(now).unwrap().unwrap();
    let withdrawn = pending.evolve(&event);
    assert_eq!(withdrawn.stage, ChargeStage::Withdrawn);
    assert_eq!(withdrawn.withdraw(now), Ok(None));
    assert!(matches!(withdrawn.take(&invoice, now), Err(ChargeError::Withdrawn { .. })));
    for stage in [ChargeStage::Pending, ChargeStage::Invoiced, ChargeStage::Withdrawn] {
        assert_eq!(ChargeStage::parse(stage.as_str()), Some(stage));
    }
}
