//! What the stores hold, compared with what was acknowledged. Reads ClickHouse past every API.

use crate::harness::Stage;
use std::collections::BTreeSet;

/// Panics unless exactly these events of the tenant are stored, each once, with its identity.
pub async fn holds_exactly(stage: &Stage, tenant: &str, ids: &BTreeSet<String>) {
    let clickhouse = &stage.databases.clickhouse;
    let query = format!("SELECT id FROM usage_events WHERE tenant_id = '{tenant}' ORDER BY id");
    let stored: Vec<String> = clickhouse.rows(clickhouse.query(&query)).await.expect("ClickHouse answers");
    let distinct: BTreeSet<String> = stored.iter().cloned().collect();
    let lost: Vec<_> = ids.difference(&distinct).take(5).collect();
    let invented: Vec<_> = distinct.difference(ids).take(5).collect();
    assert!(lost.is_empty() && invented.is_empty(), "lost {lost:?}, invented {invented:?}");
    assert_eq!(stored.len(), ids.len(), "an event is stored twice");
    derived_is_complete(stage).await;
}

/// Panics unless each event has exactly one identity and each record was stored once.
pub async fn derived_is_complete(stage: &Stage) {
    let number = async |what: &str| -> u64 {
        let clickhouse = &stage.databases.clickhouse;
        clickhouse.rows(clickhouse.query(&format!("SELECT {what}"))).await.expect("ClickHouse answers")[0]
    };
    let events = number("count() FROM usage_events").await;
    assert_eq!(number("uniqExact((partition, offset)) FROM usage_events").await, events, "a record is stored twice");
    assert_eq!(number("uniqExact(identity) FROM usage_events").await, events, "an identity counts twice");
    assert_eq!(number("uniqExact(identity) FROM usage_identities").await, events, "events and identities differ");
    let strangers = "count() FROM usage_identities WHERE (identity, partition, offset) NOT IN (SELECT identity, partition, offset FROM usage_events)";
    assert_eq!(number(strangers).await, 0, "an identity points to another record");
}
