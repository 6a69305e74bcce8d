//! Totals by tenant, meter, bucket and partition, for both sides of the live totals to start from: one statement per meter, whatever the
//! number of tenants.

use super::dirty::DirtyBucket;
use super::{UsageError, expressions, voids};
use crate::clickhouse::{ClickHouse, sql};
use ::clickhouse::Row;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::BTreeSet;
use talea_domain::event::Identity;
use talea_domain::id::{MeterKey, TenantId};
use talea_domain::meter::{Aggregation, Latest, MeterDefinition, Partial, ValueHash, bucket_start};
use talea_domain::quantity;

/// The total of one bucket, as far as one partition holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialTotal {
    pub tenant: TenantId,
    pub meter: MeterKey,
    pub meter_version: u32,
    pub bucket_start: DateTime<Utc>,
    pub partition: u32,
    /// The highest (epoch, offset) among the events behind it and the voids of others: a later total is higher.
    pub epoch: u64,
    pub offset: u64,
    /// When the log took the newest of these events.
    pub logged_at: DateTime<Utc>,
    /// Filled as the meter's aggregation needs it: count always; sum, max, min, latest or uniques by kind.
    pub partial: Partial,
}

#[derive(Row, Deserialize)]
struct TotalRow {
    tenant: String,
    start: i64,
    part: u32,
    high: (u64, u64),
    logged: i64,
    n: u64,
    amount: String,
    latest_time: i64,
    latest_identity: u128,
    values: Vec<String>,
}

/// Totals of these meters over events whose time is in or after the bucket of `since`. Groups without a metered event are left out, but
/// for those that lost one to a void: their total is told as it is now, nothing.
///
/// # Errors
/// See [`UsageError`]; a total too large for a decimal is an error.
pub async fn partials_since(
    clickhouse: &ClickHouse,
    meters: &[MeterDefinition],
    since: DateTime<Utc>,
) -> Result<Vec<PartialTotal>, UsageError> {
    let scope = format!("time >= {}", sql::time(bucket_start(since)));
    totals_where(clickhouse, meters, &scope).await
}

/// The same of these buckets alone, for the meters of their event types.
///
/// # Errors
/// As [`partials_since`].
pub async fn partials_of(
    clickhouse: &ClickHouse,
    meters: &[MeterDefinition],
    buckets: &[DirtyBucket],
) -> Result<Vec<PartialTotal>, UsageError> {
    let mut totals = Vec::new();
    for meter in meters {
        let of_type = buckets.iter().filter(|bucket| bucket.event_type == meter.event_type);
        // A tenant's id holds no quotes: see `TenantId`.
        let pairs: Vec<String> =
            of_type.map(|it| format!("('{}',{})", it.tenant, sql::nanos(it.bucket_start))).collect();
        if pairs.is_empty() {
            continue;
        }
        let list = sql::text(&format!("[{}]", pairs.join(",")));
        let tenants: BTreeSet<&str> = buckets.iter().map(|bucket| bucket.tenant.as_str()).collect();
        let scope = format!(
            "tenant_id IN {} AND (tenant_id, {}) IN (SELECT arrayJoin(CAST({list}, 'Array(Tuple(String, Int64))')))",
            sql::text_set(tenants),
            expressions::bucket_nanos(),
        );
        totals.extend(totals_where(clickhouse, std::slice::from_ref(meter), &scope).await?);
    }
    Ok(totals)
}

async fn totals_where(
    clickhouse: &ClickHouse,
    meters: &[MeterDefinition],
    scope: &str,
) -> Result<Vec<PartialTotal>, UsageError> {
    let mut totals = Vec::new();
    for meter in meters {
        let query = statement(meter, scope);
        for row in clickhouse.rows::<TotalRow>(clickhouse.query(&query)).await? {
            totals.push(total(meter, row)?);
        }
    }
    Ok(totals)
}

/// `scope` is a condition on tenant and time. A void stands in the group of its event as a row that counts nothing, so that the group's
/// highest offset is that of the newest record that changed it.
fn statement(meter: &MeterDefinition, scope: &str) -> String {
    let (amount, latest_time, latest_identity, values) = match meter.aggregation {
        Aggregation::Count => ("''", "0", "0", "emptyArrayString()"),
        Aggregation::Latest => (
            "toString(tupleElement(l, 3))",
            "toUnixTimestamp64Nano(tupleElement(l, 1))",
            "tupleElement(l, 2)",
            "emptyArrayString()",
        ),
        Aggregation::UniqueCount => ("''", "0", "0", "q"),
        Aggregation::Sum | Aggregation::Avg | Aggregation::Max | Aggregation::Min => {
            ("toString(a)", "0", "0", "emptyArrayString()")
        }
    };
    let metered = format!("(gone = 0 AND {})", expressions::metered(meter));
    let of_type = format!("event_type = {} AND {scope}", sql::text(&meter.event_type));
    format!(
        "SELECT tenant, start, part, high, logged, n, {amount} AS amount, toInt64({latest_time}) AS latest_time, \
         toUInt128({latest_identity}) AS latest_identity, {values} AS values FROM ( \
         SELECT tenant_id AS tenant, {bucket} AS start, partition AS part, max((epoch, offset)) AS high, max(gone) AS lost, \
         toUnixTimestamp64Micro(max(log_time)) AS logged, {partial} FROM ( \
           SELECT tenant_id, time, identity, numbers, texts, partition, offset, epoch, log_time, 0 AS gone FROM usage_events \
           WHERE {matches} AND {scope} AND {not_voided} \
           UNION ALL SELECT tenant_id, time, identity, CAST(map(), 'Map(LowCardinality(String), Decimal(38, 18))') AS numbers, \
           CAST(map(), 'Map(LowCardinality(String), String)') AS texts, partition, offset, epoch, log_time, 1 AS gone \
           FROM usage_voids WHERE {of_type}) \
         GROUP BY tenant, start, part) WHERE n > 0 OR lost = 1",
        bucket = expressions::bucket_nanos(),
        partial = expressions::partial_columns_of(meter, &metered),
        matches = expressions::matches(meter),
        not_voided = voids::not_voided(&of_type),
    )
}

fn total(meter: &MeterDefinition, row: TotalRow) -> Result<PartialTotal, UsageError> {
    let mut partial = Partial { count: row.n, ..Partial::default() };
    match meter.aggregation {
        // Over nothing the columns hold no value, whatever they say.
        _ if row.n == 0 => {}
        Aggregation::Count => {}
        Aggregation::Sum | Aggregation::Avg => partial.sum = Some(quantity::from_clickhouse_str(&row.amount)?),
        Aggregation::Max => partial.max = Some(quantity::from_clickhouse_str(&row.amount)?),
        Aggregation::Min => partial.min = Some(quantity::from_clickhouse_str(&row.amount)?),
        Aggregation::Latest => {
            partial.latest = Some(Latest {
                time: sql::from_nanos(row.latest_time),
                identity: Identity(row.latest_identity),
                value: quantity::from_clickhouse_str(&row.amount)?,
            });
        }
        Aggregation::UniqueCount => partial.uniques = row.values.iter().map(|text| ValueHash::of(text)).collect(),
    }
    Ok(PartialTotal {
        tenant: TenantId::parse(&row.tenant)?,
        meter: meter.key.clone(),
        meter_version: meter.version,
        bucket_start: sql::from_nanos(row.start),
        partition: row.part,
        epoch: row.high.0,
        offset: row.high.1,
        logged_at: sql::from_micros(row.logged),
        partial,
    })
}
