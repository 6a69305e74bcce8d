//! Buckets: rollups of 15 minutes that are recomputed from events and replaced whole, never added to. Late events, corrections and
//! replays therefore cannot count twice, and a group that disappeared is gone.

use super::UsageError;
use super::dirty::DirtyBucket;
use super::expressions::{self, BUCKET_NANOS};
use super::{ranges, voids};
use crate::clickhouse::{ClickHouse, ClickHouseError, sql};
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::BTreeSet;
use talea_domain::id::TenantId;
use talea_domain::meter::{Aggregation, MeterDefinition};

/// How many buckets one statement recomputes; more go in several.
const CHUNK: usize = 20_000;
/// Months in one insert: event times span 1970 to 2199.
const MAX_MONTHS: &str = "3600";

/// What a recompute did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecomputeReport {
    /// Rows of `usage_buckets` that were written: buckets times meters.
    pub written: usize,
    /// Buckets in which a record stands more than once. They were counted once; the owner of the table has to be told.
    pub duplicated: Vec<DuplicatedBucket>,
}

/// A bucket with more rows than records: one record was stored twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicatedBucket {
    pub bucket: DirtyBucket,
    pub rows: u64,
    pub records: u64,
}

/// Recomputes these buckets for every meter of their event types: one statement per meter, not per bucket. A bucket without events
/// gets an empty row. `revision` must grow from run to run: of two rows of a bucket the higher revision stands.
///
/// # Errors
/// See [`UsageError`]; nothing may be cleared then. Running it again is harmless.
pub async fn recompute(
    clickhouse: &ClickHouse,
    meters: &[MeterDefinition],
    dirty: &[DirtyBucket],
    revision: u64,
) -> Result<RecomputeReport, UsageError> {
    let mut report = RecomputeReport::default();
    let types: BTreeSet<&str> = dirty.iter().map(|bucket| bucket.event_type.as_str()).collect();
    for event_type in types {
        let of_type: Vec<&DirtyBucket> = dirty.iter().filter(|bucket| bucket.event_type == event_type).collect();
        let meters: Vec<&MeterDefinition> = meters.iter().filter(|meter| meter.event_type == event_type).collect();
        if meters.is_empty() {
            continue;
        }
        for chunk in of_type.chunks(CHUNK) {
            let set = BucketSet::of(event_type, chunk);
            let duplicated = duplicated(clickhouse, &set).await?;
            let collapse = !duplicated.is_empty();
            report.duplicated.extend(duplicated);
            for meter in &meters {
                let statement = set.statement(meter, revision, collapse);
                let query = clickhouse.query(&statement).with_setting("max_partitions_per_insert_block", MAX_MONTHS);
                clickhouse.execute(query).await?;
                report.written += set.count;
            }
        }
    }
    Ok(report)
}

/// A set of buckets of one event type, as SQL.
struct BucketSet<'a> {
    event_type: &'a str,
    count: usize,
    /// A subquery of (tenant, start in nanoseconds).
    pairs: String,
    /// What narrows the reading of events to these buckets.
    condition: String,
}

impl<'a> BucketSet<'a> {
    fn of(event_type: &'a str, buckets: &[&DirtyBucket]) -> Self {
        let mut pairs: Vec<(&str, i64)> =
            buckets.iter().map(|bucket| (bucket.tenant.as_str(), sql::nanos(bucket.bucket_start))).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let tenants: BTreeSet<&str> = pairs.iter().map(|(tenant, _)| *tenant).collect();
        let mut starts: Vec<i64> = pairs.iter().map(|(_, start)| *start).collect();
        starts.sort_unstable();
        // A tenant's id holds no quotes: see `TenantId`.
        let list: Vec<String> = pairs.iter().map(|(tenant, start)| format!("('{tenant}',{start})")).collect();
        let list = sql::text(&format!("[{}]", list.join(",")));
        let pairs_sql = format!(
            "SELECT tupleElement(pair, 1) AS b_tenant, tupleElement(pair, 2) AS b_start \
             FROM (SELECT arrayJoin(CAST({list}, 'Array(Tuple(String, Int64))')) AS pair)"
        );
        let of = format!(
            "tenant_id IN {} AND event_type = {} AND {}",
            sql::text_set(tenants),
            sql::text(event_type),
            ranges::inside("time", &ranges::coalesce(starts)),
        );
        let condition = format!(
            "{of} AND (tenant_id, {}) IN ({pairs_sql}) AND {}",
            expressions::bucket_nanos(),
            voids::not_voided(&of),
        );
        Self { event_type, count: pairs.len(), pairs: pairs_sql, condition }
    }

    fn statement(&self, meter: &MeterDefinition, revision: u64, collapse: bool) -> String {
        let places: Vec<usize> = (0..meter.dimensions.len()).collect();
        let columns = BucketColumns::of(meter.aggregation);
        let collapse = if collapse { " LIMIT 1 BY partition, offset" } else { "" };
        format!(
            "INSERT INTO usage_buckets (tenant_id, meter, meter_version, bucket_start, revision, groups, counts, unmetered{names}) \
             SELECT b_tenant, {key}, {version}, fromUnixTimestamp64Nano(b_start, 'UTC'), {revision}, \
             arrayMap(x -> tupleElement(x, 1), parts), arrayMap(x -> tupleElement(x, 2), parts), \
             arrayMap(x -> tupleElement(x, 3), parts){unpack} \
             FROM ({pairs}) AS wanted LEFT JOIN ( \
               SELECT c_tenant, c_start, arraySort(x -> tupleElement(x, 1), groupArray((g, n, u{packed}))) AS parts FROM ( \
                 SELECT tenant_id AS c_tenant, {bucket} AS c_start, {dimensions} AS g, {partial} \
                 FROM (SELECT tenant_id, time, identity, numbers, texts FROM usage_events WHERE {condition} AND {matches}{collapse}) \
                 GROUP BY c_tenant, c_start, g) \
               GROUP BY c_tenant, c_start) AS computed \
             ON wanted.b_tenant = computed.c_tenant AND wanted.b_start = computed.c_start",
            names = columns.names,
            key = sql::text(meter.key.as_str()),
            version = meter.version,
            unpack = columns.unpack,
            pairs = self.pairs,
            packed = columns.packed,
            bucket = expressions::bucket_nanos(),
            dimensions = expressions::dimensions(meter, &places),
            partial = expressions::partial_columns(meter),
            condition = self.condition,
            matches = expressions::matches(meter),
        )
    }
}

/// The columns that an aggregation fills beside groups and counts: their names in the table, and their way through the tuple in which
/// the values of one group travel together.
struct BucketColumns {
    names: &'static str,
    packed: &'static str,
    unpack: &'static str,
}

impl BucketColumns {
    fn of(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Count => Self { names: "", packed: "", unpack: "" },
            Aggregation::Sum | Aggregation::Avg | Aggregation::Max | Aggregation::Min => {
                Self { names: ", amounts", packed: ", a", unpack: ", arrayMap(x -> tupleElement(x, 4), parts)" }
            }
            Aggregation::Latest => Self {
                names: ", latest_times, latest_identities, amounts",
                packed: ", l",
                unpack: ", arrayMap(x -> tupleElement(tupleElement(x, 4), 1), parts), \
                         arrayMap(x -> tupleElement(tupleElement(x, 4), 2), parts), \
                         arrayMap(x -> tupleElement(tupleElement(x, 4), 3), parts)",
            },
            Aggregation::UniqueCount => Self {
                names: ", uniques",
                packed: ", arraySort(q)",
                unpack: ", arrayMap(x -> tupleElement(x, 4), parts)",
            },
        }
    }
}

#[derive(Row, Deserialize)]
struct DuplicatedRow {
    tenant: String,
    start: i64,
    rows: u64,
    records: u64,
}

async fn duplicated(clickhouse: &ClickHouse, set: &BucketSet<'_>) -> Result<Vec<DuplicatedBucket>, UsageError> {
    let query = format!(
        "SELECT tenant_id AS tenant, {} AS start, count() AS rows, uniqExact(partition, offset) AS records FROM usage_events \
         WHERE {} GROUP BY tenant, start HAVING rows != records ORDER BY tenant, start",
        expressions::bucket_nanos(),
        set.condition
    );
    let rows = clickhouse.rows::<DuplicatedRow>(clickhouse.query(&query)).await?;
    rows.into_iter()
        .map(|row| {
            let bucket = DirtyBucket {
                tenant: TenantId::parse(&row.tenant)?,
                event_type: set.event_type.to_owned(),
                bucket_start: sql::from_nanos(row.start),
            };
            Ok(DuplicatedBucket { bucket, rows: row.rows, records: row.records })
        })
        .collect()
}

/// Every bucket that has events of a type, for a meter that is defined after them: mark them in the transaction that records the meter,
/// so that no query takes a bucket that was never computed for an empty one.
///
/// # Errors
/// See [`UsageError`].
pub async fn buckets_with_events(clickhouse: &ClickHouse, event_type: &str) -> Result<Vec<DirtyBucket>, UsageError> {
    let query = format!(
        "SELECT tenant_id AS tenant, {} AS start FROM usage_events WHERE event_type = {} GROUP BY tenant, start",
        expressions::bucket_nanos(),
        sql::text(event_type)
    );
    let rows = clickhouse.rows::<(String, i64)>(clickhouse.query(&query)).await?;
    rows.into_iter()
        .map(|(tenant, start)| {
            let (tenant, bucket_start) = (TenantId::parse(&tenant)?, sql::from_nanos(start));
            Ok(DirtyBucket { tenant, event_type: event_type.to_owned(), bucket_start })
        })
        .collect()
}

/// Drops all buckets, for a rebuild: mark every bucket with events first.
///
/// # Errors
/// See [`ClickHouseError`].
pub async fn drop_all(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    clickhouse.execute(clickhouse.query("TRUNCATE TABLE usage_buckets")).await
}

const _: () = assert!(BUCKET_NANOS == 900_000_000_000, "stored buckets are of 15 minutes");
