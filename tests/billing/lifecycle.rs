//! Plans and subscriptions: what is sold stays as it was sold, and an end is prorated exactly.

use super::support::{document, invoices, lines, open, subscribe};
use crate::harness::{LogChoice, Stage, eventually};
use reqwest::Method;
use serde_json::json;

/// The same document again is no new version; another one is, and the sold version stays as it is.
pub async fn a_sold_version_never_changes(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    let id = subscribe(&server, "acme", "flat", "2026-10-01", "").await;
    let first = server.get("/v1/plans/flat", &[]).await.ok();
    let again = server.post("/v1/plans", &first).await;
    assert_eq!((again.status, &again.ok()["version"]), (200, &1.into()));
    let mut dearer = first.clone();
    dearer["prices"][0]["model"]["amount"]["USD"] = "62".into();
    let second = server.post("/v1/plans", &dearer).await;
    assert_eq!((second.status, &second.ok()["version"]), (201, &2.into()));
    assert_eq!(server.get("/v1/plans/flat", &[("version", "1")]).await.ok(), first);
    assert_eq!(server.get(&format!("/v1/subscriptions/{id}"), &[]).await.ok()["plan_version"], 1);
    let unknown = json!({ "key": "x", "name": "X", "prices": [{ "key": "p", "name": "P",
        "model": { "type": "per_unit", "meter": "nothing", "unit_amount": { "USD": "1" } } }] });
    let refused = server.post("/v1/plans", &unknown).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (400, &"/prices/0/model/meter".into()));
}

/// What was paid in advance beyond the end is credited: charge and credit are the price of what was served.
pub async fn an_end_in_the_period_is_prorated_exactly(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    // 17 of 31 days in advance, of which 5 are served.
    let id = subscribe(&server, "acme", "advance", "2026-10-15", "").await;
    let number_of = |expected: usize| {
        let server = &server;
        async move {
            eventually("invoices", async || {
                let rows = invoices(server, "acme").await;
                if rows.len() == expected { Ok(rows) } else { Err(format!("{}", rows.len())) }
            })
            .await
        }
    };
    let rows = number_of(1).await;
    assert_eq!(lines(&document(&server, &rows[0]).await), [("recurring".into(), "1".into(), "17.00".into())]);
    server.advance("2026-10-20T00:00:00Z").await;
    let cancel = format!("/v1/subscriptions/{id}/cancel");
    let cancelled = server.post(&cancel, &json!({ "mode": "now" })).await.ok();
    assert_eq!(cancelled["ended_at"], "2026-10-20T00:00:00Z");
    assert_eq!(server.post(&cancel, &json!({ "mode": "now" })).await.status, 409);
    let rows = number_of(2).await;
    assert_eq!(lines(&document(&server, &rows[1]).await), [("proration_credit".into(), "1".into(), "-12.00".into())]);
    server.advance("2026-12-05T00:00:00Z").await;
    assert_eq!(number_of(2).await, rows, "nothing follows the end");
}

/// A change that asks for it is billed at once, by the rest of its period; sent twice, it is one change.
pub async fn a_change_is_billed_at_once(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    let id = subscribe(&server, "acme", "advance", "2026-10-01", "").await;
    let number_of = |expected: usize| {
        let server = &server;
        async move {
            eventually("invoices", async || {
                let rows = invoices(server, "acme").await;
                if rows.len() == expected { Ok(rows) } else { Err(format!("{}", rows.len())) }
            })
            .await
        }
    };
    number_of(1).await;
    server.advance("2026-10-20T12:00:00Z").await;
    let changes = format!("/v1/subscriptions/{id}/changes");
    let advance = server.get("/v1/plans/advance", &[]).await.ok();
    let key = advance["prices"][0]["key"].as_str().expect("a key").to_owned();
    let body =
        json!({ "type": "change_quantity", "quantities": { key: "3" }, "proration": "by_day", "invoice": "now" });
    let ask = || {
        let request = server.request(Method::POST, &changes, &server.admin);
        server.send(request.header("idempotency-key", "thrice").json(&body))
    };
    let changed = ask().await.ok();
    assert_eq!(changed["changes"][0]["charged_from"], "2026-10-20T00:00:00Z");
    assert_eq!(ask().await.ok(), changed, "the same answer");
    assert_eq!(server.post(&changes, &body).await.status, 409, "it is so already");
    let rows = number_of(2).await;
    // Two more of 31.00 for 12 of 31 days.
    assert_eq!(lines(&document(&server, &rows[1]).await), [("proration".into(), "3".into(), "24.00".into())]);
    let wrong = server.post(&changes, &json!({ "type": "change_quantity", "quantities": { "chairs": "3" } })).await;
    assert_eq!((wrong.status, &wrong.json()["errors"][0]["field"]), (400, &"/quantities/chairs".into()));
    server.advance("2026-11-02T00:00:00Z").await;
    let rows = number_of(3).await;
    assert_eq!(lines(&document(&server, &rows[2]).await), [("recurring".into(), "3".into(), "93.00".into())]);
}

/// A request that is sent twice starts one subscription.
pub async fn a_repeated_start_starts_one(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    let body = json!({ "tenant_id": "acme", "plan": "flat", "currency": "USD", "start_at": "2026-10-01" });
    let start = || {
        let request = server.request(Method::POST, "/v1/subscriptions", &server.admin);
        server.send(request.header("idempotency-key", "once").json(&body))
    };
    let (one, two) = tokio::join!(start(), start());
    let three = start().await;
    // Two at once: the second may be told to look again, but it never starts another.
    let ids: std::collections::BTreeSet<String> = [one, two, three]
        .into_iter()
        .filter(|answer| answer.status != 409)
        .map(|answer| answer.ok()["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(server.get("/v1/subscriptions", &[]).await.ok()["data"].as_array().expect("a list").len(), 1);
}
