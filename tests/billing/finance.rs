//! What finance reads: lists, documents in three forms, and the events behind a line.

use super::support::{bill, document, invoices, open, subscribe, usage};
use crate::harness::{LogChoice, Stage};
use talea_domain::tenant::Scope;

/// Anybody can recompute a line's count and digest from the events behind it, page by page; late ones are not among them.
pub async fn a_line_stands_on_exactly_its_events(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    let tokens: Vec<u64> = (1..=25).collect();
    server.count(&usage("acme", "in-time", "2026-09-20T00:00:00Z", &tokens)).await;
    subscribe(&server, "acme", "metered", "2026-09-01", "2026-10-01").await;
    bill(&server, "2026-10-15T12:00:00Z").await;
    server.count(&usage("acme", "late", "2026-09-20T00:00:00Z", &[1000])).await;
    let row = invoices(&server, "acme").await.remove(0);
    let line = document(&server, &row).await["lines"][0].clone();
    let path = format!("/v1/invoices/{}/lines/1/events", row["id"].as_str().expect("an id"));
    let (mut cursor, mut count, mut sums, mut quantity) = (None::<String>, 0, (0u128, 0u128), 0);
    loop {
        let query = [("limit", "10"), ("cursor", cursor.as_deref().unwrap_or(""))];
        let page = server.get(&path, &query[..if cursor.is_some() { 2 } else { 1 }]).await.ok();
        assert_eq!((&page["digest"], &page["event_count"]), (&line["lineage"]["digest"], &25.into()));
        for event in page["data"].as_array().expect("a list") {
            let hex = |name: &str| u128::from_str_radix(event[name].as_str().expect("hex"), 16).expect("hex");
            sums = (sums.0.wrapping_add(hex("identity")), sums.1.wrapping_add(hex("body_hash")));
            quantity += event["numbers"]["/tokens"].as_str().expect("a number").parse::<u64>().expect("whole");
            count += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!((count, quantity.to_string()), (25, line["quantity"].as_str().expect("a text").to_owned()));
    assert_eq!(format!("{:032x}{:032x}", sums.0, sums.1), line["lineage"]["digest"]);
}

/// The forms of a document, the filters of the list, and what a tenant's own key sees.
pub async fn finance_reads_its_invoices_and_nobody_elses(log: LogChoice) {
    let stage = Stage::new(log).await;
    for tenant in ["acme", "beta"] {
        stage.tenant(tenant).await;
    }
    let server = stage.serve().await;
    open(&server).await;
    for tenant in ["acme", "beta"] {
        subscribe(&server, tenant, "flat", "2026-08-01", "2026-10-01").await;
    }
    bill(&server, "2026-10-15T12:00:00Z").await;
    let list = async |query: &[(&str, &str)]| {
        let page = server.get("/v1/invoices", query).await.ok();
        page["data"].as_array().expect("a list").len()
    };
    assert_eq!(list(&[]).await, 4);
    assert_eq!(list(&[("tenant_id", "beta"), ("status", "finalized")]).await, 2);
    assert_eq!(list(&[("issued_from", "2026-10-15"), ("issued_to", "2026-10-15")]).await, 4);
    assert_eq!(list(&[("issued_from", "2026-10-16")]).await, 0);
    assert_eq!(list(&[("number", "INV-000003")]).await, 1);
    let row = invoices(&server, "acme").await.remove(0);
    let path = format!("/v1/invoices/{}", row["id"].as_str().expect("an id"));
    let (html, csv) = (server.get(&path, &[("format", "html")]).await, server.get(&path, &[("format", "csv")]).await);
    assert!(
        html.text.contains("31.00 USD")
            && html.headers["content-type"].to_str().expect("text").starts_with("text/html")
    );
    assert_eq!(csv.text.lines().count(), 2);
    assert!(csv.headers["content-type"].to_str().expect("text").starts_with("text/csv"));

    let beta = stage.key(&[Scope::Finance], Some("beta")).await;
    let own = server.get_as(&beta, "/v1/invoices", &[]).await.ok();
    assert!(own["data"].as_array().expect("a list").iter().all(|row| row["tenant_id"] == "beta"));
    let strange = server.get_as(&beta, "/v1/invoices/inv_nothing", &[]).await;
    for (path, query) in [(path.clone(), None), (path, Some(("format", "csv")))] {
        let refused = server.get_as(&beta, &path, query.as_slice()).await;
        assert_eq!((refused.status, &refused.text), (404, &strange.text), "the same to the byte");
    }
    assert_eq!(server.get_as(&beta, "/v1/invoices", &[("tenant_id", "acme")]).await.status, 404);
    let run = serde_json::json!({});
    assert_eq!(server.post_as(&beta, "/v1/billing/runs", &run).await.status, 403);
    // What a tenant owes is not for its own key to decide.
    for (path, body) in [
        ("/v1/wallets", serde_json::json!({ "tenant_id": "beta", "name": "Own", "unit": { "currency": "USD" } })),
        ("/v1/wallets/wal_nothing/grants", serde_json::json!({ "amount": "1000", "kind": "promotional" })),
        ("/v1/subscriptions/sub_nothing/coupons", serde_json::json!({ "coupon": "half" })),
        ("/v1/subscriptions/sub_nothing/changes", serde_json::json!({ "type": "pause" })),
    ] {
        let refused = server.post_as(&beta, path, &body).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text);
    }
    let later = serde_json::json!({ "as_of": "2027-01-01T00:00:00Z" });
    assert_eq!(server.post("/v1/billing/runs", &later).await.status, 400);
}
