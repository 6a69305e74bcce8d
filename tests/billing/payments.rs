//! What becomes of an issued invoice: paid, dunned, credited, voided.

use super::support::{document, invoices, open, subscribe};
use crate::harness::{LogChoice, Stage, TestServer, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use talea_platform::postgres::OwnerPool;
use talea_platform::projections;

/// An issued invoice of 31 USD.
async fn issued(server: &TestServer, tenant: &str) -> String {
    subscribe(server, tenant, "flat", "2026-09-01", "2026-10-01").await;
    let row = eventually("an invoice", async || {
        let rows = invoices(server, tenant).await;
        rows.into_iter().find(|row| row["status"] == "finalized").ok_or("none".to_owned())
    })
    .await;
    row["id"].as_str().expect("an id").to_owned()
}

async fn rebuild_agrees(stage: &Stage) {
    let owner = OwnerPool::new(&stage.databases.target).expect("parses");
    let report = projections::rebuild(&owner).await.expect("rebuilds");
    assert!(report.agrees(), "{report:?}");
}

fn payment(reference: &str, amount: &str) -> Value {
    json!({ "reference": reference, "amount": amount, "currency": "USD", "method": "transfer" })
}

/// State, paid, credited and open.
fn balance(answer: &Value) -> [&str; 4] {
    let amount = |name: &str| answer[name]["amount"].as_str().expect("an amount");
    let state = answer["payment_state"].as_str().expect("a state");
    [state, amount("amount_paid"), amount("amount_credited"), amount("amount_open")]
}

/// The same reference is one payment, however often and at once it is sent; two others at once both count.
pub async fn a_payment_counts_once_however_often_it_is_told(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    let id = issued(&server, "acme").await;
    let before = document(&server, &json!({ "id": id })).await;
    let path = format!("/v1/invoices/{id}/payments");
    let transfer = payment("SEPA-1", "10.00");
    let same = (0..6).map(|_| server.post(&path, &transfer));
    let answers = futures::future::join_all(same).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "one of them recorded it");
    assert!(answers.iter().all(|answer| [200, 201].contains(&answer.status)));
    let (twenty, five) = (payment("a", "20.00"), payment("b", "5.00"));
    let (a, b) = tokio::join!(server.post(&path, &twenty), server.post(&path, &five));
    assert_eq!((a.status, b.status), (201, 201), "{} {}", a.text, b.text);
    let now = server.get(&path, &[]).await.ok();
    assert_eq!(balance(&now), ["paid", "31.00", "0.00", "0.00"]);
    assert_eq!(now["payments"].as_array().expect("a list").len(), 3);
    let credit = server.get("/v1/tenants/acme/open-credit", &[]).await.ok();
    assert_eq!(credit["balances"][0]["amount"], "4.00", "10 + 20 + 5 less 31");
    for (body, status) in [
        (payment("SEPA-1", "11.00"), 409),
        (payment("c", "0.001"), 400),
        (payment("4242 4242 4242 4242", "1"), 400),
        (json!({ "reference": "d", "amount": "1", "currency": "EUR" }), 422),
        (json!({ "reference": "e", "amount": "1", "currency": "USD", "card_number": "4242" }), 400),
    ] {
        let refused = server.post(&path, &body).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.text);
    }
    let reversal = json!({ "reference": "a", "reason": "chargeback" });
    let reversed = server.post(&format!("/v1/invoices/{id}/reversals"), &reversal).await.ok();
    assert_eq!(balance(&reversed)[0], "partially_paid");
    assert_eq!(document(&server, &json!({ "id": id })).await, before, "the document never changes");
    let listed = server.get("/v1/invoices", &[("payment_state", "partially_paid")]).await.ok();
    assert_eq!(listed["data"][0]["id"], id.as_str());
    let void = server.post(&format!("/v1/invoices/{id}/void"), &json!({ "reason": "wrong" })).await;
    assert_eq!(void.status, 409, "{}", void.text);
    rebuild_agrees(&stage).await;
}

async fn state_of(server: &TestServer, tenant: &str) -> (String, String) {
    let tenant = server.get(&format!("/v1/tenants/{tenant}"), &[]).await.ok();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&tenant["state"]), text(&tenant["state_cause"]["kind"]))
}

/// An unpaid invoice is dunned step by step, each once, until its tenant is suspended; its payment resumes it.
pub async fn dunning_suspends_and_a_payment_resumes(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    let terms = json!({ "due_days": 5, "dunning": { "steps": [
        { "name": "reminder", "after_days": 1 }, { "name": "suspension", "after_days": 3, "action": "suspend" }] } });
    let set = server.request(Method::PUT, "/v1/tenants/acme/billing-terms", &server.admin).json(&terms);
    assert_eq!(server.send(set).await.ok(), terms);
    let id = issued(&server, "acme").await;
    assert_eq!(document(&server, &json!({ "id": id })).await["due_date"], "2026-10-20");
    let steps = async || -> Vec<String> {
        let rows = sqlx::query_scalar(
            "SELECT payload ->> 'step' FROM journal WHERE type = 'dunning.step_reached.v1' ORDER BY position",
        );
        let mut tx = stage.pools.worker.begin().await.expect("begins");
        rows.fetch_all(&mut *tx).await.expect("reads")
    };
    server.advance("2026-10-21T00:00:00Z").await;
    eventually("a reminder", async || {
        let steps = steps().await;
        if steps == ["reminder"] { Ok(()) } else { Err(format!("{steps:?}")) }
    })
    .await;
    assert_eq!(state_of(&server, "acme").await.0, "active");
    server.advance("2026-10-23T00:00:00Z").await;
    eventually("the suspension", async || {
        let state = state_of(&server, "acme").await;
        if state == ("suspended".to_owned(), "dunning".to_owned()) { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    let paid = server.post(&format!("/v1/invoices/{id}/payments"), &payment("late", "31")).await.ok();
    assert_eq!(balance(&paid), ["paid", "31.00", "0.00", "0.00"]);
    eventually("the end of the suspension", async || {
        let state = state_of(&server, "acme").await;
        if state == ("active".to_owned(), "dunning".to_owned()) { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    assert_eq!(steps().await, ["reminder", "suspension"], "each step once");
    rebuild_agrees(&stage).await;
}

/// Notes of many requests at once never credit more than the invoice, and their numbers have no gap, refusals or not.
pub async fn credit_notes_are_numbered_without_gaps(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    let id = issued(&server, "acme").await;
    let path = format!("/v1/invoices/{id}/credit-notes");
    let ten = json!({ "reason": "agreed", "lines": [{ "line": 1, "amount": "10.00" }] });
    let answers = futures::future::join_all((0..6).map(|_| server.post(&path, &ten))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 3, "31 holds three times 10");
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 3);
    let rest = server.post(&path, &json!({ "reason": "the rest" })).await;
    assert_eq!(rest.status, 201, "{}", rest.text);
    let notes = server.get(&path, &[]).await.ok()["data"].as_array().expect("a list").clone();
    let numbers: Vec<&str> = notes.iter().map(|note| note["number"].as_str().expect("a number")).collect();
    assert_eq!(numbers, ["CN-000001", "CN-000002", "CN-000003", "CN-000004"]);
    assert_eq!(notes[3]["total"]["amount"], "1.00");
    let one = format!("/v1/credit-notes/{}", notes[3]["id"].as_str().expect("an id"));
    assert_eq!(server.get(&one, &[]).await.ok(), rest.ok());
    let page = server.get(&one, &[("format", "html")]).await;
    assert!(page.text.contains("CN-000004") && page.text.contains("INV-000001"), "{}", page.text);
    let rows = server.get(&one, &[("format", "csv")]).await;
    assert!(rows.text.lines().nth(1).is_some_and(|row| row.contains(",CN-000004,")), "{}", rows.text);
    // All that were issued, in pages, and one by its number.
    let first = server.get("/v1/credit-notes", &[("tenant_id", "acme"), ("limit", "3")]).await.ok();
    let cursor = first["next_cursor"].as_str().expect("a fourth row").to_owned();
    let second = server.get("/v1/credit-notes", &[("tenant_id", "acme"), ("cursor", &cursor)]).await.ok();
    let listed = [&first, &second].map(|page| page["data"].as_array().expect("a list").len());
    assert_eq!((listed, &second["next_cursor"]), ([3, 1], &serde_json::Value::Null));
    let named = server.get("/v1/credit-notes", &[("number", "CN-000002")]).await.ok();
    assert_eq!(named["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(named["data"][0]["invoice_id"].as_str(), Some(id.as_str()));
    let now = server.get(&format!("/v1/invoices/{id}/payments"), &[]).await.ok();
    assert_eq!(balance(&now), ["paid", "0.00", "31.00", "0.00"]);
    rebuild_agrees(&stage).await;
}

/// A voided invoice keeps its number, is not asked for, and cannot be paid.
pub async fn what_is_voided_keeps_its_number(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    let id = issued(&server, "acme").await;
    let voided = server.post(&format!("/v1/invoices/{id}/void"), &json!({ "reason": "wrong party" })).await.ok();
    assert_eq!(balance(&voided), ["voided", "0.00", "0.00", "0.00"]);
    let refused = server.post(&format!("/v1/invoices/{id}/payments"), &payment("x", "1")).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    subscribe(&server, "acme", "flat", "2026-08-01", "2026-09-01").await;
    let numbers = eventually("the next invoice", async || {
        let rows = invoices(&server, "acme").await;
        let mut numbers: Vec<String> =
            rows.iter().filter_map(|row| row["number"].as_str().map(str::to_owned)).collect();
        numbers.sort();
        if numbers.len() == 2 { Ok(numbers) } else { Err(format!("{numbers:?}")) }
    })
    .await;
    assert_eq!(numbers, ["INV-000001", "INV-000002"]);
    rebuild_agrees(&stage).await;
}
