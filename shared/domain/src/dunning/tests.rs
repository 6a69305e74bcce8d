//! When a step is reached, and what suspends.

use super::*;
use crate::money::Currency;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap())
}

fn state(zone: &str) -> InvoiceState {
    InvoiceState {
        tenant: TenantId::parse("acme").unwrap(),
        invoice: InvoiceId::parse("inv_1").unwrap(),
        stage: InvoiceStage::Finalized,
        total: usd(1000),
        paid: usd(0),
        prepaid: usd(0),
        credited: usd(0),
        open: usd(1000),
        due_date: NaiveDate::from_ymd_opt(2026, 3, 1),
        zone: zone.parse().unwrap(),
        open_since: at("2026-02-01T12:00:00Z"),
        round: 0,
        voided: None,
        payments: Vec::new(),
    }
}

fn policy() -> DunningPolicy {
    let step = |name: &str, after_days, action| DunningStep { name: name.to_owned(), after_days, action };
    DunningPolicy {
        steps: vec![
            step("reminder", 3, DunningAction::Notify),
            step("final", 20, DunningAction::Notify),
            step("suspend", 30, DunningAction::Suspend),
        ],
    }
}

fn check(state: &InvoiceState, as_of: &str, expect: &[&str]) {
    let steps = dunning_steps(state, &policy(), at(as_of)).unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(names, expect, "{as_of}");
}

#[test]
fn a_step_is_reached_when_its_day_begins_where_the_customer_is() {
    check(&state("UTC"), "2026-03-03T23:59:59Z", &[]);
    check(&state("UTC"), "2026-03-04T00:00:00Z", &["reminder"]);
    check(&state("Europe/Berlin"), "2026-03-03T23:00:00Z", &["reminder"]);
    check(&state("America/New_York"), "2026-03-04T04:59:59Z", &[]);
    // The clocks go forward on 29 March: the day is still the 31st, and begins at 22:00 UTC.
    check(&state("Europe/Berlin"), "2026-03-30T22:00:00Z", &["reminder", "final", "suspend"]);
    check(&state("UTC"), "2026-03-30T23:59:59Z", &["reminder", "final"]);
}

#[test]
fn only_what_is_asked_for_is_dunned() {
    for stage in InvoiceStage::ALL {
        let state = InvoiceState { stage, ..state("UTC") };
        let expect: &[&str] = if stage.is_asked_for() { &["reminder"] } else { &[] };
        check(&state, "2026-03-05T00:00:00Z", expect);
    }
    check(&InvoiceState { due_date: None, ..state("UTC") }, "2030-01-01T00:00:00Z", &[]);
}

#[test]
fn after_a_chargeback_the_days_count_anew() {
    let reopened = InvoiceState { open_since: at("2026-04-10T15:00:00Z"), ..state("UTC") };
    check(&reopened, "2026-04-12T23:00:00Z", &[]);
    check(&reopened, "2026-04-13T00:00:00Z", &["reminder"]);
    let from = suspends_from(&reopened, 30, DunningAction::Suspend).unwrap();
    assert_eq!(from, Some(at("2026-05-10T00:00:00Z")));
}

#[test]
fn what_is_written_off_still_suspends_and_what_is_paid_does_not() {
    let from = |stage| suspends_from(&InvoiceState { stage, ..state("UTC") }, 30, DunningAction::Suspend).unwrap();
    let reached = Some(at("2026-03-31T00:00:00Z"));
    assert_eq!(from(InvoiceStage::PartiallyPaid), reached);
    assert_eq!(from(InvoiceStage::Uncollectible), reached);
    assert_eq!((from(InvoiceStage::Paid), from(InvoiceStage::Voided)), (None, None));
    assert_eq!(suspends_from(&state("UTC"), 30, DunningAction::Notify), Ok(None));
}

#[test]
fn the_next_step_is_the_first_that_nobody_recorded() {
    let next = |known: &[&str]| next_step_at(&state("UTC"), &policy(), |name| known.contains(&name)).unwrap();
    assert_eq!(next(&[]), Some(at("2026-03-04T00:00:00Z")));
    assert_eq!(next(&["reminder"]), Some(at("2026-03-21T00:00:00Z")));
    assert_eq!(next(&["reminder", "final", "suspend"]), None);
}

#[test]
fn a_configuration_writes_steps_as_lines() {
    let lines = ["reminder 3", "final 20", "suspend 30 suspend"].map(str::to_owned);
    assert_eq!(DunningPolicy::parse(&lines), Ok(policy()));
    for bad in ["reminder", "reminder three", "reminder 3 cancel", "", "reminder 0"] {
        assert!(DunningPolicy::parse(&[bad.to_owned()]).is_err(), "{bad}");
    }
}

#[test]
fn a_policy_rises_and_names_each_step_once() {
    let check = |change: fn(&mut DunningPolicy), expect: Option<&str>| {
        let mut policy = policy();
        change(&mut policy);
        assert_eq!(policy.check("/dunning").err().map(|fault| fault.field).as_deref(), expect);
    };
    check(|_| {}, None);
    check(|policy| policy.steps.clear(), None);
    check(|policy| policy.steps[1].after_days = 3, Some("/dunning/steps/1/after_days"));
    check(|policy| policy.steps[0].after_days = 0, Some("/dunning/steps/0/after_days"));
    check(|policy| policy.steps[2].after_days = 366, Some("/dunning/steps/2/after_days"));
    check(|policy| policy.steps[1].name = "reminder".into(), Some("/dunning/steps/1/name"));
    check(|policy| policy.steps[0].name = " ".into(), Some("/dunning/steps/0/name"));
    check(|policy| policy.steps = vec![policy.steps[0].clone(); 21], Some("/dunning/steps"));
}
