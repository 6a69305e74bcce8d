//! What producers write straight into the log: judged like everything else, and never able to stop a partition.

use super::ALWAYS;
use crate::harness::stage::{NOON, PARTITIONS};
use crate::harness::{Event, LogChoice, Stage, TestPlatform, TestServer, event};
use bytes::Bytes;
use talea_domain::event::{Identity, identity_of};
use talea_domain::id::TenantId;
use talea_platform::log::partitioner::partition_for;
use talea_platform::log::{NewRecord, topic};

fn record(key: Vec<u8>, value: impl Into<Bytes>, headers: &[(&str, &str)]) -> NewRecord {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::from(value.as_bytes().to_vec())));
    NewRecord { key: key.into(), value: value.into(), headers: headers.collect() }
}

fn identity(tenant: &str, source: &str, id: &str) -> Identity {
    identity_of(&TenantId::parse(tenant).expect("a tenant id"), source, id)
}

/// A key that leads into the partition.
fn key_into(partition: u32) -> Vec<u8> {
    let keys = (0u32..).map(|n| n.to_string().into_bytes());
    keys.into_iter().find(|key| partition_for(key, PARTITIONS) == partition).expect("some key leads there")
}

async fn append(platform: &TestPlatform, records: Vec<NewRecord>) {
    for answer in platform.log.append(topic::USAGE, records).await {
        answer.expect("the record is acknowledged");
    }
}

/// Keyed as ingest keys it.
fn at_home(event: &Event, id: &str) -> NewRecord {
    record(
        identity("acme", "/api", id).0.to_be_bytes().to_vec(),
        event.bytes(),
        &[("content-type", "application/cloudevents+json")],
    )
}

async fn reasons(server: &TestServer) -> Vec<(String, String)> {
    let letters = server.dead_letters(&[("limit", "1000")]).await;
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let mut reasons: Vec<_> = letters.iter().map(|letter| (text(&letter["reason"]), text(&letter["field"]))).collect();
    reasons.sort();
    reasons
}

/// Garbage in every partition, before and between good records: it is buried with its place, and the rest counts.
pub async fn garbage_stops_no_partition(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    let platform = stage.platform().await;
    let structured = [("content-type", "application/cloudevents+json")];
    let binary = [
        ("ce_specversion", "1.0"),
        ("ce_id", "b"),
        ("ce_source", "/api"),
        ("ce_type", "api.call"),
        ("content-type", "application/json"),
    ];
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for partition in 0..PARTITIONS {
        let garbage = vec![
            record(key_into(partition), Vec::new(), &[]),
            record(key_into(partition), vec![0xff, 0xfe, 0x00], &structured),
            record(key_into(partition), deep.clone(), &[]),
            record(key_into(partition), "[]", &structured),
            record(key_into(partition), r#"{"specversion":"9","id":"1"}"#, &[]),
            record(key_into(partition), "{", &binary),
            record(key_into(partition), event("acme", "x").at("1969-01-01T00:00:00Z").bytes(), &[]),
            record(key_into(partition), event("acme", "x").at("2200-01-01T00:00:00Z").bytes(), &[]),
        ];
        append(&platform, garbage).await;
    }
    let good: Vec<_> = (0..20).map(|n| event("acme", &n.to_string()).tokens(n)).collect();
    server.count(&good).await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("190".to_owned(), 20, 0));
    let reasons = reasons(&server).await;
    assert_eq!(reasons.len(), 8 * PARTITIONS as usize, "{reasons:?}");
    let out_of_range = reasons.iter().filter(|(reason, field)| reason == "out_of_range" && field == "/time").count();
    assert_eq!(out_of_range, 2 * PARTITIONS as usize, "{reasons:?}");
    assert!(reasons.iter().all(|(reason, _)| reason == "out_of_range" || reason == "malformed"));
    assert_eq!(server.get("/readyz", &[]).await.status, 200);
    // Sent again as it was, it is buried again; nothing else happens.
    let letter = &server.dead_letters(&[("limit", "1")]).await[0];
    let path = format!("/v1/dead-letters/{}/resubmit", letter["place"].as_str().expect("text"));
    server.post(&path, &serde_json::Value::Null).await.ok();
    server.drained().await;
    assert_eq!(server.dead_letters(&[("limit", "1000")]).await.len(), 8 * PARTITIONS as usize + 1);
}

/// A direct producer's records are equals, in both bindings: the same event in each counts once.
pub async fn direct_producers_are_equals(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    let platform = stage.platform().await;
    let home = |id: &str| identity("acme", "/api", id).0.to_be_bytes().to_vec();
    let binary = |id: &'static str, tokens: &'static str| {
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", id),
            ("ce_source", "/api"),
            ("ce_type", "api.call"),
            ("ce_time", NOON),
            ("ce_tenantid", "acme"),
            ("content-type", "application/json"),
        ];
        record(home(id), tokens, &headers)
    };
    append(
        &platform,
        vec![binary("1", r#"{"tokens":5}"#), binary("2", r#"{"tokens":7.25}"#), binary("1", r#"{"tokens":5.0}"#)],
    )
    .await;
    append(&platform, vec![at_home(&event("acme", "1").tokens(5), "1"), at_home(&event("acme", "3").tokens(1), "3")])
        .await;
    // And once more over HTTP.
    server.count(&[event("acme", "2").data(r#"{"tokens":7.25}"#)]).await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("13.25".to_owned(), 3, 0));
    assert!(server.dead_letters(&[]).await.is_empty());
}

/// A record in the wrong partition is sent home, where its duplicates are, and counts there once.
pub async fn a_record_in_the_wrong_partition_counts_once_at_home(log: LogChoice) {
    let stage = Stage::new(log).await;
    stage.tenant("acme").await;
    let server = stage.serve().await;
    server.meter("tokens", "sum", "/tokens").await;
    let platform = stage.platform().await;
    let home = |id: &str| partition_for(&identity("acme", "/api", id).0.to_be_bytes(), PARTITIONS);
    let astray = |id: &str, tokens: u64| {
        record(key_into((home(id) + 1) % PARTITIONS), event("acme", id).tokens(tokens).bytes(), &[])
    };
    let ids: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    append(&platform, ids.iter().map(|id| astray(id, 1)).collect()).await;
    append(&platform, ids.iter().map(|id| astray(id, 1)).collect()).await;
    server.count(&ids.iter().map(|id| event("acme", id).tokens(1)).collect::<Vec<_>>()).await;
    assert_eq!(server.total("acme", "tokens", ALWAYS).await, ("10".to_owned(), 10, 0));
    assert_eq!(server.metric(r#"talea_metering_events_total{verdict="forwarded"}"#).await, 20);
    for id in &ids {
        let fate = server.fate("acme", "/api", id).await;
        assert_eq!(fate["event"]["record"]["partition"], home(id), "{fate}");
        assert_eq!(fate["duplicates"].as_array().map(Vec::len), Some(2), "{fate}");
    }
}
