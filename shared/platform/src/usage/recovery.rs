//! What is stored, read back by a partition's new owner. The one path after a crash, a rebalance and an insert of unknown outcome.

use super::dirty::DirtyBucket;
use super::insert::Fence;
use super::{UsageError, expressions};
use crate::clickhouse::{ClickHouse, ClickHouseError, sql};
use ::clickhouse::Row;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;
use talea_domain::id::TenantId;

/// Days for which the store keeps an identity after it was written (the TTL of `usage_identities`). The window in which identities are
/// remembered must not be longer.
pub const IDENTITY_RETENTION_DAYS: i64 = 100;

/// How long the next block of a stream may take to come.
const STREAM_PATIENCE: Duration = Duration::from_secs(60);

/// How many identities one look-up statement carries; more are asked for in several.
const LOOKUP_CHUNK: usize = 10_000;

/// A record that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub struct StoredPlace {
    pub offset: u64,
    /// 0 for a dead letter without one.
    pub identity: u128,
    /// 0 for a void and for a dead letter: they claim no identity.
    pub body_hash: u128,
}

/// Every stored record of a partition from an offset on, each list sorted by offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredSince {
    pub events: Vec<StoredPlace>,
    /// Each with the identity that it voids.
    pub voids: Vec<StoredPlace>,
    pub repeats: Vec<StoredPlace>,
    pub dead_letters: Vec<StoredPlace>,
}

/// Reads what is stored of a partition at or after `committed` (the next offset to consume).
///
/// # Errors
/// See [`ClickHouseError`].
pub async fn stored_since(
    clickhouse: &ClickHouse,
    topic: &str,
    partition: u32,
    committed: u64,
) -> Result<StoredSince, ClickHouseError> {
    let of = async |table: &str, body_hash: &str, condition: &str| {
        let query = format!(
            "SELECT offset, identity, {body_hash} AS body_hash FROM {table} \
             WHERE partition = {partition} AND offset >= {committed}{condition} ORDER BY offset"
        );
        clickhouse.rows::<StoredPlace>(clickhouse.query(&query)).await
    };
    let topic = format!(" AND topic = {}", sql::text(topic));
    let (events, voids, repeats, dead_letters) = tokio::try_join!(
        of("usage_events", "body_hash", ""),
        of("usage_voids", "toUInt128(0)", ""),
        of("usage_repeats", "body_hash", ""),
        of("dead_letters FINAL", "toUInt128(0)", &topic)
    )?;
    Ok(StoredSince { events, voids, repeats, dead_letters })
}

/// The counted record of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub body_hash: u128,
    pub partition: u32,
    pub offset: u64,
    /// The log time of that record.
    pub first_seen: DateTime<Utc>,
}

#[derive(Row, Deserialize)]
struct KnownRow {
    key: u128,
    hash: u128,
    at_partition: u32,
    at_offset: u64,
    seen: i64,
}

/// Which of these identities were counted, and from which record. One that was counted anew after its window was over is known from
/// the later record: it is that one's window that a repeat falls into. One statement per 10,000.
///
/// # Errors
/// See [`ClickHouseError`].
pub async fn known_identities(
    clickhouse: &ClickHouse,
    identities: &[u128],
) -> Result<HashMap<u128, Known>, ClickHouseError> {
    let mut known = HashMap::with_capacity(identities.len());
    for chunk in identities.chunks(LOOKUP_CHUNK) {
        let query = format!(
            "SELECT identity AS key, argMax(body_hash, (first_seen, offset)) AS hash, \
             argMax(partition, (first_seen, offset)) AS at_partition, argMax(offset, (first_seen, offset)) AS at_offset, \
             toUnixTimestamp64Micro(max(first_seen)) AS seen FROM usage_identities WHERE identity IN {} GROUP BY key",
            sql::number_array(chunk, "UInt128")
        );
        let rows = clickhouse.rows::<KnownRow>(clickhouse.query(&query)).await?;
        known.extend(rows.into_iter().map(|row| {
            let first_seen = sql::from_micros(row.seen);
            (row.key, Known { body_hash: row.hash, partition: row.at_partition, offset: row.at_offset, first_seen })
        }));
    }
    Ok(known)
}

/// Gives every identity of a partition that was first seen at or after `since` to `each`, in no order: for the filter that spares
/// new identities the look-up. Streams; holds one network block at a time. Returns how many there were.
///
/// # Errors
/// See [`ClickHouseError`].
pub async fn recent_identities(
    clickhouse: &ClickHouse,
    partition: u32,
    since: DateTime<Utc>,
    mut each: impl FnMut(u128),
) -> Result<u64, ClickHouseError> {
    let query = format!(
        "SELECT identity FROM usage_identities WHERE partition = {partition} AND first_seen >= fromUnixTimestamp64Micro(toInt64({}), 'UTC')",
        since.timestamp_micros()
    );
    let mut cursor = clickhouse.query(&query).fetch::<u128>()?;
    let mut count = 0;
    loop {
        let next = tokio::time::timeout(STREAM_PATIENCE, cursor.next()).await;
        let Some(identity) = next.map_err(|_| ClickHouseError::TimedOut)?? else { return Ok(count) };
        each(identity);
        count += 1;
    }
}

/// Writes the identities of stored events that are missing, for a partition from an offset on, under the owner's fence. Running it
/// again writes nothing.
///
/// # Errors
/// See [`ClickHouseError`]; `is_fenced` when a newer owner exists.
pub async fn write_missing_identities(
    clickhouse: &ClickHouse,
    fence: &Fence,
    from_offset: u64,
) -> Result<(), ClickHouseError> {
    let partition = fence.partition;
    let statement = format!(
        "INSERT INTO usage_identities (identity, body_hash, partition, offset, first_seen, backfill) \
         SELECT identity, body_hash, partition, offset, log_time, backfill FROM usage_events \
         WHERE partition = {partition} AND offset >= {from_offset} AND {} AND (identity, offset) NOT IN \
         (SELECT identity, offset FROM usage_identities WHERE partition = {partition} AND offset >= {from_offset})",
        fence.condition()
    );
    clickhouse.execute(clickhouse.query(&statement)).await
}

/// The buckets of a partition's stored events and voids from an offset on: whoever wrote them may have ended before marking them dirty.
///
/// # Errors
/// See [`UsageError`].
pub async fn buckets_since(
    clickhouse: &ClickHouse,
    partition: u32,
    committed: u64,
) -> Result<Vec<DirtyBucket>, UsageError> {
    let of = |table: &str| {
        format!(
            "SELECT tenant_id, toString(event_type) AS kind, {} AS start FROM {table} WHERE partition = {partition} AND offset >= {committed}",
            expressions::bucket_nanos()
        )
    };
    let query =
        format!("SELECT DISTINCT tenant_id, kind, start FROM ({} UNION ALL {})", of("usage_events"), of("usage_voids"));
    let rows = clickhouse.rows::<(String, String, i64)>(clickhouse.query(&query)).await?;
    rows.into_iter()
        .map(|(tenant, event_type, start)| {
            Ok(DirtyBucket { tenant: TenantId::parse(&tenant)?, event_type, bucket_start: sql::from_nanos(start) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_keeps_identities_as_long_as_is_said() {
        let (_, _, schema) = crate::clickhouse::MIGRATIONS[0];
        let table = schema.split("CREATE TABLE").find(|part| part.contains("usage_identities (")).expect("the table");
        assert!(table.contains(&format!("TTL stored_at + INTERVAL {IDENTITY_RETENTION_DAYS} DAY")));
    }
}
