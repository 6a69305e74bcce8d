//! Usage that comes after a period was closed is billed or credited, never lost and never billed twice.

use super::support::{bill, document, invoices, lines, open, subscribe, totals, usage};
use crate::harness::{LogChoice, Stage, TestServer, eventually};
use serde_json::{Value, json};

async fn issued(server: &TestServer, count: usize) -> Vec<Value> {
    eventually("the invoices are issued", async || {
        let rows = invoices(server, "acme").await;
        let final_ones = rows.iter().filter(|row| row["status"] == "finalized").count();
        if final_ones == count { Ok(rows) } else { Err(format!("{rows:?}")) }
    })
    .await
}

/// The next invoice carries what late usage changes about a closed period, at that period's prices, once.
pub async fn late_usage_is_an_adjustment_of_the_next_invoice(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    // 10 free, then 1.00: only whole periods can be rated, never the late events alone.
    let model = json!({ "type": "graduated", "meter": "tokens", "included": "10",
        "tiers": [{ "up_to": "5", "unit_amount": { "USD": "1" } }, { "unit_amount": { "USD": "0.10" } }] });
    let plan =
        json!({ "key": "tiers", "name": "Tiers", "prices": [{ "key": "tokens", "name": "Tokens", "model": model }] });
    server.post("/v1/plans", &plan).await.ok();
    server.count(&usage("acme", "in-time", "2026-09-30T12:00:00Z", &[8, 4])).await;
    subscribe(&server, "acme", "tiers", "2026-09-01", "").await;
    bill(&server, "2026-10-15T12:00:00Z").await;
    assert_eq!(totals(&invoices(&server, "acme").await), [("finalized", "INV-000001", "2.00")]);

    server.count(&usage("acme", "late", "2026-09-30T13:00:00Z", &[13])).await;
    server.count(&usage("acme", "october", "2026-10-15T12:00:00Z", &[11])).await;
    server.advance("2026-11-02T00:00:00Z").await;
    let rows = issued(&server, 2).await;
    let second = document(&server, &rows[1]).await;
    // 25 tokens in September: 5 x 1 + 10 x 0.10 = 6.00, of which 2.00 is billed.
    assert_eq!(
        lines(&second),
        [("usage".into(), "11".into(), "1.00".into()), ("adjustment".into(), "13".into(), "4.00".into())]
    );
    assert_eq!(second["lines"][1]["lineage"]["measured_quantity"], "25");

    // Late for both closed periods; what was adjusted is not adjusted again.
    server.count(&usage("acme", "very-late", "2026-10-20T00:00:00Z", &[1])).await;
    server.advance("2026-12-02T00:00:00Z").await;
    let rows = issued(&server, 3).await;
    assert_eq!(lines(&document(&server, &rows[2]).await), [("adjustment".into(), "1".into(), "1.00".into())]);
}

/// A subscription that has ended has no next invoice: its late usage gets a document of its own, each late piece once.
pub async fn late_usage_after_the_end_gets_its_own_document(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    server.count(&usage("acme", "in-time", "2026-09-20T00:00:00Z", &[10])).await;
    subscribe(&server, "acme", "metered", "2026-09-01", "2026-10-01").await;
    let as_of = "2026-10-15T12:00:00Z";
    bill(&server, as_of).await;
    for (revision, (tokens, total)) in [(5, "0.50"), (2, "0.20")].into_iter().enumerate() {
        server.count(&usage("acme", &format!("late-{revision}"), "2026-09-21T00:00:00Z", &[tokens])).await;
        assert_eq!(bill(&server, as_of).await["finalized"], 1);
        assert_eq!(bill(&server, as_of).await["finalized"], 0, "once");
        let rows = invoices(&server, "acme").await;
        let last = rows.iter().find(|row| row["revision"] == revision + 1).expect("a further document");
        assert_eq!(lines(&document(&server, last).await), [("adjustment".into(), tokens.to_string(), total.into())]);
    }
}
