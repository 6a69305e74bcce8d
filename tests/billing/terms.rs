//! Coupons and taxes on real engines: the exact invoice, what a coupon is used up by, and the same again from the journal.

use super::support::{bill, document, invoices, open, subscribe, usage};
use crate::harness::{Answer, LogChoice, Stage, TestServer};
use reqwest::Method;
use serde_json::{Value, json};
use talea_platform::postgres::OwnerPool;
use talea_platform::projections;

async fn put(server: &TestServer, path: &str, body: &Value) -> Answer {
    server.send(server.request(Method::PUT, path, &server.admin).json(body)).await
}

fn text<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// 200 tokens at 0.10 less 15 % with 19 %: 20.00, 3.00, 17.00, 3.23, 20.23. What comes late is discounted by the same coupon,
/// although it was for one invoice; the next month is not.
pub async fn a_coupon_and_a_tax_make_the_exact_invoice_and_are_used_once(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    stage.tenant("other").await;
    let server = stage.serve().await;
    open(&server).await;
    let rate = json!({ "name": "VAT", "jurisdiction": { "country": "DE" }, "rate_percent": "19" });
    let rates = json!({ "seller": { "country": "DE" }, "rates": [rate] });
    assert_eq!(put(&server, "/v1/tax-rates", &rates).await.ok(), rates);
    assert_eq!(server.get("/v1/tax-rates", &[]).await.ok(), rates);
    let outside = json!({ "jurisdiction": { "country": "US" } });
    put(&server, "/v1/tenants/other/tax", &outside).await.ok();
    assert_eq!(put(&server, "/v1/tenants/nobody/tax", &outside).await.status, 404);
    let coupon = json!({ "key": "FIFTEEN", "name": "Fifteen", "kind": { "type": "percentage", "percent": "15" },
        "duration": { "type": "once" }, "max_redemptions": 1 });
    assert_eq!(server.post("/v1/coupons", &coupon).await.status, 201);
    assert_eq!(server.post("/v1/coupons", &coupon).await.status, 200, "it was so already");
    let other_terms = json!({ "key": "FIFTEEN", "name": "Other", "kind": { "type": "percentage", "percent": "16" },
        "duration": { "type": "once" } });
    assert_eq!(server.post("/v1/coupons", &other_terms).await.status, 409);

    server.count(&usage("acme", "sept", "2026-09-20T00:00:00Z", &[200])).await;
    server.count(&usage("other", "sept", "2026-09-20T00:00:00Z", &[10])).await;
    let mine = subscribe(&server, "acme", "metered", "2026-09-01", "").await;
    let theirs = subscribe(&server, "other", "metered", "2026-09-01", "").await;
    let path = format!("/v1/subscriptions/{mine}/coupons");
    let asked = json!({ "coupon": "FIFTEEN", "from": "2026-09-01" });
    assert_eq!(server.post(&path, &asked).await.status, 201);
    assert_eq!(server.post(&path, &asked).await.status, 409, "a subscription takes each coupon once");
    let used_up = server.post(&format!("/v1/subscriptions/{theirs}/coupons"), &asked).await;
    assert_eq!(used_up.status, 409, "{}", used_up.text);
    let unknown = server.post(&path, &json!({ "coupon": "NOTHING" })).await;
    assert_eq!(unknown.status, 400, "{}", unknown.text);

    let upcoming = server.get(&format!("/v1/subscriptions/{mine}/upcoming-invoice"), &[]).await.ok();
    assert_eq!(text(&upcoming, "/total/amount"), "20.23");
    let redeemed = async || server.get(&path, &[]).await.ok()["data"][0]["redeemed"].clone();
    assert_eq!(redeemed().await, json!([]), "a draft uses nothing up");
    bill(&server, "2026-10-15T12:00:00Z").await;
    let issued = document(&server, &invoices(&server, "acme").await[0]).await;
    let amounts = ["/subtotal/amount", "/discount/amount", "/taxes/0/base/amount", "/tax/amount", "/total/amount"];
    assert_eq!(amounts.map(|pointer| text(&issued, pointer)), ["20.00", "3.00", "17.00", "3.23", "20.23"]);
    assert_eq!(redeemed().await[0]["given"]["amount"], "3.00");
    let untaxed = document(&server, &invoices(&server, "other").await[0]).await;
    assert_eq!((text(&untaxed, "/total/amount"), text(&untaxed, "/taxes/0/untaxed/reason")), ("1.00", "outside_scope"));

    server.count(&usage("acme", "late", "2026-09-21T00:00:00Z", &[13])).await;
    server.count(&usage("acme", "oct", "2026-10-10T00:00:00Z", &[100])).await;
    server.advance("2026-11-03T00:00:00Z").await;
    bill(&server, "2026-11-03T00:00:00Z").await;
    let second = document(&server, &invoices(&server, "acme").await[1]).await;
    // 10.00 and 1.30; 15 % of 21.30 are 3.20 after rounding up, of which 3.00 are given.
    assert_eq!(amounts.map(|pointer| text(&second, pointer)), ["11.30", "0.20", "11.10", "2.11", "13.21"]);
    assert_eq!(redeemed().await.as_array().map(Vec::len), Some(1), "a correction uses nothing up");
    let removed = server.send(server.request(Method::DELETE, &format!("{path}/FIFTEEN"), &server.admin)).await;
    assert_eq!(removed.status, 200, "{}", removed.text);

    let owner = OwnerPool::new(&stage.databases.target).expect("a pool");
    let report = projections::rebuild(&owner).await.expect("rebuilds");
    assert!(report.agrees(), "{report:?}");
    let applied = report.tables.iter().find(|table| table.table == "subscription_coupons");
    assert_eq!(applied.map(|table| table.rows), Some(1));
}
