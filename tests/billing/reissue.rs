//! Invoices that are taken back: billed anew or forgiven, with everything given back that had gone into them; and that what is
//! told twice is done once.

use super::support::{bill, document, invoices, lines, open, subscribe, totals, usage};
use crate::harness::{Answer, LogChoice, Stage, TestServer};
use reqwest::Method;
use serde_json::{Value, json};
use talea_platform::postgres::OwnerPool;
use talea_platform::projections;

const NOW: &str = "2026-10-15T12:00:00Z";

async fn rebuild_agrees(stage: &Stage) {
    let owner = OwnerPool::new(&stage.databases.target).expect("a pool");
    let report = projections::rebuild(&owner).await.expect("rebuilds");
    assert!(report.agrees(), "{report:?}");
}

async fn keyed(server: &TestServer, path: &str, key: &str, body: &Value) -> Answer {
    let request = server.request(Method::POST, path, &server.admin).header("Idempotency-Key", key);
    server.send(request.json(body)).await
}

/// Those of one moment too in the order of their numbers.
async fn in_order(server: &TestServer) -> Vec<Value> {
    let mut rows = invoices(server, "acme").await;
    rows.sort_by_key(|row| row["number"].to_string());
    rows
}

/// `movement account amount` of each entry of a wallet.
async fn ledger(server: &TestServer, wallet: &str) -> Vec<String> {
    let page = server.get(&format!("/v1/wallets/{wallet}/ledger"), &[]).await.ok();
    let text = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
    let rows = page["data"].as_array().expect("a list").iter();
    rows.map(|row| ["movement", "account", "amount"].map(|name| text(row, name)).join(" ")).collect()
}

/// 200 tokens with half off, of which a wallet pays 8.00. Voided and billed anew it is the same line with 40 tokens that came late, a
/// number of its own, the coupon and the credits once more.
pub async fn a_voided_invoice_is_billed_anew_from_what_is_known(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    server.count(&usage("acme", "in-time", "2026-09-20T00:00:00Z", &[200])).await;
    let coupon = json!({ "key": "HALF", "name": "Half", "kind": { "type": "percentage", "percent": "50" },
        "duration": { "type": "once" } });
    assert_eq!(server.post("/v1/coupons", &coupon).await.status, 201);
    let body = json!({ "tenant_id": "acme", "name": "Prepaid", "unit": { "currency": "USD" } });
    let wallet = server.post("/v1/wallets", &body).await.ok()["id"].as_str().expect("an id").to_owned();
    let sold = json!({ "amount": "8", "kind": "paid", "effective_at": "2026-09-01T00:00:00Z" });
    assert_eq!(server.post(&format!("/v1/wallets/{wallet}/grants"), &sold).await.status, 201);
    let subscription = subscribe(&server, "acme", "metered", "2026-09-01", "2026-10-01").await;
    let applied = json!({ "coupon": "HALF", "from": "2026-09-01" });
    assert_eq!(server.post(&format!("/v1/subscriptions/{subscription}/coupons"), &applied).await.status, 201);
    bill(&server, NOW).await;
    let first = document(&server, &invoices(&server, "acme").await[0]).await;
    assert_eq!((&first["total"]["amount"], &first["amount_due"]["amount"]), (&json!("10.00"), &json!("2.00")));

    server.count(&usage("acme", "late", "2026-09-21T00:00:00Z", &[40])).await;
    let path = format!("/v1/invoices/{}/void", first["id"].as_str().expect("an id"));
    let void = json!({ "reason": "wrong address", "reissue": true });
    let (one, two) = tokio::join!(keyed(&server, &path, "void-1", &void), keyed(&server, &path, "void-1", &void));
    assert_eq!((one.status, two.status), (200, 200), "{} {}", one.text, two.text);
    assert_eq!(server.post(&path, &void).await.status, 200, "told twice without a key");
    let other = json!({ "reason": "wrong address", "reissue": false });
    assert_eq!(server.post(&path, &other).await.status, 409, "decided otherwise before");

    bill(&server, NOW).await;
    bill(&server, NOW).await;
    let rows = in_order(&server).await;
    assert_eq!(totals(&rows), [("finalized", "INV-000001", "10.00"), ("finalized", "INV-000002", "12.00")]);
    let second = document(&server, &rows[1]).await;
    assert_eq!(second["replaces"], json!({ "id": first["id"], "number": "INV-000001" }));
    assert_eq!(lines(&first), [("usage".into(), "200".into(), "20.00".into())]);
    assert_eq!(lines(&second), [("usage".into(), "240".into(), "24.00".into())]);
    assert_eq!(second["lines"][0]["description"], first["lines"][0]["description"]);
    assert_eq!(second["lines"][0]["explanation"][0], "240 x 0.10 USD = 24.00 USD");
    assert_eq!((&second["discount"]["amount"], &second["amount_due"]["amount"]), (&json!("12.00"), &json!("4.00")));
    let path = format!("/v1/invoices/{}/payments", first["id"].as_str().expect("an id"));
    let voided = server.get(&path, &[]).await.ok();
    assert_eq!((&voided["payment_state"], &voided["voided"]), (&json!("voided"), &json!("reissued")));
    let returned: Vec<String> =
        ledger(&server, &wallet).await.into_iter().filter(|row| row.contains("wallet")).collect();
    assert_eq!(returned, ["granted wallet -8", "consumed wallet 8", "returned wallet -8", "consumed wallet 8"]);
    assert_eq!(document(&server, &rows[0]).await, first, "what was issued never changes");
    rebuild_agrees(&stage).await;
}

/// Forgiven usage counts as billed: what comes late is the difference, and nothing else is billed.
pub async fn what_is_forgiven_is_never_asked_for_again(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    server.count(&usage("acme", "in-time", "2026-09-20T00:00:00Z", &[200])).await;
    subscribe(&server, "acme", "metered", "2026-09-01", "2026-10-01").await;
    bill(&server, NOW).await;
    let first = invoices(&server, "acme").await.remove(0);
    let path = format!("/v1/invoices/{}/void", first["id"].as_str().expect("an id"));
    let voided = server.post(&path, &json!({ "reason": "gesture" })).await.ok();
    assert_eq!((&voided["payment_state"], &voided["voided"]), (&json!("voided"), &json!("forgiven")));
    bill(&server, NOW).await;
    assert_eq!(invoices(&server, "acme").await.len(), 1);
    server.count(&usage("acme", "late", "2026-09-21T00:00:00Z", &[30])).await;
    bill(&server, NOW).await;
    let rows = in_order(&server).await;
    assert_eq!(totals(&rows), [("finalized", "INV-000001", "20.00"), ("finalized", "INV-000002", "3.00")]);
    rebuild_agrees(&stage).await;
}

/// Notes, reversals and write-offs under one key or reference, one after the other and at once.
pub async fn what_is_told_twice_is_done_once(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    subscribe(&server, "acme", "flat", "2026-09-01", "2026-10-01").await;
    bill(&server, NOW).await;
    let row = invoices(&server, "acme").await.remove(0);
    let path = |what: &str| format!("/v1/invoices/{}/{what}", row["id"].as_str().expect("an id"));

    let ten = json!({ "reason": "agreed", "lines": [{ "line": 1, "amount": "10.00" }] });
    let notes = path("credit-notes");
    let at_once = futures::future::join_all((0..4).map(|_| keyed(&server, &notes, "note-1", &ten))).await;
    let again = keyed(&server, &notes, "note-1", &ten).await;
    for answer in at_once.iter().chain([&again]) {
        assert_eq!((answer.status, &answer.text), (201, &again.text));
    }
    let issued = server.get(&notes, &[]).await.ok();
    assert_eq!(issued["data"].as_array().expect("a list").len(), 1);

    let payment = json!({ "reference": "card-1", "amount": "21.00", "currency": "USD" });
    assert_eq!(server.post(&path("payments"), &payment).await.status, 201);
    let back = json!({ "reference": "card-1", "reason": "chargeback" });
    let first = keyed(&server, &path("reversals"), "back-1", &back).await;
    let second = keyed(&server, &path("reversals"), "back-1", &back).await;
    assert_eq!((first.status, second.status, &first.text), (201, 201, &second.text));
    assert_eq!(server.post(&path("reversals"), &back).await.status, 200, "the same payment without a key");
    let lost = json!({ "reason": "insolvent" });
    for _ in 0..2 {
        let written_off = server.post(&path("uncollectible"), &lost).await;
        assert_eq!(written_off.status, 200, "{}", written_off.text);
        assert_eq!(written_off.ok()["amount_open"]["amount"], "21.00");
    }
    rebuild_agrees(&stage).await;
}
