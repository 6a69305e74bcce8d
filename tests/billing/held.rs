//! A price that weighs usage by time knows what was held before its period, and a late change corrects every period after it.

use super::support::{bill, document, invoices, lines, subscribe, totals, usage};
use crate::harness::{LogChoice, Stage};
use serde_json::json;

/// Half of September: ten seats from before, ten more for its last fifth. One more from before is told late.
pub async fn seats_are_priced_by_the_time_they_were_held(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("seats", "sum", "/tokens").await;
    let model = json!({ "type": "per_unit", "meter": "seats", "unit_amount": { "USD": "30" } });
    let price = json!({ "key": "seats", "name": "Seats", "model": model, "time_weighted": { "carry_over": true } });
    let plan = json!({ "key": "seats", "name": "Seats", "prices": [price] });
    server.post("/v1/plans", &plan).await.ok();

    server.count(&usage("acme", "before", "2026-09-12T00:00:00Z", &[10])).await;
    server.count(&usage("acme", "inside", "2026-09-25T00:00:00Z", &[10])).await;
    subscribe(&server, "acme", "seats", "2026-09-16", "2026-10-01").await;
    bill(&server, "2026-10-15T12:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    assert_eq!(totals(&rows), [("finalized", "INV-000001", "210.00")]);
    assert_eq!(lines(&document(&server, &rows[0]).await), [("usage".into(), "7".into(), "210.00".into())]);

    server.count(&usage("acme", "late", "2026-09-13T00:00:00Z", &[1])).await;
    bill(&server, "2026-10-15T12:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    let late = rows.iter().find(|row| row["revision"] == 1).expect("a correction");
    assert_eq!(lines(&document(&server, late).await), [("adjustment".into(), "0.5".into(), "15.00".into())]);
}
