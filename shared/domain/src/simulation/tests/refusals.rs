//! What a wrong document is told: the place, the reason, the way out.

use super::*;
use serde_json::{Value, json};

fn document() -> Value {
    json!({
        "currency": "USD", "as_of": "2024-03-15T00:00:00Z",
        "plans": [{"key": "p", "name": "P", "prices": [
            {"key": "calls", "name": "Calls", "model": {"type": "per_unit", "meter": "calls", "unit_amount": {"USD": "0.5"}}}]}],
        "tenants": [{"id": "acme", "zone": "UTC"}],
        "timeline": [
            {"at": "2024-01-01T00:00:00Z", "subscription": "s", "start": {"tenant": "acme", "plan": "p"}},
            {"at": "2024-02-10T00:00:00Z", "subscription": "s", "cancel": {"mode": "now"}}],
        "usage": [
            {"tenant": "acme", "meter": "calls", "at": "2024-01-05T00:00:00Z", "quantity": "3"},
            {"tenant": "acme", "meter": "calls", "from": "2024-01-01T00:00:00Z", "to": "2024-02-01T00:00:00Z", "quantity": "4"}],
    })
}

/// Sets one member, which may be new, and expects the fault's field and words of reason and way out.
fn check(pointer: &str, value: Value, field: &str, says: &[&str]) {
    let mut changed = document();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = changed.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
    match parent {
        Value::Array(items) => items[member.parse::<usize>().unwrap()] = value.clone(),
        parent => parent[member] = value.clone(),
    }
    check_text(&changed.to_string(), field, says);
}

fn check_text(text: &str, field: &str, says: &[&str]) {
    let error = match simulate_text(text) {
        Ok(result) => panic!("{text} was taken: {result:?}"),
        Err(refusal) => refusal.errors.into_iter().next().unwrap(),
    };
    assert_eq!(error.field, field, "{error}");
    for part in says {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert!(!error.reason.is_empty() && !error.way_out.is_empty(), "{error:?}");
}

#[test]
fn the_document_itself_is_right() {
    let result = simulate_text(&document().to_string()).unwrap();
    assert_eq!(result.views[0].totals[0].invoiced.to_string(), "3.50 USD");
}

#[test]
fn a_fault_names_its_place_and_the_way_out() {
    check("/timeline/1/explode", json!({}), "/timeline/1/explode", &["unknown field `explode`", "commands are start"]);
    check("/timeline/1/start", json!({"tenant": "acme", "plan": "p"}), "/timeline/1", &["exactly one of start"]);
    check("/timeline/1/cancel", json!({}), "/timeline/1/cancel", &["exactly one of mode and effective_at"]);
    check("/timeline/1/cancel/mode", json!("later"), "/timeline/1/cancel/mode", &["`now` or `period_end`"]);
    check("/timeline/1/subscription", json!("t"), "/timeline/1/cancel", &["no such subscription", "check its id"]);
    check("/timeline/1/at", json!("2023-02-10T00:00:00Z"), "/timeline/1/cancel", &["no such subscription"]);
    check(
        "/timeline/1/subscription",
        json!(null),
        "/timeline/1/subscription",
        &["names no subscription", "add the id"],
    );
    check("/timeline/1/at", json!("yesterday"), "/timeline/1/at", &["schema"]);
    check("/timeline/0/at", json!("1200-01-01T00:00:00Z"), "/timeline/0/at", &["1970"]);
    check("/timeline/0/start/tenant", json!("globex"), "/timeline/0/start/tenant", &["add it to tenants"]);
    check("/timeline/0/start/plan", json!("q"), "/timeline/0/start/plan", &["add it to plans"]);
    check("/timeline/0/start/plan_version", json!(7), "/timeline/0/start/plan", &["in that version"]);
    check("/timeline/0/start/currency", json!("EUR"), "/timeline/0/start/currency", &["not a currency of this plan"]);
    check("/timeline/0/start/anchor_day", json!(9), "/timeline/0/start/anchor_day", &["begins on day 1"]);
    check("/currency", json!("usd"), "/currency", &["ISO 4217"]);
    check("/as_of", json!([]), "/as_of", &["is empty"]);
    check("/as_of", json!(["2024-03-15T00:00:00Z", "2024-03-14T00:00:00Z"]), "/as_of/1", &["rising order"]);
    check("/tenants/0/zone", json!("Mars/Olympus"), "/tenants/0/zone", &[]);
    check("/tenants/0/bill_to", json!({"name": " "}), "/tenants/0/bill_to/name", &["1 to 200 characters"]);
    check("/plans/0/prices/0/key", json!(" "), "/plans/0/prices/0/key", &["is not a key"]);
    check(
        "/plans/0/prices/0/model/type",
        json!("auction"),
        "/plans/0/prices/0/model/type",
        &["unknown variant `auction`", "graduated"],
    );
    check("/plans/0/prices/0/model/unit_amount", json!({}), "/plans/0/prices/0/model/unit_amount", &["has no amount"]);
    check("/grace_hours", json!(1000), "/grace_hours", &["at most 744"]);
    check("/invoices", json!([]), "/invoices", &["unknown field"]);
    check(
        "/meters",
        json!([{"key": "m", "event_type": "e", "aggregation": "sum"}]),
        "/meters/0/field",
        &["sum needs it"],
    );
}

#[test]
fn wrong_usage_names_its_entry() {
    check("/usage/0/quantity", json!(3), "/usage/0/quantity", &["string"]);
    check("/usage/0/quantity", json!("1e3"), "/usage/0/quantity", &["not an exact decimal"]);
    check("/usage/0/quantity", json!("0.0000000000000000001"), "/usage/0/quantity", &["18 decimals"]);
    check("/usage/0/tenant", json!("globex"), "/usage/0/tenant", &["add it to tenants"]);
    check("/usage/0/known_at", json!("2024-01-04T00:00:00Z"), "/usage/0/known_at", &["before the usage"]);
    check("/usage/0/from", json!("2024-01-04T00:00:00Z"), "/usage/0/at", &["beside a span"]);
    check("/usage/0/event", json!({}), "/usage/0/tenant", &["beside an event"]);
    check("/usage/0", json!({"event": {"specversion": "1.0", "id": "1"}}), "/usage/0/event/tenantid", &["is missing"]);
    check(
        "/usage/1/to",
        json!("2024-02-02T00:00:00Z"),
        "/usage/1/to",
        &["inside the span, at 2024-02-01", "end the span there"],
    );
    check("/timeline/0/start/start_at", json!("2024-01-03T00:00:00Z"), "/usage/1/to", &["at 2024-01-03"]);
}

#[test]
fn an_event_before_the_fault_does_not_hide_its_place() {
    let mut mixed = document();
    let event = json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "time": "2024-01-05T00:00:00Z", "tenantid": "acme",
        "data": {"n": 1.50}});
    mixed["usage"][0] = json!({ "event": event });
    assert!(simulate_text(&mixed.to_string()).is_ok());
    mixed["usage"][1]["quantity"] = json!(4);
    check_text(&mixed.to_string(), "/usage/1/quantity", &["string"]);
}

#[test]
fn what_is_no_document_is_told_too() {
    check_text("", "", &["is not JSON", "JSON object"]);
    check_text("[]", "", &[]);
    check_text("{\"currency\": \"USD\"", "", &["is not JSON"]);
    check_text("{}", "", &["missing field `currency`"]);
    let twice = format!("{}{}", document(), document());
    check_text(&twice, "", &["is not JSON", "trailing"]);
}

#[test]
fn a_line_answers_a_line() {
    let line = simulate_line("{}").unwrap();
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["errors"][0]["field"], "");
    assert!(!line.contains('\n'));
    let answer: Value = serde_json::from_str(&simulate_line(&document().to_string()).unwrap()).unwrap();
    assert_eq!(answer["views"][0]["totals"][0]["invoices"], 1);
}

#[test]
fn an_amount_that_does_not_fit_stops_the_document_at_its_subscription() {
    let mut large = document();
    large["usage"][0]["quantity"] = json!("99999999999999999999");
    check_text(&large.to_string(), "/timeline/0", &["price calls", "sell it by a larger unit"]);
}

#[test]
fn what_would_run_for_ages_is_refused() {
    let mut long = document();
    long["as_of"] = json!("2199-01-01T00:00:00Z");
    let start = |index: usize| json!({"at": "1970-01-01T00:00:00Z", "subscription": format!("s{index}"), "start": {"tenant": "acme", "plan": "p"}});
    long["timeline"] = (0..6).map(start).collect();
    long["usage"] = json!([]);
    check_text(&long.to_string(), "/timeline/4", &["more than 10000 bill moments"]);
}

#[test]
fn a_change_that_makes_no_sense_names_its_member() {
    let change = |command: Value, field: &str, says: &[&str]| {
        let mut entry = json!({"at": "2024-02-10T00:00:00Z", "subscription": "s"});
        entry.as_object_mut().unwrap().extend(command.as_object().unwrap().clone());
        check("/timeline/1", entry, &format!("/timeline/1/{field}"), says);
    };
    change(json!({"change_plan": {"plan": "q"}}), "change_plan/plan", &["add it to plans"]);
    change(json!({"change_plan": {"plan": "p"}}), "change_plan", &["it is so already"]);
    change(json!({"change_plan": {"plan": "p", "effective_at": "soon"}}), "change_plan/effective_at", &["period_end"]);
    change(
        json!({"change_quantity": {"quantities": {"calls": "2"}}}),
        "change_quantity/quantities/calls",
        &["flat price"],
    );
    change(json!({"add_add_on": {"add_on": "x", "plan": "q"}}), "add_add_on/plan", &["add it to plans"]);
    change(json!({"remove_add_on": {"add_on": "x"}}), "remove_add_on/add_on", &["no such add-on"]);
    change(json!({"pause": {"effective_at": "2023-01-01T00:00:00Z"}}), "pause", &["does not run"]);
    change(json!({"resume": {}}), "resume", &["it is so already"]);
    change(json!({"override_price": {"price": "chairs"}}), "override_price/price", &["has no price chairs"]);
    change(json!({"reactivate": {}}), "reactivate", &["no end that could be undone"]);
    change(json!({"cancel": {"effective_at": "2023-01-01T00:00:00Z"}}), "cancel", &["starts at"]);
    let trial = json!({"tenant": "acme", "plan": "p", "trial": {"until": "2023-12-01T00:00:00Z"}});
    check("/timeline/0/start", trial, "/timeline/0/start/trial/until", &["is not after the start"]);
    let phases = json!({"tenant": "acme", "plan": "p", "phases": [{"at": "2023-12-01T00:00:00Z", "plan": "p"}]});
    check("/timeline/0/start", phases, "/timeline/0/start/phases/0/at", &["rising order"]);
}

#[test]
fn every_command_stands_in_the_schema() {
    let text = std::fs::read_to_string(top().join("schemas/simulation.v1.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let entry = schema["properties"]["timeline"]["items"]["properties"].as_object().unwrap();
    let described: Vec<&str> =
        entry.keys().map(String::as_str).filter(|key| !["at", "subscription"].contains(key)).collect();
    let mut listed: Vec<&str> = commands::COMMANDS.iter().map(|command| command.name).collect();
    listed.sort_unstable();
    assert_eq!(listed, described);
}

/// Every object below a value, by its pointer, but those that events carry.
fn objects(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.push(pointer.to_owned());
            let below = members.iter().filter(|(name, _)| *name != "event");
            below.for_each(|(name, value)| objects(value, &format!("{pointer}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| objects(item, &format!("{pointer}/{index}"), found));
        }
        _ => {}
    }
}

#[test]
fn an_array_is_no_object_at_any_level() {
    let mut replaced = 0;
    for (name, text) in documents() {
        let whole: Value = serde_json::from_str(&text).unwrap();
        let mut found = Vec::new();
        objects(&whole, "", &mut found);
        for pointer in found {
            let mut changed = whole.clone();
            let object = changed.pointer_mut(&pointer).unwrap();
            let values: Vec<Value> = object.as_object().unwrap().values().cloned().collect();
            for array in [json!([]), Value::Array(values)] {
                *changed.pointer_mut(&pointer).unwrap() = array;
                let Err(error) = parse(&changed.to_string()) else { panic!("{name} {pointer}: {changed}") };
                // What is read before its type is known is told by the member that names the type.
                assert!(pointer.starts_with(&error.field), "{name} {pointer}: {error}");
                replaced += 1;
            }
        }
    }
    assert!(replaced > 500, "{replaced}");
    check("/usage", json!([[]]), "/usage/0", &["invalid type: sequence"]);
    check("/tenants", json!([["acme", "UTC"]]), "/tenants/0", &["invalid type: sequence"]);
}
