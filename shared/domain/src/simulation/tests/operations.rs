//! What holds whatever is asked, in whatever order: the timelines and the usage of the examples, shuffled. A command that gets an
//! example is therefore tried here without more ado.

use super::*;
use crate::charge::ChargeStage;
use crate::invoice::{Invoice, InvoiceLine, LineKind, verify};
use crate::money::Money;
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const STEPS: usize = 50;
/// Documents that a shuffled one may come down to before it is sound: each attempt leaves one refused thing out.
const ATTEMPTS: usize = 200;

/// One change of a document. Numbers are folded onto what is there.
#[derive(Debug, Clone)]
enum Step {
    /// A command once more, at another instant, of the same subscription or of a new one.
    Command {
        place: usize,
        minutes: i64,
        of: Option<u8>,
    },
    /// An entry of usage once more, at another instant, known later.
    Usage {
        place: usize,
        minutes: i64,
        late_hours: i64,
    },
    /// A command at another instant.
    Move {
        place: usize,
        minutes: i64,
    },
    Remove {
        place: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let place = 0..1000_usize;
    // Often the same instant or the same day, where the order of things is told.
    let minutes = || prop_oneof![2 => Just(0_i64), 2 => -1440..1440_i64, 6 => -90_000..200_000_i64];
    let command = (place.clone(), minutes(), prop::option::of(0..4_u8))
        .prop_map(|(place, minutes, of)| Step::Command { place, minutes, of });
    let usage = (place.clone(), minutes(), prop_oneof![Just(0), 0..2_000_i64])
        .prop_map(|(place, minutes, late_hours)| Step::Usage { place, minutes, late_hours });
    let moved = (place.clone(), minutes()).prop_map(|(place, minutes)| Step::Move { place, minutes });
    prop_oneof![5 => command, 4 => usage, 1 => moved, 1 => place.prop_map(|place| Step::Remove { place })]
}

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str()?.parse().ok()
}

/// Moves every instant below a value, so that what lies between them stays.
fn shift(value: &mut Value, by: Duration) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| shift(member, by)),
        Value::Array(elements) => elements.iter_mut().for_each(|element| shift(element, by)),
        Value::String(_) => {
            if let Some(at) = instant(value) {
                *value = json!((at + by).to_rfc3339_opts(SecondsFormat::AutoSi, true));
            }
        }
        _ => {}
    }
}

fn apply(document: &mut Value, step: &Step) {
    let picked = |list: &Value, place: usize| {
        let list = list.as_array().filter(|list| !list.is_empty())?;
        Some((place % list.len(), list[place % list.len()].clone()))
    };
    match step {
        Step::Command { place, minutes, of } => {
            if let Some((_, mut entry)) = picked(&document["timeline"], *place) {
                shift(&mut entry, Duration::minutes(*minutes));
                if let (Some(of), Some(_)) = (of, entry.get("subscription")) {
                    entry["subscription"] = json!(format!("sub_more_{of}"));
                }
                document["timeline"].as_array_mut().unwrap().push(entry);
            }
        }
        Step::Usage { place, minutes, late_hours } => {
            if let Some((_, mut entry)) = picked(&document["usage"], *place) {
                shift(&mut entry, Duration::minutes(*minutes));
                let at = entry.pointer("/event/time").or(entry.get("to")).or(entry.get("at")).and_then(instant);
                if let Some(at) = at {
                    entry["known_at"] = json!(at + Duration::hours(*late_hours));
                }
                document["usage"].as_array_mut().unwrap().push(entry);
            }
        }
        Step::Move { place, minutes } => {
            if let Some((place, _)) = picked(&document["timeline"], *place) {
                shift(&mut document["timeline"][place], Duration::minutes(*minutes));
            }
        }
        Step::Remove { place } => {
            if let Some((place, _)) = picked(&document["timeline"], *place) {
                document["timeline"].as_array_mut().unwrap().remove(place);
            }
        }
    }
}

/// Instants of the timeline and the usage.
fn last_instant(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::Object(members) => members.values().filter_map(last_instant).max(),
        Value::Array(elements) => elements.iter().filter_map(last_instant).max(),
        other => instant(other),
    }
}

/// Leaves out what is refused: a refusal changes nothing, so the rest goes on. None where the document itself is refused.
fn simulate_the_rest(mut document: Value) -> Option<(Value, SimulationResult)> {
    for _ in 0..ATTEMPTS {
        let refusal = match simulate_text(&document.to_string()) {
            Ok(result) => return Some((document, result)),
            Err(refusal) => refusal,
        };
        let mut parts = refusal.errors[0].field.split('/').skip(1);
        let (list, place) = (parts.next()?.to_owned(), parts.next()?.parse::<usize>().ok()?);
        assert!(["timeline", "usage"].contains(&list.as_str()), "{refusal:?}");
        document[list].as_array_mut().unwrap().remove(place);
    }
    None
}

/// Where the period begins that a line is about.
fn begin(line: &InvoiceLine) -> DateTime<Utc> {
    line.lineage.period_start.unwrap_or(line.period.start)
}

fn check_view(view: &View) {
    let mut subtotals: BTreeMap<&str, Vec<Money>> = BTreeMap::new();
    for invoice in view.invoices.iter().map(AsRef::as_ref).chain(&view.drafts) {
        verify(invoice).unwrap();
        let lines = Money::sum(invoice.currency, invoice.lines.iter().map(|line| line.amount)).unwrap();
        assert_eq!(lines, invoice.subtotal, "{}", invoice.id);
    }
    for (index, invoice) in view.invoices.iter().enumerate() {
        let number = invoice.number.as_deref().unwrap();
        assert!(number.ends_with(&format!("-{:06}", index + 1)), "{number} is number {} of the series", index + 1);
        let Some(subscription) = &invoice.subscription else { continue };
        let of_plans = invoice.lines.iter().filter(|line| line.kind != LineKind::OneOff).map(|line| line.amount);
        let of_plans = Money::sum(invoice.currency, of_plans).unwrap();
        subtotals.entry(subscription.as_str()).or_default().push(of_plans);
    }
    check_charges(view);
    for subscription in &view.subscriptions {
        let state = &subscription.subscription;
        let mut reached = state.started_at;
        for period in &subscription.periods {
            assert!(period.served.start >= reached, "an overlap in {} at {reached}", state.id);
            // Between an end and a reactivation nothing is served.
            assert!(period.served.start == reached || !state.is_active(reached), "a gap in {} at {reached}", state.id);
            assert!(period.full.start <= period.served.start && period.served.end <= period.full.end);
            reached = period.served.end;
        }
        let to = state.ended_at.map_or(view.as_of, |end| end.min(view.as_of));
        assert!(reached >= to || state.started_at > view.as_of, "{} is told up to {reached} only", state.id);
        // What the periods are billed is what the invoices say, but for what is paid in advance for a period to come.
        let billed = Money::sum(state.currency, subscription.periods.iter().map(|period| period.billed)).unwrap();
        let issued = subtotals.remove(state.id.as_str()).unwrap_or_default();
        let lines = view.invoices.iter().filter(|invoice| invoice.subscription.as_ref() == Some(&state.id));
        let is_shown = |line: &&InvoiceLine| {
            let holds = |it: &PeriodView| it.served.start <= begin(line) && line.period.end <= it.full.end;
            subscription.periods.iter().any(holds)
        };
        let ahead: Vec<_> = lines
            .flat_map(|invoice| &invoice.lines)
            .filter(|line| line.kind != LineKind::OneOff && !is_shown(line))
            .collect();
        // Or it was billed for what a later decision took away, and is given back.
        let is_taken_away = |line: &&InvoiceLine| !state.is_active(begin(line));
        assert!(
            ahead.iter().all(|line| line.period.start >= reached || is_taken_away(line)),
            "{} is billed something about no period",
            state.id
        );
        let ahead = Money::sum(state.currency, ahead.iter().map(|line| line.amount)).unwrap();
        let all = Money::sum(state.currency, issued).unwrap();
        assert_eq!(billed.checked_add(ahead).unwrap(), all, "a line of {} is in two periods", state.id);
    }
}

/// A charge stands on one invoice when it says so, and on none else.
fn check_charges(view: &View) {
    for charge in &view.charges {
        let of_it = |invoice: &&Arc<Invoice>| invoice.charges().any(|id| *id == charge.charge.id);
        let on: Vec<_> = view.invoices.iter().filter(of_it).map(|invoice| &invoice.id).collect();
        assert_eq!(on, charge.invoice.iter().collect::<Vec<_>>(), "{}", charge.charge.id);
        assert_eq!(charge.stage == ChargeStage::Invoiced, charge.invoice.is_some());
    }
}

fn check_shuffled(name: &str, text: &str, steps: &[Step], share: i64) {
    let mut document: Value = serde_json::from_str(text).unwrap();
    steps.iter().for_each(|step| apply(&mut document, step));
    let first = instant(document.pointer("/timeline/0/at").unwrap_or(&Value::Null));
    let last = last_instant(&document["timeline"]).max(last_instant(&document["usage"]));
    let (Some(first), Some(last)) = (first, last) else { return };
    let end = last.max(first) + Duration::days(70);
    let middle = first.min(last) + (end - first.min(last)) * i32::try_from(share).unwrap() / 100;
    document["as_of"] = json!([middle, end]);
    let Some((document, result)) = simulate_the_rest(document) else { return };
    for view in &result.views {
        check_view(view);
    }
    let written = |view: &View| serde_json::to_string(view).unwrap();
    for (index, as_of) in [middle, end].into_iter().enumerate() {
        let mut alone = document.clone();
        alone["as_of"] = json!(as_of);
        let alone = simulate_text(&alone.to_string()).unwrap();
        assert_eq!(written(&alone.views[0]), written(&result.views[index]), "{name}: in two steps is not as in one");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_asked_everything_adds_up(
        example in 0..1000_usize,
        steps in prop::collection::vec(step(), 1..=STEPS),
        share in 1..99_i64,
    ) {
        let documents = documents();
        let (name, text) = &documents[example % documents.len()];
        check_shuffled(name, text, &steps, share);
    }
}
