//! What holds for any timeline.

use super::*;
use crate::invoice::verify;
use crate::money::Money;
use crate::period::Period;
use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const STEPS: usize = 50;
const SUBSCRIPTIONS: u8 = 5;
const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"];

/// One step: something is asked of a subscription, or used by its tenant, and maybe known later.
#[derive(Debug, Clone)]
enum Step {
    Start { back_days: i64, anniversary: bool, plan: u8 },
    Cancel { now: bool },
    Usage { quantity: i32, late_hours: i64, minutes_back: i64 },
    Grant { cents: i64, days: Option<i64>, is_paid: bool, is_scoped: bool, cap: Option<i64> },
}

fn step() -> impl Strategy<Value = (u8, i64, Step)> {
    let start = (prop_oneof![Just(0), 0..90_i64], any::<bool>(), 0..5_u8)
        .prop_map(|(back_days, anniversary, plan)| Step::Start { back_days, anniversary, plan });
    let late = prop_oneof![Just(0), 0..3_i64, 0..2_000_i64];
    let usage = (-2_000_000..9_000_000_i32, late, 0..100_000_i64)
        .prop_map(|(quantity, late_hours, minutes_back)| Step::Usage { quantity, late_hours, minutes_back });
    let grant = (1..20_000_i64, prop::option::of(1..90_i64), any::<bool>(), any::<bool>(), prop::option::of(1..30_i64))
        .prop_map(|(cents, days, is_paid, is_scoped, cap)| Step::Grant { cents, days, is_paid, is_scoped, cap });
    let cancel = any::<bool>().prop_map(|now| Step::Cancel { now });
    (0..SUBSCRIPTIONS, 1..20_000_i64, prop_oneof![2 => start, 1 => cancel, 5 => usage, 1 => grant])
}

fn begin() -> DateTime<Utc> {
    "2023-09-20T07:13:00Z".parse().unwrap()
}

fn plans() -> Value {
    let base = json!({"key": "base", "name": "Base", "model": {"type": "flat", "timing": "in_advance", "amount": {"USD": "49"}}});
    let calls = json!({"key": "calls", "name": "Calls", "model": {"type": "graduated", "meter": "calls", "included": "1000", "tiers": [
        {"up_to": "1000000", "unit_amount": {"USD": "0.0000037"}},
        {"unit_amount": {"USD": "0.0000021"}, "flat_amount": {"USD": "5"}}]}});
    let support = json!({"key": "support", "name": "Support", "model": {"type": "flat", "timing": "in_arrears", "amount": {"USD": "9.99"}}});
    json!([
        {"key": "p0", "name": "P0", "prices": [base, calls, support]},
        {"key": "p1", "name": "P1", "prices": [calls], "interval": {"unit": "month", "every": 2}, "grace_hours": 100},
        {"key": "p2", "name": "P2", "prices": [base]},
        {"key": "p3", "name": "P3", "prices": [base, calls], "interval": {"unit": "week", "every": 2},
            "commitment": {"minimum": {"USD": "60"}, "maximum": {"USD": "80"}}},
        {"key": "p4", "name": "P4", "prices": [base, support], "interval": {"unit": "year", "every": 1}},
    ])
}

/// The document of some steps. A subscription that exists is not started again; what else is refused is found by trying.
fn document(steps: &[(u8, i64, Step)], as_of: &[DateTime<Utc>]) -> Value {
    let mut at = begin();
    let (mut timeline, mut usage) = (Vec::new(), Vec::new());
    for (who, minutes, step) in steps {
        at += Duration::minutes(*minutes);
        let (subscription, tenant) = (format!("sub_{who}"), format!("tenant{}", who % 4));
        match step {
            Step::Start { back_days, anniversary, plan } => timeline.push(json!({
                "at": at, "subscription": subscription, "start": {
                    "tenant": tenant, "plan": format!("p{plan}"), "start_at": at - Duration::days(*back_days),
                    "calendar": if *anniversary { "anniversary" } else { "calendar" }}})),
            Step::Cancel { now } => timeline.push(json!({
                "at": at, "subscription": subscription, "cancel": {"mode": if *now { "now" } else { "period_end" }}})),
            Step::Grant { cents, days, is_paid, is_scoped, cap } => {
                let expires_at = days.map(|days| at + Duration::days(days));
                let rollover = expires_at
                    .zip(*cap)
                    .map(|(at, cap)| json!({"cap": cap.to_string(), "until": at + Duration::days(40)}));
                let mut grant = json!({
                    "wallet": format!("{tenant}-{}", if *is_scoped { "calls" } else { "all" }),
                    "amount": format!("{}.{:02}", cents / 100, cents % 100), "kind": if *is_paid { "paid" } else { "promotional" }});
                for (member, value) in [("expires_at", expires_at.map(|at| json!(at))), ("rollover", rollover)] {
                    value.into_iter().for_each(|value| grant[member] = value);
                }
                timeline.push(json!({"at": at, "grant_credit": grant}));
            }
            Step::Usage { quantity, late_hours, minutes_back } => {
                let time = at - Duration::minutes(*minutes_back);
                let known_at = at + Duration::hours(*late_hours);
                usage.push(json!({
                    "tenant": tenant, "meter": "calls", "at": time, "quantity": quantity.to_string(), "known_at": known_at}));
            }
        }
    }
    let tenants: Vec<Value> =
        (0..4).map(|index| json!({"id": format!("tenant{index}"), "zone": ZONES[index]})).collect();
    let wallets: Vec<Value> = (0..4)
        .flat_map(|index| {
            let tenant = format!("tenant{index}");
            [
                json!({"id": format!("{tenant}-all"), "tenant": tenant}),
                json!({"id": format!("{tenant}-calls"), "tenant": tenant, "prices": ["calls"]}),
            ]
        })
        .collect();
    json!({"wallets": wallets, "currency": "USD", "as_of": as_of, "plans": plans(), "tenants": tenants, "timeline": timeline, "usage": usage})
}

/// Leaves out the commands that are refused: a refusal must change nothing, so the rest goes on.
fn simulate_without_refused(mut document: Value) -> (Value, SimulationResult) {
    loop {
        let refusal = match simulate_text(&document.to_string()) {
            Ok(result) => return (document, result),
            Err(refusal) => refusal,
        };
        let field = &refusal.errors[0].field;
        let place: usize =
            field.split('/').nth(2).and_then(|place| place.parse().ok()).unwrap_or_else(|| panic!("{refusal:?}"));
        assert!(field.starts_with("/timeline/") && field.matches('/').count() == 3, "{refusal:?}");
        document["timeline"].as_array_mut().unwrap().remove(place);
    }
}

fn end() -> DateTime<Utc> {
    // Past every step, every grace and every lateness, and then some periods.
    begin() + Duration::minutes(20_000 * STEPS as i64) + Duration::days(200)
}

/// Periods tile from the start to the end, or past `as_of`; none is billed twice; everything adds up.
fn check_view(view: &View) {
    wallets::check(view);
    for subscription in &view.subscriptions {
        let state = &subscription.subscription;
        let mut reached = state.started_at;
        for period in &subscription.periods {
            assert_eq!(period.served.start, reached, "a gap or an overlap in {}", state.id);
            reached = period.served.end;
            assert!(period.full.start <= period.served.start && period.served.end <= period.full.end);
        }
        let to = state.ended_at.map_or(view.as_of, |end| end.min(view.as_of));
        assert!(reached >= to || state.started_at > view.as_of, "{} is told up to {reached} only", state.id);
        let of_it = || view.invoices.iter().filter(|invoice| invoice.subscription.as_ref() == Some(&state.id));
        check_charged_once(
            of_it()
                .flat_map(|invoice| &invoice.lines)
                .map(|line| (line.kind.as_str(), line.price_key.as_str(), line.period)),
        );
        let billed = Money::sum(state.currency, subscription.periods.iter().map(|period| period.billed)).unwrap();
        let advance: Vec<Money> = of_it()
            .flat_map(|invoice| &invoice.lines)
            .filter(|line| line.period.start >= reached && line.kind.as_str() == "recurring")
            .map(|line| line.amount)
            .collect();
        let total = Money::sum(state.currency, of_it().map(|invoice| invoice.total)).unwrap();
        let advance = Money::sum(state.currency, advance).unwrap();
        assert_eq!(billed.checked_add(advance).unwrap(), total, "{}", state.id);
    }
    let numbers: Vec<String> = view.invoices.iter().filter_map(|invoice| invoice.number.clone()).collect();
    let counted: Vec<String> = (1..=view.invoices.len()).map(|number| format!("INV-{number:06}")).collect();
    assert_eq!(numbers, counted, "numbers have a gap");
    let ids: BTreeSet<&str> = view.invoices.iter().map(|invoice| invoice.id.as_str()).collect();
    assert_eq!(ids.len(), view.invoices.len(), "one document twice");
    for invoice in view.invoices.iter().map(AsRef::as_ref).chain(&view.drafts) {
        verify(invoice).unwrap();
        assert_eq!(Money::sum(invoice.currency, invoice.lines.iter().map(|line| line.amount)).unwrap(), invoice.total);
    }
    if let [totals] = &view.totals[..] {
        assert_eq!(
            Money::sum(totals.currency, view.invoices.iter().map(|invoice| invoice.total)).unwrap(),
            totals.invoiced
        );
    }
}

/// Of one price no time is charged twice; what was charged by mistake or came late stands in credits and adjustments.
fn check_charged_once<'a>(lines: impl Iterator<Item = (&'a str, &'a str, Period)>) {
    let mut charged: Vec<(&str, Period)> = lines
        .filter(|(kind, ..)| matches!(*kind, "usage" | "recurring"))
        .map(|(_, price, period)| (price, period))
        .collect();
    charged.sort();
    for pair in charged.windows(2) {
        let ((one, first), (other, second)) = (pair[0], pair[1]);
        assert!(one != other || first.end <= second.start, "{one} is billed twice: {first:?} and {second:?}");
    }
}

/// What every closed period is billed for its usage is the price of all its usage, in whatever order it came.
fn check_usage_is_paid(document: &Value, view: &View) {
    let mut without_delay = document.clone();
    for usage in without_delay["usage"].as_array_mut().unwrap() {
        usage.as_object_mut().unwrap().remove("known_at");
    }
    let on_time = simulate_text(&without_delay.to_string()).unwrap();
    for (late, prompt) in view.subscriptions.iter().zip(&on_time.views.last().unwrap().subscriptions) {
        for (late, prompt) in late.periods.iter().zip(&prompt.periods) {
            assert_eq!(late.usage, prompt.usage);
            if late.state == PeriodState::Closed && prompt.state == PeriodState::Closed && late.served == prompt.served
            {
                assert_eq!(late.billed, prompt.billed, "{:?}", late.served);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn no_timeline_bills_a_period_twice_or_leaves_a_gap(
        steps in prop::collection::vec(step(), STEPS),
        middle in 0..1_000_000_i64,
    ) {
        let middle = begin() + Duration::minutes(middle);
        let (document, result) = simulate_without_refused(document(&steps, &[middle, end()]));
        for view in &result.views {
            check_view(view);
        }
        check_usage_is_paid(&document, &result.views[1]);
        // In two steps as in one.
        for (index, as_of) in [middle, end()].into_iter().enumerate() {
            let mut alone = document.clone();
            alone["as_of"] = json!(as_of);
            let alone = simulate_text(&alone.to_string()).unwrap();
            prop_assert_eq!(serde_json::to_string(&alone.views[0]).unwrap(), serde_json::to_string(&result.views[index]).unwrap());
        }
    }
}
