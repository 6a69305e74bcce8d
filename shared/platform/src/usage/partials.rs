//! Totals by tenant, meter, bucket and partition, for both sides of the live totals to start from: one statement per meter, whatever the
//! number of tenants.

use super::UsageError;
use super::expressions;
use crate::clickhouse::{ClickHouse, sql};
use ::clickhouse::Row;
use chrono::{DateTime, Utc};
use serde::Deserialize;
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
    /// The highest (epoch, offset) among the events behind it: a later total is higher.
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

/// Totals of these meters over events whose time is in or after the bucket of `since`. Groups without a metered event are left out.
///
/// # Errors
/// See [`UsageError`]; a total too large for a decimal is an error.
pub async fn partials_since(
    clickhouse: &ClickHouse,
    meters: &[MeterDefinition],
    since: DateTime<Utc>,
) -> Result<Vec<PartialTotal>, UsageError> {
    let mut totals = Vec::new();
    for meter in meters {
        let query = statement(meter, bucket_start(since));
        for row in clickhouse.rows::<TotalRow>(clickhouse.query(&query)).await? {
            totals.push(total(meter, row)?);
        }
    }
    Ok(totals)
}

fn statement(meter: &MeterDefinition, since: DateTime<Utc>) -> String {
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
    format!(
        "SELECT tenant, start, part, high, logged, n, {amount} AS amount, toInt64({latest_time}) AS latest_time, \
         toUInt128({latest_identity}) AS latest_identity, {values} AS values FROM ( \
         SELECT tenant_id AS tenant, {} AS start, partition AS part, max((epoch, offset)) AS high, \
         toUnixTimestamp64Micro(max(log_time)) AS logged, {} FROM usage_events \
         WHERE {} AND time >= {} GROUP BY tenant, start, part) WHERE n > 0",
        expressions::bucket_nanos(),
        expressions::partial_columns(meter),
        expressions::matches(meter),
        sql::time(since),
    )
}

fn total(meter: &MeterDefinition, row: TotalRow) -> Result<PartialTotal, UsageError> {
    let mut partial = Partial { count: row.n, ..Partial::default() };
    match meter.aggregation {
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
