//! What a plan commits to counts everything that was charged for the period, whenever it was billed.

use super::support::{bill, document, invoices, lines, subscribe, usage};
use crate::harness::{LogChoice, Stage};
use serde_json::json;

/// The base fee was billed when the period began, the usage when it ended; late usage uses up the commitment first.
pub async fn what_is_missing_to_a_commitment_is_a_line_of_its_own(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    let plan = json!({ "key": "committed", "name": "Committed", "commitment": { "minimum": { "USD": "100" } }, "prices": [
        { "key": "base", "name": "Base", "model": { "type": "flat", "timing": "in_advance", "amount": { "USD": "31" } } },
        { "key": "setup", "name": "Setup", "model": { "type": "flat", "timing": "once", "amount": { "USD": "5" } } },
        { "key": "tokens", "name": "Tokens", "model": { "type": "per_unit", "meter": "tokens", "unit_amount": { "USD": "0.10" } } }] });
    server.post("/v1/plans", &plan).await.ok();
    server.count(&usage("acme", "in-time", "2026-09-20T00:00:00Z", &[10])).await;
    subscribe(&server, "acme", "committed", "2026-09-01", "2026-10-01").await;
    bill(&server, "2026-10-15T12:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    let line = |kind: &str, quantity: &str, amount: &str| (kind.to_owned(), quantity.to_owned(), amount.to_owned());
    assert_eq!(
        lines(&document(&server, &rows[0]).await),
        [line("recurring", "1", "31.00"), line("recurring", "1", "5.00")]
    );
    // 31.00 + 5.00 + 1.00 are 63.00 short of 100.00.
    assert_eq!(
        lines(&document(&server, &rows[1]).await),
        [line("usage", "10", "1.00"), line("commitment", "1", "63.00")]
    );

    server.count(&usage("acme", "late", "2026-09-21T00:00:00Z", &[700])).await;
    bill(&server, "2026-10-15T12:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    let late = rows.iter().find(|row| row["revision"] == 1).expect("a correction");
    assert_eq!(
        lines(&document(&server, late).await),
        [line("adjustment", "700", "70.00"), line("commitment", "1", "-63.00")]
    );
}
