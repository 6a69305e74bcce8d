//! Reading stored batches, bounded by bytes before they leave the database.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use super::encoding::{self, BatchPlace};
use super::unavailable;
use crate::log::{LogError, LogRecord};

/// How far past the wanted offset one query looks. Offsets are dense, so this bounds the rows whatever plan is chosen.
const MAX_RECORDS: i64 = 20_000;

/// The batch that holds the offset, and those after it, until `$4` bytes are reached. The running sum never touches the
/// payloads, which the outer filter fetches only for the rows that stay. What retention dropped is stepped over.
const FETCH: &str = "
    SELECT p.partition, b.base_offset, b.record_count, b.appended_at, b.payload
    FROM unnest($2::int4[], $3::int8[]) AS want(partition, from_offset)
    JOIN log.partitions p ON p.topic = $1 AND p.partition = want.partition AND p.next_offset > want.from_offset
    CROSS JOIN LATERAL (SELECT greatest(want.from_offset, p.start_offset) AS from_offset) AS there
    CROSS JOIN LATERAL (
        SELECT base_offset, record_count, appended_at, payload FROM (
            SELECT base_offset, record_count, appended_at, payload,
                   sum(record_bytes) OVER (ORDER BY base_offset) - record_bytes AS bytes_ahead
            FROM log.batches
            WHERE topic = $1 AND partition = p.partition
              AND base_offset >= coalesce((
                  SELECT max(f.base_offset) FROM log.batches f
                  WHERE f.topic = $1 AND f.partition = p.partition AND f.base_offset <= there.from_offset), 0)
              AND base_offset < there.from_offset + $5
              AND base_offset + record_count > there.from_offset) bounded
        WHERE bytes_ahead < $4) b
    ORDER BY p.partition, b.base_offset";

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
    let query = sqlx::query(FETCH).bind(topic).bind(partitions).bind(offsets).bind(limit).bind(MAX_RECORDS);
    // Planned for its own values each time: a plan for any topic and day would have to consider all of them.
    let rows = query.persistent(false).fetch_all(pool).await.map_err(unavailable)?;
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
