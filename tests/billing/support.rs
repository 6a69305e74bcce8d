//! What the tests of billing sell, and how they read what is owed for it.

use crate::harness::{Event, TestServer, event};
use serde_json::{Value, json};
use talea_platform::runtime::Platform;

/// A shop with one meter (`tokens`, a sum) and three plans: `metered` (0.10 USD a token), `flat` (31 USD in arrears) and
/// `advance` (31 USD in advance).
pub async fn open(server: &TestServer) {
    server.meter("tokens", "sum", "/tokens").await;
    let flat = |timing: &str| json!({ "type": "flat", "timing": timing, "amount": { "USD": "31" } });
    let metered = json!({ "type": "per_unit", "meter": "tokens", "unit_amount": { "USD": "0.10" } });
    for (key, model) in [("metered", metered), ("flat", flat("in_arrears")), ("advance", flat("in_advance"))] {
        let plan = json!({ "key": key, "name": key, "prices": [{ "key": "price", "name": "Price", "model": model }] });
        server.post("/v1/plans", &plan).await.ok();
    }
}

/// Subscribes and answers the subscription's id. Empty `end` runs on.
pub async fn subscribe(server: &TestServer, tenant: &str, plan: &str, start: &str, end: &str) -> String {
    let end = (!end.is_empty()).then_some(end);
    let body = json!({ "tenant_id": tenant, "plan": plan, "currency": "USD", "start_at": start, "end_at": end });
    let started = server.post("/v1/subscriptions", &body).await;
    assert_eq!(started.status, 201, "{}", started.text);
    started.ok()["id"].as_str().expect("an id").to_owned()
}

/// Runs billing and answers the summary.
pub async fn bill(server: &TestServer, as_of: &str) -> Value {
    server.post("/v1/billing/runs", &json!({ "as_of": as_of })).await.ok()
}

/// Events of one tenant, at one time, of these tokens.
pub fn usage(tenant: &str, name: &str, at: &str, tokens: &[u64]) -> Vec<Event> {
    tokens.iter().enumerate().map(|(n, tokens)| event(tenant, &format!("{name}-{n}")).at(at).tokens(*tokens)).collect()
}

/// A tenant's invoices, oldest moment first.
pub async fn invoices(server: &TestServer, tenant: &str) -> Vec<Value> {
    let page = server.get("/v1/invoices", &[("tenant_id", tenant)]).await.ok();
    let mut rows = page["data"].as_array().expect("a list").clone();
    rows.reverse();
    rows
}

/// `(status, number, total)` of each.
pub fn totals(invoices: &[Value]) -> Vec<(&str, &str, &str)> {
    let text = |value| Value::as_str(value).unwrap_or_default();
    invoices.iter().map(|it| (text(&it["status"]), text(&it["number"]), text(&it["total"]["amount"]))).collect()
}

/// The document behind a row of the list.
pub async fn document(server: &TestServer, row: &Value) -> Value {
    let id = row["id"].as_str().expect("an id");
    server.get(&format!("/v1/invoices/{id}"), &[]).await.ok()
}

/// `(kind, quantity, amount)` of each line.
pub fn lines(document: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let line = |it: &Value| (text(&it["kind"]), text(&it["quantity"]), text(&it["amount"]["amount"]));
    document["lines"].as_array().expect("lines").iter().map(line).collect()
}

/// Stores an event of the tenant a second time, as no insert of ours does.
pub async fn store_twice(platform: &Platform, tenant: &str) {
    let clickhouse = &platform.clickhouse;
    let copy = format!("INSERT INTO usage_events SELECT * FROM usage_events WHERE tenant_id = '{tenant}' LIMIT 1");
    clickhouse.execute(clickhouse.query(&copy)).await.expect("is copied");
}
