//! Prepaid credits on real engines: spent once, by whichever run comes first, and the ledger balances.

use super::support::{bill, document, invoices, open, subscribe, usage};
use crate::harness::{LogChoice, Stage, TestServer};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use talea_billing::{Billing, Trigger};
use talea_platform::postgres::OwnerPool;
use talea_platform::projections;

async fn wallet(server: &TestServer, tenant: &str, more: Value) -> String {
    let mut body = json!({ "tenant_id": tenant, "name": "Prepaid", "unit": { "currency": "USD" } });
    body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let created = server.post("/v1/wallets", &body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    created.ok()["id"].as_str().expect("an id").to_owned()
}

async fn grant(server: &TestServer, wallet: &str, body: Value) -> Value {
    let granted = server.post(&format!("/v1/wallets/{wallet}/grants"), &body).await;
    assert_eq!(granted.status, 201, "{}", granted.text);
    granted.ok()
}

async fn show(server: &TestServer, wallet: &str) -> Value {
    server.get(&format!("/v1/wallets/{wallet}"), &[]).await.ok()
}

/// `movement account amount unit` of each entry, over pages of two.
async fn ledger(server: &TestServer, wallet: &str) -> Vec<String> {
    let (mut told, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let query = [("limit", "2"), ("cursor", cursor.as_deref().unwrap_or_default())];
        let query = &query[..if cursor.is_some() { 2 } else { 1 }];
        let page = server.get(&format!("/v1/wallets/{wallet}/ledger"), query).await.ok();
        let text = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
        told.extend(
            page["data"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|row| ["movement", "account", "amount", "unit"].map(|name| text(row, name)).join(" ")),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return told,
        }
    }
}

async fn rebuild_agrees(stage: &Stage) {
    let owner = OwnerPool::new(&stage.databases.target).expect("a pool");
    let report = projections::rebuild(&owner).await.expect("rebuilds");
    assert!(report.agrees(), "{report:?}");
}

/// What the migration makes of invoices that were issued before there were states, is what their projection says.
async fn backfill_agrees(stage: &Stage) {
    let migration = include_str!("../../migrations/postgres/0008_payments.sql");
    let (_, after) = migration.split_once("-- Invoices that were issued before this").expect("the backfill");
    let (backfill, _) = after.split_once("DO $$").expect("its end");
    let backfill = format!("-- {backfill}");
    let target = &stage.databases.target;
    let mut admin = target.admin().expect("an address").database(&target.database).connect().await.expect("connects");
    let mut tx = admin.begin().await.expect("begins");
    let projected = states(&mut tx).await;
    assert!(projected.iter().any(|row| row.contains("\"paid\"")), "{projected:?}");
    assert!(projected.iter().any(|row| row.contains("\"partially_paid\"")), "{projected:?}");
    sqlx::raw_sql("DELETE FROM invoice_states; DELETE FROM open_credit_entries").execute(&mut *tx).await.expect("ends");
    assert!(states(&mut tx).await.is_empty());
    sqlx::raw_sql(AssertSqlSafe(backfill)).execute(&mut *tx).await.expect("is filled");
    assert_eq!(states(&mut tx).await, projected);
    tx.rollback().await.expect("changes nothing");
}

async fn states(tx: &mut PgConnection) -> Vec<String> {
    let query = "SELECT jsonb_build_array(tenant_id, invoice_id, stage, currency, total_minor, paid_minor, credited_minor, \
        open_minor, due_date, zone, open_since, position)::text FROM invoice_states ORDER BY invoice_id";
    sqlx::query_scalar(query).fetch_all(tx).await.expect("answers")
}

/// The draft shows what would be paid and takes nothing; the issued invoice takes it, in the same transaction. What is left
/// when everything up to the expiry is billed is breakage.
pub async fn credits_pay_what_is_issued_and_end_when_all_is_billed(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    open(&server).await;
    server.count(&usage("acme", "sept", "2026-09-20T00:00:00Z", &[200])).await;
    server.count(&usage("acme", "oct", "2026-10-10T00:00:00Z", &[100])).await;
    let id = wallet(&server, "acme", json!({})).await;
    let sold = json!({ "amount": "25", "kind": "paid", "cost": { "amount": "20.00", "currency": "USD" },
        "effective_at": "2026-09-01T00:00:00Z",
        "expires_at": "2026-11-01T00:00:00Z" });
    let held = grant(&server, &id, sold).await;
    assert_eq!((&held["balance"], &held["grants"][0]["remaining"]), (&json!("25"), &json!("25")));
    let rule = json!({ "auto_top_up": { "threshold": "5", "target": "50" } });
    let path = format!("/v1/wallets/{id}/auto-top-up");
    let set = server.send(server.request(Method::PUT, &path, &server.admin).json(&rule)).await.ok();
    assert_eq!((&set["auto_top_up"], &set["open_order"]), (&rule["auto_top_up"], &Value::Null));
    let subscription = subscribe(&server, "acme", "metered", "2026-09-01", "").await;

    // 20.00 for September, of which the draft shows the payment.
    let upcoming = server.get(&format!("/v1/subscriptions/{subscription}/upcoming-invoice"), &[]).await.ok();
    assert_eq!(upcoming["amount_due"]["amount"], "0.00");
    assert_eq!(show(&server, &id).await["balance"], "25", "a draft takes nothing");
    bill(&server, "2026-10-15T12:00:00Z").await;
    let issued = document(&server, &invoices(&server, "acme").await[0]).await;
    assert_eq!((&issued["total"]["amount"], &issued["amount_due"]["amount"]), (&json!("20.00"), &json!("0.00")));
    assert_eq!(issued["credits"][0]["amount"]["amount"], "20.00");
    assert_eq!(show(&server, &id).await["balance"], "5");
    // Not below the threshold: no order yet. October takes the last 5.00 of its 10.00.
    assert_eq!(show(&server, &id).await["open_order"], Value::Null);
    server.advance("2026-11-01T12:00:00Z").await;
    bill(&server, "2026-11-01T12:00:00Z").await;
    assert_eq!(
        show(&server, &id).await["grants"][0]["remaining"],
        "5",
        "October waits for its grace, and so does the grant"
    );
    server.advance("2026-11-03T12:00:00Z").await;
    bill(&server, "2026-11-03T12:00:00Z").await;
    let issued = document(&server, &invoices(&server, "acme").await[1]).await;
    assert_eq!((&issued["total"]["amount"], &issued["amount_due"]["amount"]), (&json!("10.00"), &json!("5.00")));
    backfill_agrees(&stage).await;
    let orders = server.get(&format!("/v1/wallets/{id}/orders"), &[]).await.ok();
    let order = &orders["data"][0];
    assert_eq!((&order["amount"], orders["data"].as_array().map(Vec::len)), (&json!("50"), Some(1)));

    // The order is answered, and a short grant expires unused.
    let answer =
        json!({ "amount": "50", "kind": "paid", "answers": order["id"], "expires_at": "2026-11-10T00:00:00Z" });
    let path = format!("/v1/wallets/{id}/grants");
    let with_key = async || {
        let request = server.request(Method::POST, &path, &server.admin).header("Idempotency-Key", "answer-1");
        server.send(request.json(&answer)).await
    };
    let (first, second) = (with_key().await, with_key().await);
    assert_eq!((first.status, second.status, &first.text), (201, 201, &second.text));
    assert_eq!(server.post(&path, &answer).await.status, 409, "answered already");
    server.advance("2026-11-10T12:00:00Z").await;
    bill(&server, "2026-11-10T12:00:00Z").await;
    bill(&server, "2026-11-10T12:00:00Z").await;
    assert_eq!(
        ledger(&server, &id).await,
        [
            "granted issued 25 USD",
            "granted wallet -25 USD",
            "granted receivable 20 USD",
            "granted deferred_revenue -20 USD",
            "consumed wallet 20 USD",
            "consumed issued -20 USD",
            "consumed deferred_revenue 16 USD",
            "consumed promotional 4 USD",
            "consumed receivable -20 USD",
            "consumed wallet 5 USD",
            "consumed issued -5 USD",
            "consumed deferred_revenue 4 USD",
            "consumed promotional 1 USD",
            "consumed receivable -5 USD",
            "granted issued 50 USD",
            "granted wallet -50 USD",
            "granted receivable 50 USD",
            "granted deferred_revenue -50 USD",
            "expired wallet 50 USD",
            "expired issued -50 USD",
            "expired deferred_revenue 50 USD",
            "expired breakage -50 USD",
        ]
    );
    let csv = server.get(&format!("/v1/wallets/{id}/ledger"), &[("format", "csv"), ("limit", "4")]).await;
    let rows: Vec<&str> = csv.text.lines().collect();
    assert_eq!(rows.len(), 5);
    assert!(rows[2].ends_with(",USD,-25") && rows[0].ends_with("unit,amount"), "{}", csv.text);
    let link = csv.headers["link"].to_str().expect("text");
    let next = link.trim_start_matches('<').split('>').next().expect("a path");
    assert!(server.get(next, &[]).await.text.lines().nth(1).is_some_and(|row| row.contains(",consumed,")), "{next}");
    rebuild_agrees(&stage).await;
}

/// One wallet, many invoices, several runs at once: what was paid is exactly what the wallet held.
pub async fn runs_at_once_spend_a_credit_once(log: LogChoice) {
    const SUBSCRIPTIONS: usize = 8;
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let id = {
        let server = stage.serve().await;
        open(&server).await;
        for _ in 0..SUBSCRIPTIONS {
            subscribe(&server, "acme", "flat", "2026-10-16", "").await;
        }
        let id = wallet(&server, "acme", json!({})).await;
        grant(&server, &id, json!({ "amount": "100", "kind": "paid" })).await;
        id
    };
    let mut runs = Vec::new();
    for _ in 0..3 {
        let platform = stage.platform().await;
        platform.clock.advance("2026-12-20T00:00:00Z".parse().expect("a time")).expect("goes forward");
        let billing = Billing::new((*platform).clone());
        let as_of = platform.clock.now();
        runs.push(tokio::spawn(async move { billing.run(as_of, Trigger::Clock).await }));
    }
    for run in runs {
        run.await.expect("ends").expect("runs");
    }
    let server = stage.serve().await;
    let rows = invoices(&server, "acme").await;
    assert_eq!(rows.len(), 2 * SUBSCRIPTIONS);
    let cents = |money: &Value| money["amount_minor"].as_str().map_or(0, |text| text.parse::<i64>().expect("cents"));
    let mut paid = 0;
    for row in &rows {
        let issued = document(&server, row).await;
        let credits: i64 = issued["credits"].as_array().into_iter().flatten().map(|it| cents(&it["amount"])).sum();
        if credits > 0 {
            assert_eq!(cents(&issued["total"]) - credits, cents(&issued["amount_due"]));
        }
        paid += credits;
    }
    assert_eq!((paid, &show(&server, &id).await["balance"]), (10_000, &json!("0")));
    rebuild_agrees(&stage).await;
}

/// The database itself refuses a movement that does not balance, and a balance below zero.
pub async fn the_database_holds_the_ledger_to_its_balance(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    let id = wallet(&server, "acme", json!({})).await;
    grant(&server, &id, json!({ "amount": "1", "kind": "promotional" })).await;
    let owner = OwnerPool::new(&stage.databases.target).expect("a pool");
    let mut connection = owner.connect().await.expect("connects");
    const ENTRY: &str = "INSERT INTO ledger_entries (tenant_id, wallet_id, number, entry, movement, at, account, grant_id, unit, \
        amount, position) SELECT tenant_id, wallet_id, 99, entry, movement, at, account, grant_id, unit, amount, position \
        FROM ledger_entries WHERE entry <= ";
    let refused = sqlx::query(sqlx::AssertSqlSafe(format!("{ENTRY} 1"))).execute(&mut connection).await;
    assert!(refused.expect_err("is refused").to_string().contains("does not balance"));
    sqlx::query(sqlx::AssertSqlSafe(format!("{ENTRY} 2"))).execute(&mut connection).await.expect("balances");
    let changed = sqlx::query("UPDATE ledger_entries SET amount = 2").execute(&mut connection).await;
    assert!(changed.expect_err("is refused").to_string().contains("never edited"));
    let overdrawn = sqlx::query("UPDATE credit_grants SET remaining_millionths = -1").execute(&mut connection).await;
    assert!(overdrawn.expect_err("is refused").to_string().contains("check"));
}
