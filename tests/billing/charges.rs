//! One-off charges on real engines: on the next invoice, at once, withdrawn, and the same again from the journal.

use super::support::{bill, document, invoices, lines, open, subscribe};
use crate::harness::{Answer, LogChoice, Stage, TestServer};
use reqwest::Method;
use serde_json::{Value, json};
use talea_platform::postgres::OwnerPool;
use talea_platform::projections;

const PATH: &str = "/v1/tenants/acme/charges";

async fn add(server: &TestServer, key: &str, body: &Value) -> Answer {
    let request = server.request(Method::POST, PATH, &server.admin).header("idempotency-key", key).json(body);
    server.send(request).await
}

async fn withdraw(server: &TestServer, id: &str) -> Answer {
    server.send(server.request(Method::DELETE, &format!("{PATH}/{id}"), &server.admin)).await
}

/// A charge of 900 x 2 for the subscription and one of 35 for the tenant stand on the next invoice, once; one is withdrawn, one
/// is invoiced at once and paid like any other.
pub async fn a_charge_is_invoiced_once_with_the_next_invoice_or_at_once(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    stage.tenant("other").await;
    let server = stage.serve().await;
    open(&server).await;
    let subscription = subscribe(&server, "acme", "flat", "2026-10-01", "2026-11-01").await;
    let training = json!({ "description": "Training", "quantity": "2", "unit_amount": "900" });
    let body = json!({ "currency": "USD", "subscription_id": subscription, "charges": [training] });
    let (first, again) = (add(&server, "k-1", &body).await, add(&server, "k-1", &body).await);
    assert_eq!((first.status, again.status), (201, 201), "{} {}", first.text, again.text);
    assert_eq!(first.text, again.text, "one key is one charge");
    let books = json!([{ "description": "Handbook", "amount": "35" }, { "description": "Second", "amount": "35" }]);
    let added = add(&server, "k-2", &json!({ "currency": "USD", "charges": books })).await.ok();
    let second = added["charges"][1]["id"].as_str().expect("an id").to_owned();
    assert_eq!(withdraw(&server, &second).await.ok()["stage"], "withdrawn");
    assert_eq!(withdraw(&server, &second).await.ok()["stage"], "withdrawn", "twice is as once");
    for (body, status) in [
        (json!({ "currency": "USD", "charges": [{ "description": "Back", "amount": "-5" }] }), 400),
        (json!({ "currency": "USD", "charges": [] }), 400),
        (json!({ "currency": "EUR", "subscription_id": subscription, "charges": books }), 400),
        (json!({ "currency": "USD", "subscription_id": "sub_nobodys", "charges": books }), 404),
    ] {
        let refused = server.post(PATH, &body).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.text);
    }

    let now = json!({ "currency": "USD", "invoice": "now", "charges": [
        { "description": "Migration", "amount": "1200" }, { "description": "Records", "quantity": "3", "unit_amount": "0.125" }] });
    let (at_once, repeated) = (add(&server, "k-3", &now).await, add(&server, "k-3", &now).await);
    assert_eq!((at_once.status, &at_once.text), (201, &repeated.text), "{}", at_once.text);
    let at_once = at_once.ok();
    let invoice = &at_once["invoice"];
    assert_eq!((&invoice["total"]["amount"], &invoice["number"]), (&json!("1200.38"), &json!("INV-000001")));
    assert!(invoice["subscription"].is_null() && at_once["charges"][0]["invoice"] == invoice["id"]);
    let id = invoice["id"].as_str().expect("an id");
    assert_eq!(document(&server, invoice).await, *invoice, "as it was recorded");
    let csv = server.get(&format!("/v1/invoices/{id}"), &[("format", "csv")]).await;
    let html = server.get(&format!("/v1/invoices/{id}"), &[("format", "html")]).await;
    assert!(csv.text.contains("one_off") && html.text.contains("Migration"), "{} {}", csv.text, html.text);
    let payment = json!({ "reference": "bank", "amount": "1200.38", "currency": "USD" });
    let paid = server.post(&format!("/v1/invoices/{id}/payments"), &payment).await.ok();
    assert_eq!(paid["payment_state"], "paid");

    server.advance("2026-11-03T00:00:00Z").await;
    bill(&server, "2026-11-03T00:00:00Z").await;
    let rows = invoices(&server, "acme").await;
    assert_eq!(rows.len(), 2);
    let issued = document(&server, rows.iter().find(|row| row["number"] == "INV-000002").expect("the month")).await;
    let line = |kind: &str, quantity: &str, amount: &str| (kind.to_owned(), quantity.to_owned(), amount.to_owned());
    let expect = [line("recurring", "1", "31.00"), line("one_off", "2", "1800.00"), line("one_off", "1", "35.00")];
    assert_eq!(lines(&issued), expect);
    let charge = first.ok()["charges"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(withdraw(&server, &charge).await.status, 409, "what is invoiced is credited instead");
    let pending = server.get(PATH, &[("stage", "pending")]).await.ok();
    assert_eq!(pending["data"], json!([]));
    let late = server.post(PATH, &body).await;
    assert_eq!(late.status, 409, "the subscription has no invoice to come: {}", late.text);

    let owner = OwnerPool::new(&stage.databases.target).expect("a pool");
    let report = projections::rebuild(&owner).await.expect("rebuilds");
    assert!(report.agrees(), "{report:?}");
}
