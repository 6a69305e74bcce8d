//! A plan's subscriptions, moved to a new version of it together.

use super::support::{document, invoices, lines, open, subscribe};
use crate::harness::stage::start;
use crate::harness::{LogChoice, Stage, TestServer, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use talea_domain::id::{PlanMigrationId, SubscriptionId, TenantId};
use talea_domain::journal::JournalEvent;
use talea_domain::subscription::{MigrationPlace, MigrationTerms, PlanMigrationAdvanced, PlanMigrationStarted};
use talea_domain::tenant::TenantScope;
use talea_platform::journal::{Decision, append};

const PATH: &str = "/v1/plans/advance/migrations";

async fn done(server: &TestServer, id: &str) -> Value {
    eventually("the migration", async || {
        let state = server.get(&format!("{PATH}/{id}"), &[]).await.ok();
        if state["is_done"] == true { Ok(state) } else { Err(state.to_string()) }
    })
    .await
}

async fn number_of(server: &TestServer, tenant: &str, expected: usize) -> Vec<Value> {
    eventually("invoices", async || {
        let rows = invoices(server, tenant).await;
        if rows.len() == expected { Ok(rows) } else { Err(format!("{}", rows.len())) }
    })
    .await
}

/// The preview tells what the renewal then bills, and changes nothing; the same request again moves nobody twice; who cannot
/// move stays, with the reason.
pub async fn a_plan_is_migrated_at_renewal_after_a_preview(log: LogChoice) {
    let stage = Stage::new(log).await;
    for tenant in ["acme", "beta", "gamma"] {
        stage.tenant(tenant).await;
    }
    let server = stage.serve().await;
    open(&server).await;
    let id = subscribe(&server, "acme", "advance", "2026-10-01", "").await;
    subscribe(&server, "beta", "advance", "2026-10-01", "").await;
    subscribe(&server, "gamma", "advance", "2026-10-01", "2026-11-01").await;
    let mut dearer = server.get("/v1/plans/advance", &[]).await.ok();
    dearer["prices"][0]["model"]["amount"]["USD"] = "62".into();
    assert_eq!(server.post("/v1/plans", &dearer).await.ok()["version"], 2);
    server.advance("2026-10-20T00:00:00Z").await;
    number_of(&server, "acme", 1).await;
    number_of(&server, "beta", 1).await;

    let mut ask = json!({ "to_version": 2, "dry_run": true, "limit": 2 });
    let first = server.post(PATH, &ask).await.ok();
    assert_eq!((&first["moves"], &first["blocked"]), (&2.into(), &0.into()), "{first}");
    assert_eq!(first["data"][0]["at"], "2026-11-01T00:00:00Z");
    assert_eq!(first["data"][0]["next_invoice"]["migrated"]["amount"], "62.00");
    assert_eq!(first["totals"][0]["difference"]["amount"], "62.00", "{first}");
    ask["cursor"] = first["next_cursor"].clone();
    let second = server.post(PATH, &ask).await.ok();
    assert_eq!((&second["blocked"], &second["done"], &second["total"]), (&1.into(), &3.into(), &3.into()), "{second}");
    let reason = second["data"][0]["blocked"].as_str().expect("a reason");
    assert!(reason.contains("does not run at 2026-11-01"), "{reason}");
    assert!(second.get("next_cursor").is_none());
    let subscription = format!("/v1/subscriptions/{id}");
    assert!(server.get(&subscription, &[]).await.ok().get("changes").is_none(), "a dry run changes nothing");

    let migrate = || {
        let request = server.request(Method::POST, PATH, &server.admin);
        server.send(request.header("idempotency-key", "once").json(&json!({ "to_version": 2 })))
    };
    let started = migrate().await;
    assert_eq!(started.status, 201, "{}", started.text);
    let migration = started.ok()["id"].as_str().expect("an id").to_owned();
    assert_eq!(migrate().await.text, started.text, "the same answer");
    let state = done(&server, &migration).await;
    assert_eq!((&state["moved"], &state["blocked_count"]), (&2.into(), &1.into()), "{state}");
    assert_eq!(state["blocked"][0]["tenant"], "gamma");
    // Another request finds nobody left to move.
    let again = server.post(PATH, &json!({ "to_version": 2 })).await.ok();
    let state = done(&server, again["id"].as_str().expect("an id")).await;
    assert_eq!((&state["moved"], &state["blocked_count"]), (&0.into(), &1.into()), "{state}");
    let moved = server.get(&subscription, &[]).await.ok();
    assert_eq!(moved["changes"].as_array().expect("changes").len(), 1);
    let versions: Vec<&Value> =
        moved["stretches"].as_array().expect("stretches").iter().map(|it| &it["plan_version"]).collect();
    assert_eq!(versions, [1, 2]);

    server.advance("2026-11-02T00:00:00Z").await;
    let rows = number_of(&server, "acme", 2).await;
    assert_eq!(lines(&document(&server, &rows[1]).await), [("recurring".into(), "1".into(), "62.00".into())]);
    let wrong = server.post(PATH, &json!({ "to_version": 7 })).await;
    assert_eq!((wrong.status, &wrong.json()["errors"][0]["field"]), (400, &"/to_version".into()));
    assert_eq!(server.get(&format!("{PATH}/mig_none"), &[]).await.status, 404);
}

/// Killed between two pages, it goes on after the last one that was recorded: nobody is moved twice, nobody is left out.
pub async fn a_migration_goes_on_where_it_was_killed(log: LogChoice) {
    let stage = Stage::new(log).await;
    for tenant in ["acme", "beta", "gamma"] {
        stage.tenant(tenant).await;
    }
    let server = stage.serve().await;
    open(&server).await;
    let mut ids = Vec::new();
    for tenant in ["acme", "beta", "gamma"] {
        ids.push(subscribe(&server, tenant, "advance", "2026-10-01", "").await);
    }
    let mut dearer = server.get("/v1/plans/advance", &[]).await.ok();
    dearer["prices"][0]["model"]["amount"]["USD"] = "62".into();
    server.post("/v1/plans", &dearer).await.ok();
    server.kill9().await;

    // What a process had recorded that died after a page that ended with acme.
    let id = PlanMigrationId::parse("mig_killed").expect("an id");
    let terms: MigrationTerms =
        serde_json::from_value(json!({ "plan": "advance", "to_version": 2 })).expect("terms of a migration");
    let after = MigrationPlace {
        tenant: TenantId::parse("acme").expect("a tenant"),
        subscription: SubscriptionId::parse(&ids[0]).expect("an id"),
    };
    let started = PlanMigrationStarted { id: id.clone(), terms, asked_at: start() };
    let advanced = PlanMigrationAdvanced { migration_id: id, moved: 1, blocked: Vec::new(), after: Some(after) };
    let events = [JournalEvent::PlanMigrationStarted(started), JournalEvent::PlanMigrationAdvanced(advanced)];
    let decision = |event| Decision {
        tenant: TenantScope::Global,
        expected_version: None,
        event,
        effective_at: start(),
        recorded_at: start(),
        actor: "test".to_owned(),
        idempotency_key: None,
    };
    let mut tx = stage.pools.worker.begin().await.expect("begins");
    append(&mut tx, events.map(decision).to_vec()).await.expect("is recorded");
    tx.commit().await.expect("commits");

    let server = stage.serve().await;
    let state = done(&server, "mig_killed").await;
    assert_eq!((&state["moved"], &state["blocked_count"]), (&3.into(), &0.into()), "{state}");
    let mut changes = Vec::new();
    for id in &ids {
        let subscription = server.get(&format!("/v1/subscriptions/{id}"), &[]).await.ok();
        changes.push(subscription["changes"].as_array().map_or(0, Vec::len));
    }
    assert_eq!(changes, [0, 1, 1], "it begins after the page that was recorded");
}
