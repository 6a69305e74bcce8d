//! Which buckets changed since they were last computed. Marked in Postgres before the offset of the events is committed, so that no
//! crash can leave a changed bucket unmarked; cleared only when nothing was marked in between.

use crate::clickhouse::sql;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use talea_domain::id::TenantId;
use talea_domain::meter::bucket_start;
use talea_domain::period::Period;

/// A bucket of one tenant and event type; every meter of that type has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirtyBucket {
    pub tenant: TenantId,
    pub event_type: String,
    pub bucket_start: DateTime<Utc>,
}

impl DirtyBucket {
    /// The bucket that an event of this time lies in.
    pub fn of(tenant: &TenantId, event_type: &str, time: DateTime<Utc>) -> Self {
        Self { tenant: tenant.clone(), event_type: event_type.to_owned(), bucket_start: bucket_start(time) }
    }
}

/// A mark as it was read: clearing it needs the generation to be the same still. A generation is the number of the transaction that marked
/// last, which never comes again: a counter would start anew after a clear, and a slow worker could then clear a younger mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBucket {
    pub bucket: DirtyBucket,
    pub generation: i64,
}

/// How many marks one statement carries: a meter that is defined late can mark every bucket of a year.
const MARKS_PER_STATEMENT: usize = 20_000;

/// The table of marks, `usage_dirty_buckets`.
pub struct DirtyBuckets;

impl DirtyBuckets {
    /// Marks buckets as changed at `marked_at`, 20,000 in a statement. Order and repetition of `buckets` do not matter.
    ///
    /// # Errors
    /// From the database: the transaction must not be committed.
    pub async fn mark(
        connection: &mut PgConnection,
        buckets: &[DirtyBucket],
        marked_at: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        // Sorted, so that two writers lock rows in the same order; once each, because one statement cannot update a row twice.
        let mut sorted: Vec<&DirtyBucket> = buckets.iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        for chunk in sorted.chunks(MARKS_PER_STATEMENT) {
            mark_sorted(connection, chunk, marked_at).await?;
        }
        Ok(())
    }

    /// Reads up to `limit` marks that are older than `quiet_before`, the oldest first. Removes nothing.
    ///
    /// # Errors
    /// From the database.
    pub async fn take(
        connection: &mut PgConnection,
        limit: i64,
        quiet_before: DateTime<Utc>,
    ) -> Result<Vec<TakenBucket>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT tenant_id, event_type, bucket_start, generation FROM usage_dirty_buckets \
             WHERE marked_at IS NULL OR marked_at <= $2 ORDER BY marked_at NULLS FIRST, tenant_id, event_type, bucket_start LIMIT $1",
        )
        .bind(limit)
        .bind(quiet_before)
        .fetch_all(connection)
        .await?;
        rows.iter()
            .map(|row| {
                let tenant: String = row.try_get("tenant_id")?;
                let tenant = TenantId::parse(&tenant).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
                let bucket = DirtyBucket {
                    tenant,
                    event_type: row.try_get("event_type")?,
                    bucket_start: row.try_get("bucket_start")?,
                };
                Ok(TakenBucket { bucket, generation: row.try_get("generation")? })
            })
            .collect()
    }

    /// Removes the marks that were not renewed since they were taken. Returns how many.
    ///
    /// # Errors
    /// From the database.
    pub async fn clear(connection: &mut PgConnection, taken: &[TakenBucket]) -> Result<u64, sqlx::Error> {
        let tenants: Vec<&str> = taken.iter().map(|row| row.bucket.tenant.as_str()).collect();
        let types: Vec<&str> = taken.iter().map(|row| row.bucket.event_type.as_str()).collect();
        let starts: Vec<DateTime<Utc>> = taken.iter().map(|row| row.bucket.bucket_start).collect();
        let generations: Vec<i64> = taken.iter().map(|row| row.generation).collect();
        // Locked in the order in which `mark` locks them: the two cannot wait for each other.
        sqlx::query(
            "SELECT FROM usage_dirty_buckets AS held \
             JOIN unnest($1::text[], $2::text[], $3::timestamptz[]) AS taken (tenant_id, event_type, bucket_start) \
             USING (tenant_id, event_type, bucket_start) \
             ORDER BY held.tenant_id COLLATE \"C\", held.event_type COLLATE \"C\", held.bucket_start FOR UPDATE OF held",
        )
        .bind(&tenants)
        .bind(&types)
        .bind(&starts)
        .execute(&mut *connection)
        .await?;
        let done = sqlx::query(
            "DELETE FROM usage_dirty_buckets AS held \
             USING unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[]) AS taken (tenant_id, event_type, bucket_start, generation) \
             WHERE held.tenant_id = taken.tenant_id AND held.event_type = taken.event_type \
             AND held.bucket_start = taken.bucket_start AND held.generation = taken.generation",
        )
        .bind(tenants)
        .bind(types)
        .bind(starts)
        .bind(generations)
        .execute(connection)
        .await?;
        Ok(done.rows_affected())
    }

    /// The marked buckets of one tenant and event type that touch a range, for [`super::query::usage`].
    ///
    /// # Errors
    /// From the database.
    pub async fn of_tenant(
        connection: &mut PgConnection,
        tenant: &TenantId,
        event_type: &str,
        range: Period,
    ) -> Result<Vec<DateTime<Utc>>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT bucket_start FROM usage_dirty_buckets WHERE tenant_id = $1 AND event_type = $2 \
             AND bucket_start >= $3 AND bucket_start < $4 ORDER BY bucket_start",
        )
        .bind(tenant.as_str())
        .bind(event_type)
        .bind(bucket_start(storable(range.start)))
        .bind(storable(range.end))
        .fetch_all(connection)
        .await
    }

    /// When the mark that has waited longest was last renewed; None when there is none. For the gauge.
    ///
    /// # Errors
    /// From the database.
    pub async fn oldest(connection: &mut PgConnection) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        sqlx::query_scalar("SELECT min(marked_at) FROM usage_dirty_buckets").fetch_one(connection).await
    }
}

async fn mark_sorted(
    connection: &mut PgConnection,
    buckets: &[&DirtyBucket],
    marked_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let tenants: Vec<&str> = buckets.iter().map(|bucket| bucket.tenant.as_str()).collect();
    let types: Vec<&str> = buckets.iter().map(|bucket| bucket.event_type.as_str()).collect();
    let starts: Vec<DateTime<Utc>> = buckets.iter().map(|bucket| bucket.bucket_start).collect();
    sqlx::query(
        "INSERT INTO usage_dirty_buckets (tenant_id, event_type, bucket_start, generation, marked_at) \
         SELECT tenant_id, event_type, bucket_start, pg_current_xact_id()::text::bigint, $4 \
         FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS new (tenant_id, event_type, bucket_start) \
         ON CONFLICT (tenant_id, event_type, bucket_start) \
         DO UPDATE SET generation = excluded.generation, marked_at = excluded.marked_at",
    )
    .bind(tenants)
    .bind(types)
    .bind(starts)
    .bind(marked_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// A border of a range as the store knows it: no event lies outside of its years, and Postgres refuses times far outside.
fn storable(border: DateTime<Utc>) -> DateTime<Utc> {
    sql::from_nanos(sql::nanos(border))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_border_that_can_be_written_can_be_asked_for() {
        let years = |border| bucket_start(storable(border)).format("%Y").to_string();
        assert_eq!([years(DateTime::<Utc>::MIN_UTC), years(DateTime::<Utc>::MAX_UTC)], ["1900", "2262"]);
        let now = DateTime::from_timestamp(1_700_000_000, 5).expect("in range");
        assert_eq!(storable(now), now);
    }
}
