//! A price by dimension is measured, billed and corrected like any other.

use super::support::{bill, document, invoices, lines, subscribe, totals};
use crate::harness::{Event, LogChoice, Stage, event};
use serde_json::json;

fn tokens(id: &str, at: &str, data: &str) -> Event {
    event("acme", id).at(at).data(data)
}

/// Each value has its price; late usage of one value is the difference of the whole window at those prices.
pub async fn usage_is_priced_by_its_dimensions(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    let model = json!({ "type": "matrix", "meter": "tokens", "dimensions": ["model", "region"], "unit_amount": { "USD": "0.01" },
        "cells": [{ "values": { "model": "large", "region": "eu" }, "unit_amount": { "USD": "0.50" } },
            { "values": { "model": "large" }, "unit_amount": { "USD": "0.30" } }] });
    let plan =
        json!({ "key": "matrix", "name": "M", "prices": [{ "key": "tokens", "name": "Tokens", "model": model }] });
    let meter = json!({ "key": "tokens", "event_type": "api.call", "aggregation": "sum", "field": "/tokens",
        "dimensions": [{ "name": "model", "field": "/model" }] });
    server.post("/v1/meters", &meter).await.ok();
    let refused = server.post("/v1/plans", &plan).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("/prices/0/model/dimensions") && refused.text.contains("region"), "{}", refused.text);
    let mut meter = meter;
    meter["dimensions"] = json!([{ "name": "region", "field": "/region" }, { "name": "model", "field": "/model" }]);
    server.post("/v1/meters", &meter).await.ok();
    server.post("/v1/plans", &plan).await.ok();

    let at = "2026-09-30T12:00:00Z";
    server
        .count(&[
            tokens("1", at, r#"{"tokens": 10, "model": "large", "region": "eu"}"#),
            tokens("2", at, r#"{"tokens": 5, "model": "large", "region": "eu"}"#),
            tokens("3", at, r#"{"tokens": 20, "model": "large"}"#),
            tokens("4", at, r#"{"tokens": 100}"#),
        ])
        .await;
    subscribe(&server, "acme", "matrix", "2026-09-01", "2026-10-01").await;
    bill(&server, "2026-10-15T12:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    // 15 x 0.50 + 20 x 0.30 + 100 x 0.01 = 14.50.
    assert_eq!(totals(&rows), [("finalized", "INV-000001", "14.50")]);
    let first = document(&server, &rows[0]).await;
    let cells: Vec<_> =
        first["lines"][0]["rows"].as_array().expect("rows").iter().map(|row| &row["quantity"]).collect();
    assert_eq!(cells, ["15", "20", "100"]);

    server.count(&[tokens("5", at, r#"{"tokens": 2, "model": "large", "region": "us"}"#)]).await;
    bill(&server, "2026-10-15T12:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    let late = rows.iter().find(|row| row["revision"] == 1).expect("a correction");
    assert_eq!(lines(&document(&server, late).await), [("adjustment".into(), "2".into(), "0.60".into())]);
}
