//! Voided usage: before a period is closed it is not billed, afterwards it is given back, once.

use super::support::{bill, document, invoices, lines, open, subscribe, totals, usage};
use crate::harness::{LogChoice, Stage, TestServer};
use serde_json::json;

pub(super) async fn void(server: &TestServer, ids: &[&str]) {
    let of = |id: &&str| json!({ "tenant_id": "acme", "source": "/api", "id": id, "reason": "wrong" });
    let voids: Vec<_> = ids.iter().map(of).collect();
    let answer = server.post("/v1/events/void", &json!({ "events": voids })).await.ok();
    assert_eq!(answer["summary"]["accepted"], ids.len(), "{answer}");
    server.drained().await;
}

pub async fn a_void_before_the_close_is_not_billed_and_one_after_it_is_an_adjustment(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    server.count(&usage("acme", "september", "2026-09-20T00:00:00Z", &[10, 20, 30])).await;
    subscribe(&server, "acme", "metered", "2026-09-01", "").await;
    void(&server, &["september-1"]).await;
    bill(&server, "2026-10-15T12:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    assert_eq!(totals(&rows), [("finalized", "INV-000001", "4.00")]);
    let first = document(&server, &rows[0]).await;
    let events = format!("/v1/invoices/{}/lines/1/events", first["id"].as_str().expect("an id"));
    let behind = async || server.get(&events, &[]).await.ok()["data"].as_array().map(Vec::len);
    assert_eq!(behind().await, Some(2), "the voided one is not behind the line");

    void(&server, &["september-2"]).await;
    server.count(&usage("acme", "october", "2026-10-15T12:00:00Z", &[50])).await;
    server.advance("2026-11-02T00:00:00Z").await;
    bill(&server, "2026-11-02T00:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    let second = document(&server, &rows[1]).await;
    assert_eq!(
        lines(&second),
        [("usage".into(), "50".into(), "5.00".into()), ("adjustment".into(), "-30".into(), "-3.00".into())]
    );
    assert_eq!(second["total"]["amount"], "2.00");
    assert_eq!(behind().await, Some(2), "an issued line still stands on what it was issued over");

    // Voided again: nothing is left to correct.
    void(&server, &["september-2", "september-1"]).await;
    server.advance("2026-12-02T00:00:00Z").await;
    bill(&server, "2026-12-02T00:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    assert!(
        rows.iter().skip(2).all(|row| row["status"] != "finalized" || row["total"]["amount"] == "0.00"),
        "{rows:?}"
    );
}
