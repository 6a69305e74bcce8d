//! A price that weighs usage by time knows what was held before its period, and a late change corrects every period after it.

use super::support::{bill, document, invoices, lines, subscribe, totals, usage};
use crate::harness::{LogChoice, Stage};
use serde_json::json;

/// Ten seats from before, ten more for half of September; one more of August is told late.
pub async fn seats_are_priced_by_the_time_they_were_held(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("seats", "sum", "/tokens").await;
    let model = json!({ "type": "per_unit", "meter": "seats", "unit_amount": { "USD": "30" } });
    let price = json!({ "key": "seats", "name": "Seats", "model": model, "time_weighted": { "carry_over": true } });
    let plan = json!({ "key": "seats", "name": "Seats", "prices": [price] });
    server.post("/v1/plans", &plan).await.ok();

    server.count(&usage("acme", "before", "2026-08-20T00:00:00Z", &[10])).await;
    server.count(&usage("acme", "inside", "2026-09-16T00:00:00Z", &[10])).await;
    subscribe(&server, "acme", "seats", "2026-09-01", "2026-10-01").await;
    bill(&server, "2026-10-15T12:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    assert_eq!(totals(&rows), [("finalized", "INV-000001", "450.00")]);
    assert_eq!(lines(&document(&server, &rows[0]).await), [("usage".into(), "15".into(), "450.00".into())]);

    server.count(&usage("acme", "late", "2026-08-21T00:00:00Z", &[1])).await;
    bill(&server, "2026-10-15T12:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    let late = rows.iter().find(|row| row["revision"] == 1).expect("a correction");
    assert_eq!(lines(&document(&server, late).await), [("adjustment".into(), "1".into(), "30.00".into())]);
}
