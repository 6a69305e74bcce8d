//! `GET /v1/events` says of every event what became of it.

use super::ALWAYS;
use crate::harness::stage::PARTITIONS;
use crate::harness::{LogChoice, Stage, event, eventually};
use serde_json::json;

pub async fn an_event_says_what_became_of_it(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("calls", "count", "").await;
    server
        .count(&[
            event("acme", "counted"),
            event("acme", "duplicate"),
            event("acme", "duplicate"),
            event("acme", "conflict"),
            event("acme", "conflict").tokens(2),
            event("acme", "late").at("2026-01-01T00:00:00Z"),
            event("acme", "unmetered").with("type", "nobody.counts.this"),
            event("nobody", "unknown-tenant"),
        ])
        .await;
    for (tenant, id, status, duplicates, letters) in [
        ("acme", "counted", "counted", 0, 0),
        ("acme", "duplicate", "counted", 1, 0),
        ("acme", "conflict", "counted", 0, 1),
        ("acme", "late", "dead_lettered", 0, 1),
        ("acme", "unmetered", "unmetered", 0, 0),
        ("nobody", "unknown-tenant", "dead_lettered", 0, 1),
        ("acme", "never-sent", "unknown", 0, 0),
        ("nobody", "counted", "unknown", 0, 0),
    ] {
        let fate = server.fate(tenant, "/api", id).await;
        assert_eq!(fate["status"], status, "{id}: {fate}");
        let lengths = ["duplicates", "dead_letters"].map(|list| fate[list].as_array().map(Vec::len));
        assert_eq!(lengths, [Some(duplicates), Some(letters)], "{id}: {fate}");
        assert_eq!(fate["lag"], 0);
    }
    let counted = server.fate("acme", "/api", "counted").await;
    assert_eq!(counted["event"]["numbers"], json!({ "/tokens": "1" }));
    assert_eq!(counted["event"]["type"], "api.call");
}

/// What the log has and metering has not: pending, with how much there is. Metering is held up by a fence higher than any
/// epoch it can get: no insert of an owner below it may pass.
pub async fn what_metering_has_not_read_is_pending(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("calls", "count", "").await;
    server.count(&[event("acme", "before")]).await;
    let clickhouse = &stage.databases.clickhouse;
    let fence = format!(
        "INSERT INTO usage_fences SELECT '{}', number, 1000000 FROM numbers({PARTITIONS})",
        talea_platform::log::topic::USAGE
    );
    clickhouse.execute(clickhouse.query(&fence)).await.expect("fences");
    let events: Vec<_> = (0..20).map(|n| event("acme", &n.to_string())).collect();
    assert_eq!(server.ingest(&events).await.ok()["summary"]["accepted"], 20);
    eventually("metering is refused", async || match server.metric("talea_metering_recoveries_total").await {
        recoveries if recoveries >= 2 => Ok(()),
        recoveries => Err(format!("{recoveries} recoveries")),
    })
    .await;
    let fate = server.fate("acme", "/api", "7").await;
    assert_eq!((&fate["status"], &fate["lag"]), (&"pending".into(), &20.into()), "{fate}");
    assert_eq!(server.total("acme", "calls", ALWAYS).await.1, 1, "an owner with an old epoch writes nothing");
    clickhouse.execute(clickhouse.query("TRUNCATE TABLE usage_fences")).await.expect("opens");
    server.drained().await;
    assert_eq!(server.fate("acme", "/api", "7").await["status"], "counted");
    assert_eq!(server.total("acme", "calls", ALWAYS).await.1, 21);
}
