//! The commitment of a plan and what is charged once, whatever happens to the subscription.

use super::timeline::{Ledger, Operation, by_second, operation, plan, seats, to_plan};
use super::*;
use crate::period::Alignment;
use crate::subscription::{Alteration, ChangeTerms, Effective};
use chrono::Duration;
use proptest::prelude::*;
use serde_json::json;

/// Small plans commit, the large one has a most; the small one has a setup fee.
fn plans() -> Vec<PlanVersion> {
    let with = |key: &str, version, unit, base, commitment: serde_json::Value| {
        let mut plan = serde_json::to_value(plan(key, version, unit, base)).unwrap();
        plan["commitment"] = commitment;
        let setup = json!({"key": "setup", "name": "Setup", "model": {"type": "flat", "timing": "once", "amount": {"USD": "25"}}});
        plan["prices"].as_array_mut().unwrap().push(setup);
        serde_json::from_value::<PlanVersion>(plan).unwrap()
    };
    let add_on = json!({"key": "backup", "version": 1, "name": "Backup", "prices": [
        {"key": "fee", "name": "Fee", "model": {"type": "flat", "timing": "once", "amount": {"USD": "4.44"}}},
        {"key": "stored", "name": "Stored", "model": {"type": "per_unit", "meter": "stored", "unit_amount": {"USD": "0.013"}}}]});
    vec![
        with("small", 1, "month", "29", json!({"minimum": {"USD": "250"}})),
        with("small", 2, "month", "31", json!({"minimum": {"USD": "80.01"}, "maximum": {"USD": "100"}})),
        with("large", 1, "month", "199.99", json!({"maximum": {"USD": "210"}})),
        with("yearly", 1, "year", "1999", json!({"minimum": {"USD": "3000"}})),
        plan("weekly", 1, "week", "9.5"),
        serde_json::from_value(add_on).unwrap(),
    ]
}

fn ledger(start: &str) -> Ledger {
    Ledger::of(plans(), "small", at(start), Alignment::Calendar, StartOptions::default())
}

#[test]
fn a_commitment_is_of_its_plans_own_charges_and_share() {
    let mut ledger = ledger("2023-10-31T23:00:00Z");
    let now = at("2023-11-15T23:00:00Z");
    ledger.advance(now);
    ledger.change(by_second(to_plan("large", 1), Effective::Now), now).unwrap();
    ledger.advance(at("2023-11-30T23:00:00Z"));
    // Half of November each: the small plan lacks to its 125.00, the large one is over its 105.00.
    let of_plan = |plan: &str| {
        let november = |line: &&InvoiceLine| line.period.end <= at("2023-11-30T23:00:00Z");
        let lines =
            ledger.lines.iter().filter(november).filter(|line| line.lineage.plan.as_ref().unwrap().as_str() == plan);
        let of = |kind: Option<LineKind>| -> i64 {
            lines.clone().filter(|line| kind.is_none_or(|kind| line.kind == kind)).map(|line| line.amount.minor).sum()
        };
        (of(None), of(Some(LineKind::Commitment)))
    };
    let ((small, added), (large, taken)) = (of_plan("small"), of_plan("large"));
    assert_eq!((small, large), (12_500, 10_500));
    assert!(added > 0 && taken < 0, "{added} {taken}");
    let commitments: Vec<String> =
        ledger.describe().into_iter().filter(|line| line.starts_with("Commitment")).collect();
    assert!(commitments[0].starts_with("Commitment of small, 2023-11-01 to 2023-11-15 = "), "{commitments:?}");
    assert!(commitments[1].starts_with("Commitment of large, 2023-11-16 to 2023-11-30 = -"), "{commitments:?}");
}

#[test]
fn what_is_charged_once_is_charged_when_charging_begins() {
    let mut ledger = ledger("2023-11-09T23:00:00Z");
    ledger.advance(at("2024-02-01T00:00:00Z"));
    let now = at("2024-02-10T00:00:00Z");
    ledger
        .change(by_second(Alteration::QuantityChanged { add_on: None, quantities: seats(3) }, Effective::Now), now)
        .unwrap();
    ledger.change(by_second(to_plan("large", 1), Effective::Now), now).unwrap();
    ledger.advance(at("2024-06-01T00:00:00Z"));
    let setups: Vec<String> = ledger.describe().into_iter().filter(|line| line.contains("Setup")).collect();
    assert_eq!(setups, ["Setup, 2023-11-10 to 2023-11-30 = 25.00 USD"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn commitments_and_fees_of_once_say_what_the_final_timeline_owes(
        operations in prop::collection::vec(operation(), 1..30), start in 0..3_000_000_i64, anniversary in any::<bool>(),
    ) {
        let start = at("2023-09-20T07:13:00Z") + Duration::seconds(start);
        let calendar = if anniversary { Alignment::Anniversary } else { Alignment::Calendar };
        let mut ledger = Ledger::of(plans(), "small", start, calendar, StartOptions::default());
        let mut now = start;
        for Operation { minutes, what, when, proration, invoice, grace } in operations {
            now += Duration::minutes(minutes);
            ledger.advance(now - Duration::hours(grace));
            let effective = match when {
                0 => Effective::Now,
                i64::MAX => Effective::PeriodEnd,
                minutes => Effective::At(now + Duration::minutes(minutes)),
            };
            // What is refused changes nothing.
            let _ = ledger.change(ChangeTerms { what, effective, proration, invoice }, now);
        }
        let end = now + Duration::days(500);
        ledger.advance(end);
        let mut known = ledger.known_from_the_start();
        known.advance(end);
        prop_assert_eq!(ledger.sums(), known.sums(), "{:#?}\n{:#?}", ledger.describe(), known.describe());
    }
}
