//! Reading stored batches, bounded by bytes before they leave the database.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use super::encoding::{self, BatchPlace};
use super::unavailable;
use crate::log::{LogError, LogRecord};

/// Most rows of one partition in one query; many small commits make many small rows.
const MAX_ROWS: i64 = 500;

/// The batch that holds the offset, and those after it, until `$4` bytes are reached. The running sum stops at the LIMIT
/// and never touches the payloads, which the outer filter fetches only for the rows that stay.
const FETCH: &str = "
    SELECT want.partition, b.base_offset, b.record_count, b.appended_at, b.payload
    FROM unnest($2::int4[], $3::int8[]) AS want(partition, from_offset)
    CROSS JOIN LATERAL (
        SELECT base_offset, record_count, appended_at, payload FROM (
            SELECT base_offset, record_count, appended_at, payload,
                   sum(record_bytes) OVER (ORDER BY base_offset) - record_bytes AS bytes_ahead
            FROM log.batches
            WHERE topic = $1 AND partition = want.partition
              AND base_offset >= coalesce((
                  SELECT max(f.base_offset) FROM log.batches f
                  WHERE f.topic = $1 AND f.partition = want.partition AND f.base_offset <= want.from_offset), 0)
              AND base_offset + record_count > want.from_offset
            ORDER BY base_offset LIMIT $5) bounded
        WHERE bytes_ahead < $4) b
    ORDER BY want.partition, b.base_offset";

/// A partition and the first offset wanted of it.
pub(super) type Want = (u32, u64);

/// For each partition that has something, its records from the wanted offset on: at least one batch, and no further batch
/// once `max_bytes` (uncompressed) are reached. An offset that retention dropped goes on at the earliest left.
pub(super) async fn fetch(
    pool: &PgPool,
    topic: &str,
    wants: &[Want],
    max_bytes: usize,
) -> Result<Vec<(u32, Vec<LogRecord>)>, LogError> {
    let partitions: Vec<i32> = wants.iter().map(|(partition, _)| partition.cast_signed()).collect();
    let offsets: Vec<i64> = wants.iter().map(|(_, from)| from.cast_signed()).collect();
    let limit = i64::try_from(max_bytes).unwrap_or(i64::MAX);
    let query = sqlx::query(FETCH).bind(topic).bind(partitions).bind(offsets).bind(limit).bind(MAX_ROWS);
    let rows = query.fetch_all(pool).await.map_err(unavailable)?;
    let mut fetched: Vec<(u32, Vec<LogRecord>)> = Vec::new();
    for row in rows {
        let place = place(&row).map_err(unavailable)?;
        let from = wants.iter().find(|(partition, _)| *partition == place.partition).map_or(0, |(_, from)| *from);
        let payload: &[u8] = row.try_get("payload").map_err(unavailable)?;
        let records = encoding::decode(payload, place, from).map_err(|error| LogError::Topic {
            topic: topic.to_owned(),
            problem: format!("partition {} at offset {}: {error}", place.partition, place.base_offset),
        })?;
        match fetched.last_mut() {
            Some((partition, before)) if *partition == place.partition => before.extend(records),
            _ => fetched.push((place.partition, records)),
        }
    }
    Ok(fetched)
}

fn place(row: &PgRow) -> Result<BatchPlace, sqlx::Error> {
    Ok(BatchPlace {
        partition: row.try_get::<i32, _>("partition")?.cast_unsigned(),
        base_offset: row.try_get::<i64, _>("base_offset")?.cast_unsigned(),
        count: usize::try_from(row.try_get::<i32, _>("record_count")?).unwrap_or(0),
        appended_at: row.try_get::<DateTime<Utc>, _>("appended_at")?,
    })
}
