//! A document within its limits can still ask for hours of work, or for an answer larger than any memory: both are counted.

use super::*;
use serde_json::{Value, json};

/// Subscriptions of one tenant, each billed for all of its usage by every view.
fn document(subscriptions: usize, events: usize, views: usize) -> Value {
    let start = |n| json!({"at": "2024-01-01T00:00:00Z", "subscription": format!("s{n}"), "start": {"tenant": "acme", "plan": "p"}});
    let usage = |n| json!({"tenant": "acme", "meter": "calls", "quantity": "1", "at": format!("2024-01-{:02}T00:00:00Z", 1 + n % 28)});
    let as_of = |n| format!("2024-02-01T{:02}:00:00Z", n);
    json!({
        "currency": "USD", "grace_hours": 48, "as_of": (0..views).map(as_of).collect::<Vec<_>>(),
        "plans": [{"key": "p", "name": "P", "prices": [
            {"key": "calls", "name": "Calls", "model": {"type": "per_unit", "meter": "calls", "unit_amount": {"USD": "0.5"}}}]}],
        "tenants": [{"id": "acme", "zone": "UTC"}],
        "timeline": (0..subscriptions).map(start).collect::<Vec<_>>(),
        "usage": (0..events).map(usage).collect::<Vec<_>>(),
    })
}

fn within(document: &Value, steps: u64, rows: usize) -> Result<SimulationResult, Refusal> {
    simulate_within(parse(&document.to_string()).unwrap(), steps, rows)
}

/// The least budget that is enough, to a tenth.
fn needed(document: &Value) -> u64 {
    let mut steps = 16;
    while within(document, steps, MAX_ANSWER_ROWS).is_err() {
        steps += 1 + steps / 10;
    }
    steps
}

#[test]
fn a_document_that_needs_too_much_work_is_told_so() {
    let document = document(20, 200, 4);
    assert!(within(&document, MAX_STEPS, MAX_ANSWER_ROWS).is_ok());
    let refusal = within(&document, 10_000, MAX_ANSWER_ROWS).unwrap_err();
    let [error] = refusal.errors.as_slice() else { panic!("{refusal:?}") };
    assert!(error.field == "/usage" || error.field.starts_with("/timeline/"), "{error}");
    assert!(error.reason.contains("more than 10000 steps of work"), "{error}");
    assert!(error.way_out.contains("split it by tenant"), "{error}");
}

#[test]
fn an_answer_that_is_too_large_is_told_so() {
    let document = document(20, 10, 4);
    let refusal = within(&document, MAX_STEPS, 100).unwrap_err();
    let [error] = refusal.errors.as_slice() else { panic!("{refusal:?}") };
    assert_eq!((error.field.as_str(), error.reason.as_str()), ("/as_of", "the answer has more than 100 rows"));
    assert!(error.way_out.contains("fewer or earlier as_of"), "{error}");
}

#[test]
fn the_work_grows_with_what_is_measured_and_no_faster() {
    let once = needed(&document(10, 200, 2));
    for (twice, what) in
        [(document(20, 200, 2), "subscriptions"), (document(10, 400, 2), "events"), (document(10, 200, 4), "views")]
    {
        let twice = needed(&twice);
        assert!(twice > once * 13 / 10 && twice < once * 5 / 2, "twice the {what}: {once} and {twice} steps");
    }
}

#[test]
fn counting_is_the_same_every_time() {
    let document = document(5, 50, 3);
    let steps = needed(&document);
    for _ in 0..3 {
        assert!(within(&document, steps, MAX_ANSWER_ROWS).is_ok());
        assert!(within(&document, steps * 8 / 10, MAX_ANSWER_ROWS).is_err());
    }
}

#[test]
fn readings_are_bounded_over_all_meters() {
    let meter = |n: usize| json!({"key": format!("m{n}"), "event_type": "call", "aggregation": "count"});
    let event = |n: usize| {
        json!({"event": {"specversion": "1.0", "id": n.to_string(), "source": "s", "type": "call", "tenantid": "acme",
            "time": "2024-01-05T00:00:00Z", "data": {}}})
    };
    let mut document = document(0, 0, 1);
    document["meters"] = (0..1000).map(meter).collect();
    document["usage"] = (0..1001).map(event).collect();
    let refusal = simulate_text(&document.to_string()).unwrap_err();
    let [error] = refusal.errors.as_slice() else { panic!("{refusal:?}") };
    assert_eq!(
        (error.field.as_str(), error.reason.as_str()),
        ("/usage", "is read more than 1000000 times by its meters")
    );
    // A meter of another type reads nothing, and takes nothing.
    document["meters"][999]["event_type"] = json!("other");
    assert!(simulate_text(&document.to_string()).is_ok());
}
