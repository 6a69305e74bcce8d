//! What an invoice line stands on: usage of many periods at once, from events, restricted to what lay before a cut of the log, with a
//! digest by which anyone can see later that it was exactly these events.

use super::UsageError;
use super::expressions;
use super::lookup::{self, EventKey};
use super::rows::StoredEvent;
use super::spans::SpanSet;
use super::value::value_of;
use super::voids;
use crate::clickhouse::{ClickHouse, sql};
pub use talea_domain::meter::digest;

use ::clickhouse::Row;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use talea_domain::id::TenantId;
use talea_domain::meter::MeterDefinition;
use talea_domain::period::Period;

/// How many spans one statement carries; more go in several.
const SPANS_PER_STATEMENT: usize = 5_000;

/// How far each partition of the log is meant: the next offset, by partition. A record is inside when its offset is lower; a partition
/// that is not listed is outside whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cut(pub Vec<u64>);

impl Cut {
    /// Whether a record lies inside.
    pub fn contains(&self, partition: u32, offset: u64) -> bool {
        self.0.get(partition as usize).is_some_and(|next| offset < *next)
    }
}

/// A period of a tenant whose usage is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageSpan {
    /// Names the span in the answer; unique in one call.
    pub key: u32,
    pub tenant: TenantId,
    pub period: Period,
    /// What was billed already; None: up to the common cut.
    pub cut: Option<Cut>,
}

/// Usage of one span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BilledUsage {
    pub key: u32,
    /// As `Partial::value`: None when there is no value over no events.
    pub value: Option<Decimal>,
    /// Metered events: those behind the value and the digest.
    pub count: u64,
    /// Events of the meter that it cannot read a value from; not in the digest.
    pub unmetered: u64,
    /// 64 lower-case hex digits: sum of identities mod 2^128, then sum of body hashes mod 2^128. Independent of order.
    pub digest: String,
    /// Rows read, and records and identities behind them. All three are equal, or an event was stored twice.
    pub rows: u64,
    pub records: u64,
    pub identities: u64,
}

impl BilledUsage {
    /// Whether each event was counted once. A period must not be finalised over a span for which this is false.
    pub fn is_counted_once(&self) -> bool {
        self.rows == self.records && self.rows == self.identities
    }

    fn nothing(key: u32, meter: &MeterDefinition) -> Result<Self, UsageError> {
        let value = value_of(meter.aggregation, 0, "0")?;
        Ok(Self { key, value, count: 0, unmetered: 0, digest: digest(0, 0), rows: 0, records: 0, identities: 0 })
    }
}

#[derive(Row, Deserialize)]
struct BilledRow {
    span: u32,
    count_n: u64,
    count_u: u64,
    amount: String,
    identity_sum: u128,
    body_sum: u128,
    rows: u64,
    records: u64,
    identities: u64,
}

/// Usage of all spans, one answer per span, in their order. A span with a cut is restricted to it, one without to `up_to`.
///
/// # Errors
/// See [`UsageError`].
pub async fn billed_usage(
    clickhouse: &ClickHouse,
    meter: &MeterDefinition,
    spans: &[UsageSpan],
    up_to: &Cut,
) -> Result<Vec<BilledUsage>, UsageError> {
    let mut answers = Vec::with_capacity(spans.len());
    for chunk in spans.chunks(SPANS_PER_STATEMENT) {
        let set = SpanSet::of(chunk, up_to);
        let query = format!(
            "SELECT span, sum(n) AS count_n, sum(u) AS count_u, {} AS amount, sumWithOverflow(si) AS identity_sum, \
             sumWithOverflow(sb) AS body_sum, sum(r) AS rows, sum(dr) AS records, sum(di) AS identities FROM ( \
             SELECT span, {partial}, sumWithOverflowIf(identity, {metered}) AS si, sumWithOverflowIf(body_hash, {metered}) AS sb, \
             count() AS r, uniqExact(partition, offset) AS dr, uniqExact(identity) AS di \
             FROM ({}) WHERE {} GROUP BY span) GROUP BY span",
            expressions::final_amount(meter.aggregation),
            set.events(meter),
            set.inside(),
            partial = expressions::partial_columns(meter),
            metered = expressions::metered(meter),
        );
        let rows = clickhouse.rows::<BilledRow>(clickhouse.query(&query)).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            let usage = BilledUsage {
                key: row.span,
                value: value_of(meter.aggregation, row.count_n, &row.amount)?,
                count: row.count_n,
                unmetered: row.count_u,
                digest: digest(row.identity_sum, row.body_sum),
                rows: row.rows,
                records: row.records,
                identities: row.identities,
            };
            found.insert(row.span, usage);
        }
        for span in chunk {
            answers.push(match found.remove(&span.key) {
                Some(usage) => usage,
                None => BilledUsage::nothing(span.key, meter)?,
            });
        }
    }
    Ok(answers)
}

/// Late usage of one span: events of its period that its cut did not hold, and voids of events of its period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LateUsage {
    /// The earliest event time among them.
    pub earliest: DateTime<Utc>,
    pub count: u64,
}

/// For each span with a cut: what has arrived in its period since, up to `up_to`. Spans without late usage are not in the answer.
///
/// # Errors
/// See [`UsageError`].
pub async fn late_since(
    clickhouse: &ClickHouse,
    meter: &MeterDefinition,
    spans: &[UsageSpan],
    up_to: &Cut,
) -> Result<HashMap<u32, LateUsage>, UsageError> {
    let closed: Vec<UsageSpan> = spans.iter().filter(|span| span.cut.is_some()).cloned().collect();
    let mut late = HashMap::new();
    for chunk in closed.chunks(SPANS_PER_STATEMENT) {
        let set = SpanSet::of(chunk, up_to);
        let since = format!("offset >= {} AND NOT ({}) AND {}", set.lowest_cut(), set.below_cut(), set.below_common());
        let query = format!(
            "SELECT span, toUnixTimestamp64Nano(min(time)), count() FROM ( \
             SELECT span, time FROM ({}) WHERE {since} UNION ALL SELECT span, time FROM ({}) WHERE {since}) GROUP BY span",
            set.events(meter),
            set.voids(meter),
        );
        let rows = clickhouse.rows::<(u32, i64, u64)>(clickhouse.query(&query)).await?;
        late.extend(
            rows.into_iter()
                .map(|(span, earliest, count)| (span, LateUsage { earliest: sql::from_nanos(earliest), count })),
        );
    }
    Ok(late)
}

/// The metered events behind a line, in the order of (time, identity), after a key.
///
/// # Errors
/// See [`UsageError`].
pub async fn events_of_line(
    clickhouse: &ClickHouse,
    tenant: &TenantId,
    meter: &MeterDefinition,
    period: Period,
    cut: &Cut,
    after: Option<EventKey>,
    limit: u32,
) -> Result<Vec<StoredEvent>, UsageError> {
    let cuts = sql::number_array(&cut.0, "UInt64");
    let after = after.map(|key| format!(" AND {}", key.is_before())).unwrap_or_default();
    let inside = format!("partition < {} AND offset < arrayElement({cuts}, partition + 1)", cut.0.len());
    let tenant_id = sql::text(tenant.as_str());
    let voided = format!("tenant_id = {tenant_id} AND event_type = {} AND {inside}", sql::text(&meter.event_type));
    let condition = format!(
        "tenant_id = {tenant_id} AND {} AND {} AND time >= {} AND time < {} AND {inside} AND {}{after} \
         ORDER BY time, identity LIMIT {limit}",
        expressions::matches(meter),
        expressions::metered(meter),
        sql::time(period.start),
        sql::time(period.end),
        voids::not_voided(&voided),
    );
    lookup::events_where(clickhouse, tenant, &condition).await
}
